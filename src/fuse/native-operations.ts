/**
 * The operations of the fuse-native driver: path, handle and so on, with a callback at the end that
 * takes -errno, or bytes where there are some. Complete on purpose, see native-session.ts.
 */
import {PAYLOAD_OFFSET, REQUEST_BUFFER_BYTES} from './abi.js';
import type {Attributes} from './encode.js';
import type {DiskHandler, Responder} from './handler.js';
import {ERRNO, PENDING} from './handler.js';
import {StatusSnapshots} from './snapshots.js';
import {DISK_NAME, ENTRIES, NODE, STATUS_NAME, fillAttributes} from './tree.js';

/** -errno, 0, or bytes; the second argument as the operation has it. */
export type Callback = (result: number, value?: unknown) => void;

/** Callbacks of requests that the handler left PENDING, by a unique that is made up here. */
export class PendingAnswers implements Responder {
  readonly #callbacks = new Map<number, Callback>();
  #next = 0;

  /** @returns the low word for the handler; the high one is 0 */
  add(callback: Callback): number {
    // Taken numbers are skipped: a request may wait while 2^32 others come and go.
    do this.#next = (this.#next + 1) >>> 0;
    while (this.#next === 0 || this.#callbacks.has(this.#next));
    this.#callbacks.set(this.#next, callback);
    return this.#next;
  }

  /** The handler did not leave it pending. */
  forget(uniqueLow: number): void {
    this.#callbacks.delete(uniqueLow);
  }

  answer(uniqueLow: number, _uniqueHigh: number, errno: number): void {
    this.#settle(uniqueLow, -errno);
  }

  answerWrite(uniqueLow: number, _uniqueHigh: number, writtenBytes: number): void {
    this.#settle(uniqueLow, writtenBytes);
  }

  #settle(uniqueLow: number, result: number): void {
    const callback = this.#callbacks.get(uniqueLow);
    this.#callbacks.delete(uniqueLow);
    callback?.(result);
  }
}

/** Time of the last change of disk.img, read from the clock when somebody asks for it. */
interface ChangeTime {
  changed: boolean;
  timeMs: number;
}

/** All operations for the package, as it names them. */
export function createNativeOperations(
  handler: DiskHandler,
  waiting: PendingAnswers,
  wallMs: () => number,
) {
  const snapshots = new StatusSnapshots(handler, 0);
  const change = {changed: false, timeMs: wallMs()};
  return {
    ...createFixedOperations(handler),
    ...createTreeOperations(handler, snapshots, change, wallMs),
    ...createDataOperations(handler, snapshots, change, waiting),
  };
}

/** Runs what may be left pending; `finished` is the result where the handler says 0. */
function settle(
  handler: DiskHandler,
  waiting: PendingAnswers,
  callback: Callback,
  finished: number,
  run: (uniqueLow: number) => number,
): void {
  const low = waiting.add(callback);
  const errno = run(low);
  if (errno !== PENDING) {
    waiting.forget(low);
    callback(errno === 0 ? finished : -(errno === ERRNO.ENOSYS ? ERRNO.EIO : errno));
  }

  handler.afterRequest();
}

function createDataOperations(
  handler: DiskHandler,
  snapshots: StatusSnapshots,
  change: ChangeTime,
  waiting: PendingAnswers,
) {
  const request = Buffer.alloc(REQUEST_BUFFER_BYTES);
  const finish = (callback: Callback, result: number): void => {
    callback(result);
    handler.afterRequest();
  };

  return {
    write: (
      path: string,
      _handle: number,
      buffer: Buffer,
      length: number,
      offset: number,
      callback: Callback,
    ): void => {
      const roomBytes = handler.sizeBytes() - offset;
      if (nodeOfPath(path) !== NODE.DISK) finish(callback, -ERRNO.EROFS);
      else if (length === 0) finish(callback, 0);
      else if (roomBytes <= 0) finish(callback, -ERRNO.ENOSPC);
      else {
        const taken = Math.min(length, roomBytes);
        change.changed = true;
        // The handler wants room around the payload, and may overwrite it.
        buffer.copy(request, PAYLOAD_OFFSET, 0, taken);
        settle(handler, waiting, callback, taken, (low) =>
          handler.write(offset, taken, request, PAYLOAD_OFFSET, low, 0),
        );
      }
    },
    fsync: (path: string, _dataOnly: number, _handle: number, callback: Callback): void => {
      if (nodeOfPath(path) === NODE.STATUS) finish(callback, 0);
      else settle(handler, waiting, callback, 0, (low) => handler.flush(low, 0));
    },
    read: (
      path: string,
      handle: number,
      buffer: Buffer,
      length: number,
      offset: number,
      callback: Callback,
    ): void => {
      if (nodeOfPath(path) === NODE.STATUS) {
        finish(callback, snapshots.read(handle, 0, offset, length, buffer, 0));
        return;
      }

      const bytes = Math.max(0, Math.min(length, handler.sizeBytes() - offset));
      const errno = bytes > 0 ? handler.read(offset, bytes, buffer, 0) : 0;
      finish(callback, errno === 0 ? bytes : -errno);
    },
  };
}

