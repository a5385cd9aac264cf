/**
 * The log as the front uses it: the writer, the open segments, rotation, and what happens when
 * the device below fails.
 *
 * An I/O error of the log (write or fdatasync) is answered by moving the tail that is not durable
 * to another file: it is read back (it is in the page cache), each record's checksums are looked
 * at, and it is appended with the same positions to a ready segment, whose start is then the end
 * of the segment that failed. Nothing is acknowledged twice and no fsync is answered falsely.
 */
import {join} from 'node:path';
import {assert} from '../core/assert.js';
import type {Clock} from '../core/clock.js';
import {errnoOf} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {COMMIT_BYTES_MAX} from '../core/limits.js';
import {ERRNO} from '../fuse/handler.js';
import {RecordCursor} from '../log/cursor.js';
import {RECORD, RECORD_HEADER_BYTES, type Chain} from '../log/record.js';
import {
  decodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  segmentName,
  type SegmentHeader,
} from '../log/segment.js';
import type {LogWriter, RecordBody} from '../log/writer.js';
import {indexRecord, type ActiveDisk} from './activation.js';
import type {FrontNotice} from './front.js';
import type {LogReader} from './read.js';
import {WORD, type Shared} from './shared.js';

export interface FrontLogOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly shared: Shared;
  readonly disk: ActiveDisk;
  readonly notify: (notice: FrontNotice) => void;
}

interface HeldSegment {
  readonly ordinal: number;
  readonly number: number;
  readonly fd: number;
  readonly start: number;
}

/** Files that may fail one after the other before the log is given up. */
const MOVES_MAX = 3;

export class FrontLog implements LogReader {
  diskSizeBytes: number;
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #shared: Shared;
  readonly #disk: ActiveDisk;
  readonly #writer: LogWriter;
  readonly #notify: (notice: FrontNotice) => void;
  #segments: HeldSegment[] = [];
  #committedBytes: number;
  /** Ready segments that failed when they were to be begun. */
  #passedOver = 0;

  constructor(options: FrontLogOptions) {
    this.#files = options.files;
    this.#clock = options.clock;
    this.#shared = options.shared;
    this.#disk = options.disk;
    this.#writer = options.disk.writer;
    this.#notify = options.notify;
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
    return this.#writer.fits(storedLength);
  }

  /** @returns stream position of the payload, or minus an errno */
  appendWrite(
    bytes: Buffer,
    payloadOffset: number,
    storedLength: number,
    diskOffset: number,
    headSkip: number,
    tailSkip: number,
  ): number {
    for (;;) {
      try {
        const position = this.#writer.appendWrite(
          bytes,
          payloadOffset,
          storedLength,
          diskOffset,
          headSkip,
          tailSkip,
          this.#shared.durable.get(),
        );
        this.#publish();
        return position;
      } catch (error) {
        if (!this.#survives(error, storedLength)) return -ERRNO.EIO;
      }
    }
  }

