import fs from 'node:fs';
import {run, until} from './run.js';

/**
 * A loop device over a file of the test's; `free` it in any case.
 *
 * @param file absolute path, below the test's directory so that the runner finds a forgotten one
 */
export async function attachLoop(file: string, directIo: boolean): Promise<string> {
  const device = await run('losetup', [
    '--find',
    '--show',
    `--direct-io=${directIo ? 'on' : 'off'}`,
    file,
  ]);
  return device.trim();
}

/** Detaches, and waits until the device is really free: losetup only asks for it. */
export async function freeLoop(device: string): Promise<void> {
  await run('losetup', ['-d', device]);
  const state = `/sys/block/${device.replace('/dev/', '')}/loop/backing_file`;
  await until(() => !fs.existsSync(state), 5000, `release of ${device}`);
}

/** How many loop devices of this machine are not in use. */
export function freeLoopCount(): number {
  return fs
    .readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop') && !fs.existsSync(`/sys/block/${name}/loop`)).length;
}
