/**
 * The source's end of a sync stream (docs/PROTOCOL.md): compares the digests of the target with the
 * image and sends what differs.
 *
 *   1. begin: `from` of the image, or where the target wants to go on; the log is pinned from there,
 *      and only then is its chain value looked up: what was pinned too late is gone, and noticed
 *   2. where the image has data is asked for after that, so a hole was one at `begin` or later
 *   3. each answer is read from the image first; then `to` is asked, told in a SYNC_MARK, and only
 *      then the answer is sent: whatever the target holds, it knows up to where it may be
 *   4. behind the last chunk: SYNC_END with the highest `to` that was told
 *
 * All that is in the image is durable in the log (log before image), so no power loss of the source
 * takes back what was copied. The image is read while replay writes to it: a chunk may be a mixture
 * of positions, which the log from `begin` to `end` mends.
 */
import type {Duplex} from 'node:stream';
import {assert} from '../core/assert.js';
import {systemClock} from '../core/clock.js';
import {digestOf} from '../core/digest.js';
import {DiskError, storeError} from '../core/errors.js';
import {ChunkMap} from '../core/extents.js';
import {formatPosition, parsePosition} from '../core/position.js';
import {SYNC_CHUNK_BYTES} from '../log/frame-schemas.js';
import {readFrames, writeFrame} from '../log/frame-stream.js';
import type {Frame} from '../log/frame-reader.js';
import {
  decodeChunkRange,
  decodeSyncAsk,
  decodeSyncAskBytes,
  decodeSyncHello,
  DIGEST_BYTES,
  encodeChunkRange,
  encodeEnd,
  encodePacked,
  encodeSyncBegin,
  encodeSyncBytes,
  encodeSyncData,
  encodeSyncEnd,
  encodeSyncMark,
  FRAME,
  FRAME_HEADER_BYTES,
  protocolError,
  type ChunkRange,
  type SyncHello,
} from '../log/frames.js';
import type {LineageEntry} from '../log/lineage.js';
import type {PackingWish} from '../core/packing-names.js';
import {Packer} from './packer.js';
import type {SourceImage} from './source-image.js';

/** How far the source's image is, as its disk process says. */
export interface SyncPositions {
  /** Everything below is in the image. */
  readonly from: number;
  /** Nothing at or above is. */
  readonly to: number;
  readonly sizeBytes: number;
  readonly lineage: readonly LineageEntry[];
}

export interface SyncSourceOptions {
  readonly stream: Duplex;
  readonly resourceId: string;
  /** Closed when the stream has ended. */
  readonly image: SourceImage;
  /**
   * Asked again for each few chunks, after they were read; refuses where the image cannot be a
   * source now. The disk process itself must be asked, after the call: an older `to` would let the
   * target believe in a copy that holds more.
   */
  positions(): Promise<SyncPositions>;
  /** Chain value of the log as text; undefined where the log does not hold the position. */
  chainAt(position: number): Promise<string | undefined>;
  /** Keeps the log from `position` on for this target, in the place of what was kept for it. */
  pin(position: number): Promise<void>;
  /** Waits until so many bytes may be sent. */
  takeBandwidth?(bytes: number): Promise<void>;
  /** What to compress with, asked for each chunk; `none` where it is left out. */
  compression?(): PackingWish;
  onProgress?(progress: SourceProgress): void;
  /** How long the target may be silent while it owes a question. */
  readonly silenceMs?: number;
}

export interface SourceProgress {
  readonly begin: number;
  readonly end: number;
  readonly doneChunks: number;
  readonly chunkCount: number;
  /** Content of chunks that was sent. */
  readonly dataBytes: number;
}

interface Question extends ChunkRange {
  /** Missing: the target has zeros in all of them, or skips them. */
  readonly digests?: Buffer;
  /** The target knows what differs in them, and has asked for that. */
  readonly isSkipped?: true;
}

type Verdict = 'same' | 'zero' | 'data';

/** The target syncs its image now and then, and says nothing meanwhile. */
const SILENCE_MS = 60_000;
/** The target is told that we live, while bandwidth, the image or its own digests are waited for. */
const ALIVE_MS = 2000;
/** Chunks that are read and digested at a time. */
const GROUP_CHUNKS = 8;
const BEGIN_TRIES = 5;
const ZERO_DIGEST = Buffer.alloc(DIGEST_BYTES);
const ZERO_CHUNK = Buffer.alloc(SYNC_CHUNK_BYTES);

