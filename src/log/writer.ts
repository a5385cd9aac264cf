/**
 * Appends records. One write(2) per record, header and payload together: what was appended is in
 * the page cache when `append` returns, and survives the death of this process.
 *
 * It does not sync (the commit thread does), and it never appends to a segment whose directory
 * entry is not durable: segments are handed to it ready.
 */
import {assert} from '../core/assert.js';
import type {Clock} from '../core/clock.js';
import type {Files} from '../core/files.js';
import {
  crcOf,
  emptyRecord,
  encodeRecord,
  RECORD_HEADER_BYTES,
  RECORD,
  type Chain,
  type RecordFields,
} from './record.js';
import {epochWords} from './cursor.js';
import {encodeSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader} from './segment.js';

/** Kept free at the end of a segment: its SEAL record and two PAD records. */
function reserveFor(alignmentBytes: number): number {
  const padBytes = alignmentBytes > 8 ? RECORD_HEADER_BYTES + alignmentBytes : 0;
  return RECORD_HEADER_BYTES + 2 * padBytes;
}

export interface WriterState {
  readonly position: number;
  readonly chain: Readonly<Chain>;
  readonly timeMs: number;
}

/** What a record says besides its payload. */
export interface RecordBody {
  readonly type: number;
  readonly flags?: number;
  readonly logicalLength: number;
  readonly diskOffset: number;
}

/** Appends to one log; one owner, one thread. */
export class LogWriter {
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #record: RecordFields = emptyRecord();
  readonly #chain: Chain;
  readonly #small = Buffer.alloc(RECORD_HEADER_BYTES + 4096);
  #position: number;
  #timeMs: number;
  #fd = -1;
  #header: SegmentHeader | undefined;
  #alignmentBytes = 8;
  #reserveBytes = reserveFor(8);

  constructor(files: Files, clock: Clock, state: WriterState) {
    this.#files = files;
    this.#clock = clock;
    this.#position = state.position;
    this.#chain = {...state.chain};
    this.#timeMs = state.timeMs;
  }

  /** End of the log. */
  get position(): number {
    return this.#position;
  }

  get chain(): Readonly<Chain> {
    return this.#chain;
  }

  /** The segment that is appended to. */
  get header(): SegmentHeader | undefined {
    return this.#header;
  }

  /** Goes on in the ready segment `fd`; its header is written, not synced. */
  beginSegment(fd: number, header: SegmentHeader): void {
    assert(header.start === this.#position, 'segments join');
    assert(header.started, 'the header is complete');
    const bytes = encodeSegmentHeader(header);
    this.#files.write(fd, bytes, 0, bytes.length, 0);
    this.#take(fd, header);
  }

  /** Goes on behind the records that were moved to `fd`: position and chain stay as they are. */
  adoptSegment(fd: number, header: SegmentHeader): void {
    assert(header.start <= this.#position, 'the moved records end where the log does');
    this.#take(fd, header);
  }

  /** Whether a record with this payload still fits the segment. */
  fits(storedLength: number): boolean {
    const header = this.#header;
    if (header === undefined) return false;
    const length = RECORD_HEADER_BYTES + storedLength + this.#reserveBytes;
    return this.#position + length <= header.start + header.capacityBytes;
  }

  /**
   * Appends a WRITE record. The payload lies in `bytes`, with room for a header in front of it
   * that is overwritten.
   *
   * @param headSkip bytes of the payload in front, tailSkip behind, that only complete blocks
   * @returns stream position of the payload
   * @throws the error of write(2); nothing was appended then
   */
  appendWrite(
    bytes: Buffer,
    payloadOffset: number,
    storedLength: number,
    diskOffset: number,
    headSkip: number,
    tailSkip: number,
    durable: number,
  ): number {
    const record = this.#record;
    record.type = RECORD.write;
    record.flags = 0;
    record.storedLength = storedLength;
    record.logicalLength = storedLength;
    record.diskOffset = diskOffset;
    record.headSkip = headSkip;
    record.tailSkip = tailSkip;
    record.durable = durable;
    record.payloadCrc = crcOf(bytes, payloadOffset, storedLength);
    return this.#append(bytes, payloadOffset - RECORD_HEADER_BYTES);
  }

  /** Appends a record without payload. @returns stream position behind its header */
  appendPlain(body: RecordBody, durable: number): number {
    const record = this.#record;
    record.type = body.type;
    record.flags = body.flags ?? 0;
    record.storedLength = 0;
    record.logicalLength = body.logicalLength;
    record.diskOffset = body.diskOffset;
    record.headSkip = 0;
    record.tailSkip = 0;
    record.durable = durable;
    record.payloadCrc = 0;
    return this.#append(this.#small, 0);
  }

  #take(fd: number, header: SegmentHeader): void {
    this.#fd = fd;
    this.#header = header;
    this.#alignmentBytes = header.alignmentBytes;
    this.#reserveBytes = reserveFor(header.alignmentBytes);
    [this.#record.epochLow0, this.#record.epochLow1] = epochWords(header.epoch);
  }

  #append(bytes: Buffer, offset: number): number {
    const record = this.#record;
    const position = this.#position;
    const {low, high} = this.#chain;
    this.#timeMs = Math.max(this.#timeMs, this.#clock.wallMs());
    record.timeMs = this.#timeMs;
    record.position = position;
    record.chainLow = low;
    record.chainHigh = high;
    encodeRecord(bytes, offset, record, this.#chain);
    const length = RECORD_HEADER_BYTES + record.storedLength;
    try {
      this.#files.write(this.#fd, bytes, offset, length, this.#filePosition());
    } catch (error) {
      this.#chain.low = low;
      this.#chain.high = high;
      throw error;
    }

    this.#position = position + length;
    if (this.#position % this.#alignmentBytes !== 0) this.#pad(record.durable);
    return position + RECORD_HEADER_BYTES;
  }

  /** Fills up to the alignment, so that a flushed record shares no sector with the next one. */
  #pad(durable: number): void {
    const gap = this.#alignmentBytes - (this.#position % this.#alignmentBytes);
    let length = gap;
    while (length < RECORD_HEADER_BYTES) length += this.#alignmentBytes;
    const record = this.#record;
    record.type = RECORD.pad;
    record.storedLength = length - RECORD_HEADER_BYTES;
    record.logicalLength = 0;
    record.headSkip = 0;
    record.tailSkip = 0;
    record.diskOffset = 0;
    record.durable = durable;
    this.#small.fill(0);
    record.payloadCrc = crcOf(this.#small, RECORD_HEADER_BYTES, record.storedLength);
    this.#append(this.#small, 0);
  }

  #filePosition(): number {
    return SEGMENT_HEADER_BYTES + this.#position - (this.#header?.start ?? 0);
  }
}
