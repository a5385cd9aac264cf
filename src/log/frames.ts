/**
 * Frames: how nodes speak on a log stream and on a sync stream. docs/PROTOCOL.md specifies both;
 * this file and frame-reader.ts are the only code that knows the bytes.
 *
 *   offset size field
 *        0    4 magic    "MRM1"
 *        4    1 type     FRAME
 *        5    1 flags    0
 *        6    2 reserved 0
 *        8    4 length   bytes of payload, within the bounds of the type
 *       12    4 crc      CRC-32 (zlib) of bytes 0..11 and the payload
 *
 * The crc covers the header, too: one bit of the type is all that is between "these chunks are the
 * same" and "these chunks are zeros".
 */
import {crc32} from 'node:zlib';
import type * as v from 'valibot';
import {getDotPath, safeParse} from 'valibot';
import {assert} from '../core/assert.js';
import {DiskError} from '../core/errors.js';
import {MIB} from '../core/units.js';
import {
  ANSWER,
  END,
  HELLO,
  SYNC_BEGIN,
  SYNC_CHUNK_BYTES,
  SYNC_END,
  SYNC_HELLO,
} from './frame-schemas.js';
import {RECORD_HEADER_BYTES} from './record.js';
import type {PackingName} from '../core/packing-names.js';
import {packingNumber} from './packing.js';
import {decodeSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader} from './segment.js';

export const FRAME = {
  hello: 1,
  answer: 2,
  segment: 3,
  records: 4,
  mark: 5,
  ack: 6,
  end: 7,
  ask: 8,
  packed: 9,
  syncHello: 16,
  syncBegin: 17,
  syncAsk: 18,
  syncAskZeros: 19,
  syncSame: 20,
  syncZero: 21,
  syncData: 22,
  syncEnd: 23,
  syncMark: 24,
  syncSkip: 25,
  syncAskBytes: 26,
  syncBytes: 27,
} as const;

export type FrameType = (typeof FRAME)[keyof typeof FRAME];

export const FRAME_HEADER_BYTES = 16;
/** Of a RECORDS frame, what comes before the records. */
export const RECORDS_HEAD_BYTES = FRAME_HEADER_BYTES + 8;
/** No frame has more payload; most types have a lower bound. */
export const FRAME_PAYLOAD_MAX = 4 * MIB;
export const FRAME_JSON_MAX = MIB / 4;
/** Chunks that may be asked for and not answered yet; so no frame asks for more. */
export const SYNC_ASKED_MAX = 64;
export const DIGEST_BYTES = 32;

export const FRAME_MAGIC = 0x314d524d;
/** Of the payload of a PACKED frame, what comes before the compressed bytes. */
export const PACKED_HEAD_BYTES = 8;
/** Where the crc lies in the header; it covers all before. */
export const FRAME_CRC_OFFSET = 12;

/** Lowest and highest length of the payload of each type, by number. */
export const FRAME_BOUNDS: Readonly<Record<number, readonly [number, number] | undefined>> = {
  [FRAME.hello]: [2, FRAME_JSON_MAX],
  [FRAME.answer]: [2, FRAME_JSON_MAX],
  [FRAME.segment]: [8 + SEGMENT_HEADER_BYTES, 8 + SEGMENT_HEADER_BYTES],
  [FRAME.records]: [8 + RECORD_HEADER_BYTES, FRAME_PAYLOAD_MAX],
  [FRAME.mark]: [32, 32],
  [FRAME.ack]: [32, 32],
  [FRAME.end]: [2, FRAME_JSON_MAX],
  [FRAME.ask]: [16, 16],
  [FRAME.packed]: [PACKED_HEAD_BYTES + 1, FRAME_PAYLOAD_MAX],
  [FRAME.syncHello]: [2, FRAME_JSON_MAX],
  [FRAME.syncBegin]: [2, FRAME_JSON_MAX],
  [FRAME.syncAsk]: [12 + DIGEST_BYTES, 12 + SYNC_ASKED_MAX * DIGEST_BYTES],
  [FRAME.syncAskZeros]: [16, 16],
  [FRAME.syncSame]: [16, 16],
  [FRAME.syncZero]: [16, 16],
  [FRAME.syncData]: [8 + 1, 8 + SYNC_CHUNK_BYTES],
  [FRAME.syncEnd]: [2, FRAME_JSON_MAX],
  [FRAME.syncMark]: [2, FRAME_JSON_MAX],
  [FRAME.syncSkip]: [16, 16],
  [FRAME.syncAskBytes]: [16, 16],
  [FRAME.syncBytes]: [8 + 1, 8 + SYNC_CHUNK_BYTES],
};

/** The error for whatever a peer must not send. */
export function protocolError(fault: string): DiskError {
  return new DiskError('PEER_PROTOCOL', `the peer broke the protocol: ${fault}`, {fault});
}

