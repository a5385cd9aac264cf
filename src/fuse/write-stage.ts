/**
 * Writes that wait in the kernel at the same time are read one behind the other into one buffer and
 * handed to the handler as one batch, so that the log takes them with one write(2). The payloads lie a
 * record header apart: each request is read to where its payload has to lie, and its own header, 80
 * bytes, falls into the gap.
 *
 * Looking for one more request that is not there costs an error, some microseconds. So the stage
 * notes what it finds: where nothing ever waits it is asked less and less, where much waits always.
 *
 *   shallow   one request at a time; after every `interval` writes a look, the interval doubling up
 *             to PROBE_INTERVAL_MAX as long as nothing waits  -> something waited: busy
 *   busy      requests are read into the stage; ALONE_MAX batches of one in a row -> shallow
 */
import {assert} from '../core/assert.js';
import {BLOCK_BYTES} from '../core/limits.js';
import {
  BODY,
  IN,
  IN_NODE_HIGH,
  OPCODE,
  OUT_HEADER_BYTES,
  PAYLOAD_OFFSET,
  REQUEST_OFFSET,
  REQUEST_READ_BYTES,
  UNIQUE_HIGH_RESENT,
  WRITE_HEADER_BYTES,
  WRITE_OUT_BYTES,
  readUint64,
} from './abi.js';
import {encodeHeader, encodeWriteOut} from './encode.js';
import {
  WRITE_BATCH_COUNT_MAX,
  WRITE_GAP_BYTES,
  WRITE_TAILROOM_BYTES,
  type WriteBatch,
} from './handler.js';
import {NODE} from './tree.js';

/** Payload bytes after which no further request is looked for. */
const BATCH_BYTES_MAX = 256 * 1024;
const PROBE_INTERVAL_MAX = 64;
const ALONE_MAX = 4;
const BUFFER_BYTES =
  PAYLOAD_OFFSET +
  BATCH_BYTES_MAX +
  WRITE_BATCH_COUNT_MAX * WRITE_GAP_BYTES +
  REQUEST_READ_BYTES +
  WRITE_TAILROOM_BYTES;

export type SendReply = (
  reply: Buffer,
  offset: number,
  lengthBytes: number,
  isSecond: boolean,
) => void;

/** Gathers writes; one owner, one thread. */
export class WriteStage implements WriteBatch {
  readonly bytes = Buffer.alloc(BUFFER_BYTES);
  readonly payloadOffset = PAYLOAD_OFFSET;
  readonly offsets = new Float64Array(WRITE_BATCH_COUNT_MAX);
  readonly lengths = new Uint32Array(WRITE_BATCH_COUNT_MAX);
  readonly #uniques = new Uint32Array(2 * WRITE_BATCH_COUNT_MAX);
  readonly #second = new Uint8Array(WRITE_BATCH_COUNT_MAX);
  readonly #words: Uint32Array;
  readonly #reply = Buffer.alloc(OUT_HEADER_BYTES + WRITE_OUT_BYTES);
  readonly #out: Uint32Array;
  #count = 0;
  #payloadBytes = 0;
  #end = PAYLOAD_OFFSET;
  #isBusy = false;
  #alone = 0;
  #interval = 1;
  #untilProbe = 0;

