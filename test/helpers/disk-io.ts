/**
 * Reads and writes disks of a test through spawned programs with a time limit: the test itself
 * never touches a path below a mount of ours, and so is not hung by a disk that does not answer.
 */
import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type {EventLine} from '../../src/core/disk-status.js';
import {run, until} from './run.js';
import {killAndWait, type TempHome} from './temp-home.js';

const MIB = 1024 * 1024;

/** Creates a resource without a loop device and with small logfiles; returns its image's path. */
export async function bareDisk(
  node: TempHome,
  name: string,
  size: string,
  ...more: string[]
): Promise<string> {
  const settings = ['--set', 'device=off', '--set', 'segment-bytes=4M'];
  await node.mars('resource', 'create', name, '--size', size, ...settings, ...more);
  return node.imageFile(name);
}

/** SIGKILL of the disk process, and waits until the next life serves. */
export async function killDisk(node: TempHome, name: string): Promise<void> {
  const {pid} = await node.diskProcesses(name);
  await killAndWait(pid);
  await served(node, name, pid);
}

/** Waits until a disk process serves, other than `before`. */
export async function served(node: TempHome, name: string, before = 0): Promise<void> {
  await until(
    async () => {
      const status = await node.diskStatus(name);
      return status !== undefined && status.pid !== before && status.phase === 'serving';
    },
    30_000,
    `service of ${name}`,
  );
}

/** Makes a file of random bytes below the test's directory; returns its path. */
export function randomFile(node: TempHome, name: string, sizeMib: number): string {
  const file = path.join(node.directory, name);
  const fd = fs.openSync(file, 'w');
  for (let done = 0; done < sizeMib; done += 1) fs.writeSync(fd, randomBytes(MIB));
  fs.closeSync(fd);
  return file;
}

/**
 * Writes a file to a disk, past the page cache.
 *
 * @param words more words for dd, such as `seek=4` (in MiB) or `conv=fsync,notrunc`
 */
export async function writeDisk(
  source: string,
  disk: string,
  words: readonly string[] = [],
  timeoutMs = 60_000,
): Promise<void> {
  const conv = words.some((word) => word.startsWith('conv=')) ? [] : ['conv=notrunc'];
  const args = [`if=${source}`, `of=${disk}`, 'bs=1M', 'oflag=direct', ...conv, ...words];
  await run('dd', args, {timeoutMs});
}

/** SHA-256 of the first bytes of a disk or file, read past the page cache; sha256sum takes seven times as long. */
export async function hashOf(file: string, sizeMib: number, skipMib = 0): Promise<string> {
  const script =
    'dd if="$1" bs=1M count="$2" skip="$3" iflag=direct status=none | openssl dgst -sha256 -r';
  const args = ['-o', 'pipefail', '-c', script, 'bash', file, String(sizeMib), String(skipMib)];
  return (await run('bash', args, {timeoutMs: 60_000})).split(' ')[0] ?? '';
}

/** The image file itself, behind the disk: what replay has written. */
export function imageBehind(node: TempHome, name: string): string {
  return path.join(node.home, 'resources', name, 'image');
}

/** All events of a node so far. */
export function eventsOf(node: TempHome): EventLine[] {
  const text = fs.readFileSync(path.join(node.home, 'events.jsonl'), 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as EventLine);
}

/** Puts a fault plan in force (core/fault-files); an empty one ends all faults. */
export function setFaults(plan: string, rules: readonly object[]): void {
  fs.writeFileSync(`${plan}.new`, JSON.stringify(rules));
  fs.renameSync(`${plan}.new`, plan);
}

/**
 * A node whose daemon and disk processes look for faults in a plan.
 *
 * @param create makes the node; the variable is in the environment only meanwhile
 */
export async function withFaultPlan(
  create: () => Promise<TempHome>,
): Promise<{readonly node: TempHome; readonly plan: string}> {
  const directory = fs.mkdtempSync(
    path.join(process.env['MARS_TEST_DIR'] ?? '/var/tmp', 'mars-plan-'),
  );
  const plan = path.join(directory, 'plan.json');
  process.env['MARS_FAULTS'] = plan;
  try {
    return {node: await create(), plan};
  } finally {
    delete process.env['MARS_FAULTS'];
  }
}
