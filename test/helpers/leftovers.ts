/**
 * What a test left behind on the machine, found without touching any path below a mount: from
 * /proc and /sys only. Everything is synchronous, as it also runs while a process exits.
 */
import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const COMMAND_MS_MAX = 10_000;
/** Gigabytes of images and logs, on a busy disk that discards what is removed. */
const REMOVAL_MS_MAX = 120_000;

export interface Mount {
  readonly point: string;
  readonly type: string;
  /** Minor number of the device: of a FUSE mount, the number of its connection. */
  readonly minor: number;
}

export interface Leftovers {
  readonly processes: readonly {readonly pid: number; readonly command: string}[];
  readonly mounts: readonly Mount[];
  /** Device paths. */
  readonly loops: readonly string[];
  readonly files: readonly string[];
}

/**
 * @param directory what lies below it belongs to the test
 * @param testId value of MARS_TEST_ID in the environment of the test's processes
 */
export function findLeftovers(directory: string, testId: string | undefined): Leftovers {
  return {
    processes: processesOf(directory, testId),
    mounts: mountsBelow(directory),
    loops: loopsBelow(directory),
    files: fs.existsSync(directory) ? fs.readdirSync(directory) : [],
  };
}

/** Lines for people; empty where nothing is left. */
export function describeLeftovers(left: Leftovers): string[] {
  return [
    ...left.processes.map(({pid, command}) => `process ${pid} (${processState(pid)}): ${command}`),
    ...left.mounts.map(({point, type}) => `mount ${point} (${type})`),
    ...left.loops.map((loop) => `loop device ${loop} on ${backingOf(path.basename(loop))}`),
    ...left.files.map((file) => `file ${file}`),
  ];
}

/**
 * Takes away what a test left: file systems on loop devices first, then processes, FUSE by abort,
 * loop devices, mounts, files. Bounded, whatever hangs.
 */
export function removeLeftovers(directory: string, testId: string | undefined): void {
  // Asked first: once its mount is gone, the backing file of a loop device is only `/disk.img`.
  const loops = loopsBelow(directory);
  const own = (mount: Mount): boolean => mount.type === 'fuse' || mount.type.startsWith('fuse.');
  for (const mount of mountsBelow(directory).reverse()) {
    if (!own(mount)) limited('umount', [mount.point]);
  }

  const killed = processesOf(directory, testId);
  killAll(killed);
  // The disk process is dead and its holder with it: whoever still waits for it is freed by abort.
  for (const mount of mountsBelow(directory)) {
    if (own(mount)) abortFuse(mount.minor);
  }

  waitForEnd(killed);
  detachLoops([...new Set([...loops, ...loopsBelow(directory)])]);
  for (const mount of mountsBelow(directory).reverse()) limited('umount', ['-l', mount.point]);
  killAll(processesOf(directory, testId));
  if (mountsBelow(directory).length > 0) return;
  limited('rm', ['-rf', '--one-file-system', directory], REMOVAL_MS_MAX);
}

/**
 * As when the machine loses its power: all processes first, so that nothing is written back in order, then
 * FUSE by abort, mounts, loop devices. Files stay.
 *
 * @param before loop devices that were there while the mounts below `directory` still were
 */
export function cutPower(directory: string, before: readonly string[]): void {
  const killed = processesOf(directory, undefined);
  killAll(killed);
  for (const mount of mountsBelow(directory)) {
    if (mount.type === 'fuse' || mount.type.startsWith('fuse.')) abortFuse(mount.minor);
  }

  waitForEnd(killed);
  const loops = [...new Set([...before, ...loopsBelow(directory)])];
  for (const mount of mountsBelow(directory).reverse()) limited('umount', ['-l', mount.point]);
  detachLoops(loops);
  killAll(processesOf(directory, undefined));
}

/** Mounts below a directory, or at it, in the order in which they were made. */
export function mountsBelow(directory: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [, , device, , point] = line.split(' ');
    if (device === undefined || point === undefined) continue;
    const plain = point.replace(/\\(\d{3})/gu, (_, octal: string) =>
      String.fromCharCode(parseInt(octal, 8)),
    );
    if (!isBelow(plain, directory)) continue;
    const type = / - (\S+) /u.exec(line)?.[1] ?? 'unknown';
    mounts.push({point: plain, type, minor: Number(device.split(':')[1])});
  }

  return mounts;
}

/** Loop devices whose backing file lies below a directory. */
export function loopsBelow(directory: string): string[] {
  return fs
    .readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop') && isBelow(backingOf(name), directory))
    .map((name) => `/dev/${name}`);
}

/**
 * Loop devices on a disk whose mount is gone: their backing file has lost its path, and with it whose it was.
 */
export function orphanedLoops(): string[] {
  return loopsBelow('/disk.img');
}

/** Frees loop devices by name. */
export function detachLoops(loops: readonly string[]): void {
  for (const loop of loops) limited('losetup', ['-d', loop]);
}

function backingOf(loop: string): string {
  try {
    return fs.readFileSync(`/sys/block/${loop}/loop/backing_file`, 'utf8').trim();
  } catch {
    return ''; // Not in use.
  }
}

function processesOf(
  directory: string,
  testId: string | undefined,
): {pid: number; command: string}[] {
  const found: {pid: number; command: string}[] = [];
  for (const entry of fs.readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      const environment = fs.readFileSync(`/proc/${entry}/environ`, 'utf8').split('\0');
      const command = fs.readFileSync(`/proc/${entry}/cmdline`, 'utf8').split('\0');
      // Some programs (PostgreSQL) overwrite their environment: these are known by their place.
      const mine =
        (testId !== undefined && environment.includes(`MARS_TEST_ID=${testId}`)) ||
        command.some((word) => isBelow(word, directory)) ||
        isBelow(fs.readlinkSync(`/proc/${entry}/cwd`), directory);
      if (mine && command[0] !== '') found.push({pid, command: command.join(' ').trim()});
    } catch {
      // It has ended meanwhile, or is a kernel thread.
    }
  }

  return found;
}

function processState(pid: number): string {
  try {
    return /^State:\s+(.+)$/mu.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '?';
  } catch {
    return 'gone';
  }
}

function killAll(processes: readonly {pid: number}[]): void {
  for (const {pid} of processes) {
    if (pid === process.pid || pid === process.ppid) continue;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It is gone.
    }
  }
}

/** A program that is killed while it sets up a loop device goes on to the end of that call. */
function waitForEnd(processes: readonly {pid: number}[]): void {
  const deadline = performance.now() + COMMAND_MS_MAX;
  const cell = new Int32Array(new SharedArrayBuffer(4));
  for (const {pid} of processes) {
    if (pid === process.ppid) continue;
    // A zombie has ended; its parent may be this very process, which cannot look meanwhile.
    while (!/^(?:gone|\?|Z|X)/u.test(processState(pid)) && performance.now() < deadline) {
      Atomics.wait(cell, 0, 0, 10);
    }
  }
}

function abortFuse(connection: number): void {
  try {
    fs.writeFileSync(`/sys/fs/fuse/connections/${connection}/abort`, '1');
  } catch {
    // fusectl is not mounted, or the connection is gone.
  }
}

function limited(command: string, args: readonly string[], timeoutMs = COMMAND_MS_MAX): void {
  spawnSync(command, args, {timeout: timeoutMs, killSignal: 'SIGKILL', stdio: 'ignore'});
}

function isBelow(file: string, directory: string): boolean {
  return file === directory || file.startsWith(`${directory}/`);
}