/**
 * Serves one stream from SYNC_HELLO to its end.
 *
 * @returns what was copied, once SYNC_END is on its way
 * @throws DiskError PEER_PROTOCOL, PEER_SILENT, PEER_UNREACHABLE, LOG_GONE, STORE_IO, or what a
 *   callback threw; the target was told, where it could be
 */
export async function serveSync(options: SyncSourceOptions): Promise<SourceProgress> {
  const {stream, image} = options;
  // Whoever reads or writes hears of the end; an 'error' without a listener ends the process.
  stream.on('error', () => undefined);
  const source = new SyncSource(options);
  const alive = setInterval(() => {
    source.sayAlive();
  }, ALIVE_MS);
  try {
    await source.run();
    stream.end();
    return source.progress;
  } catch (error) {
    const known = storeError(error, 'read the image for a sync');
    if (known instanceof DiskError && stream.writable) {
      stream.end(encodeEnd({code: known.code, text: known.message}));
    } else {
      stream.destroy();
    }

    throw known;
  } finally {
    clearInterval(alive);
    await image.close();
  }
}

class SyncSource {
  readonly #options: SyncSourceOptions;
  readonly #stream: Duplex;
  readonly #buffers: (Buffer | undefined)[] = [];
  #map = new ChunkMap(0, SYNC_CHUNK_BYTES);
  #sizeBytes = 0;
  #begin = 0;
  /** Highest `to` that was told, and its chain value. */
  #end = 0;
  #endChain: string | null = null;
  #next = 0;
  #dataBytes = 0;
  #hasBegun = false;
  #isResumed = false;
  #packer: Packer | undefined;

  constructor(options: SyncSourceOptions) {
    this.#options = options;
    this.#stream = options.stream;
  }

  get progress(): SourceProgress {
    return {
      begin: this.#begin,
      end: this.#end,
      doneChunks: this.#next,
      chunkCount: this.#map.count,
      dataBytes: this.#dataBytes,
    };
  }

  /** Not while the stream is full: what is in it already says so. */
  sayAlive(): void {
    if (!this.#hasBegun || !this.#stream.writable || this.#stream.writableNeedDrain) return;
    this.#stream.write(this.#markFrame());
  }

  async run(): Promise<void> {
    const frames = readFrames(this.#stream, this.#options.silenceMs ?? SILENCE_MS);
    const resumeChunks = await this.#answerHello(await nextFrame(frames));
    let isFirst = true;
    while (this.#next < this.#map.count) {
      const frame = await nextFrame(frames);
      if (frame.type === FRAME.syncAskBytes) {
        await this.#answerBytes(decodeSyncAskBytes(frame.payload));
        continue;
      }

      const question = questionOf(frame);
      if (question.isSkipped === true && !this.#isResumed) {
        throw protocolError('a SYNC_SKIP of a copy that began here');
      }

      // Behind what is done, or anywhere before; then in order.
      if (isFirst && question.first <= resumeChunks) this.#next = question.first;
      isFirst = false;
      const {first, count} = question;
      if (first !== this.#next || first + count > this.#map.count) {
        throw protocolError(`a question about ${count} chunks from ${first}, not ${this.#next}`);
      }

      await this.#answer(question);
    }

    this.#hasBegun = false;
    await this.#send(encodeSyncEnd({end: formatPosition(this.#end), endChain: this.#endChain}));
  }

  /** Steps 1 and 2. @returns chunks that the target need not ask for */
  async #answerHello(frame: Frame): Promise<number> {
    if (frame.type !== FRAME.syncHello) throw protocolError('a stream without a SYNC_HELLO');
    const {resourceId, resume, compression} = decodeSyncHello(frame.payload);
    const wish = (): PackingWish => this.#options.compression?.() ?? 'none';
    this.#packer = new Packer(wish, compression, systemClock);
    if (resourceId !== this.#options.resourceId) {
      throw new DiskError('PEER_REFUSED', 'this is a source of another resource', {resourceId});
    }

    const resumed = resume === null ? undefined : await this.#beginAgain(resume);
    const {chain, positions} = resumed ?? (await this.#beginAnew());
    const doneChunks = resumed === undefined ? 0 : (resume?.doneChunks ?? 0);
    this.#isResumed = resumed !== undefined;
    const {sizeBytes} = positions;
    const begin = formatPosition(this.#begin);
    const lineage = positions.lineage.filter(({start}) => start <= begin);
    this.#sizeBytes = sizeBytes;
    this.#map = new ChunkMap(sizeBytes, SYNC_CHUNK_BYTES);
    await this.#options.image.scan(sizeBytes, (start, end) => {
      this.#map.mark(start, end);
    });
    await this.#send(
      encodeSyncBegin({
        sizeBytes,
        epoch: lineage.at(-1)?.epoch ?? null,
        begin,
        chain,
        resumed: resumed !== undefined,
        doneChunks,
        lineage,
        ranges: true,
        ...(this.#packer.name === undefined ? {} : {compression: this.#packer.name}),
      }),
    );
    await this.#mark(true);
    this.#hasBegun = true;
    return doneChunks;
  }

  /** Goes on with what the target has, from us or another source, where all of it is our past. */
  async #beginAgain(
    resume: NonNullable<SyncHello['resume']>,
  ): Promise<{chain: string; positions: SyncPositions} | undefined> {
    const begin = parsePosition(resume.begin) ?? 0;
    const end = resume.end === null ? begin : (parsePosition(resume.end) ?? 0);
    if (end < begin) throw protocolError('a SYNC_HELLO that ends before it begins');
    const positions = await this.#options.positions();
    // What we read must not be older than `begin`: the target replays from there.
    if (begin > positions.from) return undefined;
    if (!isInEpoch(positions.lineage, resume.epoch, begin)) return undefined;
    await this.#options.pin(begin);
    const chain = await this.#options.chainAt(begin);
    if (chain === undefined || chain !== resume.chain) return undefined;
    // Chunks of the target may hold all below `end`: our log must have it, and the same.
    if (resume.end !== null) {
      const endChain = await this.#options.chainAt(end);
      if (endChain === undefined || endChain !== resume.endChain) return undefined;
    }

    this.#begin = begin;
    this.#end = end;
    this.#endChain = resume.end === null ? chain : resume.endChain;
    return {chain, positions};
  }

