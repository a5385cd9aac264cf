/**
 * A segment is one file `log-000000017-alpha`: a header of 4 KiB, then records. The name is a
 * hint, the header decides. docs/LOG_FORMAT.md specifies the bytes; this file alone knows them.
 *
 * A header is `ready` (number and resource are set, nothing else: made ahead of need, its
 * directory entry durable) or `started` (all fields). The started header is written without a
 * sync of its own: it lies in the same file as the records, so the fdatasync that makes the first
 * of them durable covers it, and a header that was lost took no durable record with it.
 */
import {assert} from '../core/assert.js';
import {DiskError} from '../core/errors.js';
import {crcOf, type Chain} from './record.js';

export const SEGMENT_HEADER_BYTES = 4096;
export const FORMAT_MAJOR = 1;
export const FORMAT_MINOR = 0;

const MAGIC = Buffer.from('MARSLOG\0', 'latin1');
const FIXED_BYTES = 1024;
const FIXED_CRC_OFFSET = FIXED_BYTES - 4;
const BINDING_OFFSET = FIXED_BYTES;
const BINDING_BYTES = 64;
const BINDING_MAGIC = 0x444e4942;
const NODE_NAME_BYTES = 64;
const CHECKSUM_CRC32 = 1;
/** Incompatible feature bits that this version knows: none. */
const INCOMPATIBLE_KNOWN = 0n;

export interface SegmentHeader {
  readonly started: boolean;
  /** 32 hex digits each. */
  readonly resourceId: string;
  readonly originId: string;
  readonly epoch: string;
  readonly originName: string;
  readonly number: number;
  /** Stream position of the first record. */
  readonly start: number;
  /** Chain value at `start`. */
  readonly chain: Readonly<Chain>;
  /** Position that was durable when the header was written. */
  readonly durable: number;
  /** Position where the epoch began. */
  readonly epochStart: number;
  readonly createdMs: number;
  readonly diskSizeBytes: number;
  readonly alignmentBytes: number;
  /** Bytes of records that fit. */
  readonly capacityBytes: number;
  /** Written with a feature of a newer version that allows us to read, but not to append. */
  readonly isReadOnly?: true;
}

/** Encodes the whole header, SEGMENT_HEADER_BYTES long, with its checksum. */
export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  assert(header.start % 8 === 0, 'segments begin at multiples of 8');
  assert(Buffer.byteLength(header.originName) < NODE_NAME_BYTES, 'node name fits its field');
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  MAGIC.copy(bytes, 0);
  bytes.writeUInt16LE(FORMAT_MAJOR, 8);
  bytes.writeUInt16LE(FORMAT_MINOR, 10);
  bytes.writeUInt32LE(SEGMENT_HEADER_BYTES, 12);
  // 16, 24, 32: feature bits compatible, read-only compatible, incompatible: none yet.
  bytes.write(header.resourceId, 40, 16, 'hex');
  bytes.write(header.originId, 56, 16, 'hex');
  bytes.write(header.epoch, 72, 16, 'hex');
  bytes.writeBigUInt64LE(BigInt(header.number), 88);
  bytes.writeBigUInt64LE(BigInt(header.start), 96);
  bytes.writeUInt32LE(header.chain.low, 104);
  bytes.writeUInt32LE(header.chain.high, 108);
  bytes.writeBigUInt64LE(BigInt(header.durable), 112);
  bytes.writeBigUInt64LE(BigInt(Math.trunc(header.createdMs)) * 1_000_000n, 120);
  bytes.writeBigUInt64LE(BigInt(header.diskSizeBytes), 128);
  // 136..191: sizes of volumes 1 to 7, 0 today.
  bytes.writeUInt16LE(Math.log2(header.alignmentBytes), 192);
  bytes.writeUInt16LE(CHECKSUM_CRC32, 194);
  // 196: cipher, 200: largest record, 204: record header.
  bytes.writeUInt32LE(2 ** 21, 200);
  bytes.writeUInt32LE(128, 204);
  bytes.writeBigUInt64LE(BigInt(header.capacityBytes), 208);
  // 216: key id of 16 bytes, 0 today.
  bytes.writeUInt32LE(header.started ? 1 : 0, 232);
  bytes.writeBigUInt64LE(BigInt(header.epochStart), 240);
  bytes.write(header.originName, 248, NODE_NAME_BYTES, 'utf8');
  bytes.writeUInt32LE(crcOf(bytes, 0, FIXED_CRC_OFFSET), FIXED_CRC_OFFSET);
  return bytes;
}