/** Encodes a frame whose payload is `parts` joined. */
export function encodeFrame(type: FrameType, ...parts: readonly Buffer[]): Buffer {
  return Buffer.concat([encodeFrameHeader(type, ...parts), ...parts]);
}

/** Encodes only the header of a frame: large parts are then written behind it without a copy. */
export function encodeFrameHeader(type: FrameType, ...parts: readonly Buffer[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const bounds = FRAME_BOUNDS[type];
  assert(bounds !== undefined && length >= bounds[0] && length <= bounds[1], 'a frame in bounds');
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUInt32LE(FRAME_MAGIC, 0);
  header[4] = type;
  header.writeUInt32LE(length, 8);
  let crc = crc32(header.subarray(0, FRAME_CRC_OFFSET));
  for (const part of parts) crc = crc32(part, crc);
  header.writeUInt32LE(crc, FRAME_CRC_OFFSET);
  return header;
}

// Payloads that are JSON. Their types are as on the wire: positions and chain values as text.

/** What a follower has: the end of its log and the epochs that it knows. */
export type Hello = v.InferOutput<typeof HELLO>;
/**
 * What the source says to it; `position` is there with follow, cut and forked, and with the first
 * two `chain`, the source's chain value there.
 */
export type Answer = v.InferOutput<typeof ANSWER>;
/** Why a side ends the stream in order; `code` is an ErrorCode where there is one. */
export type End = v.InferOutput<typeof END>;
/** What the target of a sync has already; `doneChunks` counts from the front of the disk. */
export type SyncHello = v.InferOutput<typeof SYNC_HELLO>;
export type SyncBegin = v.InferOutput<typeof SYNC_BEGIN>;
export type SyncEnd = v.InferOutput<typeof SYNC_END>;

function encodeJson(type: FrameType, value: unknown): Buffer {
  return encodeFrame(type, Buffer.from(JSON.stringify(value)));
}

function decodeJson<S extends v.GenericSchema>(
  what: string,
  schema: S,
  payload: Buffer,
): v.InferOutput<S> {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString('utf8'));
  } catch {
    throw protocolError(`${what} that is no JSON`);
  }

  const result = safeParse(schema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw protocolError(`${what} with ${getDotPath(issue) ?? 'a fault'}: ${issue.message}`);
}

/** Encodes the first frame of a log stream, follower to source. */
export function encodeHello(hello: Hello): Buffer {
  return encodeJson(FRAME.hello, hello);
}

/** @throws DiskError PEER_PROTOCOL */
export function decodeHello(payload: Buffer): Hello {
  return decodeJson('a HELLO', HELLO, payload);
}

/** Encodes the source's answer to a HELLO. */
export function encodeAnswer(answer: Answer): Buffer {
  return encodeJson(FRAME.answer, answer);
}

/** @throws DiskError PEER_PROTOCOL */
export function decodeAnswer(payload: Buffer): Answer {
  const answer = decodeJson('an ANSWER', ANSWER, payload);
  const needed = ['follow', 'cut', 'forked'].includes(answer.kind);
  if (!needed || answer.position !== undefined) return answer;
  throw protocolError(`an ANSWER ${answer.kind} without a position`);
}

/** Encodes the orderly end of a stream, by either side. */
export function encodeEnd(end: End): Buffer {
  return encodeJson(FRAME.end, end);
}

/** @throws DiskError PEER_PROTOCOL */
export function decodeEnd(payload: Buffer): End {
  return decodeJson('an END', END, payload);
}

/** Encodes the first frame of a sync stream, target to source. */
export function encodeSyncHello(hello: SyncHello): Buffer {
  return encodeJson(FRAME.syncHello, hello);
}

/** @throws DiskError PEER_PROTOCOL */
export function decodeSyncHello(payload: Buffer): SyncHello {
  return decodeJson('a SYNC_HELLO', SYNC_HELLO, payload);
}

/** Encodes what the source answers to a SYNC_HELLO. */
export function encodeSyncBegin(begin: SyncBegin): Buffer {
  return encodeJson(FRAME.syncBegin, begin);
}

/** @throws DiskError PEER_PROTOCOL */
export function decodeSyncBegin(payload: Buffer): SyncBegin {
  return decodeJson('a SYNC_BEGIN', SYNC_BEGIN, payload);
}

/** Encodes the end of a copy: up to where the log has to be replayed upon it. */
export function encodeSyncEnd(end: SyncEnd): Buffer {
  return encodeJson(FRAME.syncEnd, end);
}

/** Encodes that everything behind it was read while the source's image held nothing above `end`. */
export function encodeSyncMark(mark: SyncEnd): Buffer {
  return encodeJson(FRAME.syncMark, mark);
}

