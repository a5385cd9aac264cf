/**
 * Replay: log -> image, sorted and merged. One piece of code for write-back on a primary, for
 * fetched logs on a secondary and for recovery.
 *
 * A batch [from, to):
 *   1. read its records from the log and check each (nothing above the durable position)
 *   2. persist {from, to}: from here on only image + log [from, to] together are the state
 *   3. zero, wait, write each block's newest copy in order of the disk
 *   4. fdatasync of the image
 *   5. persist {to, to}; publish `to`
 *
 * Any failure leaves {from, to} and the whole batch is written again: after an EIO of fdatasync
 * the kernel calls its pages clean, so only writing them again makes the next fdatasync honest.
 * A batch is idempotent; it ends at VERIFY, RESIZE and the end of a group, and in front of a GAP, over which no
 * log leads: where it was written, replay begins behind it (disk/bypass-leave).
 */
import {assert} from '../core/assert.js';
import {passCrashPoint} from '../core/crash-points.js';
import type {Clock} from '../core/clock.js';
import {DiskError, errnoOf, isNoRoom} from '../core/errors.js';
import type {FileIdentity, Files} from '../core/files.js';
import {BLOCK_BYTES} from '../core/limits.js';
import {formatPosition} from '../core/position.js';
import type {TwoSlotFile} from '../core/two-slot.js';
import {GIB, MIB} from '../core/units.js';
import {RecordCursor} from '../log/cursor.js';
import {FLAG, RECORD, type Chain} from '../log/record.js';
import {SEGMENT_HEADER_BYTES, type SegmentHeader} from '../log/segment.js';
import {Batch} from './batch.js';
import {punchOrZero} from './punch.js';
import type {ReplayState} from './replay-state.js';

/** A segment of the log that is open for reading. */
export interface OpenSegment {
  readonly fd: number;
  readonly start: number;
  /** Start of the next one; Infinity for the last. */
  readonly end: number;
}

/** What replay needs to know of the rest of the disk. */
export interface ReplayHost {
  durable(): number;
  appended(): number;
  /** Segments that hold [from, to), in order. */
  segments(from: number, to: number): OpenSegment[];
  readHeader(segment: OpenSegment): SegmentHeader;
  isPaused(): boolean;
  /** Log or index need room: do not wait for more to merge. */
  isForced(): boolean;
  publish(from: number, to: number): void;
  /** Time of the newest record that the image may hold: called before the first byte of it is written. */
  noteTime?(timeMs: number): void;
  /** A batch is in the image: so long it took. */
  noteBatch?(milliseconds: number): void;
  setState(state: ReplayRunState): void;
  report(error: DiskError | undefined): void;
}

export type ReplayRunState = 'running' | 'idle' | 'paused' | 'failed';

export interface ReplayOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly host: ReplayHost;
  readonly imageFd: number;
  readonly identity: FileIdentity;
  readonly stateFile: TwoSlotFile;
  /** Persisted positions: the image may hold blocks up to `to` since a batch that broke off. */
  readonly from: number;
  readonly to: number;
  /** Chain value at `from`. */
  readonly chain: Readonly<Chain>;
  /** Of the newest record below `to`, as the state file says; absent: not known. */
  readonly timeMs?: number | undefined;
  readonly pacing?: Partial<ReplayPacing>;
}

/** When a batch begins: the longer it waits, the more is overwritten and merged before. */
export interface ReplayPacing {
  /** Begin at once with this much. */
  readonly backlogBytes: number;
  /** Begin when nothing was appended for this long. */
  readonly quietMs: number;
  /** Begin at the latest this long after the first record. */
  readonly latestMs: number;
  /** Most log in one batch. */
  readonly batchBytes: number;
  /** Pause after a failure. */
  readonly retryMs: number;
}

export const PACING_DEFAULT: ReplayPacing = {
  backlogBytes: GIB,
  quietMs: 200,
  latestMs: 10_000,
  batchBytes: 2 * GIB,
  retryMs: 1000,
};

/** How often it is to look for something to do, where nobody wakes it (disk/replay-thread). */
const IDLE_MS = 250;
const BUFFER_BYTES = MIB;
/** The image is synced within a batch too, so that its dirty pages stay few. */
const SYNC_BYTES = 256 * MIB;

