/**
 * What a FUSE driver serves: one disk. The drivers (kernel, fuse-native) know the tree and the
 * protocol; the handler knows the data. All calls come from one thread, one at a time.
 *
 * Results are 0 for done, a positive errno (EIO = 5) for refused, or PENDING: the handler has
 * kept (uniqueLow, uniqueHigh) and somebody answers later with `Responder.answer`.
 */
export const PENDING = -1;

export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EIO: 5,
  ENXIO: 6,
  EACCES: 13,
  EBUSY: 16,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENOSPC: 28,
  EROFS: 30,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  EOPNOTSUPP: 95,
} as const;

/**
 * Free bytes that a driver keeps in front of a write's payload: completion to a whole block, the
 * record header, and what the log's page holds in front of the record.
 */
export const WRITE_HEADROOM_BYTES = 4096 + 128 + 4096;
/** Free bytes behind the largest payload: completion to a whole block, and to a whole page. */
export const WRITE_TAILROOM_BYTES = 4096 + 4096;

/** Bytes between two payloads of a batch, and in front of the first: the header of a log record. */
export const WRITE_GAP_BYTES: number = 128;
export const WRITE_BATCH_COUNT_MAX = 64;

/**
 * Writes of whole blocks that came together. Their payloads lie one behind the other in `bytes`,
 * WRITE_GAP_BYTES apart, the first at `payloadOffset`. Around the whole a handler may overwrite what it
 * may around one write's payload; between the payloads only the gaps.
 */
export interface WriteBatch {
  readonly bytes: Buffer;
  readonly payloadOffset: number;
  readonly count: number;
  /** Where each goes on the disk, bytes; multiples of 4096. Ranges lie inside the disk. */
  readonly offsets: Float64Array;
  /** Multiples of 4096, above 0. */
  readonly lengths: Uint32Array;
  /** Of all payloads together. */
  readonly payloadBytes: number;
}

export interface DiskHandler {
  /** Size of disk.img in bytes; may grow between requests. */
  sizeBytes(): number;

  /** Inode number of disk.img: another one after each activation (stale page cache). */
  inode(): number;

  /** Why disk.img cannot be opened now: an errno; 0: it can. */
  openErrno?(): number;

  /**
   * Fills `target` with `length` bytes of the disk at `offset`; the range lies inside the disk.
   * @returns 0 or an errno
   */
  read(offset: number, length: number, target: Buffer, targetOffset: number): number;

  /**
   * Writes `length` > 0 bytes, inside the disk. The payload lies at `payloadOffset` in `request`,
   * with WRITE_HEADROOM_BYTES before and WRITE_TAILROOM_BYTES behind it that the handler may
   * overwrite. `request` is used again when this returns: nothing may keep it.
   */
  write(
    offset: number,
    length: number,
    request: Buffer,
    payloadOffset: number,
    uniqueLow: number,
    uniqueHigh: number,
  ): number;

  /**
   * The writes of a batch, in their order, at the price of one.
   *
   * @returns true: all are done, as by `write` with result 0. False: none is, the payloads are
   *   untouched, and each is to be written by itself
   */
  writeBatch?(batch: WriteBatch): boolean;

  /** FSYNC: PENDING unless everything acknowledged is durable already. */
  flush(uniqueLow: number, uniqueHigh: number): number;

  /** Makes a range read as zeros: discard (punch hole) or write-zeroes; clipped to the disk. */
  zero(
    offset: number,
    length: number,
    discard: boolean,
    uniqueLow: number,
    uniqueHigh: number,
  ): number;

  /** Contents of status.json, as JSON text. */
  statusJson(): string;

  /** Allocation of the image for st_blocks and LSEEK: bytes, 0 where unknown. */
  allocatedBytes(): number;

  /** Called after every request, and when the bell rang: looks at commands. */
  afterRequest(): void;
}

/** Answers requests that a handler left PENDING; may be called from any thread of the process. */
export interface Responder {
  answer(uniqueLow: number, uniqueHigh: number, errno: number): void;
  /** Answers a pending WRITE: the reply carries the bytes written. */
  answerWrite(uniqueLow: number, uniqueHigh: number, writtenBytes: number): void;
}
