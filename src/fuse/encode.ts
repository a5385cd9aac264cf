/**
 * Encoders of FUSE replies: in place, into the words of a reply whose header is at word 0 of
 * `reply` and whose body is at word 4. Nothing is allocated. Layouts: include/uapi/linux/fuse.h.
 */
import {assert} from '../core/assert.js';
import {
  ATTR_BYTES,
  ATTR_OUT_BYTES,
  DIRENT_HEADER_BYTES,
  ENTRY_OUT_BYTES,
  INIT_OUT_BYTES,
  LSEEK_OUT_BYTES,
  NOTIFY,
  NOTIFY_INVAL_INODE_BYTES,
  OPEN_OUT_BYTES,
  OUT_HEADER_BYTES,
  PROTOCOL_MAJOR,
  STATFS_OUT_BYTES,
  WRITE_OUT_BYTES,
  writeUint64,
} from './abi.js';

/** First word of a reply's body. */
const BODY_OUT = OUT_HEADER_BYTES / 4;

/** What stat(2) tells of a node; times in milliseconds since 1970. */
export interface Attributes {
  inode: number;
  sizeBytes: number;
  /** In units of 512 bytes. */
  blocks: number;
  timeMs: number;
  /** Type and permissions: 0o100600. */
  mode: number;
  linkCount: number;
  uid: number;
  gid: number;
}

/** @param errno 0 or a positive errno; for a notification minus its code */
export function encodeHeader(
  reply: Uint32Array,
  bodyBytes: number,
  errno: number,
  uniqueLow: number,
  uniqueHigh: number,
): number {
  reply[0] = OUT_HEADER_BYTES + bodyBytes;
  reply[1] = -errno; // as a signed word
  reply[2] = uniqueLow;
  reply[3] = uniqueHigh;
  return OUT_HEADER_BYTES + bodyBytes;
}

/** `fuse_write_out`: bytes taken. @returns body bytes */
export function encodeWriteOut(reply: Uint32Array, writtenBytes: number): number {
  reply[BODY_OUT] = writtenBytes;
  reply[BODY_OUT + 1] = 0;
  return WRITE_OUT_BYTES;
}

/** `fuse_attr_out`, valid for 0 seconds: sizes change and a kernel's cache would lie. */
export function encodeAttrOut(reply: Uint32Array, attributes: Attributes): number {
  reply.fill(0, BODY_OUT, BODY_OUT + 4);
  encodeAttr(reply, BODY_OUT + 4, attributes);
  return ATTR_OUT_BYTES;
}

/** `fuse_entry_out` with generation 0; name and attributes valid for 0 seconds. */
export function encodeEntryOut(reply: Uint32Array, node: number, attributes: Attributes): number {
  reply.fill(0, BODY_OUT, BODY_OUT + 10);
  writeUint64(reply, BODY_OUT, node);
  encodeAttr(reply, BODY_OUT + 10, attributes);
  return ENTRY_OUT_BYTES;
}

function encodeAttr(words: Uint32Array, at: number, attributes: Attributes): void {
  const seconds = Math.floor(attributes.timeMs / 1000);
  const nanoseconds = Math.trunc(attributes.timeMs % 1000) * 1_000_000;
  words.fill(0, at, at + ATTR_BYTES / 4);
  writeUint64(words, at, attributes.inode);
  writeUint64(words, at + 2, attributes.sizeBytes);
  writeUint64(words, at + 4, attributes.blocks);
  for (let index = 0; index < 3; index += 1) {
    writeUint64(words, at + 6 + 2 * index, seconds);
    words[at + 12 + index] = nanoseconds;
  }

  words[at + 15] = attributes.mode;
  words[at + 16] = attributes.linkCount;
  words[at + 17] = attributes.uid;
  words[at + 18] = attributes.gid;
  words[at + 20] = 4096; // blksize
}

/** `fuse_open_out`; the handle comes as two words, as it was given out or will be read. */
export function encodeOpenOut(
  reply: Uint32Array,
  handleLow: number,
  handleHigh: number,
  openFlags: number,
): number {
  reply[BODY_OUT] = handleLow;
  reply[BODY_OUT + 1] = handleHigh;
  reply[BODY_OUT + 2] = openFlags;
  reply[BODY_OUT + 3] = 0;
  return OPEN_OUT_BYTES;
}

