/**
 * The index of a sealed segment, `log-000000017-alpha.idx`: where the newest copy of each block
 * lies in it, sorted. It saves recovery and promotion from reading the segment. It can always be
 * made again, so one that is missing, damaged or of another history is just not used.
 *
 *   offset size field
 *        0    8 magic "MARSIDX\0"
 *        8    4 version 1
 *       12    4 CRC-32 of everything behind this field
 *       16   16 epoch
 *       32    8 number        40    8 start        48    8 end
 *       56    8 chain at end (low, high)           64    8 size of the disk at end
 *       72    8 highest `durable` of its records   80    8 time of the newest record, ns
 *       88    4 blocks        92    4 extents
 *       96      blocks  x (u32 block, u32 (payload position - start) / 8), by block
 *               extents x (u64 first block, u64 end block, u64 position), by first block
 */
import {createHash, type Hash} from 'node:crypto';
import {BLOCK_BYTES} from '../core/limits.js';
import type {Files} from '../core/files.js';
import {RecordCursor} from './cursor.js';
import {crcOf, RECORD, RECORD_HEADER_BYTES, type Chain} from './record.js';
import type {SegmentHeader} from './segment.js';

export interface SegmentIndexFile {
  readonly end: number;
  readonly chain: Chain;
  readonly diskSizeBytes: number;
  readonly durable: number;
  readonly timeMs: number;
  /** (block, offset / 8) in turn, by block. */
  readonly pairs: Uint32Array;
  /** (first block, end block, position) in turn. */
  readonly extents: Float64Array;
}

const MAGIC = Buffer.from('MARSIDX\0', 'latin1');
const VERSION = 1;
const HEADER_BYTES = 96;

/** Path of the index file that belongs to a segment. */
export function indexPathOf(segmentPath: string): string {
  return `${segmentPath}.idx`;
}

/** Encodes the index of the segment with this header. */
export function encodeIndexFile(header: SegmentHeader, index: SegmentIndexFile): Buffer {
  const {pairs, extents} = index;
  const bytes = Buffer.alloc(HEADER_BYTES + pairs.length * 4 + extents.length * 8);
  MAGIC.copy(bytes, 0);
  bytes.writeUInt32LE(VERSION, 8);
  bytes.write(header.epoch, 16, 16, 'hex');
  bytes.writeBigUInt64LE(BigInt(header.number), 32);
  bytes.writeBigUInt64LE(BigInt(header.start), 40);
  bytes.writeBigUInt64LE(BigInt(index.end), 48);
  bytes.writeUInt32LE(index.chain.low, 56);
  bytes.writeUInt32LE(index.chain.high, 60);
  bytes.writeBigUInt64LE(BigInt(index.diskSizeBytes), 64);
  bytes.writeBigUInt64LE(BigInt(index.durable), 72);
  bytes.writeBigUInt64LE(BigInt(Math.ceil(index.timeMs)) * 1_000_000n, 80);
  bytes.writeUInt32LE(pairs.length / 2, 88);
  bytes.writeUInt32LE(extents.length / 3, 92);
  let at = HEADER_BYTES;
  for (const word of pairs) at = bytes.writeUInt32LE(word, at);
  for (const value of extents) at = bytes.writeBigUInt64LE(BigInt(value), at);
  bytes.writeUInt32LE(crcOf(bytes, 16, bytes.length - 16), 12);
  return bytes;
}

/** @returns undefined where the bytes are no index of this segment */
export function decodeIndexFile(
  header: SegmentHeader,
  bytes: Buffer,
): SegmentIndexFile | undefined {
  if (bytes.length < HEADER_BYTES || !bytes.subarray(0, 8).equals(MAGIC)) return undefined;
  if (bytes.readUInt32LE(8) !== VERSION) return undefined;
  if (bytes.readUInt32LE(12) !== crcOf(bytes, 16, bytes.length - 16)) return undefined;
  if (bytes.toString('hex', 16, 32) !== header.epoch) return undefined;
  if (Number(bytes.readBigUInt64LE(32)) !== header.number) return undefined;
  if (Number(bytes.readBigUInt64LE(40)) !== header.start) return undefined;
  const pairs = new Uint32Array(bytes.readUInt32LE(88) * 2);
  const extents = new Float64Array(bytes.readUInt32LE(92) * 3);
  if (bytes.length !== HEADER_BYTES + pairs.byteLength + extents.byteLength) return undefined;
  for (let at = 0; at < pairs.length; at += 1) {
    pairs[at] = bytes.readUInt32LE(HEADER_BYTES + at * 4);
  }

  for (let at = 0; at < extents.length; at += 1) {
    const offset = HEADER_BYTES + pairs.byteLength + at * 8;
    extents[at] = Number(bytes.readBigUInt64LE(offset));
  }

  return {
    end: Number(bytes.readBigUInt64LE(48)),
    chain: {low: bytes.readUInt32LE(56), high: bytes.readUInt32LE(60)},
    diskSizeBytes: Number(bytes.readBigUInt64LE(64)),
    durable: Number(bytes.readBigUInt64LE(72)),
    timeMs: Number(bytes.readBigUInt64LE(80) / 1_000_000n),
    pairs,
    extents,
  };
}