/** All that touches no data. */
function createTreeOperations(
  handler: DiskHandler,
  snapshots: StatusSnapshots,
  change: ChangeTime,
  wallMs: () => number,
) {
  const startMs = change.timeMs;
  const attributes: Attributes = {
    inode: 0,
    sizeBytes: 0,
    blocks: 0,
    timeMs: 0,
    mode: 0,
    linkCount: 1,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
  };
  const answer = (callback: Callback, result: number, value?: unknown): void => {
    callback(result, value);
    handler.afterRequest();
  };
  const truncate = (path: string, sizeBytes: number, callback: Callback): void => {
    const same = nodeOfPath(path) === NODE.DISK && sizeBytes === handler.sizeBytes();
    answer(callback, same ? 0 : -ERRNO.EPERM);
  };

  return {
    getattr: (path: string, callback: Callback): void => {
      const node = nodeOfPath(path);
      if (node === NODE.DISK && change.changed) {
        change.changed = false;
        change.timeMs = wallMs();
      }

      const timeMs = node === NODE.DISK ? change.timeMs : startMs;
      if (!fillAttributes(attributes, node, handler, timeMs)) answer(callback, -ERRNO.ENOENT);
      else answer(callback, 0, toNativeStat(attributes));
    },
    readdir: (path: string, callback: Callback): void => {
      if (nodeOfPath(path) !== NODE.ROOT) answer(callback, -ERRNO.ENOTDIR);
      else {
        const names = ENTRIES.map(({name}) => name);
        answer(callback, 0, names);
      }
    },
    open: (path: string, flags: number, callback: Callback): void => {
      const node = nodeOfPath(path);
      if (node === NODE.DISK) answer(callback, -(handler.openErrno?.() ?? 0), NODE.DISK);
      else if (node === NODE.STATUS && (flags & 3) === 0) answer(callback, 0, snapshots.open());
      else answer(callback, node === 0 ? -ERRNO.ENOENT : -ERRNO.EACCES);
    },
    release: (path: string, handle: number, callback: Callback): void => {
      if (nodeOfPath(path) === NODE.STATUS) snapshots.close(handle, 0);
      answer(callback, 0);
    },
    statfs: (_path: string, callback: Callback): void => {
      answer(callback, 0, {bsize: 4096, frsize: 4096, namemax: 255});
    },
    truncate,
    ftruncate: (path: string, _handle: number, sizeBytes: number, callback: Callback): void => {
      truncate(path, sizeBytes, callback);
    },
  };
}

/** Operations that have one answer, whatever their arguments. */
function createFixedOperations(handler: DiskHandler) {
  const always =
    (result: number) =>
    (...args: unknown[]): void => {
      const callback = args.at(-1) as Callback;
      callback(result);
      handler.afterRequest();
    };
  const taken = always(0);
  const refused = always(-ERRNO.EPERM);
  return {
    access: taken,
    flush: taken,
    fsyncdir: taken,
    opendir: taken,
    releasedir: taken,
    utimens: taken,
    chown: taken,
    chmod: taken,
    mknod: refused,
    create: refused,
    unlink: refused,
    rename: refused,
    link: refused,
    symlink: refused,
    mkdir: refused,
    rmdir: refused,
  };
}

function nodeOfPath(path: string): number {
  if (path === '/') return NODE.ROOT;
  if (path === `/${DISK_NAME}`) return NODE.DISK;
  return path === `/${STATUS_NAME}` ? NODE.STATUS : 0;
}

function toNativeStat(attributes: Attributes): Readonly<Record<string, number>> {
  const {inode, sizeBytes, blocks, timeMs, mode, linkCount, uid, gid} = attributes;
  const times = {atime: timeMs, mtime: timeMs, ctime: timeMs};
  return {
    ino: inode,
    size: sizeBytes,
    blocks,
    blksize: 4096,
    mode,
    nlink: linkCount,
    uid,
    gid,
    ...times,
  };
}
