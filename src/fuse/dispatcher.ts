/**
 * One FUSE request in, at most one reply out: the whole protocol apart from /dev/fuse itself, so
 * that tests drive it with bytes.
 *
 * A request lies in `request` at REQUEST_OFFSET; a WRITE's payload then begins at PAYLOAD_OFFSET, a
 * page boundary, with room around it that the handler may overwrite. One buffer is enough only
 * because each request is finished, or reduced to its unique by the handler, before `handle` returns.
 *
 * Whatever the bytes are, `handle` returns, and every request but FORGET, BATCH_FORGET and
 * NOTIFY_REPLY gets one reply, unless the handler says PENDING. It throws only what the handler
 * throws (a bug: the process ends and the kernel sends the request again) and FUSE_PROTOCOL.
 *
 * ENOSYS is never the answer to FSYNC, FSYNCDIR, FLUSH, FALLOCATE or OPEN: the kernel would take it as
 * "always done" for the life of the mount, and fsync would lie.
 */
import {assert} from '../core/assert.js';
import {REQUEST_BYTES_MAX} from '../core/limits.js';
import {
  BODY,
  BODY_BYTES_MIN,
  IN,
  IN_HEADER_BYTES,
  IN_NODE_HIGH,
  IN_UID,
  OPCODE,
  OPEN_FLAG,
  PAYLOAD_OFFSET,
  PROTOCOL_MAJOR,
  REPLY_BODY_OFFSET,
  REPLY_BUFFER_BYTES,
  REPLY_OFFSET,
  REQUEST_BUFFER_BYTES,
  REQUEST_OFFSET,
  UNIQUE_LOW_SECOND,
  WRITE_HEADER_BYTES,
  readUint64,
} from './abi.js';
import type {Attributes} from './encode.js';
import {
  encodeAttrOut,
  encodeDirent,
  encodeEntryOut,
  encodeHeader,
  encodeInitMajorOnly,
  encodeInitOut,
  encodeLseekOut,
  encodeOpenOut,
  encodeStatfsOut,
  encodeWriteOut,
} from './encode.js';
import {ERRNO, PENDING} from './handler.js';
import type {DiskHandler} from './handler.js';
import type {InitResult} from './init.js';
import {decodeInit, negotiate} from './init.js';
import {fallocate, seek, setAttributesErrno} from './requests.js';
import {StatusSnapshots} from './snapshots.js';
import {ENTRIES, NODE, fillAttributes, inodeOf, nodeOfName} from './tree.js';

export interface DispatcherOptions {
  readonly handler: DiskHandler;
  /** Hands a reply to the kernel; the bytes are used again when it returns. */
  readonly send: (reply: Buffer, offset: number, lengthBytes: number) => void;
  /** Keeps what INIT agreed upon; INIT is answered when it returns. */
  readonly onInit: (init: InitResult) => void;
  /** Who may open disk.img, besides root. */
  readonly uid: number;
  /** Tells handles of this process from those of dead ones: 32 bits. */
  readonly generation: number;
  readonly wallMs: () => number;
  /** OPEN_FLAG bits for disk.img; by default direct I/O, with writes beside one another. */
  readonly openFlags?: number;
}

/** Results of a request: body bytes of a reply (>= 0), a negative errno, or this. */
const NO_REPLY = -1000;

/** Unanswerable by protocol. */
const SILENT: ReadonlySet<number> = new Set([
  OPCODE.FORGET,
  OPCODE.BATCH_FORGET,
  OPCODE.NOTIFY_REPLY,
]);

/** Requests that would change the tree, which is fixed. */
const TREE_CHANGES: ReadonlySet<number> = new Set([
  OPCODE.SYMLINK,
  OPCODE.MKNOD,
  OPCODE.MKDIR,
  OPCODE.UNLINK,
  OPCODE.RMDIR,
  OPCODE.RENAME,
  OPCODE.LINK,
  OPCODE.CREATE,
  OPCODE.RENAME2,
]);

/** One ENOSYS to these lasts for the life of the mount. */
const NEVER_ENOSYS: ReadonlySet<number> = new Set([
  OPCODE.FSYNC,
  OPCODE.FSYNCDIR,
  OPCODE.FLUSH,
  OPCODE.FALLOCATE,
  OPCODE.OPEN,
]);

