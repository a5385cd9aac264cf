import {crc32} from 'node:zlib';
import {assert} from '../core/assert.js';
import type {DiskError} from '../core/errors.js';
import type {PackingName} from '../core/packing-names.js';
import {
  FRAME,
  FRAME_BOUNDS,
  FRAME_CRC_OFFSET,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  PACKED_HEAD_BYTES,
  protocolError,
  type FrameType,
} from './frames.js';
import {unpack} from './packing.js';

/** Types of frames that are large enough to be worth it. */
const PACKABLE: ReadonlySet<number> = new Set([FRAME.records, FRAME.syncData]);

export interface Frame {
  readonly type: FrameType;
  /** Begins at a multiple of 8 in its memory. */
  readonly payload: Buffer;
}

/**
 * Makes frames out of what a stream yields, and believes nothing: a length counts only within the
 * bounds of its type, a payload only with its checksum. Holds one frame at most, and the rest of
 * the chunk that was pushed last: `next` is to be called until it has none before the next push.
 */
export class FrameReader {
  /** Memory of every payload; undefined: each has its own. */
  #memory: Buffer | undefined;
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES);
  #headerBytes = 0;
  #payload: Buffer | undefined;
  #payloadBytes = 0;
  #chunk: Buffer = Buffer.alloc(0);
  #chunkOffset = 0;
  #error: DiskError | undefined;

  readonly #unpacks: readonly PackingName[];

  /**
   * @param options.reuses true: a payload is good until the next call of `next`, and no memory is
   *   wasted
   * @param options.unpacks what the peer was offered to compress with; frames come out unpacked
   */
  constructor(options: {reuses?: boolean; unpacks?: readonly PackingName[]} = {}) {
    if (options.reuses === true) this.#memory = Buffer.alloc(0);
    this.#unpacks = options.unpacks ?? [];
  }

  /** Takes what came from the peer; it must not be changed until `next` has no more frames. */
  push(chunk: Buffer): void {
    if (this.#error !== undefined) return;
    assert(this.#chunkOffset === this.#chunk.length, 'frames are taken before the next chunk');
    this.#chunk = chunk;
    this.#chunkOffset = 0;
  }

  /** Bytes of a frame that is not complete yet: a stream that ends here was broken off. */
  get pendingBytes(): number {
    return this.#headerBytes + this.#payloadBytes;
  }

  /**
   * @returns the next whole frame, undefined where more bytes are needed
   * @throws DiskError PEER_PROTOCOL; again at every later call, as nobody knows where to go on
   */
  next(): Frame | undefined {
    if (this.#error !== undefined) throw this.#error;
    if (this.#payload === undefined) {
      this.#headerBytes += this.#take(this.#header, this.#headerBytes);
      if (this.#headerBytes < FRAME_HEADER_BYTES) return undefined;
      this.#payload = this.#newPayload();
    }

    this.#payloadBytes += this.#take(this.#payload, this.#payloadBytes);
    if (this.#payloadBytes < this.#payload.length) return undefined;
    const payload = this.#payload;
    const crc = crc32(payload, crc32(this.#header.subarray(0, FRAME_CRC_OFFSET)));
    if (crc !== this.#header.readUInt32LE(FRAME_CRC_OFFSET))
      this.#fail('a frame with a wrong checksum');
    const type = this.#header[4] as FrameType;
    this.#payload = undefined;
    this.#payloadBytes = 0;
    this.#headerBytes = 0;
    return type === FRAME.packed ? this.#unpack(payload) : {type, payload};
  }

  /** Moves what is there of the chunk to `target`. @returns how many bytes */
  #take(target: Buffer, offset: number): number {
    const count = this.#chunk.copy(target, offset, this.#chunkOffset);
    this.#chunkOffset += count;
    return count;
  }

  /** Checks the header. @returns room for its payload */
  #newPayload(): Buffer {
    const header = this.#header;
    if (header.readUInt32LE(0) !== FRAME_MAGIC) this.#fail('no frame begins here');
    const bounds = FRAME_BOUNDS[header[4] ?? 0];
    if (bounds === undefined) this.#fail(`a frame of the unknown type ${header[4] ?? 0}`);
    if (header[5] !== 0 || header.readUInt16LE(6) !== 0) this.#fail('a frame with unknown flags');
    const length = header.readUInt32LE(8);
    if (length >= bounds[0] && length <= bounds[1]) return this.#roomFor(length);
    return this.#fail(`a frame of type ${header[4] ?? 0} with ${length} bytes`);
  }

  #unpack(payload: Buffer): Frame {
    const type = payload[0] ?? 0;
    const bounds = PACKABLE.has(type) ? FRAME_BOUNDS[type] : undefined;
    if (bounds === undefined) return this.#fail(`a compressed frame of type ${type}`);
    if (payload.readUInt16LE(2) !== 0) this.#fail('a compressed frame with unknown flags');
    const length = payload.readUInt32LE(4);
    const packed = payload.subarray(PACKED_HEAD_BYTES);
    if (length < bounds[0] || length > bounds[1] || length <= packed.length) {
      this.#fail(`a frame of type ${type} with ${length} bytes, compressed to ${packed.length}`);
    }

    const bytes = unpack(payload[1] ?? 0, this.#unpacks, packed, length);
    if (bytes === undefined) return this.#fail('a compressed frame that is not what it says');
    return {type: type as FrameType, payload: bytes};
  }

  #roomFor(length: number): Buffer {
    if (this.#memory === undefined) return Buffer.allocUnsafe(length);
    if (this.#memory.length < length) this.#memory = Buffer.allocUnsafeSlow(length);
    return this.#memory.subarray(0, length);
  }

  #fail(fault: string): never {
    this.#error = protocolError(fault);
    // Nothing that comes now is looked at, or kept.
    this.#chunk = Buffer.alloc(0);
    this.#chunkOffset = 0;
    this.#payload = undefined;
    throw this.#error;
  }
}
