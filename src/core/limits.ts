import {assert} from './assert.js';
import {GIB, KIB, MIB, TIB} from './units.js';

/** The unit of the index and of replay. Smaller writes are completed to whole blocks. */
export const BLOCK_BYTES = 4 * KIB;

/** Block numbers are 32-bit words in every table; ext4 ends at the same size. */
export const DISK_BYTES_MAX = 15 * TIB;
export const DISK_BYTES_MIN = 1 * MIB;

/** Largest payload of one record: FUSE's max_write, completed to whole blocks at both ends. */
export const REQUEST_BYTES_MAX = 1 * MIB;
export const PAYLOAD_BYTES_MAX = REQUEST_BYTES_MAX + 2 * BLOCK_BYTES;

/** What power loss may leave to be checked: the commit thread syncs at the latest then. */
export const COMMIT_INTERVAL_MS = 1000;
export const COMMIT_BYTES_MAX = 64 * MIB;

export const SEGMENT_BYTES_DEFAULT = 64 * MIB;
export const SEGMENT_BYTES_MIN = 4 * MIB;
export const SEGMENT_BYTES_MAX = 256 * MIB;

/** Log that a node keeps for replicas which lag, before it lets go of the slowest. */
export const LOG_CAP_BYTES_DEFAULT = 10 * GIB;
export const LOG_CAP_BYTES_MIN = 64 * MIB;

/** The index of a disk that serves holds about 16 GiB of log (disk/front); the rest is for what comes. */
export const INDEXED_BYTES = 12 * GIB;

/** Longest history that replay trails behind by. */
export const HISTORY_SECONDS_MAX = 90 * 86_400;
/** A replica that restarts must not lose its slot by that. */
export const LOG_AGE_SECONDS_MIN = 600;
export const LOG_AGE_SECONDS_MAX = 10 * 365 * 86_400;

assert(DISK_BYTES_MAX / BLOCK_BYTES < 2 ** 32, 'a block number fits 32 bits');
assert(SEGMENT_BYTES_MIN > 2 * PAYLOAD_BYTES_MAX, 'a segment holds more than one record');

/** Images that a node copies from others at once, where nobody said otherwise (`mars sync limit`). */
export const SYNC_LIMIT_DEFAULT = 4;
export const SYNC_LIMIT_MAX = 1000;