// Measured against 0: a loop device is no slower with direct I/O, and no page of ours goes stale.
// Without parallel writes the kernel lets one synchronous writer at a time into the file: four of
// them wrote 19k blocks a second, with it 70k-83k; a loop device does not care.
const OPEN_FLAGS_DEFAULT = OPEN_FLAG.DIRECT_IO | OPEN_FLAG.PARALLEL_DIRECT_WRITES;
const NAME_BYTES_MAX = 255;
const O_ACCMODE = 3;

/** Handles FUSE requests one by one, out of one buffer, each to its reply. */
export class RequestDispatcher {
  /** Requests are read into it, at REQUEST_OFFSET. */
  readonly request = Buffer.alloc(REQUEST_BUFFER_BYTES);
  readonly #words: Uint32Array;
  readonly #reply = Buffer.alloc(REPLY_BUFFER_BYTES);
  readonly #out: Uint32Array;
  readonly #options: DispatcherOptions;
  readonly #handler: DiskHandler;
  readonly #snapshots: StatusSnapshots;
  readonly #openFlags: number;
  readonly #attributes: Attributes;
  readonly #startMs: number;
  #changedMs: number;
  #changed = false;

  constructor(options: DispatcherOptions) {
    const {request} = this;
    this.#options = options;
    this.#handler = options.handler;
    this.#openFlags = options.openFlags ?? OPEN_FLAGS_DEFAULT;
    assert((this.#openFlags & OPEN_FLAG.KEEP_CACHE) === 0, 'cached pages of disk.img go stale');
    this.#snapshots = new StatusSnapshots(options.handler, options.generation);
    this.#words = new Uint32Array(request.buffer, request.byteOffset + REQUEST_OFFSET, 64);
    this.#out = new Uint32Array(
      this.#reply.buffer,
      this.#reply.byteOffset + REPLY_OFFSET,
      REPLY_BODY_OFFSET / 4,
    );
    this.#startMs = options.wallMs();
    this.#changedMs = this.#startMs;
    this.#attributes = {
      inode: 0,
      sizeBytes: 0,
      blocks: 0,
      timeMs: 0,
      mode: 0,
      linkCount: 1,
      uid: options.uid,
      gid: 0,
    };
    // Touched, not only allocated: a page fault under memory pressure could wait for ourselves.
    request.fill(0);
    this.#reply.fill(0);
  }

  get opcode(): number {
    return this.#words[IN.OPCODE] ?? 0;
  }

  get uniqueLow(): number {
    return this.#words[IN.UNIQUE_LOW] ?? 0;
  }

  get uniqueHigh(): number {
    return this.#words[IN.UNIQUE_HIGH] ?? 0;
  }

  /** The request in `request` came through the second descriptor: its reply goes there. */
  markSecond(): void {
    this.#words[IN.UNIQUE_LOW] = (this.uniqueLow | UNIQUE_LOW_SECOND) >>> 0;
  }

  /** Something was written that `handle` has not seen. */
  noteChange(): void {
    this.#changed = true;
  }

  /** Handles the request of `lengthBytes` in `request`. */
  handle(lengthBytes: number): void {
    const {opcode, uniqueLow, uniqueHigh} = this;
    const result = this.#dispatch(opcode, lengthBytes, uniqueLow, uniqueHigh);
    if (result !== NO_REPLY) this.#send(opcode, result, uniqueLow, uniqueHigh);
    this.#handler.afterRequest();
  }

  /** Answers the request in `request` with an errno, without looking at it further. */
  refuse(errno: number): void {
    const {opcode, uniqueLow, uniqueHigh} = this;
    if (!SILENT.has(opcode)) this.#send(opcode, -errno, uniqueLow, uniqueHigh);
    this.#handler.afterRequest();
  }

  #send(opcode: number, result: number, uniqueLow: number, uniqueHigh: number): void {
    // A reply with unique 0 would be a notification.
    if (uniqueLow === 0 && uniqueHigh === 0) return;
    let errno = 0;
    let bodyBytes = result;
    if (result < 0) {
      bodyBytes = 0;
      // The kernel refuses replies with an errno of 512 or more.
      errno = result > -512 ? -result : ERRNO.EIO;
      if (errno === ERRNO.ENOSYS && NEVER_ENOSYS.has(opcode)) errno = ERRNO.EIO;
    }

    const bytes = encodeHeader(this.#out, bodyBytes, errno, uniqueLow, uniqueHigh);
    this.#options.send(this.#reply, REPLY_OFFSET, bytes);
  }

