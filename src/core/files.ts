/**
 * The file system as mars sees it: synchronous, whole writes or an error, and nothing that the
 * simulator could not own. Everything below the daemon that touches the disk goes through `Files`.
 *
 * Errors are those of node:fs (an Error with `code` ENOSPC, EIO, ... and `syscall`).
 * It is not for FUSE's own descriptor, sockets or programs.
 */
import fs from 'node:fs';
import {allocateRange, punchRanges, type RangeHelper} from './fallocate.js';

/** `read`: must exist. `write`: read and write, must exist. `create`: made if missing. `exclusive`: must not exist. */
export type OpenMode = 'read' | 'write' | 'create' | 'exclusive';

/** What tells one image from another after a swap, a restore or a reboot. */
export interface FileIdentity {
  readonly device: number;
  readonly inode: number;
  /** Milliseconds since 1970, 0 where the file system does not tell. */
  readonly birthMs: number;
  readonly sizeBytes: number;
  readonly kind: 'file' | 'block';
}

export interface Files {
  /** @returns a descriptor. Files are made with mode 0600. */
  open(path: string, mode: OpenMode): number;
  close(fd: number): void;
  /** @returns bytes read, less than `length` only at the end of the file */
  read(fd: number, target: Buffer, offset: number, length: number, position: number): number;
  /** Writes all of it or throws. */
  write(fd: number, source: Buffer, offset: number, length: number, position: number): void;
  /** fdatasync(2). */
  syncData(fd: number): void;
  /** fsync(2). */
  sync(fd: number): void;
  /** ftruncate(2). */
  truncate(fd: number, sizeBytes: number): void;
  /**
   * fallocate(2): makes a file that long, of zeros, with its space reserved. EOPNOTSUPP where the
   * file system cannot; ENOSPC where it has no room.
   */
  allocate(fd: number, sizeBytes: number): void;
  /** Current size; for a block device its capacity. */
  sizeOf(fd: number): number;
  identify(fd: number): FileIdentity;
  /**
   * Makes ranges read as zeros and frees their space where it can: offset and length in turn, bytes.
   * The work is done, or has failed, when this returns. EOPNOTSUPP where the file cannot; EAGAIN
   * or ENOMEM where it was not tried.
   */
  punch(fd: number, ranges: readonly number[]): void;
  /** rename(2): replaces `to`. */
  rename(from: string, to: string): void;
  unlink(path: string): void;
  /** Names in a directory, sorted. */
  list(directory: string): string[];
  exists(path: string): boolean;
  /** mkdir -p with mode 0700. */
  makeDirectory(path: string): void;
  /** fsync of a directory: makes names in it durable. */
  syncDirectory(path: string): void;
  /** statfs(2): what may still be written to the file system of a path. */
  freeBytes(path: string): number;
}

const {constants} = fs;
const FLAGS: Readonly<Record<OpenMode, number>> = {
  read: constants.O_RDONLY,
  write: constants.O_RDWR,
  create: constants.O_RDWR | constants.O_CREAT,
  exclusive: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
};

/**
 * The file system of this machine.
 *
 * @param children descriptors that programs which change data inherit: the generation lock
 * @param helper does fallocate(2) without a fork of this process
 */
export function createNodeFiles(children: readonly number[] = [], helper?: RangeHelper): Files {
  return {
    open: (path, mode) => fs.openSync(path, FLAGS[mode], 0o600),
    close: (fd) => {
      fs.closeSync(fd);
    },
    read: readFully,
    write: writeFully,
    syncData: (fd) => {
      fs.fdatasyncSync(fd);
    },
    sync: (fd) => {
      fs.fsyncSync(fd);
    },
    truncate: (fd, sizeBytes) => {
      fs.ftruncateSync(fd, sizeBytes);
    },
    allocate: (fd, sizeBytes) => {
      allocateRange(fd, sizeBytes, helper);
    },
    sizeOf,
    identify: (fd) => {
      const stat = fs.fstatSync(fd);
      const block = stat.isBlockDevice();
      return {
        device: block ? stat.rdev : stat.dev,
        inode: block ? 0 : stat.ino,
        birthMs: block ? 0 : Math.trunc(stat.birthtimeMs),
        sizeBytes: sizeOf(fd),
        kind: block ? 'block' : 'file',
      };
    },
    punch: (fd, ranges) => {
      punchRanges(fd, ranges, children, helper);
    },
    rename: (from, to) => {
      fs.renameSync(from, to);
    },
    unlink: (path) => {
      fs.unlinkSync(path);
    },
    list: (directory) => fs.readdirSync(directory).sort(),
    exists: (path) => fs.existsSync(path),
    makeDirectory: (path) => {
      fs.mkdirSync(path, {recursive: true, mode: 0o700});
    },
    syncDirectory: (path) => {
      const fd = fs.openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
      try {
        fs.fsyncSync(fd);
      } finally {
        fs.closeSync(fd);
      }
    },
    freeBytes: (path) => {
      const {bavail, bsize} = fs.statfsSync(path);
      return bavail * bsize;
    },
  };
}

function readFully(
  fd: number,
  target: Buffer,
  offset: number,
  length: number,
  position: number,
): number {
  let done = fs.readSync(fd, target, offset, length, position);
  while (done < length) {
    const count = fs.readSync(fd, target, offset + done, length - done, position + done);
    if (count === 0) return done;
    done += count;
  }

  return done;
}

function writeFully(
  fd: number,
  source: Buffer,
  offset: number,
  length: number,
  position: number,
): void {
  let done = fs.writeSync(fd, source, offset, length, position);
  // A short write is the file system running full: the next call says so.
  while (done < length) {
    done += fs.writeSync(fd, source, offset + done, length - done, position + done);
  }
}

function sizeOf(fd: number): number {
  const stat = fs.fstatSync(fd);
  if (!stat.isBlockDevice()) return stat.size;
  // A block device has size 0 in stat(2); sysfs counts 512-byte sectors whatever the device uses.
  const major = Math.trunc(stat.rdev / 256) & 0xfff;
  const minor = (stat.rdev & 0xff) | (Math.trunc(stat.rdev / 4096) & 0xfff00);
  const text = fs.readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8');
  return Number.parseInt(text, 10) * 512;
}
