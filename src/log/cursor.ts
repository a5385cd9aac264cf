/**
 * Reads the records of one segment in order and believes nothing: a record counts only if magic,
 * checksums, position, epoch and chain are right. The first that does not ends the segment;
 * whether that is a torn tail or damage is the business of recovery.ts.
 */
import {BLOCK_BYTES, PAYLOAD_BYTES_MAX} from '../core/limits.js';
import type {Files} from '../core/files.js';
import {
  chainAfter,
  crcOf,
  decodeRecord,
  emptyRecord,
  RECORD_HEADER_BYTES,
  RECORD_MAGIC,
  type Chain,
  type RecordFields,
} from './record.js';
import {SEGMENT_HEADER_BYTES, type SegmentHeader} from './segment.js';

const BUFFER_BYTES = 4 * (PAYLOAD_BYTES_MAX - 2 * BLOCK_BYTES);
const EMPTY = Buffer.alloc(0);

/**
 * Walks the valid records of one segment; used again for the next. Its buffer is as large as the largest
 * segment that it has met, up to `BUFFER_BYTES`.
 */
export class RecordCursor {
  /** Fields of the record that `next` found. */
  readonly record: RecordFields = emptyRecord();
  /** Chain value at `position`. */
  readonly chain: Chain = {low: 0, high: 0};
  readonly #files: Files;
  #bytes: Buffer = EMPTY;
  #fd = -1;
  #start = 0;
  #end = 0;
  #position = 0;
  #payloadOffset = 0;
  #epoch0 = 0;
  #epoch1 = 0;
  /** Stream position of the first byte in the buffer, and how many are valid. */
  #bufferPosition = 0;
  #bufferBytes = 0;
  #record0 = 0;

  constructor(files: Files) {
    this.#files = files;
  }