/** Replays one disk's log into its image, a batch a step. */
export class Replayer {
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #host: ReplayHost;
  readonly #imageFd: number;
  readonly #identity: FileIdentity;
  readonly #stateFile: TwoSlotFile;
  readonly #pacing: ReplayPacing;
  readonly #batch: Batch;
  readonly #cursor: RecordCursor;
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);
  #segments: OpenSegment[] = [];
  #from: number;
  /** Highest `to` that was ever persisted: a later batch may end before it. */
  #to: number;
  #chain: Chain;
  /** Of the newest record that was read; 0: none is known. */
  #timeMs: number;
  /** Where the batch in hand ends. */
  #endChain: Chain = {low: 0, high: 0};
  #quietSince = 0;
  #pendingSince = -1;
  #lastAppended = -1;
  #retryAt = 0;
  batches = 0;
  replayedBytes = 0;

  constructor(options: ReplayOptions) {
    this.#files = options.files;
    this.#clock = options.clock;
    this.#host = options.host;
    this.#imageFd = options.imageFd;
    this.#identity = options.identity;
    this.#stateFile = options.stateFile;
    this.#from = options.from;
    this.#to = options.to;
    this.#chain = {...options.chain};
    this.#timeMs = options.timeMs ?? 0;
    this.#pacing = {...PACING_DEFAULT, ...options.pacing};
    this.#batch = new Batch(this.#pacing.batchBytes);
    this.#cursor = new RecordCursor(options.files);
  }

  get position(): number {
    return this.#from;
  }

  /**
   * Replays one batch if it is time to.
   *
   * @returns milliseconds to wait before the next call; 0: there may be more at once
   */
  step(): number {
    if (this.#host.isPaused()) return this.#idle('paused', Infinity);
    const limit = this.#host.durable();
    if (limit <= this.#from) {
      this.#pendingSince = -1;
      return this.#idle('idle', IDLE_MS);
    }

    const wait = this.#waitMs(limit);
    if (wait > 0) return wait;
    this.#host.setState('running');
    const beganMs = this.#clock.monotonicMs();
    try {
      this.#replay(limit);
      this.#host.noteBatch?.(this.#clock.monotonicMs() - beganMs);
      this.#host.report(undefined);
      this.#pendingSince = -1;
      return 0;
    } catch (error) {
      const reported = asReplayError(error);
      if (reported === undefined) throw error;
      this.#host.report(reported);
      this.#retryAt = this.#clock.monotonicMs() + this.#pacing.retryMs;
      return this.#idle('failed', this.#pacing.retryMs);
    }
  }

  #idle(state: ReplayRunState, waitMs: number): number {
    this.#host.setState(state);
    return waitMs;
  }

  #waitMs(limit: number): number {
    const now = this.#clock.monotonicMs();
    if (now < this.#retryAt) return this.#retryAt - now;
    const appended = this.#host.appended();
    if (appended !== this.#lastAppended) {
      this.#lastAppended = appended;
      this.#quietSince = now;
    }

    if (this.#pendingSince < 0) this.#pendingSince = now;
    if (this.#host.isForced() || limit - this.#from >= this.#pacing.backlogBytes) return 0;
    const quiet = this.#quietSince + this.#pacing.quietMs - now;
    const latest = this.#pendingSince + this.#pacing.latestMs - now;
    return Math.max(0, Math.min(quiet, latest));
  }

  #replay(limit: number): void {
    const from = this.#from;
    const most = Math.min(limit, from + this.#pacing.batchBytes);
    const to = this.#collect(from, most, limit);
    assert(to > from, 'a batch goes forward');
    assert(to <= limit, 'log before image');
    this.#to = Math.max(to, this.#to);
    // Before the file says so: whoever looks meanwhile is told of less than there is.
    this.#host.noteTime?.(this.#timeMs);
    this.#persist(from);
    passCrashPoint('batch-noted');
    this.#host.publish(from, this.#to);
    this.#apply();
    this.#files.syncData(this.#imageFd);
    passCrashPoint('batch-written');
    this.#persist(to);
    this.#from = to;
    this.#chain = {...this.#endChain};
    this.#host.publish(to, this.#to);
    this.batches += 1;
    this.replayedBytes += to - from;
  }

  #persist(from: number): void {
    const timeMs = this.#timeMs;
    const state: ReplayState = {
      ...{schema: 1, from, to: this.#to, image: this.#identity},
      ...(timeMs === 0 ? {} : {timeMs}),
    };
    this.#stateFile.write(state);
  }

  /** Reads the records from `from` on, until `most` is reached. @returns where the batch ends */
  #collect(from: number, most: number, limit: number): number {
    this.#batch.reset();
    this.#segments = this.#host.segments(from, limit);
    let position = from;
    let chain: Chain = this.#chain;
    for (const segment of this.#segments) {
      const cursor = this.#cursor;
      const header = this.#host.readHeader(segment);
      const end = Math.min(segment.end, limit);
      cursor.open(segment.fd, header, position, chain, end);
      while (cursor.next()) {
        if (cursor.record.type === RECORD.gap) {
          return this.#stopAtGap(from);
        }

        this.#timeMs = Math.max(this.#timeMs, cursor.record.timeMs);
        if (this.#take(cursor) || this.#batch.isFull || cursor.position >= most) {
          this.#endAt(cursor.chain);
          return cursor.position;
        }
      }

      position = cursor.position;
      chain = {low: cursor.chain.low, high: cursor.chain.high};
      if (position < end) throw damagedAt(position);
    }

    this.#endAt(chain);
    return position;
  }

  #endAt({low, high}: Readonly<Chain>): void {
    this.#endChain = {low, high};
  }

  /** The batch ends in front of the GAP that the cursor has; there is none where it begins there. */
  #stopAtGap(from: number): number {
    const {position, chainLow, chainHigh} = this.#cursor.record;
    if (position > from) {
      this.#endAt({low: chainLow, high: chainHigh});
      return position;
    }

    throw new DiskError(
      'REPLICA_GAP',
      `writes went past the log at ${formatPosition(position)}: the log does not lead over it, the ` +
        `image stays as it was there`,
      {position: formatPosition(position)},
    );
  }

  /** @returns true where the batch ends behind this record */
  #take(cursor: RecordCursor): boolean {
    const {record} = cursor;
    switch (record.type) {
      case RECORD.write: {
        const block = record.diskOffset / BLOCK_BYTES;
        this.#batch.addData(block, record.storedLength / BLOCK_BYTES, cursor.payloadPosition);
        return false;
      }

      case RECORD.discard:
      case RECORD.zero: {
        const block = record.diskOffset / BLOCK_BYTES;
        this.#batch.addZero(block, block + record.logicalLength / BLOCK_BYTES);
        return false;
      }

      case RECORD.resize: {
        this.#grow(record.diskOffset);
        return true;
      }

      case RECORD.verify: {
        return true;
      }

      default: {
        return (record.flags & FLAG.groupEnd) !== 0;
      }
    }
  }

  #grow(sizeBytes: number): void {
    if (this.#files.sizeOf(this.#imageFd) >= sizeBytes) return;
    this.#files.truncate(this.#imageFd, sizeBytes);
    this.#files.sync(this.#imageFd);
  }

  #apply(): void {
    const {blocks, positions, count, zeros} = this.#batch.finish();
    if (zeros.length > 0) punchOrZero(this.#files, this.#imageFd, zeros);
    let index = 0;
    let unsynced = 0;
    while (index < count) {
      // One run: blocks that follow each other on the disk, up to a buffer full.
      const first = blocks[index] ?? 0;
      let bytes = 0;
      while (index < count && blocks[index] === first + bytes / BLOCK_BYTES) {
        if (bytes === BUFFER_BYTES) break;
        const run = logRun(blocks, positions, index, count, BUFFER_BYTES - bytes);
        this.#readLog(positions[index] ?? 0, bytes, run * BLOCK_BYTES);
        index += run;
        bytes += run * BLOCK_BYTES;
      }

      this.#files.write(this.#imageFd, this.#buffer, 0, bytes, first * BLOCK_BYTES);
      unsynced += bytes;
      if (unsynced >= SYNC_BYTES) {
        this.#files.syncData(this.#imageFd);
        unsynced = 0;
      }
    }
  }

  #readLog(position: number, bufferOffset: number, length: number): void {
    const segment = this.#segments.findLast(({start}) => start <= position);
    assert(segment !== undefined, 'the batch holds its segments');
    const filePosition = SEGMENT_HEADER_BYTES + position - segment.start;
    const got = this.#files.read(segment.fd, this.#buffer, bufferOffset, length, filePosition);
    if (got < length) throw damagedAt(position);
  }
}

