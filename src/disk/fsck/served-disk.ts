/**
 * A LayeredDisk as a file that programs can open and mount: a FUSE mount of this process, whose worker
 * thread answers. No thread of this process touches a path below it; only programs with a time limit do.
 *
 * The overlay, the log layer and /dev/fuse have no names or are ours alone: whatever ends this process,
 * also SIGKILL, gives their space back and aborts the connection.
 */
import fs from 'node:fs';
import {join} from 'node:path';
import {Worker} from 'node:worker_threads';
import {DiskError, storeError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {programWords, runProgram} from '../../core/run-program.js';
import {mountArguments} from '../../fuse/mount.js';
import {DISK_NAME} from '../../fuse/tree.js';
import {spawnSync} from 'node:child_process';
import {LayeredDisk, layerMemory} from './layered-disk.js';
import type {ServeInput} from './serve-thread.js';

const MOUNT_TIMEOUT_MS = 20_000;

export interface ServedDiskOptions {
  /** For the mount points and the files; empty, and below no mount of ours. */
  readonly scratch: string;
  /** Path of the image; undefined: the disk was all zeros. */
  readonly base: string | undefined;
  readonly sizeBytesMax: number;
  /** What the files in `scratch` may take. */
  readonly limitBytes: number;
}

export interface ServedDisk {
  readonly disk: LayeredDisk;
  /** The disk as a file: for spawned programs only. */
  readonly image: string;
  /** An empty directory, to mount its file system at. */
  readonly mountPoint: string;
  /** Does `use` with the disk, and throws where nobody serves it any more. */
  whileServed<T>(use: Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/**
 * Makes the layers and the mount.
 *
 * @throws DiskError FUSE_MISSING, STORE_*
 */
export function serveDisk(options: ServedDiskOptions): ServedDisk {
  const {scratch, base, sizeBytesMax, limitBytes} = options;
  const files = createNodeFiles();
  const memory = layerMemory(sizeBytesMax);
  const descriptors = {
    base: base === undefined ? -1 : openBase(base),
    log: openNameless(join(scratch, 'log')),
    overlay: openNameless(join(scratch, 'overlay')),
  };
  const disk = new LayeredDisk({files, memory, descriptors, limitBytes});
  const served = join(scratch, 'disk');
  const mountPoint = join(scratch, 'mnt');
  fs.mkdirSync(served);
  fs.mkdirSync(mountPoint);
  const fuseFd = fs.openSync('/dev/fuse', 'r+');
  mountFuse(fuseFd, served);
  const input: ServeInput = {
    ...{memory, descriptors, limitBytes, fuseFd},
    initFile: join(scratch, 'init.json'),
  };
  const worker = new Worker(threadProgram(), {workerData: input, trackUnmanagedFds: false});
  const ended = new Promise<void>((resolve) => {
    worker.once('exit', () => {
      resolve();
    });
  });
  const failed = new Promise<never>((_, reject) => {
    worker.once('error', reject);
    worker.once('exit', () => {
      reject(new DiskError('BUG', 'the disk is not served any more'));
    });
  });
  failed.catch(() => undefined);
  return {
    disk,
    image: join(served, DISK_NAME),
    mountPoint,
    whileServed: (use) => Promise.race([use, failed]),
    close: async () => {
      const result = await runProgram('umount', [served], MOUNT_TIMEOUT_MS);
      if (result.status !== 0) {
        throw new DiskError('LOOP_FAILED', `cannot unmount ${served}: ${programWords(result)}`);
      }

      await ended;
      for (const fd of [fuseFd, ...Object.values(descriptors)]) if (fd >= 0) fs.closeSync(fd);
    },
  };
}

/** Threads run from dist/, as those of a disk do, also where this file runs from its source. */
function threadProgram(): URL {
  const isSource = import.meta.url.endsWith('.ts');
  const place = isSource ? '../../../dist/disk/fsck/' : './';
  return new URL(`${place}serve-thread.js`, import.meta.url);
}

function openBase(path: string): number {
  try {
    return fs.openSync(path, 'r');
  } catch (error) {
    throw storeError(error, `open the image ${path}`);
  }
}

/** A file whose space is given back when this process ends, however it ends. */
function openNameless(path: string): number {
  try {
    const fd = fs.openSync(path, 'wx+', 0o600);
    fs.unlinkSync(path);
    return fd;
  } catch (error) {
    throw storeError(error, `make ${path}`);
  }
}

function mountFuse(fd: number, mountPoint: string): void {
  // It does not touch the new mount; the kernel's INIT waits for the thread that comes next.
  const result = spawnSync('mount', mountArguments(mountPoint), {
    stdio: ['ignore', 'ignore', 'pipe', fd],
    timeout: MOUNT_TIMEOUT_MS,
    encoding: 'utf8',
  });
  if (result.status === 0) return;
  const words = result.error?.message ?? result.stderr.trim();
  throw new DiskError('FUSE_MISSING', `cannot mount with FUSE: ${words}`);
}
