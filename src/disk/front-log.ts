/**
 * The log as the front uses it: the writer, the open segments, rotation, and what happens when
 * the device below fails.
 *
 *   what failed               what is done
 *   write(2) of a record      the segment ends there, the log goes on in the next ready one; what
 *                             was appended before is synced where it is
 *   write(2), ENOSPC          nothing: the request is parked and tried again
 *   header of the next one    that file is passed over
 *   fdatasync                 the tail that is not durable moves (disk/move-tail), and only then
 *                             is there another fdatasync; without ready segments it waits
 *   again and again           the log is given up: every write and flush is refused, loudly
 *
 * Nothing is acknowledged twice and no fsync is answered falsely.
 */
import {join} from 'node:path';
import {assert} from '../core/assert.js';
import type {Clock} from '../core/clock.js';
import {errnoOf} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {BLOCK_BYTES, COMMIT_BYTES_MAX} from '../core/limits.js';
import {
  WRITE_GAP_BYTES,
  WRITE_HEADROOM_BYTES,
  WRITE_TAILROOM_BYTES,
  type WriteBatch,
} from '../fuse/handler.js';
import {RECORD, RECORD_HEADER_BYTES, type Chain} from '../log/record.js';
import {SEGMENT_HEADER_BYTES, segmentName, type SegmentHeader} from '../log/segment.js';
import {LEAD_BYTES_MAX, TRAIL_BYTES_MAX, type LogWriter, type RecordBody} from '../log/writer.js';
import type {ActiveDisk} from './activation.js';
import {indexPart} from './index-record.js';
import type {FrontNotice} from './front-options.js';
import {readTail, writeTail, type MovedSegment, type TailPart} from './move-tail.js';
import type {LogReader} from './read.js';
import {WORD, type Shared} from './shared.js';

export interface FrontLogOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly shared: Shared;
  readonly disk: ActiveDisk;
  readonly notify: (notice: FrontNotice) => void;
  /** Waits for a signal on a word, on threads that may; absent: nothing is waited for. */
  readonly pause?: (word: number, timeoutMs: number) => void;
}

interface HeldSegment {
  readonly ordinal: number;
  readonly number: number;
  readonly fd: number;
  readonly start: number;
}

const READY_PAUSE_MS = 5;
const READY_TRIES = 10;

/** Files that may fail one after the other before the log is given up. */
const FAILURES_MAX = 3;
/** Ready segments that may fail in a row when they are begun: each takes the space of a file. */
const PASSED_OVER_MAX = 8;

/** An append that found no segment to go to: the request waits. */
export const NO_SEGMENT = -1;

/** The log as one thread appends to it and reads it back; owns the segments' descriptors. */
export class FrontLog implements LogReader {
  diskSizeBytes: number;
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #shared: Shared;
  readonly #disk: ActiveDisk;
  readonly #writer: LogWriter;
  readonly #notify: (notice: FrontNotice) => void;
  readonly #pause: ((word: number, timeoutMs: number) => void) | undefined;
  #segments: HeldSegment[] = [];
  #committedBytes: number;
  /** Ready segments that failed when they were to be begun. */
  #passedOver = 0;
  /** Failures since the last append that went well. */
  #failures = 0;
  /** The current segment failed: nothing more is appended to it. */
  #ended = false;

  constructor(options: FrontLogOptions) {
    this.#files = options.files;
    this.#clock = options.clock;
    this.#shared = options.shared;
    this.#disk = options.disk;
    this.#writer = options.disk.writer;
    this.#notify = options.notify;
    this.#pause = options.pause;
    this.diskSizeBytes = options.disk.diskSizeBytes;
    this.#committedBytes = this.#writer.position;
    for (let at = this.#shared.segmentFirst; at < this.#shared.segmentEnd; at += 1) {
      const {ordinal, number, fd, start} = this.#shared.segment(at);
      this.#segments.push({ordinal, number, fd, start});
    }
  }

  get position(): number {
    return this.#writer.position;
  }

  fits(storedLength: number): boolean {
    return !this.#ended && this.#writer.fits(storedLength);
  }

