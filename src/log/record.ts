/**
 * One record of the log: a header of 128 bytes, then `storedLength` bytes of payload.
 * docs/LOG_FORMAT.md is the specification; this file is the only code that knows the offsets.
 *
 *   offset size field           meaning
 *        0    4 magic           "MREC"
 *        4    2 type            RECORD
 *        6    2 headerLength    128; a reader skips what it does not know
 *        8    4 flags           FLAG
 *       12    2 volume          0: several disks in one stream come later
 *       14    2 reserved        0
 *       16    4 storedLength    payload bytes in the file, multiple of 8
 *       20    4 payloadCrc      CRC-32 (zlib) of the payload
 *       24    8 logicalLength   bytes of disk that the record is about
 *       32    8 diskOffset      first byte on the disk; new size for RESIZE
 *       40    8 position        of this header in the stream
 *       48    8 epochLow        low 64 bits of the epoch
 *       56    8 durable         position that was durable when the record was built
 *       64    8 timeNs          since 1970, never decreasing
 *       72    8 groupId         0: none
 *       80    4 headSkip        payload bytes in front that complete a block
 *       84    4 tailSkip        payload bytes behind that complete a block
 *       88   16 authTag         0
 *      104    8 chain           covers the record before (chain value at `position`)
 *      112   12 reserved        0
 *      124    4 headerCrc       CRC-32 (zlib) of bytes 0..123
 *
 * All numbers are little-endian. Nothing here allocates: encode and check run once per request.
 */
import {crc32} from 'node:zlib';
import {assert} from '../core/assert.js';
import {PAYLOAD_BYTES_MAX} from '../core/limits.js';

export const RECORD_HEADER_BYTES = 128;
export const RECORD_MAGIC = 0x4345524d;
const HEADER_WORDS = RECORD_HEADER_BYTES / 4;
const TWO_32 = 2 ** 32;

export const RECORD = {
  write: 1,
  discard: 2,
  zero: 3,
  resize: 4,
  mark: 5,
  verify: 6,
  seal: 7,
  gap: 8,
  group: 9,
  pad: 10,
  key: 11,
  config: 12,
  result: 13,
} as const;

export type RecordType = (typeof RECORD)[keyof typeof RECORD];

/** `ignorable`: a reader that does not know the type goes on; else it stops. */
export const FLAG = {ignorable: 1, groupBegin: 2, groupEnd: 4} as const;

/** 64-bit chain value as two words; position plus chain name one history. */
export interface Chain {
  low: number;
  high: number;
}

/** A record as fields, reused by its owner; `payloadCrc` is filled in by the encoder's caller. */
export interface RecordFields {
  type: number;
  flags: number;
  storedLength: number;
  payloadCrc: number;
  logicalLength: number;
  diskOffset: number;
  position: number;
  epochLow0: number;
  epochLow1: number;
  durable: number;
  timeMs: number;
  headSkip: number;
  tailSkip: number;
  chainLow: number;
  chainHigh: number;
}

export function emptyRecord(): RecordFields {
  return {
    type: 0,
    flags: 0,
    storedLength: 0,
    payloadCrc: 0,
    logicalLength: 0,
    diskOffset: 0,
    position: 0,
    epochLow0: 0,
    epochLow1: 0,
    durable: 0,
    timeMs: 0,
    headSkip: 0,
    tailSkip: 0,
    chainLow: 0,
    chainHigh: 0,
  };
}

/** CRC-32 of `length` bytes. Views are cached by the callers that care. */
export function crcOf(bytes: Buffer, offset: number, length: number): number {
  return crc32(bytes.subarray(offset, offset + length));
}

function putPair(bytes: Buffer, offset: number, value: number): void {
  const high = Math.floor(value / TWO_32);
  bytes.writeUInt32LE(value - high * TWO_32, offset);
  bytes.writeUInt32LE(high, offset + 4);
}