/** Reads the index of a segment. @returns undefined where there is none that can be used */
export function readIndexFile(
  files: Files,
  segmentPath: string,
  header: SegmentHeader,
): SegmentIndexFile | undefined {
  const path = indexPathOf(segmentPath);
  if (!files.exists(path)) return undefined;
  const fd = files.open(path, 'read');
  try {
    const bytes = Buffer.alloc(files.sizeOf(fd));
    const got = files.read(fd, bytes, 0, bytes.length, 0);
    return got === bytes.length ? decodeIndexFile(header, bytes) : undefined;
  } finally {
    files.close(fd);
  }
}

/** What sealing a segment yields. */
export interface SealedSegment {
  readonly index: SegmentIndexFile;
  /** SHA-256 of its records, hex, for the header of the next segment. */
  readonly sha256: string;
  readonly bytes: number;
}

/** Where the index's builder puts what it finds; the newest copy counts. */
export interface IndexBuilder {
  put(block: number, position: number): void;
  putZero(startBlock: number, endBlock: number, position: number): void;
  toSortedPairs(): Uint32Array;
  toExtents(): Float64Array;
}

const STEP_BYTES = 2 * 1024 * 1024;

/**
 * Reads a sealed segment in steps of some 2 MiB.
 *
 * @returns undefined where it does not reach `end`: it is damaged, and has no index
 */
export function* sealSegment(
  files: Files,
  path: string,
  header: SegmentHeader,
  end: number,
  builder: IndexBuilder,
): Generator<void, SealedSegment | undefined> {
  const fd = files.open(path, 'read');
  try {
    const cursor = new RecordCursor(files);
    const hash = createHash('sha256');
    const facts = {diskSizeBytes: header.diskSizeBytes, durable: header.durable, timeMs: 0};
    cursor.open(fd, header, header.start, header.chain, end);
    let pause = header.start + STEP_BYTES;
    while (cursor.position < end && cursor.next()) {
      takeRecord(cursor, hash, facts, builder);
      if (cursor.position < pause) continue;
      pause = cursor.position + STEP_BYTES;
      yield;
    }

    if (cursor.position !== end) return undefined;
    return {
      index: {
        end,
        chain: {low: cursor.chain.low, high: cursor.chain.high},
        ...facts,
        pairs: builder.toSortedPairs(),
        extents: builder.toExtents(),
      },
      sha256: hash.digest('hex'),
      bytes: end - header.start,
    };
  } finally {
    files.close(fd);
  }
}

function takeRecord(
  cursor: RecordCursor,
  hash: Hash,
  facts: {diskSizeBytes: number; durable: number; timeMs: number},
  builder: IndexBuilder,
): void {
  const {record} = cursor;
  const offset = cursor.payloadOffset - RECORD_HEADER_BYTES;
  const length = RECORD_HEADER_BYTES + record.storedLength;
  hash.update(cursor.bytes.subarray(offset, offset + length));
  facts.durable = Math.max(facts.durable, record.durable);
  facts.timeMs = Math.max(facts.timeMs, record.timeMs);
  if (record.type === RECORD.resize) facts.diskSizeBytes = record.diskOffset;
  const block = record.diskOffset / BLOCK_BYTES;
  if (record.type === RECORD.write) {
    for (let at = 0; at < record.storedLength; at += BLOCK_BYTES) {
      builder.put(block + at / BLOCK_BYTES, cursor.payloadPosition + at);
    }
  } else if (record.type === RECORD.discard || record.type === RECORD.zero) {
    builder.putZero(block, block + record.logicalLength / BLOCK_BYTES, cursor.payloadPosition);
  }
}
