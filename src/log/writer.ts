/**
 * Appends records. One write(2) per record, header and payload together: what was appended is in
 * the page cache when `append` returns, and survives the death of this process.
 *
 * Each write(2) covers whole pages: in front of the record the part of its first page that was
 * written before, the same bytes again; behind it zeros. A page that is written in part and not in
 * the page cache is first read from the disk while the writer waits, and segments that are used
 * again lose their pages to a kernel that reclaims early.
 *
 * It does not sync (the commit thread does), and it never appends to a segment whose directory
 * entry is not durable: segments are handed to it ready.
 */
import {assert} from '../core/assert.js';
import type {Clock} from '../core/clock.js';
import {errnoOf} from '../core/errors.js';
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

const PAGE_BYTES = 4096;
/** Free bytes that a caller leaves in front of the header of a WRITE record, for the page's begin. */
export const LEAD_BYTES_MAX = PAGE_BYTES;
/** Free bytes that a caller leaves behind the payload, for the page's end. */
export const TRAIL_BYTES_MAX = PAGE_BYTES;

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
  readonly #small = Buffer.alloc(
    LEAD_BYTES_MAX + RECORD_HEADER_BYTES + PAGE_BYTES + TRAIL_BYTES_MAX,
  );
  /** What the last page of the log holds so far. */
  readonly #page = Buffer.alloc(PAGE_BYTES);
  /** Whether it is known; else the next write begins where the log ends. */
  #pageKnown = true;
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
    const lead = this.#filePosition() % PAGE_BYTES;
    try {
      const got = this.#files.read(fd, this.#page, 0, lead, this.#filePosition() - lead);
      this.#pageKnown = got === lead;
    } catch (error) {
      // The record behind is written without it then.
      if (errnoOf(error) === undefined) throw error;
      this.#pageKnown = false;
    }
  }

  /** Whether a record with this payload still fits the segment. */
  fits(storedLength: number): boolean {
    const header = this.#header;
    if (header === undefined) return false;
    const length = RECORD_HEADER_BYTES + storedLength + this.#reserveBytes;
    return this.#position + length <= header.start + header.capacityBytes;
  }

  /**
   * Appends a WRITE record. The payload lies in `bytes`; LEAD_BYTES_MAX and a header in front of
   * it, and TRAIL_BYTES_MAX behind it, are overwritten.
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

  /**
   * Whether records may follow one another without padding, so that many can go with one write(2).
   */
  get isPacked(): boolean {
    return this.#alignmentBytes === 8;
  }

  /**
   * Appends WRITE records of whole blocks whose payloads lie a record header apart, with one write(2).
   *
   * @param bytes room around the whole as for `appendWrite`
   * @param payloadOffset of the first payload
   * @param positions receives the stream position of each payload
   * @throws the error of write(2); nothing was appended then
   */
  appendWrites(
    bytes: Buffer,
    payloadOffset: number,
    count: number,
    diskOffsets: Float64Array,
    lengths: Uint32Array,
    durable: number,
    positions: Float64Array,
  ): void {
    assert(this.isPacked, 'records of a batch lie side by side');
    const record = this.#record;
    const {low, high} = this.#chain;
    this.#timeMs = Math.max(this.#timeMs, this.#clock.wallMs());
    record.type = RECORD.write;
    record.flags = 0;
    record.headSkip = 0;
    record.tailSkip = 0;
    record.durable = durable;
    record.timeMs = this.#timeMs;
    let position = this.#position;
    let at = payloadOffset;
    for (let index = 0; index < count; index += 1) {
      const length = lengths[index] ?? 0;
      record.storedLength = length;
      record.logicalLength = length;
      record.diskOffset = diskOffsets[index] ?? 0;
      record.payloadCrc = crcOf(bytes, at, length);
      record.position = position;
      record.chainLow = this.#chain.low;
      record.chainHigh = this.#chain.high;
      encodeRecord(bytes, at - RECORD_HEADER_BYTES, record, this.#chain);
      positions[index] = position + RECORD_HEADER_BYTES;
      position += RECORD_HEADER_BYTES + length;
      at += length + RECORD_HEADER_BYTES;
    }

    try {
      const first = payloadOffset - RECORD_HEADER_BYTES;
      this.#writePages(bytes, first, position - this.#position);
    } catch (error) {
      this.#chain.low = low;
      this.#chain.high = high;
      throw error;
    }

    this.#position = position;
  }

  /**
   * Appends a record without payload, or with a small one.
   *
   * @param payload a multiple of 8 bytes, a page at most
   * @returns stream position behind its header
   */
  appendPlain(body: RecordBody, durable: number, payload?: Buffer): number {
    const record = this.#record;
    record.type = body.type;
    record.flags = body.flags ?? 0;
    record.storedLength = payload?.length ?? 0;
    record.logicalLength = body.logicalLength;
    record.diskOffset = body.diskOffset;
    record.headSkip = 0;
    record.tailSkip = 0;
    record.durable = durable;
    record.payloadCrc = payload === undefined ? 0 : crcOf(payload, 0, payload.length);
    assert(record.storedLength <= PAGE_BYTES, 'a small payload');
    payload?.copy(this.#small, LEAD_BYTES_MAX + RECORD_HEADER_BYTES);
    return this.#append(this.#small, LEAD_BYTES_MAX);
  }

  /** The same with a small payload: at most a page, a multiple of 8. */
  appendPayload(body: RecordBody, payload: Buffer, durable: number): number {
    assert(payload.length <= PAGE_BYTES, 'a small payload');
    const record = this.#record;
    record.type = body.type;
    record.flags = body.flags ?? 0;
    record.storedLength = payload.length;
    record.logicalLength = body.logicalLength;
    record.diskOffset = body.diskOffset;
    record.headSkip = 0;
    record.tailSkip = 0;
    record.durable = durable;
    const at = LEAD_BYTES_MAX + RECORD_HEADER_BYTES;
    payload.copy(this.#small, at);
    record.payloadCrc = crcOf(this.#small, at, payload.length);
    return this.#append(this.#small, LEAD_BYTES_MAX);
  }

  #take(fd: number, header: SegmentHeader): void {
    this.#fd = fd;
    this.#header = header;
    this.#alignmentBytes = header.alignmentBytes;
    this.#reserveBytes = reserveFor(header.alignmentBytes);
    this.#pageKnown = true;
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
      this.#writePages(bytes, offset, length);
    } catch (error) {
      this.#chain.low = low;
      this.#chain.high = high;
      throw error;
    }

    this.#position = position + length;
    if (this.#position % this.#alignmentBytes !== 0) this.#pad(record.durable);
    return position + RECORD_HEADER_BYTES;
  }

  /** @param offset of the record in `bytes`; what lies around it is overwritten */
  #writePages(bytes: Buffer, offset: number, length: number): void {
    const filePosition = this.#filePosition();
    const used = filePosition % PAGE_BYTES;
    const lead = this.#pageKnown ? used : 0;
    const end = offset + length;
    const part = (used + length) % PAGE_BYTES;
    const trail = part === 0 ? 0 : PAGE_BYTES - part;
    assert(offset >= lead && end + trail <= bytes.length, 'the caller left room for whole pages');
    this.#page.copy(bytes, offset - lead, 0, lead);
    bytes.fill(0, end, end + trail);
    const first = filePosition - lead;
    this.#files.write(this.#fd, bytes, offset - lead, lead + length + trail, first);
    if (this.#pageKnown || part <= length) {
      bytes.copy(this.#page, 0, end - part, end);
      this.#pageKnown = true;
    }
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
    record.payloadCrc = crcOf(
      this.#small,
      LEAD_BYTES_MAX + RECORD_HEADER_BYTES,
      record.storedLength,
    );
    this.#append(this.#small, LEAD_BYTES_MAX);
  }

  #filePosition(): number {
    return SEGMENT_HEADER_BYTES + this.#position - (this.#header?.start ?? 0);
  }
}
