/**
 * Loop devices. What exists is read from sysfs, which names the backing file without touching it
 * (LOOP_GET_STATUS, and so `losetup -l`, asks the file system below: our own disk process).
 * What changes them is a program with a time limit.
 */
import fs from 'node:fs';
import {basename} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {DiskError} from '../core/errors.js';
import {inOneMoment} from '../core/moment.js';
import {programWords, runProgram} from '../core/run-program.js';

const PROGRAM_TIMEOUT_MS = 20_000;
/** udev and blkid open a new device for a moment; they are waited for this long. */
const RELEASE_WAIT_MS = 1500;
const ATTACH_TRIES = 3;

export interface LoopDevice {
  /** `/dev/loop3`. */
  readonly path: string;
  readonly backingFile: string;
  /** The kernel removes it when the last opener is gone. */
  readonly autoclear: boolean;
}

/** @param root `/sys/block`, or a directory of a test */
export function listLoopDevices(root = '/sys/block'): LoopDevice[] {
  const devices: LoopDevice[] = [];
  for (const name of fs.readdirSync(root)) {
    if (!/^loop\d+$/u.test(name)) continue;
    const backingFile = readAttribute(`${root}/${name}/loop/backing_file`);
    if (backingFile === undefined || backingFile === '') continue;
    const autoclear = readAttribute(`${root}/${name}/loop/autoclear`) === '1';
    devices.push({path: `/dev/${name}`, backingFile, autoclear});
  }

  return devices;
}

function readAttribute(path: string): string | undefined {
  try {
    return fs.readFileSync(path, 'utf8').replace(/\n$/u, '');
  } catch {
    return undefined;
  }
}

const loopDevicesNow = inOneMoment(listLoopDevices);

/** The loop device on `file`; one that is about to go by itself does not count. */
export function loopOf(file: string): LoopDevice | undefined {
  return loopDevicesNow().find((device) => device.backingFile === file && !device.autoclear);
}

/** All loop devices on `file`, also those that go with their last opener. @param root as listLoopDevices */
export function loopsOn(file: string, root?: string): LoopDevice[] {
  return listLoopDevices(root).filter(({backingFile}) => backingFile === file);
}

/** Whether the device is one on `file`; one that is about to go by itself is none. */
export function isLoopOn(device: string, file: string): boolean {
  const root = `/sys/block/${basename(device)}/loop`;
  return (
    readAttribute(`${root}/backing_file`) === file && readAttribute(`${root}/autoclear`) !== '1'
  );
}

/**
 * Sets up a loop device with direct I/O.
 *
 * @param readOnly true: nobody can write to it
 *
 * @returns its path
 * @throws DiskError LOOP_MISSING where none is to be had, LOOP_FAILED with the words of losetup
 */
export async function attachLoop(file: string, readOnly = false): Promise<string> {
  if (!fs.existsSync('/dev/loop-control')) {
    throw new DiskError('LOOP_MISSING', 'there is no /dev/loop-control: modprobe loop');
  }

  let words = '';
  for (let attempt = 0; attempt < ATTACH_TRIES; attempt += 1) {
    // Between finding a free device and taking it another program may be quicker: try again.
    const access = readOnly ? ['-r'] : [];
    const args = [...access, '--direct-io=on', '--show', '-f', file];
    const result = await runProgram('losetup', args, PROGRAM_TIMEOUT_MS);
    const path = result.stdout.trim();
    if (result.status === 0 && path.startsWith('/dev/')) return path;
    words = programWords(result);
    const left = loopOf(file);
    if (left !== undefined) await runProgram('losetup', ['-d', left.path], PROGRAM_TIMEOUT_MS);
    if (result.timedOut) break;
  }

  const missing = /unused loop device|loop-control|No such (file|device)/iu.test(words);
  throw new DiskError(
    missing ? 'LOOP_MISSING' : 'LOOP_FAILED',
    `losetup could not set up a loop device on ${file}: ${words}`,
    {file},
  );
}

/**
 * Removes a loop device.
 *
 * With openers left the kernel only marks it to go with the last of them and says 0, so the
 * outcome is read from sysfs; the mark is then taken back.
 *
 * @returns false where somebody has it open: it stays as it was
 * @throws DiskError LOOP_FAILED with the words of losetup
 */
export async function detachLoop(device: LoopDevice): Promise<boolean> {
  const result = await runProgram('losetup', ['-d', device.path], PROGRAM_TIMEOUT_MS);
  if (await isGone(device, RELEASE_WAIT_MS)) return true;
  if (result.status !== 0) {
    throw new DiskError('LOOP_FAILED', `losetup -d ${device.path}: ${programWords(result)}`, {
      device: device.path,
    });
  }

  await runProgram('perl', ['-e', CLEAR_AUTOCLEAR, device.path], PROGRAM_TIMEOUT_MS);
  return isGone(device, 0);
}

// LOOP_GET_STATUS64, clear LO_FLAGS_AUTOCLEAR (4) in lo_flags at byte 52, LOOP_SET_STATUS64
// (linux/loop.h); losetup has no option for it.
const CLEAR_AUTOCLEAR = `
open(my $fd, '+<', $ARGV[0]) or exit 1;
my $info = "\\0" x 232;
ioctl($fd, 0x4C05, $info) or exit 2;
substr($info, 52, 4) = pack('V', unpack('V', substr($info, 52, 4)) & ~4);
ioctl($fd, 0x4C04, $info) or exit 3;
`;

async function isGone(device: LoopDevice, waitMs: number): Promise<boolean> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    const there = listLoopDevices().some(
      ({path, backingFile}) => path === device.path && backingFile === device.backingFile,
    );
    if (!there) return true;
    if (performance.now() >= deadline) return false;
    await sleep(20);
  }
}

/**
 * Tells the loop device that its file has grown.
 *
 * @throws DiskError LOOP_FAILED
 */
export async function growLoop(path: string): Promise<void> {
  const result = await runProgram('losetup', ['-c', path], PROGRAM_TIMEOUT_MS);
  if (result.status === 0) return;
  throw new DiskError('LOOP_FAILED', `losetup -c ${path}: ${programWords(result)}`, {
    device: path,
  });
}