  #dispatch(opcode: number, lengthBytes: number, uniqueLow: number, uniqueHigh: number): number {
    const words = this.#words;
    // Below 16 bytes there is not even a unique to answer to: the bytes are of the request before.
    if (lengthBytes < 16) return NO_REPLY;
    if (SILENT.has(opcode)) return NO_REPLY;
    if (lengthBytes < IN_HEADER_BYTES || words[IN.LENGTH] !== lengthBytes) return -ERRNO.EIO;
    if (lengthBytes < IN_HEADER_BYTES + (BODY_BYTES_MIN[opcode] ?? 0)) return -ERRNO.EINVAL;
    const node = words[IN_NODE_HIGH] === 0 ? (words[IN.NODE_LOW] ?? 0) : -1;
    switch (opcode) {
      case OPCODE.WRITE:
        return this.#write(node, lengthBytes, uniqueLow, uniqueHigh);
      case OPCODE.READ:
        return this.#read(node);
      case OPCODE.FSYNC:
      case OPCODE.SYNCFS:
        if (node === NODE.STATUS) return 0;
        return resultOf(this.#handler.flush(uniqueLow, uniqueHigh));
      case OPCODE.FALLOCATE:
        if (node !== NODE.DISK) return -ERRNO.EOPNOTSUPP;
        this.#changed = true;
        return resultOf(fallocate(words, this.#handler, uniqueLow, uniqueHigh));
      default:
        return this.#dispatchRare(opcode, node, lengthBytes);
    }
  }

  #dispatchRare(opcode: number, node: number, lengthBytes: number): number {
    switch (opcode) {
      case OPCODE.INIT:
        return this.#init(lengthBytes);
      case OPCODE.LOOKUP:
        return this.#lookup(node, lengthBytes);
      case OPCODE.GETATTR:
        return this.#getAttributes(node);
      case OPCODE.SETATTR: {
        const errno = setAttributesErrno(this.#words, node, this.#handler);
        return errno === 0 ? this.#getAttributes(node) : -errno;
      }

      case OPCODE.OPEN:
        return this.#open(node);
      case OPCODE.RELEASE:
        if (node === NODE.STATUS) this.#snapshots.close(this.#word(0), this.#word(1));
        return 0;
      case OPCODE.OPENDIR:
        if (node !== NODE.ROOT) return -ERRNO.ENOTDIR;
        return encodeOpenOut(this.#out, NODE.ROOT, 0, 0);
      case OPCODE.READDIR:
        return node === NODE.ROOT ? this.#readDirectory() : -ERRNO.ENOTDIR;
      case OPCODE.STATFS:
        return encodeStatfsOut(this.#out);
      case OPCODE.LSEEK: {
        const offset = node === NODE.DISK ? seek(this.#words, this.#handler) : -ERRNO.EINVAL;
        return offset < 0 ? offset : encodeLseekOut(this.#out, offset);
      }

      case OPCODE.FLUSH:
      case OPCODE.RELEASEDIR:
      case OPCODE.FSYNCDIR:
      case OPCODE.ACCESS:
      case OPCODE.DESTROY:
        return 0;
      case OPCODE.READLINK:
        return -ERRNO.EINVAL;
      default:
        // ENOSYS to INTERRUPT: the kernel then sends none, and nothing of ours is interruptible.
        return TREE_CHANGES.has(opcode) ? -ERRNO.EPERM : -ERRNO.ENOSYS;
    }
  }

  /** Word `index` of the body. */
  #word(index: number): number {
    return this.#words[BODY + index] ?? 0;
  }

  #write(node: number, lengthBytes: number, uniqueLow: number, uniqueHigh: number): number {
    const offset = readUint64(this.#words, BODY + 2);
    const sizeBytes = this.#word(4);
    if (sizeBytes > REQUEST_BYTES_MAX || sizeBytes !== lengthBytes - WRITE_HEADER_BYTES) {
      return -ERRNO.EINVAL;
    }

    if (node !== NODE.DISK) return -ERRNO.EROFS;
    if (sizeBytes === 0) return encodeWriteOut(this.#out, 0);
    const roomBytes = this.#handler.sizeBytes() - offset;
    if (roomBytes <= 0) return -ERRNO.ENOSPC;
    // As a block device: what fits is written.
    const takenBytes = Math.min(sizeBytes, roomBytes);
    this.#changed = true;
    const errno = this.#handler.write(
      offset,
      takenBytes,
      this.request,
      PAYLOAD_OFFSET,
      uniqueLow,
      uniqueHigh,
    );
    return errno === 0 ? encodeWriteOut(this.#out, takenBytes) : resultOf(errno);
  }

  #read(node: number): number {
    const offset = readUint64(this.#words, BODY + 2);
    const sizeBytes = this.#word(4);
    if (sizeBytes > REQUEST_BYTES_MAX) return -ERRNO.EINVAL;
    if (node === NODE.STATUS) {
      const [low, high] = [this.#word(0), this.#word(1)];
      return this.#snapshots.read(low, high, offset, sizeBytes, this.#reply, REPLY_BODY_OFFSET);
    }

    if (node !== NODE.DISK) return node === NODE.ROOT ? -ERRNO.EISDIR : -ERRNO.ENOENT;
    const length = Math.min(sizeBytes, this.#handler.sizeBytes() - offset);
    if (length <= 0) return 0;
    const errno = this.#handler.read(offset, length, this.#reply, REPLY_BODY_OFFSET);
    assert(errno >= 0, 'a READ is answered at once');
    return errno === 0 ? length : -errno;
  }

  #init(lengthBytes: number): number {
    const init = decodeInit(this.#words, lengthBytes);
    if (init.major > PROTOCOL_MAJOR) return encodeInitMajorOnly(this.#out);
    const result = negotiate(init);
    this.#options.onInit(result);
    return encodeInitOut(this.#out, result);
  }

  #lookup(parent: number, lengthBytes: number): number {
    if (parent !== NODE.ROOT) return -ERRNO.ENOTDIR;
    const nameBytes = lengthBytes - IN_HEADER_BYTES - 1;
    if (nameBytes > NAME_BYTES_MAX) return -ERRNO.ENAMETOOLONG;
    const start = REQUEST_OFFSET + IN_HEADER_BYTES;
    // An error is not cached by the kernel, so each ring of the bell arrives.
    const node = nodeOfName(this.request.toString('latin1', start, start + nameBytes));
    if (node === 0 || !this.#fillAttributes(node)) return -ERRNO.ENOENT;
    return encodeEntryOut(this.#out, node, this.#attributes);
  }

  #getAttributes(node: number): number {
    if (!this.#fillAttributes(node)) return -ERRNO.ENOENT;
    return encodeAttrOut(this.#out, this.#attributes);
  }

  #fillAttributes(node: number): boolean {
    if (this.#changed && node === NODE.DISK) {
      // Asking the clock here and not at each write: nobody sees the time in between.
      this.#changed = false;
      this.#changedMs = this.#options.wallMs();
    }

    const timeMs = node === NODE.DISK ? this.#changedMs : this.#startMs;
    return fillAttributes(this.#attributes, node, this.#handler, timeMs);
  }

  #open(node: number): number {
    if (node === NODE.ROOT) return -ERRNO.EISDIR;
    if (node === NODE.STATUS) {
      if ((this.#word(0) & O_ACCMODE) !== 0) return -ERRNO.EACCES;
      const {generation} = this.#snapshots;
      return encodeOpenOut(this.#out, this.#snapshots.open(), generation, OPEN_FLAG.DIRECT_IO);
    }

    if (node !== NODE.DISK) return -ERRNO.ENOENT;
    const uid = this.#words[IN_UID] ?? 0;
    if (uid !== 0 && uid !== this.#options.uid) return -ERRNO.EACCES;
    const errno = this.#handler.openErrno?.() ?? 0;
    if (errno !== 0) return -errno;
    return encodeOpenOut(this.#out, NODE.DISK, 0, this.#openFlags);
  }

  #readDirectory(): number {
    const offset = readUint64(this.#words, BODY + 2);
    const sizeBytes = Math.min(this.#word(4), REQUEST_BYTES_MAX);
    const end = REPLY_BODY_OFFSET + sizeBytes;
    let at = REPLY_BODY_OFFSET;
    for (let index = offset; index < ENTRIES.length; index += 1) {
      const entry = ENTRIES[index];
      if (entry === undefined) break;
      const inode = inodeOf(entry.node, this.#handler);
      const {name, fileType} = entry;
      const bytes = encodeDirent(this.#reply, at, end, inode, index + 1, fileType, name);
      if (bytes === 0) break;
      at += bytes;
    }

    return at - REPLY_BODY_OFFSET;
  }
}

/** Of a handler's word: 0, an errno or PENDING. */
function resultOf(errno: number): number {
  return errno === PENDING ? NO_REPLY : -errno;
}