/** `fuse_statfs_out` without blocks or files: df leaves such a file system out of its list. */
export function encodeStatfsOut(reply: Uint32Array): number {
  reply.fill(0, BODY_OUT, BODY_OUT + STATFS_OUT_BYTES / 4);
  reply[BODY_OUT + 10] = 4096; // bsize
  reply[BODY_OUT + 11] = 255; // namelen
  reply[BODY_OUT + 12] = 4096; // frsize
  return STATFS_OUT_BYTES;
}

/** `fuse_lseek_out`. */
export function encodeLseekOut(reply: Uint32Array, offset: number): number {
  writeUint64(reply, BODY_OUT, offset);
  return LSEEK_OUT_BYTES;
}

/** What INIT agreed upon; kept in a file for the next generation of the process. */
export interface InitOut {
  readonly minor: number;
  readonly maxReadaheadBytes: number;
  readonly flags: number;
  readonly flags2: number;
  readonly maxBackground: number;
  readonly congestionThreshold: number;
  readonly maxWriteBytes: number;
  readonly maxPages: number;
}

/** `fuse_init_out` of protocol 7.23 and later. */
export function encodeInitOut(reply: Uint32Array, init: InitOut): number {
  reply.fill(0, BODY_OUT, BODY_OUT + INIT_OUT_BYTES / 4);
  reply[BODY_OUT] = PROTOCOL_MAJOR;
  reply[BODY_OUT + 1] = init.minor;
  reply[BODY_OUT + 2] = init.maxReadaheadBytes;
  reply[BODY_OUT + 3] = init.flags;
  reply[BODY_OUT + 4] = init.maxBackground + init.congestionThreshold * 2 ** 16;
  reply[BODY_OUT + 5] = init.maxWriteBytes;
  reply[BODY_OUT + 6] = 1; // time_gran, ns
  reply[BODY_OUT + 7] = init.maxPages; // and map_alignment 0
  reply[BODY_OUT + 8] = init.flags2;
  return INIT_OUT_BYTES;
}

/** Answer to a kernel with a larger major: it asks again with ours. */
export function encodeInitMajorOnly(reply: Uint32Array): number {
  reply.fill(0, BODY_OUT, BODY_OUT + INIT_OUT_BYTES / 4);
  reply[BODY_OUT] = PROTOCOL_MAJOR;
  return INIT_OUT_BYTES;
}

/**
 * One `fuse_dirent`, padded to 8 bytes.
 *
 * @param at byte offset in `target`
 * @param next the offset by which the kernel asks for what follows this entry
 * @param type file type as in the upper bits of the mode: 4 directory, 8 regular file
 * @returns bytes written, 0 where it does not fit before `end`
 */
export function encodeDirent(
  target: Buffer,
  at: number,
  end: number,
  inode: number,
  next: number,
  type: number,
  name: string,
): number {
  const nameBytes = Buffer.byteLength(name);
  const bytes = Math.ceil((DIRENT_HEADER_BYTES + nameBytes) / 8) * 8;
  if (at + bytes > end) return 0;
  target.fill(0, at, at + bytes);
  target.writeUInt32LE(inode % 2 ** 32, at);
  target.writeUInt32LE(Math.floor(inode / 2 ** 32), at + 4);
  target.writeUInt32LE(next, at + 8);
  target.writeUInt32LE(nameBytes, at + 16);
  target.writeUInt32LE(type, at + 20);
  target.write(name, at + DIRENT_HEADER_BYTES);
  return bytes;
}

/** FUSE_NOTIFY_RESEND: the kernel queues again what was read and never answered. @returns bytes */
export function encodeNotifyResend(reply: Uint32Array): number {
  return encodeHeader(reply, 0, -NOTIFY.RESEND, 0, 0);
}

/**
 * FUSE_NOTIFY_INVAL_INODE.
 *
 * @param offset bytes from which cached pages go; negative: attributes only
 * @param length bytes; 0 or less: to the end
 * @returns bytes
 */
export function encodeNotifyInvalInode(
  reply: Uint32Array,
  node: number,
  offset: number,
  length: number,
): number {
  assert(node > 0, 'node ids begin with 1');
  writeUint64(reply, BODY_OUT, node);
  writeInt64(reply, BODY_OUT + 2, offset);
  writeInt64(reply, BODY_OUT + 4, length);
  return encodeHeader(reply, NOTIFY_INVAL_INODE_BYTES, -NOTIFY.INVAL_INODE, 0, 0);
}

function writeInt64(words: Uint32Array, index: number, value: number): void {
  words[index] = value;
  words[index + 1] = Math.floor(value / 2 ** 32);
}