/** Decodes SYNC_END and SYNC_MARK. @throws DiskError PEER_PROTOCOL */
export function decodeSyncEnd(payload: Buffer): SyncEnd {
  return decodeJson('a SYNC_END', SYNC_END, payload);
}

// Payloads with a fixed layout.

function encodeNumbers(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 8);
  for (const [index, value] of values.entries()) {
    bytes.writeBigUInt64LE(BigInt(value), index * 8);
  }

  return bytes;
}

/** @throws DiskError PEER_PROTOCOL where it is no safe integer, or goes beyond the payload */
function numberAt(payload: Buffer, offset: number): number {
  if (payload.length < offset + 8) throw protocolError('a frame that is too short');
  const value = payload.readUInt32LE(offset) + payload.readUInt32LE(offset + 4) * 2 ** 32;
  if (!Number.isSafeInteger(value)) throw protocolError('a number above 2^53');
  return value;
}

function fourNumbers(payload: Buffer): [number, number, number, number] {
  const [at0, at8] = [numberAt(payload, 0), numberAt(payload, 8)];
  return [at0, at8, numberAt(payload, 16), numberAt(payload, 24)];
}

export interface SegmentFrame {
  /** Records of the segment follow from here on. */
  readonly position: number;
  /** The segment's header as the origin has stored it, 4096 bytes. */
  readonly bytes: Buffer;
  readonly header: SegmentHeader;
}

/** Encodes the change to a segment; `header` are the 4096 bytes as stored. */
export function encodeSegment(position: number, header: Buffer): Buffer {
  return encodeFrame(FRAME.segment, encodeNumbers(position), header);
}

/** @throws DiskError PEER_PROTOCOL; LOG_FORMAT where a newer version wrote the segment */
export function decodeSegment(payload: Buffer): SegmentFrame {
  const position = numberAt(payload, 0);
  const bytes = payload.subarray(8);
  const header = decodeSegmentHeader(bytes);
  if (header?.started !== true) throw protocolError('a SEGMENT without a valid header');
  if (position < header.start || position > header.start + header.capacityBytes) {
    throw protocolError('a SEGMENT with a position that is not in it');
  }

  return {position, bytes, header};
}

/**
 * Encodes all of a RECORDS frame that comes before the records: write them right behind it.
 *
 * @param records whole records, FRAME_PAYLOAD_MAX - 8 bytes at most
 */
export function encodeRecordsHead(position: number, records: Buffer): Buffer {
  const head = encodeNumbers(position);
  return Buffer.concat([encodeFrameHeader(FRAME.records, head, records), head]);
}

/**
 * @returns the position of the first record, and the records; they are not looked at
 * @throws DiskError PEER_PROTOCOL
 */
export function decodeRecords(payload: Buffer): {position: number; records: Buffer} {
  return {position: numberAt(payload, 0), records: payload.subarray(8)};
}

/**
 * Encodes a PACKED frame.
 *
 * @param type of the frame inside
 * @param length of its payload before it was compressed
 */
export function encodePacked(
  type: typeof FRAME.records | typeof FRAME.syncData,
  name: PackingName,
  length: number,
  packed: Buffer,
): Buffer[] {
  const head = Buffer.alloc(PACKED_HEAD_BYTES);
  head[0] = type;
  head[1] = packingNumber(name);
  head.writeUInt32LE(length, 4);
  return [Buffer.concat([encodeFrameHeader(FRAME.packed, head, packed), head]), packed];
}

export interface Mark {
  /** Durable at the origin, as the source knows it. */
  readonly durable: number;
  /** Where the log of the source ends. */
  readonly end: number;
  /** The source's clock, milliseconds since 1970. */
  readonly timeMs: number;
  /** Time of the newest record that was sent; 0 before the first. */
  readonly recordMs: number;
}

/** Encodes what the source says of itself between records. */
export function encodeMark(mark: Mark): Buffer {
  const {durable, end, timeMs, recordMs} = mark;
  return encodeFrame(FRAME.mark, encodeNumbers(durable, end, timeMs, recordMs));
}

/** @throws DiskError PEER_PROTOCOL */
export function decodeMark(payload: Buffer): Mark {
  const [durable, end, timeMs, recordMs] = fourNumbers(payload);
  return {durable, end, timeMs, recordMs};
}

/** How far a follower is: received, durable in its log, replay state `from` and `to`. */
export interface Ack {
  readonly received: number;
  readonly durable: number;
  readonly from: number;
  readonly to: number;
}

/** Encodes what the follower says of itself. */
export function encodeAck(ack: Ack): Buffer {
  return encodeFrame(FRAME.ack, encodeNumbers(ack.received, ack.durable, ack.from, ack.to));
}

/** @throws DiskError PEER_PROTOCOL */
export function decodeAck(payload: Buffer): Ack {
  const [received, durable, from, to] = fourNumbers(payload);
  return {received, durable, from, to};
}