  /** @returns stream position of the payload, or NO_SEGMENT */
  appendWrite(
    bytes: Buffer,
    payloadOffset: number,
    storedLength: number,
    diskOffset: number,
    headSkip: number,
    tailSkip: number,
  ): number {
    return this.#append(storedLength, () =>
      this.#writer.appendWrite(
        bytes,
        payloadOffset,
        storedLength,
        diskOffset,
        headSkip,
        tailSkip,
        this.#shared.durable.get(),
      ),
    );
  }

  /**
   * The writes of a batch as records, with one write(2).
   *
   * @param positions receives the stream position of each payload
   * @returns false where nothing was appended: one by one they find room, or meet the error
   */
  appendWrites(batch: WriteBatch, positions: Float64Array): boolean {
    const {bytes, payloadOffset, count, offsets, lengths, payloadBytes} = batch;
    const storedBytes = payloadBytes + (count - 1) * RECORD_HEADER_BYTES;
    if (!this.#writer.isPacked || !this.fits(storedBytes)) return false;
    const durable = this.#shared.durable.get();
    try {
      this.#writer.appendWrites(bytes, payloadOffset, count, offsets, lengths, durable, positions);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      return false;
    }

    this.#failures = 0;
    this.#publish();
    return true;
  }

  /** @returns stream position behind the header, or NO_SEGMENT */
  appendPlain(body: RecordBody, payload?: Buffer): number {
    return this.#append(payload?.length ?? 0, () =>
      this.#writer.appendPlain(body, this.#shared.durable.get(), payload),
    );
  }

  readAt(position: number, target: Buffer, targetOffset: number, length: number): void {
    const segment = this.#segments.findLast(({start}) => start <= position);
    assert(segment !== undefined, 'the index points into a held segment');
    const filePosition = SEGMENT_HEADER_BYTES + position - segment.start;
    const got = this.#files.read(segment.fd, target, targetOffset, length, filePosition);
    assert(got === length, 'the log holds what the index says');
  }

  /** Goes on in the next ready segment. @returns false where none is ready */
  rotate(): boolean {
    const shared = this.#shared;
    if (shared.get(WORD.logDefective) !== 0 || shared.get(WORD.commitFailed) !== 0) return false;
    if (shared.get(WORD.readyUpTo) < this.#nextNumber() && !this.#awaitReady()) return false;
    if (!this.#ended && this.#sealFits()) this.#seal();
    if (!this.#beginNext()) return false;
    this.#notify({kind: 'rotated', number: shared.get(WORD.currentNumber)});
    return true;
  }

  /**
   * The next segment is mostly a few milliseconds away: waiting for it costs less than parking
   * requests and being woken by a spawned program. Reads wait as long, so it is not long.
   */
  #awaitReady(): boolean {
    const shared = this.#shared;
    if (this.#pause === undefined) return false;
    for (let tries = 0; tries < READY_TRIES; tries += 1) {
      if (shared.get(WORD.keeperTroubled) !== 0) return false;
      this.#pause(WORD.frontSignal, READY_PAUSE_MS);
      if (shared.get(WORD.readyUpTo) >= this.#nextNumber()) return true;
    }

    return false;
  }

  /** Closes segments that lie below `replayed` whole; the keeper uses their files again. */
  dropSegmentsBelow(replayed: number): void {
    for (;;) {
      const second = this.#segments[1];
      const first = this.#segments[0];
      if (first === undefined || second === undefined || second.start > replayed) return;
      this.#segments.shift();
      this.#files.close(first.fd);
    }
  }

  /**
   * After a failed fdatasync: moves everything that is not durable to other files.
   *
   * @returns false where it has to be tried again, or the log was given up
   */
  moveTail(): boolean {
    const shared = this.#shared;
    if (shared.get(WORD.logDefective) !== 0) return false;
    const {plan} = this.#disk;
    const durable = shared.durable.get();
    const end = this.position;
    const old = this.#segments.filter(({start}, at) => {
      return (this.#segments[at + 1]?.start ?? Infinity) > durable && start < end;
    });
    const parts = this.#readTail(old, durable, end);
    if (parts === undefined) return this.#giveUp('EIO');
    const number = this.#nextNumber();
    const ready = shared.get(WORD.readyUpTo) - number + 1;
    if (ready < parts.length) {
      const wanted = parts.length + this.#passedOver;
      if (shared.get(WORD.readyWanted) !== wanted) {
        shared.set(WORD.readyWanted, wanted);
        this.#notify({kind: 'segments-wanted'});
      }

      return false;
    }

    const result = writeTail(this.#files, plan, parts, (at, {start, chain, diskSizeBytes}) => ({
      ...this.#header(number + at, start, chain),
      diskSizeBytes,
    }));
    if ('errno' in result) {
      this.#notify({kind: 'log-error', errno: result.errno});
      this.#passedOver += parts.length;
      this.#failures += 1;
      // Nobody rings for another try: it is now, or when the keeper has made more segments.
      return this.#failures < FAILURES_MAX ? this.moveTail() : this.#giveUp(result.errno);
    }

    for (const moved of result.moved) this.#adopt(moved);
    this.#markBad(old[0]?.number ?? 0, old.at(-1)?.number ?? 0);
    shared.set(WORD.readyWanted, 0);
    this.#passedOver = 0;
    this.#ended = false;
    this.#notify({kind: 'log-moved', number: shared.get(WORD.currentNumber)});
    return true;
  }

  /** @returns undefined where it cannot be read back, though tried more than once */
  #readTail(old: readonly HeldSegment[], from: number, end: number): TailPart[] | undefined {
    const capacityBytes = this.#disk.plan.fileBytes - SEGMENT_HEADER_BYTES;
    for (let attempt = 1; attempt <= FAILURES_MAX; attempt += 1) {
      try {
        return readTail(this.#files, old, from, end, capacityBytes);
      } catch (error) {
        const errno = errnoOf(error);
        if (errno === undefined) throw error;
        this.#notify({kind: 'log-error', errno});
      }
    }

    return undefined;
  }

  #sealFits(): boolean {
    const header = this.#writer.header;
    if (header === undefined) return false;
    return this.position + RECORD_HEADER_BYTES <= header.start + header.capacityBytes;
  }

  #publish(): void {
    const shared = this.#shared;
    const position = this.#writer.position;
    shared.appended.set(position);
    shared.wakeIfAsleep(WORD.commitAsleep, WORD.commitSignal);
    if (position - this.#committedBytes >= COMMIT_BYTES_MAX) {
      this.#committedBytes = position;
      shared.signal(WORD.commitSignal);
    }
  }

  #append(storedLength: number, write: () => number): number {
    for (;;) {
      try {
        const position = write();
        this.#failures = 0;
        if (this.#shared.get(WORD.appendNoRoom) !== 0) this.#shared.set(WORD.appendNoRoom, 0);
        this.#publish();
        return position;
      } catch (error) {
        const errno = errnoOf(error);
        if (errno === undefined) throw error;
        // A part that was appended before its padding failed is there, and is told so.
        this.#publish();
        if (errno === 'ENOSPC') {
          this.#shared.set(WORD.appendNoRoom, 1);
          return NO_SEGMENT;
        }

        this.#end(errno);
        if (this.#failures >= FAILURES_MAX) this.#giveUp(errno);
        if (!this.#beginNext() || !this.fits(storedLength)) return NO_SEGMENT;
      }
    }
  }

  /** A seal that cannot be written is done without: the next segment says where this one ended. */
  #seal(): void {
    try {
      const body = {type: RECORD.seal, logicalLength: 0, diskOffset: 0};
      this.#writer.appendPlain(body, this.#shared.durable.get());
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === undefined) throw error;
      this.#end(errno);
    }

    this.#publish();
  }

  /** Nothing more is appended to the current segment. */
  #end(errno: string): void {
    const number = this.#shared.get(WORD.currentNumber);
    this.#failures += 1;
    this.#ended = true;
    this.#markBad(number, number);
    this.#notify({kind: 'log-error', errno});
  }

  /** Loudly: every write and flush is refused from here on, nothing waits in silence. */
  #giveUp(errno: string): false {
    this.#shared.set(WORD.logDefective, 1);
    this.#notify({kind: 'log-defective', errno});
    return false;
  }

  /** One range is kept: what lies between two failures that are still in the log is not trusted. */
  #markBad(from: number, upTo: number): void {
    const shared = this.#shared;
    const oldest = shared.segment(shared.segmentFirst).number;
    const joined = shared.get(WORD.badUpTo) >= oldest ? shared.get(WORD.badFrom) : from;
    shared.set(WORD.badFrom, Math.min(from, joined));
    shared.set(WORD.badUpTo, upTo);
  }

  #nextNumber(): number {
    return this.#shared.get(WORD.currentNumber) + 1 + this.#passedOver;
  }

  /** @returns false where no segment is ready */
  #beginNext(): boolean {
    const shared = this.#shared;
    if (shared.get(WORD.logDefective) !== 0) return false;
    while (shared.get(WORD.readyUpTo) >= this.#nextNumber()) {
      const errno = this.#beginSegment(this.#nextNumber());
      if (errno === undefined) {
        if (this.#passedOver > 0) shared.set(WORD.readyWanted, 0);
        this.#passedOver = 0;
        this.#ended = false;
        return true;
      }

      // Its header may be there all the same: the next segment has to begin at this position too,
      // and so take its place, or what is appended from here on would lie behind the end of the log.
      this.#ended = true;
      this.#passedOver += 1;
      if (this.#passedOver >= PASSED_OVER_MAX) return this.#giveUp(errno);
    }

    // The keeper counts files that were passed over as ready: it is told to make more.
    if (this.#passedOver > 0) {
      shared.set(WORD.readyWanted, this.#passedOver + 1);
      this.#notify({kind: 'segments-wanted'});
    }

    return false;
  }

  /** @returns the errno where the file cannot be opened or its header not be written */
  #beginSegment(number: number): string | undefined {
    const {plan} = this.#disk;
    const header = this.#header(number, this.position, this.#writer.chain);
    let fd = -1;
    try {
      fd = this.#files.open(join(plan.directory, segmentName(number, plan.originName)), 'write');
      this.#writer.beginSegment(fd, header);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === undefined) throw error;
      this.#notify({kind: 'log-error', errno});
      if (fd >= 0) this.#files.close(fd);
      return errno;
    }

    this.#hold(fd, header);
    return undefined;
  }

  #header(number: number, start: number, chain: Readonly<Chain>): SegmentHeader {
    const {plan, epoch, epochStart} = this.#disk;
    return {
      started: true,
      resourceId: plan.resourceId,
      originId: plan.originId,
      epoch,
      originName: plan.originName,
      number,
      start,
      chain: {low: chain.low, high: chain.high},
      durable: this.#shared.durable.get(),
      epochStart,
      createdMs: this.#clock.wallMs(),
      diskSizeBytes: this.diskSizeBytes,
      alignmentBytes: this.#writer.header?.alignmentBytes ?? 8,
      capacityBytes: plan.fileBytes - SEGMENT_HEADER_BYTES,
    };
  }

  #hold(fd: number, {number, start, capacityBytes}: SegmentHeader): void {
    this.#disk.index.beginSegment(start, capacityBytes);
    this.#segments.push({ordinal: this.#shared.segmentEnd, number, fd, start});
    this.#shared.pushSegment(number, fd, start);
  }

  /** A moved part: its records lie in another file now, and are entered again under it. */
  #adopt({fd, header, part}: MovedSegment): void {
    this.#hold(fd, header);
    this.#writer.adoptSegment(fd, header);
    indexPart(this.#disk.index, part);
  }
}

assert(
  WRITE_HEADROOM_BYTES >= LEAD_BYTES_MAX + RECORD_HEADER_BYTES + BLOCK_BYTES &&
    WRITE_TAILROOM_BYTES >= BLOCK_BYTES + TRAIL_BYTES_MAX &&
    WRITE_GAP_BYTES === RECORD_HEADER_BYTES,
  'what the log puts around a payload fits',
);
