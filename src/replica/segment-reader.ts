/**
 * Reads the records of one segment in large pieces, whole and verified, for a peer. The file may be
 * used again under the reader: every record is checked by position, epoch, chain and checksums, so
 * that what was overwritten is the end, never wrong data.
 */
import {assert} from '../core/assert.js';
import {PAYLOAD_BYTES_MAX} from '../core/limits.js';
import type {Files} from '../core/files.js';
import {KIB, MIB} from '../core/units.js';
import {epochWords} from '../log/cursor.js';
import {
  chainAfter,
  crcOf,
  decodeRecord,
  emptyRecord,
  RECORD_HEADER_BYTES,
  type Chain,
} from '../log/record.js';
import {decodeSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader} from '../log/segment.js';

/** A piece ends with the record that reaches this. */
const PIECE_BYTES = MIB;
/** What is read at a time: a piece, and room for the largest record. */
export const READ_BYTES = PIECE_BYTES + 128 * KIB;
assert(READ_BYTES >= RECORD_HEADER_BYTES + PAYLOAD_BYTES_MAX, 'the largest record fits');

/** Records of one segment from a position on. */
export class SegmentReader {
  readonly header: SegmentHeader;
  /** The header as it is stored, SEGMENT_HEADER_BYTES long. */
  readonly headerBytes: Buffer;
  /** Chain value at `position`. */
  readonly chain: Chain = {low: 0, high: 0};
  /** Time of the newest record that was read; 0 before the first. */
  timeMs = 0;
  readonly #files: Files;
  readonly #fd: number;
  readonly #epoch: readonly [number, number];
  readonly #record = emptyRecord();
  #position: number;

  private constructor(files: Files, fd: number, headerBytes: Buffer, header: SegmentHeader) {
    this.#files = files;
    this.#fd = fd;
    this.#epoch = epochWords(header.epoch);
    this.header = header;
    this.headerBytes = headerBytes;
    this.#position = header.start;
    this.chain.low = header.chain.low;
    this.chain.high = header.chain.high;
  }

  /**
   * Opens a file at its first record.
   *
   * @returns undefined where it is not, or no more, the segment of this header
   */
  static open(files: Files, path: string, expected: SegmentHeader): SegmentReader | undefined {
    const fd = files.open(path, 'read');
    let reader: SegmentReader | undefined;
    try {
      const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
      const got = files.read(fd, bytes, 0, bytes.length, 0);
      const header = got === bytes.length ? decodeSegmentHeader(bytes) : undefined;
      if (header !== undefined && isSameSegment(header, expected)) {
        reader = new SegmentReader(files, fd, bytes, header);
      }

      return reader;
    } finally {
      if (reader === undefined) files.close(fd);
    }
  }

  /** Where the next record begins. */
  get position(): number {
    return this.#position;
  }

  /** Goes on from a position whose chain value is known from elsewhere. */
  moveTo(position: number, chain: Readonly<Chain>): void {
    this.#position = position;
    this.chain.low = chain.low;
    this.chain.high = chain.high;
  }

  /**
   * Reads whole records, about a MiB of them.
   *
   * @param limit no record is taken that reaches beyond
   * @param memory where they are read to, READ_BYTES or more
   * @returns a part of `memory`; undefined where no valid record follows below the limit
   */
  read(limit: number, memory: Buffer): Buffer | undefined {
    assert(memory.length >= READ_BYTES, 'a piece fits');
    const {start, capacityBytes} = this.header;
    const end = Math.min(limit, start + capacityBytes, this.#position + READ_BYTES);
    const wanted = end - this.#position;
    if (wanted < RECORD_HEADER_BYTES) return undefined;
    const bytes = memory.subarray(0, wanted);
    const at = SEGMENT_HEADER_BYTES + this.#position - start;
    const got = this.#files.read(this.#fd, bytes, 0, wanted, at);
    let offset = 0;
    while (offset < PIECE_BYTES) {
      const length = this.#check(bytes, offset, got);
      if (length === 0) break;
      offset += length;
    }

    return offset === 0 ? undefined : bytes.subarray(0, offset);
  }

  close(): void {
    this.#files.close(this.#fd);
  }

  /** Takes the record at `offset` if it is valid and whole. @returns its length, or 0 */
  #check(bytes: Buffer, offset: number, end: number): number {
    const record = this.#record;
    const payload = offset + RECORD_HEADER_BYTES;
    if (payload > end || !decodeRecord(bytes, offset, record)) return 0;
    if (record.position !== this.#position) return 0;
    if (record.epochLow0 !== this.#epoch[0] || record.epochLow1 !== this.#epoch[1]) return 0;
    if (record.chainLow !== this.chain.low || record.chainHigh !== this.chain.high) return 0;
    if (payload + record.storedLength > end) return 0;
    if (crcOf(bytes, payload, record.storedLength) !== record.payloadCrc) return 0;
    chainAfter(bytes, offset, this.chain);
    this.timeMs = Math.max(this.timeMs, record.timeMs);
    this.#position += RECORD_HEADER_BYTES + record.storedLength;
    return RECORD_HEADER_BYTES + record.storedLength;
  }
}

/** Whether two headers are those of one segment. */
export function isSameSegment(a: SegmentHeader, b: SegmentHeader): boolean {
  return (
    a.started === b.started &&
    a.resourceId === b.resourceId &&
    a.epoch === b.epoch &&
    a.number === b.number &&
    a.start === b.start
  );
}