  async #beginAnew(): Promise<{chain: string; positions: SyncPositions}> {
    for (let tries = 0; tries < BEGIN_TRIES; tries += 1) {
      const positions = await this.#options.positions();
      const {from} = positions;
      await this.#options.pin(from);
      const chain = await this.#options.chainAt(from);
      // Replay went on and the log was given up before the pin held: from where it is now.
      if (chain === undefined) continue;
      this.#begin = from;
      this.#end = from;
      this.#endChain = chain;
      return {chain, positions};
    }

    throw new DiskError('LOG_GONE', 'the log is given up faster than it can be kept for the sync');
  }

  /** Step 3 for one question. */
  async #answer(question: Question): Promise<void> {
    const last = question.first + question.count;
    if (question.isSkipped === true) {
      await this.#sendRange('same', question.first, question.count);
      this.#next = last;
      return;
    }

    while (this.#next < last) {
      const first = this.#next;
      if (this.#map.has(first)) {
        const end = this.#map.runEnd(first, Math.min(last, first + GROUP_CHUNKS));
        await this.#answerData(question, first, end);
      } else {
        await this.#answerHoles(question, first, this.#map.runEnd(first, last));
      }

      this.#options.onProgress?.(this.progress);
    }
  }

  async #answerBytes({offset, length}: {offset: number; length: number}): Promise<void> {
    if (offset + length > this.#sizeBytes) throw protocolError('a question beyond the disk');
    const bytes = Buffer.allocUnsafeSlow(length);
    await this.#options.image.read(offset, bytes);
    await this.#mark(false);
    await this.#options.takeBandwidth?.(length);
    this.#dataBytes += length;
    await this.#send(encodeSyncBytes(offset, bytes));
  }

  async #answerHoles(question: Question, first: number, end: number): Promise<void> {
    if (question.digests === undefined) {
      await this.#sendRange('same', first, end - first);
      this.#next = end;
      return;
    }

    for (let chunk = first; chunk < end; chunk += 1) {
      await this.#sendRange(saysZeros(question, chunk) ? 'same' : 'zero', chunk, 1);
      this.#next = chunk + 1;
    }
  }

  async #answerData(question: Question, first: number, end: number): Promise<void> {
    const comparisons: Promise<Verdict>[] = [];
    for (let chunk = first; chunk < end; chunk += 1) {
      comparisons.push(this.#compare(question, chunk, chunk - first));
    }

    const verdicts = await Promise.all(comparisons);
    await this.#mark(false);
    for (const [index, verdict] of verdicts.entries()) {
      const chunk = first + index;
      if (verdict === 'data') await this.#sendData(chunk, index);
      else await this.#sendRange(verdict, chunk, 1);
      this.#next = chunk + 1;
    }
  }

  async #compare(question: Question, chunk: number, slot: number): Promise<Verdict> {
    const bytes = this.#bufferOf(chunk, slot);
    await this.#options.image.read(chunk * SYNC_CHUNK_BYTES, bytes);
    const isZero = bytes.equals(ZERO_CHUNK.subarray(0, bytes.length));
    if (saysZeros(question, chunk)) return isZero ? 'same' : 'data';
    if (isZero) return 'zero';
    const digest = digestIn(question, chunk);
    return digest.equals(await digestOf(bytes)) ? 'same' : 'data';
  }

  /** Memory of its own for what is on its way; used again where a chunk was not sent. */
  #bufferOf(chunk: number, slot: number): Buffer {
    const buffer = (this.#buffers[slot] ??= Buffer.allocUnsafeSlow(SYNC_CHUNK_BYTES));
    const length = Math.min(SYNC_CHUNK_BYTES, this.#sizeBytes - chunk * SYNC_CHUNK_BYTES);
    return buffer.subarray(0, length);
  }

  async #sendData(chunk: number, slot: number): Promise<void> {
    const bytes = this.#bufferOf(chunk, slot);
    this.#buffers[slot] = undefined;
    this.#dataBytes += bytes.length;
    const frame = encodeSyncData(chunk, bytes);
    const payload = frame.subarray(FRAME_HEADER_BYTES);
    const small = await this.#packer?.pack(payload);
    const sent = small?.packed.length ?? bytes.length;
    const begun = systemClock.monotonicMs();
    await this.#options.takeBandwidth?.(sent);
    if (small === undefined) await this.#send(frame);
    else {
      const {name, packed} = small;
      await writeFrame(this.#stream, ...encodePacked(FRAME.syncData, name, payload.length, packed));
    }

    this.#packer?.noteSent(sent, systemClock.monotonicMs() - begun);
  }

  /** Asks for `to`: after the reads, before the answers that they lead to. */
  async #mark(isForced: boolean): Promise<void> {
    const {to} = await this.#options.positions();
    if (to > this.#end) {
      this.#endChain = (await this.#options.chainAt(to)) ?? null;
      this.#end = to;
    } else if (!isForced) {
      return;
    }

    await this.#send(this.#markFrame());
  }

  #markFrame(): Buffer {
    return encodeSyncMark({end: formatPosition(this.#end), endChain: this.#endChain});
  }

  async #sendRange(verdict: 'same' | 'zero', first: number, count: number): Promise<void> {
    const type = verdict === 'same' ? FRAME.syncSame : FRAME.syncZero;
    await this.#send(encodeChunkRange(type, {first, count}));
  }

  async #send(frame: Buffer): Promise<void> {
    await writeFrame(this.#stream, frame);
  }
}