  /**
   * Begins at `position` of a segment.
   *
   * @param chain chain value at `position`
   * @param end no record reaches beyond this position (the next segment's start, or its capacity)
   */
  open(
    fd: number,
    header: SegmentHeader,
    position: number,
    chain: Readonly<Chain>,
    end: number,
  ): void {
    // No record reaches beyond the capacity of its segment.
    const bufferBytes = Math.min(BUFFER_BYTES, header.capacityBytes);
    if (this.#bytes.length < bufferBytes) this.#bytes = Buffer.alloc(bufferBytes);
    this.#fd = fd;
    this.#start = header.start;
    this.#end = end;
    this.#position = position;
    this.chain.low = chain.low;
    this.chain.high = chain.high;
    [this.#epoch0, this.#epoch1] = epochWords(header.epoch);
    this.#bufferPosition = position;
    this.#bufferBytes = 0;
  }

  /** Position behind the last record that `next` found: where the next one would begin. */
  get position(): number {
    return this.#position;
  }

  /** Stream position of the payload of the current record. */
  get payloadPosition(): number {
    return this.#record0 + RECORD_HEADER_BYTES;
  }

  /** The buffer that holds the current payload at `payloadOffset`, until the next call. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  get payloadOffset(): number {
    return this.#payloadOffset;
  }

  /** @returns false at the first record that is not valid, or at the end */
  next(): boolean {
    const {record} = this;
    let offset = this.#available(RECORD_HEADER_BYTES);
    if (offset < 0 || !decodeRecord(this.#bytes, offset, record)) return false;
    if (record.position !== this.#position) return false;
    if (record.epochLow0 !== this.#epoch0 || record.epochLow1 !== this.#epoch1) return false;
    if (record.chainLow !== this.chain.low || record.chainHigh !== this.chain.high) return false;
    const length = RECORD_HEADER_BYTES + record.storedLength;
    if (this.#position + length > this.#end) return false;
    offset = this.#available(length);
    if (offset < 0) return false;
    const payloadOffset = offset + RECORD_HEADER_BYTES;
    if (crcOf(this.#bytes, payloadOffset, record.storedLength) !== record.payloadCrc) return false;
    chainAfter(this.#bytes, offset, this.chain);
    this.#record0 = this.#position;
    this.#payloadOffset = payloadOffset;
    this.#position += length;
    return true;
  }

  /** Offset in the buffer of `length` bytes at the position, read if need be; -1 at the end. */
  #available(length: number): number {
    const offset = this.#position - this.#bufferPosition;
    if (offset + length <= this.#bufferBytes) return offset;
    const wanted = Math.min(this.#bytes.length, this.#end - this.#position);
    if (wanted < length) return -1;
    const filePosition = SEGMENT_HEADER_BYTES + this.#position - this.#start;
    this.#bufferBytes = this.#files.read(this.#fd, this.#bytes, 0, wanted, filePosition);
    this.#bufferPosition = this.#position;
    return this.#bufferBytes < length ? -1 : 0;
  }
}

/** Low 64 bits of an epoch (32 hex digits) as the two words of a record header. */
export function epochWords(epoch: string): [number, number] {
  return [Number.parseInt(epoch.slice(24), 16), Number.parseInt(epoch.slice(16, 24), 16)];
}

/** What lies in a segment at and behind a position without being part of the valid log. */
export interface Remains {
  /** Records with a right header, position and epoch, whatever their chain. */
  readonly count: number;
  /** Highest `durable` that any of them carries: proof that the log was durable up to there. */
  readonly durable: number;
  /** The first of them, with the chain value that it has for what is in front of it. */
  readonly first?: {readonly position: number; readonly chain: Chain};
}

const SCAN_BYTES = 1024 * 1024;
const MAGIC = Buffer.alloc(4);
MAGIC.writeUInt32LE(RECORD_MAGIC);

/**
 * Looks for records behind the end of the valid log, at every 8 bytes. A record proves by its own
 * checksum, epoch and position that it belongs here, without the ones before it.
 */
export function findRemains(
  files: Files,
  fd: number,
  header: SegmentHeader,
  position: number,
): Remains {
  let [count, durable] = [0, 0];
  let first: Remains['first'];
  visitRemains(files, fd, header, position, (record) => {
    // Where only its payload is bad the record at `position` itself is found: it is no place to go on from.
    if (record.position > position) {
      first ??= {
        position: record.position,
        chain: {low: record.chainLow, high: record.chainHigh},
      };
    }

    count += 1;
    durable = Math.max(durable, record.durable);
  });
  return {count, durable, ...(first === undefined ? {} : {first})};
}

/**
 * Looks for records in a file whose header is gone, so that nobody knows its epoch and where it
 * began. What a record says about `durable` was true when it was written, wherever it lies.
 *
 * @param end position where the valid log ends: records of an earlier life of the file are below
 */
export function findStrayRecords(files: Files, fd: number, end: number): Remains {
  const remains = {count: 0, durable: 0};
  scan(files, fd, SEGMENT_HEADER_BYTES, files.sizeOf(fd), (record) => {
    if (record.position >= end) remains.count += 1;
    remains.durable = Math.max(remains.durable, record.durable);
  });
  return remains;
}

/**
 * Visits the headers of records in a segment at and behind a position that belong there by their own
 * checksum, epoch and position, whatever lies between them, and whether or not their content is good.
 */
export function visitRemains(
  files: Files,
  fd: number,
  header: SegmentHeader,
  position: number,
  visit: (record: Readonly<RecordFields>) => void,
): void {
  const [epoch0, epoch1] = epochWords(header.epoch);
  const shift = SEGMENT_HEADER_BYTES - header.start;
  scan(files, fd, position + shift, header.capacityBytes + SEGMENT_HEADER_BYTES, (record, at) => {
    if (record.position + shift !== at) return;
    if (record.epochLow0 === epoch0 && record.epochLow1 === epoch1) visit(record);
  });
}

/** Calls `take` for each valid record header at a multiple of 8 in [from, to) of the file. */
function scan(
  files: Files,
  fd: number,
  from: number,
  to: number,
  take: (record: Readonly<RecordFields>, at: number) => void,
): void {
  const bytes = Buffer.alloc(SCAN_BYTES + RECORD_HEADER_BYTES);
  const record = emptyRecord();
  for (let base = from; base < to; base += SCAN_BYTES) {
    const wanted = Math.min(bytes.length, to - base);
    const got = files.read(fd, bytes, 0, wanted, base);
    const valid = bytes.subarray(0, got);
    // The magic is looked for natively: most of a segment is zeros, or records of another life.
    for (
      let at = valid.indexOf(MAGIC);
      at >= 0 && at < SCAN_BYTES;
      at = valid.indexOf(MAGIC, at + 1)
    ) {
      if (at % 8 === 0 && decodeRecord(valid, at, record)) take(record, base + at);
    }

    if (got < wanted) break;
  }
}
