/**
 * The FUSE wire protocol, numbers only (include/uapi/linux/fuse.h, protocol 7.45; everything that
 * we use is there since 7.31). Layouts are little-endian and made of 64-bit or 32-bit fields, so
 * requests and replies are read and written as 32-bit words: word n is byte 4n.
 *
 * Requests: `fuse_in_header` (40 bytes), then a body per opcode. Replies: `fuse_out_header`
 * (16 bytes: length, negative errno, unique), then a body. The 64-bit unique is kept as two words:
 * bit 63 (FUSE_UNIQUE_RESEND) does not fit a double, and fuse_dev_do_write() compares all 64 bits
 * (less bit 0, which marks an INTERRUPT), so a reply must carry them unchanged.
 */
import {assert} from '../core/assert.js';
import {REQUEST_BYTES_MAX} from '../core/limits.js';
import {WRITE_HEADROOM_BYTES, WRITE_TAILROOM_BYTES} from './handler.js';

export const PROTOCOL_MAJOR = 7;
/** What we offer; the smaller of both sides' minors counts. */
export const PROTOCOL_MINOR = 45;
/** Linux 5.4: FUSE_MAX_PAGES and all layouts below. */
export const PROTOCOL_MINOR_MIN = 31;

export const OPCODE = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  SETXATTR: 21,
  GETXATTR: 22,
  LISTXATTR: 23,
  REMOVEXATTR: 24,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  GETLK: 31,
  SETLK: 32,
  SETLKW: 33,
  ACCESS: 34,
  CREATE: 35,
  INTERRUPT: 36,
  BMAP: 37,
  DESTROY: 38,
  IOCTL: 39,
  POLL: 40,
  NOTIFY_REPLY: 41,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  READDIRPLUS: 44,
  RENAME2: 45,
  LSEEK: 46,
  COPY_FILE_RANGE: 47,
  SETUPMAPPING: 48,
  REMOVEMAPPING: 49,
  SYNCFS: 50,
  TMPFILE: 51,
  STATX: 52,
} as const;

/** Notifications: a reply with unique 0 and the code where the errno would be. */
export const NOTIFY = {INVAL_INODE: 2, RESEND: 7} as const;

/** Bits of `flags` in INIT. */
export const INIT_FLAG = {
  ASYNC_READ: 2 ** 0,
  BIG_WRITES: 2 ** 5,
  ASYNC_DIO: 2 ** 15,
  WRITEBACK_CACHE: 2 ** 16,
  MAX_PAGES: 2 ** 22,
  INIT_EXT: 2 ** 30,
} as const;

/** Bits of `flags2` in INIT: bit 32 of the header file is bit 0 here. */
export const INIT_FLAG2 = {HAS_RESEND: 2 ** 7} as const;

export const OPEN_FLAG = {
  DIRECT_IO: 1,
  KEEP_CACHE: 2,
  PARALLEL_DIRECT_WRITES: 64,
} as const;

/** Bit of `fuse_setattr_in.valid`. */
export const FATTR_SIZE = 8;

/** fallocate(2), linux/falloc.h. */
export const FALLOCATE_MODE = {ALLOCATE: 0, PUNCH_HOLE: 3, ZERO_RANGE: 16, ZERO_KEEP_SIZE: 17};

export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;

/** High word of a request that the kernel sent again after FUSE_NOTIFY_RESEND. */
export const UNIQUE_HIGH_RESENT = 0x80000000;

/**
 * Set by us in the low word of a unique that was read from the second descriptor of the connection:
 * the kernel finds a request only through the descriptor that it was read from. Ordinary uniques
 * are even (FUSE_REQ_ID_STEP), so the bit is free until the reply is sent.
 */
export const UNIQUE_LOW_SECOND = 1;