  /** @returns stream position behind the header, or minus an errno */
  appendPlain(body: RecordBody): number {
    for (;;) {
      try {
        const position = this.#writer.appendPlain(body, this.#shared.durable.get());
        this.#publish();
        return position;
      } catch (error) {
        if (!this.#survives(error, 0)) return -ERRNO.EIO;
      }
    }
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
    const number = this.#shared.get(WORD.currentNumber) + 1;
    if (this.#shared.get(WORD.readyUpTo) < number) return false;
    const body = {type: RECORD.seal, logicalLength: 0, diskOffset: 0};
    const sealed = this.#writer.fits(0) || this.#sealFits();
    if (sealed && this.appendPlain(body) < 0) return false;
    this.#beginSegment(number);
    this.#notify({kind: 'rotated', number});
    return true;
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

  /** Moves everything that is not durable to another file. @returns false: the log is given up */
  moveTail(errno: string): boolean {
    this.#notify({kind: 'log-error', errno});
    const durable = this.#shared.durable.get();
    const end = this.position;
    const old = this.#segments.filter((segment, at) => {
      return (this.#segments[at + 1]?.start ?? Infinity) > durable && segment.start <= end;
    });
    const tail = this.#readTail(old, durable, end);
    for (let attempt = 1; attempt <= MOVES_MAX && tail !== undefined; attempt += 1) {
      try {
        if (this.#writeTail(tail, durable)) {
          this.#shared.set(WORD.badFrom, old[0]?.number ?? 0);
          this.#shared.set(WORD.badUpTo, old.at(-1)?.number ?? 0);
          this.#notify({kind: 'log-moved', number: this.#shared.get(WORD.currentNumber)});
          return true;
        }
      } catch (error) {
        if (errnoOf(error) === undefined) throw error;
        // That file fails as well: its number is passed over.
        this.#passedOver += 1;
      }
    }

    // Loudly: every write and flush is refused from here on, nothing waits in silence.
    this.#shared.set(WORD.logDefective, 1);
    this.#notify({kind: 'log-defective', errno});
    return false;
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
    if (shared.get(WORD.dirty) === 0) {
      shared.set(WORD.dirty, 1);
      this.#committedBytes = position;
      shared.signal(WORD.commitSignal);
    } else if (position - this.#committedBytes >= COMMIT_BYTES_MAX) {
      this.#committedBytes = position;
      shared.signal(WORD.commitSignal);
    }
  }

  #beginSegment(number: number): void {
    const {plan, epoch, epochStart} = this.#disk;
    const path = join(plan.directory, segmentName(number, plan.originName));
    const fd = this.#files.open(path, 'write');
    const start = this.position;
    const previous = this.#writer.header;
    const header: SegmentHeader = {
      started: true,
      resourceId: plan.resourceId,
      originId: plan.originId,
      epoch,
      originName: plan.originName,
      number,
      start,
      chain: {...this.#writer.chain},
      durable: this.#shared.durable.get(),
      epochStart,
      createdMs: this.#clock.wallMs(),
      diskSizeBytes: this.diskSizeBytes,
      alignmentBytes: previous?.alignmentBytes ?? 8,
      capacityBytes: plan.fileBytes - SEGMENT_HEADER_BYTES,
    };
    this.#writer.beginSegment(fd, header);
    this.#disk.index.beginSegment(start, header.capacityBytes);
    this.#segments.push({ordinal: this.#shared.segmentEnd, number, fd, start});
    this.#shared.pushSegment(number, fd, start);
  }

  /** @returns true where the append may be tried again */
  #survives(error: unknown, storedLength: number): boolean {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    return this.moveTail(errno) && (this.fits(storedLength) || this.#beginNext());
  }

  /** @returns false where no segment is ready */
  #writeTail(tail: Tail, durable: number): boolean {
    const end = this.position;
    this.#writer.rewind(durable, tail.chain);
    if (!this.#beginNext()) return false;
    for (const {bytes, chain} of tail.records) {
      // No SEAL between them: the records keep their positions.
      if (!this.#writer.fits(bytes.length) && !this.#beginNext()) return false;
      this.#writer.appendVerbatim(bytes, 0, bytes.length, chain);
    }

    assert(this.position >= end || tail.records.length > 0, 'the whole tail has moved');
    this.#reindex(durable);
    this.#publish();
    return true;
  }

  #beginNext(): boolean {
    const number = this.#shared.get(WORD.currentNumber) + 1 + this.#passedOver;
    if (this.#shared.get(WORD.readyUpTo) < number) return false;
    this.#beginSegment(number);
    this.#passedOver = 0;
    return true;
  }

  /** Copies the records of [durable, end) out of the segments that hold them. */
  #readTail(segments: readonly HeldSegment[], durable: number, end: number): Tail | undefined {
    const cursor = new RecordCursor(this.#files);
    const records: {bytes: Buffer; chain: Chain}[] = [];
    let chain: Chain | undefined;
    for (const [at, segment] of segments.entries()) {
      const header = this.#headerOf(segment);
      if (header === undefined) return undefined;
      const limit = Math.min(segments[at + 1]?.start ?? Infinity, end);
      cursor.open(segment.fd, header, segment.start, header.chain, limit);
      if (segment.start === durable) chain = {...header.chain};
      while (cursor.position < limit && cursor.next()) {
        if (cursor.position === durable) chain = {...cursor.chain};
        if (cursor.position <= durable) continue;
        const offset = cursor.payloadOffset - RECORD_HEADER_BYTES;
        const length = RECORD_HEADER_BYTES + cursor.record.storedLength;
        const bytes = Buffer.from(cursor.bytes.subarray(offset, offset + length));
        records.push({bytes, chain: {...cursor.chain}});
      }

      if (cursor.position < limit) return undefined;
    }

    return chain && {chain, records};
  }

  #headerOf(segment: HeldSegment): SegmentHeader | undefined {
    const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
    this.#files.read(segment.fd, bytes, 0, bytes.length, 0);
    return decodeSegmentHeader(bytes);
  }

  /** The moved records lie in other files now: enter them again under these. */
  #reindex(from: number): void {
    const cursor = new RecordCursor(this.#files);
    for (const [at, segment] of this.#segments.entries()) {
      const end = Math.min(this.#segments[at + 1]?.start ?? Infinity, this.position);
      if (segment.start < from) continue;
      const header = this.#headerOf(segment);
      assert(header !== undefined, 'a segment that was just begun has its header');
      cursor.open(segment.fd, header, segment.start, header.chain, end);
      while (cursor.position < end && cursor.next()) indexRecord(this.#disk.index, cursor, 0);
    }
  }
}

/** Records that are not durable yet, as they are in the log. */
interface Tail {
  /** Chain value in front of the first. */
  readonly chain: Chain;
  readonly records: readonly {readonly bytes: Buffer; readonly chain: Chain}[];
}