/** How many blocks from `index` on follow each other on the disk and in the log. */
function logRun(
  blocks: Float64Array,
  positions: Float64Array,
  index: number,
  count: number,
  bytesMax: number,
): number {
  const most = Math.min(count - index, bytesMax / BLOCK_BYTES);
  const block = blocks[index] ?? 0;
  const position = positions[index] ?? 0;
  let run = 1;
  while (
    run < most &&
    blocks[index + run] === block + run &&
    positions[index + run] === position + run * BLOCK_BYTES
  ) {
    run += 1;
  }

  return run;
}

function damagedAt(position: number): DiskError {
  return new DiskError(
    'LOG_CORRUPT',
    `a record of the log that was durable cannot be read at ${formatPosition(position)}: ` +
      `replay stopped there, reads go on`,
    {position: formatPosition(position)},
  );
}

/** Errors that stop replay without stopping the disk; undefined for bugs. */
function asReplayError(error: unknown): DiskError | undefined {
  if (error instanceof DiskError) return error;
  const errno = errnoOf(error);
  if (errno === undefined) return undefined;
  return new DiskError(
    isNoRoom(errno) ? 'STORE_FULL' : 'IMAGE_IO',
    `replay cannot write the image: ${errno}; the log keeps the data, the batch is tried again`,
    {errno},
    {cause: error},
  );
}