  constructor() {
    const {bytes} = this;
    // Touched, not only allocated: see the dispatcher's buffer.
    bytes.fill(0);
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    this.#out = new Uint32Array(
      this.#reply.buffer,
      this.#reply.byteOffset,
      this.#reply.byteLength / 4,
    );
  }

  get count(): number {
    return this.#count;
  }

  get payloadBytes(): number {
    return this.#payloadBytes;
  }

  /** Whether writes come in such numbers that they are to be read into the stage at once. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** Where in `bytes` the next request is to be read to, with room for REQUEST_READ_BYTES. */
  get requestOffset(): number {
    return this.#count === 0 ? REQUEST_OFFSET : this.#end + WRITE_GAP_BYTES - WRITE_HEADER_BYTES;
  }

  get isFull(): boolean {
    return this.#payloadBytes >= BATCH_BYTES_MAX || this.#count === WRITE_BATCH_COUNT_MAX;
  }

  /** A write came alone. @returns whether it is time to look if another one waits */
  isProbeDue(): boolean {
    this.#untilProbe -= 1;
    return this.#untilProbe < 0;
  }

  /** A look found nothing. */
  noneWaited(): void {
    this.#interval = Math.min(2 * this.#interval, PROBE_INTERVAL_MAX);
    this.#untilProbe = this.#interval;
  }

  /**
   * Takes the request of `lengthBytes` at `requestOffset`, if it is a plain write of whole blocks
   * inside the disk that the kernel sends for the first time.
   *
   * @param isSecond whether it came through the second descriptor
   * @returns false where it is something else: it stays where it is, for the dispatcher
   */
  take(lengthBytes: number, diskBytes: number, isSecond: boolean): boolean {
    const words = this.#words;
    const at = this.requestOffset / 4;
    const length = lengthBytes - WRITE_HEADER_BYTES;
    if (
      words[at + IN.OPCODE] !== OPCODE.WRITE ||
      length <= 0 ||
      words[at + IN.LENGTH] !== lengthBytes ||
      words[at + BODY + 4] !== length ||
      words[at + IN.NODE_LOW] !== NODE.DISK ||
      words[at + IN_NODE_HIGH] !== 0
    ) {
      return false;
    }

    const uniqueHigh = words[at + IN.UNIQUE_HIGH] ?? 0;
    if ((uniqueHigh & UNIQUE_HIGH_RESENT) !== 0) return false;
    const offset = readUint64(words, at + BODY + 2);
    if (offset % BLOCK_BYTES !== 0 || length % BLOCK_BYTES !== 0 || offset + length > diskBytes) {
      return false;
    }

    const index = this.#count;
    assert(!this.isFull, 'nothing is read into a full stage');
    this.offsets[index] = offset;
    this.lengths[index] = length;
    this.#uniques[2 * index] = words[at + IN.UNIQUE_LOW] ?? 0;
    this.#uniques[2 * index + 1] = uniqueHigh;
    this.#second[index] = isSecond ? 1 : 0;
    this.#end = this.requestOffset + lengthBytes;
    this.#count = index + 1;
    this.#payloadBytes += length;
    return true;
  }

  /** Tells the kernel that all are done, and empties the stage. */
  answerAll(send: SendReply): void {
    for (let index = 0; index < this.#count; index += 1) {
      const bodyBytes = encodeWriteOut(this.#out, this.lengths[index] ?? 0);
      const low = this.#uniques[2 * index] ?? 0;
      const high = this.#uniques[2 * index + 1] ?? 0;
      const lengthBytes = encodeHeader(this.#out, bodyBytes, 0, low, high);
      send(this.#reply, 0, lengthBytes, this.#second[index] === 1);
    }

    this.#empty();
  }

  /**
   * Writes each request anew as the kernel sent it, at REQUEST_OFFSET of `request`, and has it handled.
   * For a handler that did not take the batch: it may have overwritten the gaps.
   */
  handleEach(request: Buffer, handle: (lengthBytes: number, isSecond: boolean) => void): void {
    const words = new Uint32Array(
      request.buffer,
      request.byteOffset + REQUEST_OFFSET,
      WRITE_HEADER_BYTES / 4,
    );
    let at = PAYLOAD_OFFSET;
    for (let index = 0; index < this.#count; index += 1) {
      const length = this.lengths[index] ?? 0;
      const offset = this.offsets[index] ?? 0;
      this.bytes.copy(request, PAYLOAD_OFFSET, at, at + length);
      words.fill(0);
      words[IN.LENGTH] = WRITE_HEADER_BYTES + length;
      words[IN.OPCODE] = OPCODE.WRITE;
      words[IN.UNIQUE_LOW] = this.#uniques[2 * index] ?? 0;
      words[IN.UNIQUE_HIGH] = this.#uniques[2 * index + 1] ?? 0;
      words[IN.NODE_LOW] = NODE.DISK;
      words[BODY + 2] = offset; // modulo 2^32
      words[BODY + 3] = offset / 2 ** 32;
      words[BODY + 4] = length;
      handle(WRITE_HEADER_BYTES + length, this.#second[index] === 1);
      at += length + WRITE_GAP_BYTES;
    }

    this.#empty();
  }

  #empty(): void {
    if (this.#count > 1) {
      this.#isBusy = true;
      this.#alone = 0;
      this.#interval = 1;
    } else if (this.#isBusy) {
      this.#alone += 1;
      if (this.#alone >= ALONE_MAX) {
        this.#isBusy = false;
        this.#alone = 0;
      }
    }

    this.#count = 0;
    this.#payloadBytes = 0;
    this.#end = PAYLOAD_OFFSET;
  }
}