/** Encodes the header of `record` at `offset` and leaves the chain value behind it in `chain`. */
export function encodeRecord(
  bytes: Buffer,
  offset: number,
  record: Readonly<RecordFields>,
  chain: Chain,
): void {
  assert(record.storedLength <= PAYLOAD_BYTES_MAX, 'payload over PAYLOAD_BYTES_MAX');
  assert(record.storedLength % 8 === 0, 'payload is a multiple of 8');
  assert(record.position % 8 === 0, 'positions are multiples of 8');
  bytes.writeUInt32LE(RECORD_MAGIC, offset);
  bytes.writeUInt16LE(record.type, offset + 4);
  bytes.writeUInt16LE(RECORD_HEADER_BYTES, offset + 6);
  bytes.writeUInt32LE(record.flags, offset + 8);
  bytes.writeUInt32LE(0, offset + 12);
  bytes.writeUInt32LE(record.storedLength, offset + 16);
  bytes.writeUInt32LE(record.payloadCrc, offset + 20);
  putPair(bytes, offset + 24, record.logicalLength);
  putPair(bytes, offset + 32, record.diskOffset);
  putPair(bytes, offset + 40, record.position);
  bytes.writeUInt32LE(record.epochLow0, offset + 48);
  bytes.writeUInt32LE(record.epochLow1, offset + 52);
  putPair(bytes, offset + 56, record.durable);
  // Beyond 2^53 a double still holds these nanoseconds to 256 ns, and never out of order.
  putPair(bytes, offset + 64, record.timeMs * 1e6);
  bytes.fill(0, offset + 72, offset + 80);
  bytes.writeUInt32LE(record.headSkip, offset + 80);
  bytes.writeUInt32LE(record.tailSkip, offset + 84);
  bytes.fill(0, offset + 88, offset + 104);
  bytes.writeUInt32LE(record.chainLow, offset + 104);
  bytes.writeUInt32LE(record.chainHigh, offset + 108);
  bytes.fill(0, offset + 112, offset + 124);
  bytes.writeUInt32LE(crcOf(bytes, offset, 124), offset + 124);
  chainAfter(bytes, offset, chain);
}

/**
 * The chain value behind the record whose valid header is at `offset`: its CRC, and a
 * multiplicative mix of all words. The header holds the payload's CRC and the chain before it,
 * so the value covers everything up to here; two unlike functions make 64 bits out of it.
 */
export function chainAfter(bytes: Buffer, offset: number, chain: Chain): void {
  let mix = 0x9747b28c;
  for (let word = 0; word < HEADER_WORDS; word += 1) {
    mix = Math.imul(mix ^ bytes.readUInt32LE(offset + word * 4), 0x5bd1e995);
    mix ^= mix >>> 15;
  }

  chain.low = bytes.readUInt32LE(offset + 124);
  chain.high = mix >>> 0;
}

/**
 * Decodes the header at `offset` into `record`.
 *
 * @returns false unless magic, length and checksum are right; `record` is then undefined
 */
export function decodeRecord(bytes: Buffer, offset: number, record: RecordFields): boolean {
  if (offset + RECORD_HEADER_BYTES > bytes.length) return false;
  if (bytes.readUInt32LE(offset) !== RECORD_MAGIC) return false;
  if (bytes.readUInt16LE(offset + 6) !== RECORD_HEADER_BYTES) return false;
  if (bytes.readUInt32LE(offset + 124) !== crcOf(bytes, offset, 124)) return false;
  record.type = bytes.readUInt16LE(offset + 4);
  record.flags = bytes.readUInt32LE(offset + 8);
  record.storedLength = bytes.readUInt32LE(offset + 16);
  record.payloadCrc = bytes.readUInt32LE(offset + 20);
  record.logicalLength = getPair(bytes, offset + 24);
  record.diskOffset = getPair(bytes, offset + 32);
  record.position = getPair(bytes, offset + 40);
  record.epochLow0 = bytes.readUInt32LE(offset + 48);
  record.epochLow1 = bytes.readUInt32LE(offset + 52);
  record.durable = getPair(bytes, offset + 56);
  // A double holds nanoseconds to 256 ns: rounded, the millisecond is the one that was written.
  record.timeMs = Math.round(getPair(bytes, offset + 64) / 1e6);
  record.headSkip = bytes.readUInt32LE(offset + 80);
  record.tailSkip = bytes.readUInt32LE(offset + 84);
  record.chainLow = bytes.readUInt32LE(offset + 104);
  record.chainHigh = bytes.readUInt32LE(offset + 108);
  return record.storedLength <= PAYLOAD_BYTES_MAX && record.storedLength % 8 === 0;
}

/** May exceed 2^53 for damaged bytes: callers compare, they never index with it unchecked. */
function getPair(bytes: Buffer, offset: number): number {
  return bytes.readUInt32LE(offset) + bytes.readUInt32LE(offset + 4) * TWO_32;
}

/** Chain values in JSON and in file headers: 16 hex digits, high word first. */
export function formatChain(chain: Readonly<Chain>): string {
  return hexWord(chain.high) + hexWord(chain.low);
}

/** @returns undefined where `text` is no chain value */
export function parseChain(text: string): Chain | undefined {
  if (!/^[0-9a-f]{16}$/u.test(text)) return undefined;
  return {high: Number.parseInt(text.slice(0, 8), 16), low: Number.parseInt(text.slice(8), 16)};
}

function hexWord(word: number): string {
  return word.toString(16).padStart(8, '0');
}