/** A flush at the origin waits: the follower is to ACK as soon as it can. */
export interface Ask {
  /** Everything below it; it was sent before. */
  readonly position: number;
  /** When it is on stable storage; else when it is received. */
  readonly durably: boolean;
}

/** Encodes a question for an ACK. */
export function encodeAsk({position, durably}: Ask): Buffer {
  return encodeFrame(FRAME.ask, encodeNumbers(position, durably ? 1 : 0));
}

/** @throws DiskError PEER_PROTOCOL */
export function decodeAsk(payload: Buffer): Ask {
  const durably = numberAt(payload, 8);
  if (durably > 1) throw protocolError('an ASK for something that is not known');
  return {position: numberAt(payload, 0), durably: durably === 1};
}

/** Chunks in a row. */
export interface ChunkRange {
  readonly first: number;
  readonly count: number;
}

export interface SyncAsk extends ChunkRange {
  /** `count` SHA-256 digests of 32 bytes, joined; one of zeros: the target has only zeros there. */
  readonly digests: Buffer;
}

/** Encodes a question: which of these chunks differ. */
export function encodeSyncAsk(first: number, digests: Buffer): Buffer {
  assert(digests.length % DIGEST_BYTES === 0, 'whole digests');
  const head = Buffer.alloc(12);
  head.writeBigUInt64LE(BigInt(first), 0);
  head.writeUInt32LE(digests.length / DIGEST_BYTES, 8);
  return encodeFrame(FRAME.syncAsk, head, digests);
}

/** @throws DiskError PEER_PROTOCOL */
export function decodeSyncAsk(payload: Buffer): SyncAsk {
  const first = numberAt(payload, 0);
  const digests = payload.subarray(12);
  const count = digests.length / DIGEST_BYTES;
  if (digests.length === 0 || payload.readUInt32LE(8) !== count || count > SYNC_ASKED_MAX) {
    throw protocolError('a SYNC_ASK whose digests are not as many as it says');
  }

  return {first, count, digests};
}

/** Encodes SYNC_ASK_ZEROS, SYNC_SKIP, SYNC_SAME or SYNC_ZERO. */
export function encodeChunkRange(
  type:
    | typeof FRAME.syncAskZeros
    | typeof FRAME.syncSkip
    | typeof FRAME.syncSame
    | typeof FRAME.syncZero,
  range: ChunkRange,
): Buffer {
  return encodeFrame(type, encodeNumbers(range.first, range.count));
}

/** Decodes SYNC_ASK_ZEROS, SYNC_SKIP, SYNC_SAME and SYNC_ZERO. @throws DiskError PEER_PROTOCOL */
export function decodeChunkRange(payload: Buffer): ChunkRange {
  const range = {first: numberAt(payload, 0), count: numberAt(payload, 8)};
  const end = range.first + range.count;
  if (range.count > 0 && Number.isSafeInteger(end)) return range;
  throw protocolError('a range of chunks that is empty or too long');
}

/** Encodes a question for bytes of the disk: SYNC_CHUNK_BYTES at most, whatever is here. */
export function encodeSyncAskBytes(offset: number, length: number): Buffer {
  return encodeFrame(FRAME.syncAskBytes, encodeNumbers(offset, length));
}

/** @throws DiskError PEER_PROTOCOL */
export function decodeSyncAskBytes(payload: Buffer): {offset: number; length: number} {
  const range = {offset: numberAt(payload, 0), length: numberAt(payload, 8)};
  if (range.length > 0 && range.length <= SYNC_CHUNK_BYTES) return range;
  throw protocolError(`a question for ${range.length} bytes`);
}

/** Encodes bytes of the disk. */
export function encodeSyncBytes(offset: number, bytes: Buffer): Buffer {
  return encodeFrame(FRAME.syncBytes, encodeNumbers(offset), bytes);
}

/** @throws DiskError PEER_PROTOCOL */
export function decodeSyncBytes(payload: Buffer): {offset: number; bytes: Buffer} {
  return {offset: numberAt(payload, 0), bytes: payload.subarray(8)};
}

/** Encodes the content of a chunk; the last one of a disk may be shorter. */
export function encodeSyncData(chunk: number, bytes: Buffer): Buffer {
  return encodeFrame(FRAME.syncData, encodeNumbers(chunk), bytes);
}

/** @throws DiskError PEER_PROTOCOL */
export function decodeSyncData(payload: Buffer): {chunk: number; bytes: Buffer} {
  const chunk = numberAt(payload, 0);
  const bytes = payload.subarray(8);
  if (bytes.length > 0 && bytes.length <= SYNC_CHUNK_BYTES) return {chunk, bytes};
  throw protocolError('a SYNC_DATA without a chunk');
}
