import {spawn} from 'node:child_process';
import fs from 'node:fs';
import {resourcePaths} from '../core/home.js';
import {FUSE_FD, FUSE_SECOND_FD} from '../fuse/mount.js';
import type {DiskProcess} from './process.js';

/** Descriptor of the resource's lock, from the holder to every generation and back to a new holder. */
const LOCK_FD = 9;
const RETRY_MS = 500;

let fifoFd = -1;

/** Last words of a process that ends in order: a holder that adopted us cannot see how we ended. */
export function tellHolderOfEnd(): void {
  if (fifoFd >= 0) fs.writeSync(fifoFd, 'end\n');
}

/**
 * Starts a new holder when the old one dies. It inherits the FUSE descriptors and the lock, and
 * learns of our own end from the FIFO, which nobody but us holds open for writing.
 *
 * @returns looks once; to be called at least once a second
 */
export function watchHolder(disk: DiskProcess): () => void {
  const {options} = disk;
  const {fifo} = resourcePaths(options.home, options.name);
  if (options.holderScript === undefined || !fs.existsSync(fifo)) return () => undefined;
  // Read and write: opening a FIFO so never blocks, and the kernel closes it when we die.
  fifoFd = fs.openSync(fifo, 'r+');
  return () => {
    if (process.ppid !== options.holderPid && disk.holderPid === options.holderPid) replace(disk);
  };
}

function replace(disk: DiskProcess): void {
  const {options} = disk;
  const {home, name, mount, driver, mode, generation, holderScript} = options;
  const {output, fifo} = resourcePaths(home, name);
  const out = fs.openSync(output, 'a', 0o600);
  // Opened here, where a writer is certain: it tells of our end even if we die before it looks.
  const end = fs.openSync(fifo, 'r');
  const child = spawn('sh', [holderScript ?? '', home, name, mount, driver, mode, 'adopt'], {
    detached: true,
    env: {...process.env, MARS_GENERATION: String(generation)},
    stdio: [
      ...['ignore' as const, out, out, inherited(FUSE_FD), end, inherited(FUSE_SECOND_FD)],
      ...unused(3),
      inherited(LOCK_FD),
    ],
  });
  fs.closeSync(out);
  fs.closeSync(end);
  disk.holderPid = child.pid ?? null;
  disk.event({
    code: 'HOLDER_REPLACED',
    severity: 'warning',
    text: 'the holder died, a new one runs',
  });
  child.once('exit', () => {
    // It died too, or could not start: try again with the next look.
    disk.holderPid = null;
    setTimeout(() => {
      if (disk.phase !== 'stopping') replace(disk);
    }, RETRY_MS);
  });
  child.unref();
}

function inherited(fd: number): number | 'ignore' {
  try {
    fs.fstatSync(fd);
    return fd;
  } catch {
    return 'ignore';
  }
}

function unused(count: number): 'ignore'[] {
  return Array.from({length: count}, () => 'ignore' as const);
}