async function nextFrame(frames: AsyncGenerator<Frame, void>): Promise<Frame> {
  const result = await frames.next();
  if (result.done !== true) return result.value;
  throw new DiskError('PEER_UNREACHABLE', 'the target has ended the stream');
}

function questionOf(frame: Frame): Question {
  if (frame.type === FRAME.syncAsk) return decodeSyncAsk(frame.payload);
  if (frame.type === FRAME.syncAskZeros) return decodeChunkRange(frame.payload);
  if (frame.type === FRAME.syncSkip) return {...decodeChunkRange(frame.payload), isSkipped: true};
  throw protocolError(`a frame of type ${frame.type} in the place of a question`);
}

function saysZeros(question: Question, chunk: number): boolean {
  return question.digests === undefined || digestIn(question, chunk).equals(ZERO_DIGEST);
}

function digestIn(question: Question, chunk: number): Buffer {
  assert(question.digests !== undefined, 'a question about content has digests');
  const at = (chunk - question.first) * DIGEST_BYTES;
  return question.digests.subarray(at, at + DIGEST_BYTES);
}

/** Whether `position` lies in `epoch`, or where it ends. */
function isInEpoch(
  lineage: readonly LineageEntry[],
  epoch: string | null,
  position: number,
): boolean {
  if (epoch === null) return lineage.length === 0;
  const index = lineage.findIndex((entry) => entry.epoch === epoch);
  const entry = lineage[index];
  if (entry === undefined) return false;
  const text = formatPosition(position);
  const next = lineage[index + 1];
  return entry.start <= text && (next === undefined || text <= next.start);
}