/** Words of `fuse_in_header`. */
export const IN = {LENGTH: 0, OPCODE: 1, UNIQUE_LOW: 2, UNIQUE_HIGH: 3, NODE_LOW: 4} as const;
export const IN_NODE_HIGH = 5;
export const IN_UID = 6;
export const IN_HEADER_BYTES = 40;
/** First word of the body. */
export const BODY = IN_HEADER_BYTES / 4;

/** Body sizes that a request must have at least, in bytes; names count their NUL only. */
export const BODY_BYTES_MIN: Readonly<Record<number, number>> = {
  [OPCODE.LOOKUP]: 1,
  [OPCODE.GETATTR]: 16,
  [OPCODE.SETATTR]: 88,
  [OPCODE.OPEN]: 8,
  [OPCODE.READ]: 40,
  [OPCODE.WRITE]: 40,
  [OPCODE.RELEASE]: 24,
  [OPCODE.FSYNC]: 16,
  [OPCODE.FLUSH]: 24,
  [OPCODE.INIT]: 16,
  [OPCODE.OPENDIR]: 8,
  [OPCODE.READDIR]: 40,
  [OPCODE.RELEASEDIR]: 24,
  [OPCODE.FSYNCDIR]: 16,
  [OPCODE.ACCESS]: 8,
  [OPCODE.INTERRUPT]: 8,
  [OPCODE.FALLOCATE]: 32,
  [OPCODE.LSEEK]: 24,
};

export const OUT_HEADER_BYTES = 16;
export const ATTR_BYTES = 88;
export const ENTRY_OUT_BYTES = 40 + ATTR_BYTES;
export const ATTR_OUT_BYTES = 16 + ATTR_BYTES;
export const OPEN_OUT_BYTES = 16;
export const WRITE_OUT_BYTES = 8;
export const STATFS_OUT_BYTES = 80;
export const INIT_OUT_BYTES = 64;
export const LSEEK_OUT_BYTES = 8;
export const DIRENT_HEADER_BYTES = 24;
export const NOTIFY_INVAL_INODE_BYTES = 24;

/** Where a WRITE's payload lies in the request buffer: a page boundary behind the headroom. */
export const PAYLOAD_OFFSET = 12288;
export const WRITE_HEADER_BYTES = IN_HEADER_BYTES + 40;
/** Where /dev/fuse is read to. */
export const REQUEST_OFFSET = PAYLOAD_OFFSET - WRITE_HEADER_BYTES;
/** The kernel fails a WRITE with EIO where the buffer is below header, body and max_write. */
export const REQUEST_READ_BYTES = WRITE_HEADER_BYTES + REQUEST_BYTES_MAX;
export const REQUEST_BUFFER_BYTES = PAYLOAD_OFFSET + REQUEST_BYTES_MAX + WRITE_TAILROOM_BYTES;

/** Where a reply's body begins in the reply buffer, so that READ data is page-aligned in it. */
export const REPLY_BODY_OFFSET = 4096;
export const REPLY_OFFSET = REPLY_BODY_OFFSET - OUT_HEADER_BYTES;
export const REPLY_BUFFER_BYTES = REPLY_BODY_OFFSET + REQUEST_BYTES_MAX;

assert(PAYLOAD_OFFSET >= WRITE_HEADROOM_BYTES, 'the headroom lies inside the buffer');
assert(REQUEST_OFFSET % 8 === 0, '64-bit fields of a request are aligned');
assert(REQUEST_READ_BYTES >= 8192, 'FUSE_MIN_READ_BUFFER');

/** 64-bit field at word `index`; exact below 2^53, and above it still larger than any disk. */
export function readUint64(words: Uint32Array, index: number): number {
  return (words[index] ?? 0) + (words[index + 1] ?? 0) * 2 ** 32;
}

/** Writes a non-negative safe integer as a 64-bit field. */
export function writeUint64(words: Uint32Array, index: number, value: number): void {
  words[index] = value; // modulo 2^32
  words[index + 1] = value / 2 ** 32;
}
