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
const CRC_OFFSET = RECORD_HEADER_BYTES - 4;
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

/** Fields to be filled in by a decoder or an encoder's owner. */
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

// All fields are words at multiples of four: a word array is far faster than Buffer's readers. The
// format is little-endian and so is every machine that Node and FUSE run on together.
assert(new Uint8Array(Uint32Array.of(1).buffer)[0] === 1, 'this machine is little-endian');

/** The words of the buffer that was asked for last: a thread uses one or two buffers for ever. */
let wordsBuffer: Buffer | undefined;
let words: Uint32Array = new Uint32Array(0);

function wordsOf(bytes: Buffer): Uint32Array {
  if (bytes === wordsBuffer) return words;
  assert(bytes.byteOffset % 4 === 0, 'record buffers are aligned');
  words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
  wordsBuffer = bytes;
  return words;
}

/** The view that was asked for last: most records of a disk have one size at one place. */
let viewBuffer: Buffer | undefined;
let viewOffset = 0;
let view: Uint8Array = new Uint8Array(0);

/** CRC-32 (zlib) of `length` bytes. */
export function crcOf(bytes: Buffer, offset: number, length: number): number {
  if (bytes !== viewBuffer || offset !== viewOffset || length !== view.length) {
    view = bytes.subarray(offset, offset + length);
    viewBuffer = bytes;
    viewOffset = offset;
  }

  return crc32(view);
}

function headerCrcOf(bytes: Buffer, offset: number): number {
  return crc32(bytes.subarray(offset, offset + CRC_OFFSET));
}

function putPair(target: Uint32Array, at: number, value: number): void {
  const high = Math.floor(value / TWO_32);
  target[at] = value - high * TWO_32;
  target[at + 1] = high;
}

/** May exceed 2^53 for damaged bytes: callers compare, they never index with it unchecked. */
function getPair(source: Uint32Array, at: number): number {
  return (source[at] ?? 0) + (source[at + 1] ?? 0) * TWO_32;
}

/**
 * Encodes the header of `record` at `offset` and leaves the chain value behind it in `chain`.
 *
 * @param offset multiple of 4
 */
export function encodeRecord(
  bytes: Buffer,
  offset: number,
  record: Readonly<RecordFields>,
  chain: Chain,
): void {
  assert(record.storedLength <= PAYLOAD_BYTES_MAX, 'payload over PAYLOAD_BYTES_MAX');
  assert(record.storedLength % 8 === 0, 'payload is a multiple of 8');
  assert(record.position % 8 === 0, 'positions are multiples of 8');
  assert(offset % 4 === 0, 'headers are aligned in memory');
  const header = wordsOf(bytes);
  const at = offset / 4;
  header[at] = RECORD_MAGIC;
  header[at + 1] = record.type | (RECORD_HEADER_BYTES << 16);
  header[at + 2] = record.flags;
  header[at + 3] = 0;
  header[at + 4] = record.storedLength;
  header[at + 5] = record.payloadCrc;
  putPair(header, at + 6, record.logicalLength);
  putPair(header, at + 8, record.diskOffset);
  putPair(header, at + 10, record.position);
  header[at + 12] = record.epochLow0;
  header[at + 13] = record.epochLow1;
  putPair(header, at + 14, record.durable);
  // Beyond 2^53 a double still holds these nanoseconds to 256 ns, and never out of order.
  putPair(header, at + 16, record.timeMs * 1e6);
  header[at + 18] = 0;
  header[at + 19] = 0;
  header[at + 20] = record.headSkip;
  header[at + 21] = record.tailSkip;
  header.fill(0, at + 22, at + 26);
  header[at + 26] = record.chainLow;
  header[at + 27] = record.chainHigh;
  header.fill(0, at + 28, at + 31);
  header[at + 31] = headerCrcOf(bytes, offset);
  chainAfter(bytes, offset, chain);
}

/**
 * The chain value behind the record whose valid header is at `offset`: its CRC, and a
 * multiplicative mix of all words. The header holds the payload's CRC and the chain before it,
 * so the value covers everything up to here; two unlike functions make 64 bits out of it.
 */
export function chainAfter(bytes: Buffer, offset: number, chain: Chain): void {
  const header = wordsOf(bytes);
  const at = offset / 4;
  let mix = 0x9747b28c;
  for (let word = at; word < at + HEADER_WORDS; word += 1) {
    mix = Math.imul(mix ^ (header[word] ?? 0), 0x5bd1e995);
    mix ^= mix >>> 15;
  }

  chain.low = header[at + HEADER_WORDS - 1] ?? 0;
  chain.high = mix >>> 0;
}

/**
 * Decodes the header at `offset` into `record`.
 *
 * @param offset multiple of 4
 * @returns false unless magic, length and checksum are right; `record` is then undefined
 */
export function decodeRecord(bytes: Buffer, offset: number, record: RecordFields): boolean {
  if (offset + RECORD_HEADER_BYTES > bytes.length) return false;
  const header = wordsOf(bytes);
  const at = offset / 4;
  if (header[at] !== RECORD_MAGIC) return false;
  const typeAndLength = header[at + 1] ?? 0;
  if (typeAndLength >>> 16 !== RECORD_HEADER_BYTES) return false;
  if (header[at + HEADER_WORDS - 1] !== headerCrcOf(bytes, offset)) return false;
  record.type = typeAndLength & 0xffff;
  record.flags = header[at + 2] ?? 0;
  record.storedLength = header[at + 4] ?? 0;
  record.payloadCrc = header[at + 5] ?? 0;
  record.logicalLength = getPair(header, at + 6);
  record.diskOffset = getPair(header, at + 8);
  record.position = getPair(header, at + 10);
  record.epochLow0 = header[at + 12] ?? 0;
  record.epochLow1 = header[at + 13] ?? 0;
  record.durable = getPair(header, at + 14);
  // A double holds nanoseconds to 256 ns: rounded, the millisecond is the one that was written.
  record.timeMs = Math.round(getPair(header, at + 16) / 1e6);
  record.headSkip = header[at + 20] ?? 0;
  record.tailSkip = header[at + 21] ?? 0;
  record.chainLow = header[at + 26] ?? 0;
  record.chainHigh = header[at + 27] ?? 0;
  return record.storedLength <= PAYLOAD_BYTES_MAX && record.storedLength % 8 === 0;
}

/** Whether two chain values name the same history. */
export function isSameChain(one: Readonly<Chain>, other: Readonly<Chain>): boolean {
  return one.low === other.low && one.high === other.high;
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