/**
 * Decodes a segment header.
 *
 * @returns undefined where magic or checksum is wrong: a spare, or a torn header
 * @throws DiskError LOG_FORMAT for a newer major version or an unknown incompatible feature
 */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | undefined {
  if (bytes.length < FIXED_BYTES) return undefined;
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  if (bytes.readUInt32LE(FIXED_CRC_OFFSET) !== crcOf(bytes, 0, FIXED_CRC_OFFSET)) return undefined;
  const major = bytes.readUInt16LE(8);
  const unknown = bytes.readBigUInt64LE(32) & ~INCOMPATIBLE_KNOWN;
  if (major > FORMAT_MAJOR || unknown !== 0n) {
    throw new DiskError(
      'LOG_FORMAT',
      `the log has format ${major} with feature bits 0x${unknown.toString(16)}, ` +
        `this version reads format ${FORMAT_MAJOR}: use the version that wrote it`,
      {major, features: unknown.toString(16)},
    );
  }

  const name = bytes.subarray(248, 248 + NODE_NAME_BYTES).toString('utf8');
  return {
    started: bytes.readUInt32LE(232) === 1,
    resourceId: bytes.toString('hex', 40, 56),
    originId: bytes.toString('hex', 56, 72),
    epoch: bytes.toString('hex', 72, 88),
    originName: name.slice(0, name.indexOf('\0')),
    number: Number(bytes.readBigUInt64LE(88)),
    start: Number(bytes.readBigUInt64LE(96)),
    chain: {low: bytes.readUInt32LE(104), high: bytes.readUInt32LE(108)},
    durable: Number(bytes.readBigUInt64LE(112)),
    epochStart: Number(bytes.readBigUInt64LE(240)),
    createdMs: Number(bytes.readBigUInt64LE(120) / 1_000_000n),
    diskSizeBytes: Number(bytes.readBigUInt64LE(128)),
    alignmentBytes: 2 ** bytes.readUInt16LE(192),
    capacityBytes: Number(bytes.readBigUInt64LE(208)),
    ...(bytes.readBigUInt64LE(24) === 0n ? {} : {isReadOnly: true}),
  };
}

/** What a later segment's header tells of the sealed one before it. */
export interface Binding {
  readonly number: number;
  readonly bytes: number;
  /** SHA-256 of the records, hex. */
  readonly sha256: string;
}

/** Encodes the binding part; it is written at BINDING_OFFSET of the next segment's header. */
export function encodeBinding(binding: Binding): {bytes: Buffer; offset: number} {
  const bytes = Buffer.alloc(BINDING_BYTES);
  bytes.writeUInt32LE(BINDING_MAGIC, 0);
  bytes.writeBigUInt64LE(BigInt(binding.number), 8);
  bytes.writeBigUInt64LE(BigInt(binding.bytes), 16);
  bytes.write(binding.sha256, 24, 32, 'hex');
  bytes.writeUInt32LE(crcOf(bytes, 0, BINDING_BYTES - 4), BINDING_BYTES - 4);
  return {bytes, offset: BINDING_OFFSET};
}

/** @returns undefined where the header holds none (yet), or a damaged one */
export function decodeBinding(header: Buffer): Binding | undefined {
  const bytes = header.subarray(BINDING_OFFSET, BINDING_OFFSET + BINDING_BYTES);
  if (bytes.length < BINDING_BYTES || bytes.readUInt32LE(0) !== BINDING_MAGIC) return undefined;
  if (bytes.readUInt32LE(BINDING_BYTES - 4) !== crcOf(bytes, 0, BINDING_BYTES - 4)) {
    return undefined;
  }

  return {
    number: Number(bytes.readBigUInt64LE(8)),
    bytes: Number(bytes.readBigUInt64LE(16)),
    sha256: bytes.toString('hex', 24, 56),
  };
}

const NUMBER_DIGITS = 9;

/** File name of a segment; a hint only, the header decides. */
export function segmentName(number: number, originName: string): string {
  return `log-${String(number).padStart(NUMBER_DIGITS, '0')}-${originName}`;
}

/** @returns number and origin, or undefined for any other file */
export function parseSegmentName(name: string): {number: number; originName: string} | undefined {
  const match = /^log-(\d{9,15})-([a-zA-Z0-9][a-zA-Z0-9_.-]*)$/u.exec(name);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  // Index files, and such as a crash left half made; no node has a name that ends so (core/names).
  if (/\.(?:idx|tmp)$/u.test(name)) return undefined;
  return {number: Number(match[1]), originName: match[2]};
}
