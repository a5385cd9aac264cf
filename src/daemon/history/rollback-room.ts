/** Room in the log for what a rollback writes. Pure, so that tests own the numbers. */
import {INDEXED_BYTES} from '../../core/limits.js';
import {MIB} from '../../core/units.js';

/** Never the last of it: others share the file system. */
const FREE_BYTES_MIN = 64 * MIB;
/** Headers of records of one block each, and of logfiles. */
const HEADERS_SHARE = 0.035;

export interface RollbackNeed {
  /** Of the disk, that were changed since the moment. */
  readonly changedBytes: number;
  /** Image and log can hold so much data of the moment at most: the rest is zeros, which take no room. */
  readonly dataBytes: number;
  readonly segmentBytes: number;
}

export interface RollbackRoom {
  readonly freeBytes: number;
  /** Files that the log can go on in. */
  readonly spareBytes: number;
  /** Log that is not given up meanwhile: it is held for the moment. */
  readonly heldBytes: number;
  readonly logCapBytes: number;
}

/** Bytes of log that it takes at most. */
export function neededBytesOf({changedBytes, dataBytes, segmentBytes}: RollbackNeed): number {
  const writtenBytes = Math.min(changedBytes, dataBytes);
  return Math.ceil(writtenBytes * (1 + HEADERS_SHARE)) + 2 * segmentBytes;
}

/** Bytes of log that can be written before anything of it is given up. */
export function availableBytesOf({
  freeBytes,
  spareBytes,
  heldBytes,
  logCapBytes,
}: RollbackRoom): number {
  const room = freeBytes + spareBytes - FREE_BYTES_MIN;
  return Math.max(0, Math.min(room, logCapBytes - heldBytes, INDEXED_BYTES - heldBytes));
}
