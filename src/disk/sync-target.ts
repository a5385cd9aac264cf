/**
 * The target's end of a sync stream (docs/PROTOCOL.md): tells digests of its image, takes what
 * differs. First copy and repair are the same; an image that is equal already costs its digests.
 *
 * In this order, each step durable before the next:
 *
 *   1. SYNC_BEGIN: sync.json `copying`, with `begin` and nothing done, or what was done before
 *   2. chunks: written to the image; now and then the image is synced, then sync.json counts them.
 *      SYNC_MARK comes before the chunks it is about, so `end` in sync.json covers all of them
 *   3. SYNC_END: image synced, replay state {from: begin, to: end}, then sync.json `done`
 *
 * Whenever it breaks off, sync.json says `copying` and nothing is replayed upon the mixture; the
 * next stream goes on behind `doneChunks`, if the source still has the log from `begin` on.
 *
 * Where it is known which bytes can differ (`only` in sync.json, after a fork) just those are asked for,
 * as they are at the source, and all other chunks are skipped.
 *
 * Where a sync of the image fails the kernel calls pages clean that the device does not hold, and
 * digests of them would lie: sync.json `distrustEnd` then makes those chunks be sent whole.
 */
import {passCrashPoint} from '../core/crash-points.js';
import {digestOf} from '../core/digest.js';
import {storeError} from '../core/errors.js';
import {ChunkMap} from '../core/extents.js';
import {resourcePaths} from '../core/home.js';
import {formatPosition} from '../core/position.js';
import {MIB} from '../core/units.js';
import {isSameImage} from '../image/image-file.js';
import {replaceReplayState, type ReplayState} from '../image/replay-state.js';
import {SYNC_CHUNK_BYTES} from '../log/frame-schemas.js';
import {PACKINGS_HERE} from '../log/packing.js';
import type {Frame} from '../log/frame-reader.js';
import {readFrames, writeFrame} from '../log/frame-stream.js';
import {
  decodeChunkRange,
  decodeSyncBegin,
  decodeSyncBytes,
  decodeSyncData,
  decodeSyncEnd,
  encodeChunkRange,
  encodeSyncAsk,
  encodeSyncAskBytes,
  encodeSyncHello,
  FRAME,
  protocolError,
  SYNC_ASKED_MAX,
  type SyncBegin,
  type SyncHello,
  type SyncEnd,
} from '../log/frames.js';
import {
  nextFrame,
  partsWithin,
  positionOf,
  scanImage,
  DISTRUST_DIGEST,
  distrusted,
  wholeOnly,
  ZERO_DIGEST,
  type Asked,
  type SyncTargetOptions,
} from './sync-target-options.js';
import {emptySyncState, readSyncState, writeSyncState, type SyncState} from './sync-state.js';
import {TargetImage, type SyncImage} from './target-image.js';

/** The source says every 2 s that it lives. */
const SILENCE_MS = 10_000;
const PERSIST_MS = 3000;
/** A sync of the image holds up this thread: no longer than a disk takes for this much. */
const DIRTY_BYTES_MAX = 64 * MIB;
const GROUP_CHUNKS = 8;

/**
 * Copies or repairs the image of a resource whose sync.json exists, over one stream. The image is
 * nobody else's meanwhile. The stream is at its end when this settles.
 *
 * @returns the state `done`, which is durable
 * @throws DiskError PEER_PROTOCOL, PEER_SILENT, PEER_UNREACHABLE, IMAGE_TOO_SMALL, STORE_IO, or the
 *   code that the source ended with; SOURCE_BEHIND or LOG_GONE where the source cannot give only what
 *   differs, and nothing else is wanted. What was done until then is kept
 */
export async function runSyncTarget(options: SyncTargetOptions): Promise<SyncState> {
  const {files, config, stream} = options;
  const {imagePath} = config.resource;
  stream.on('error', () => undefined);
  try {
    const image = options.image ?? new TargetImage(files, imagePath, SYNC_CHUNK_BYTES);
    try {
      return await new SyncTarget(options, image).run();
    } finally {
      image.close();
    }
  } finally {
    stream.destroy();
  }
}

class SyncTarget {
  readonly #options: SyncTargetOptions;
  readonly #image: SyncImage;
  readonly #asked: Asked[] = [];
  readonly #syncFile: string;
  #state: SyncState;
  #distrustEnd: number;
  #chunkCount = 0;
  #map = new ChunkMap(0, SYNC_CHUNK_BYTES);
  /** Chunks below are asked for, and answered. */
  #askedEnd = 0;
  #answeredEnd = 0;
  #end: number | null = null;
  #endChain: string | null = null;
  /** Bytes that are asked for, in order, and not answered yet. */
  readonly #askedBytes: {readonly offset: number; readonly length: number}[] = [];
  #only: readonly (readonly [number, number])[] | null = null;
  #askedWeight = 0;
  #wake: () => void = () => undefined;
  #isOver = false;
  #cause: unknown;
  #hasStoreFailed = false;
  #dataBytes = 0;
  #persistedMs = 0;

  constructor(options: SyncTargetOptions, image: SyncImage) {
    this.#options = options;
    this.#image = image;
    const {files, config} = options;
    const state = readSyncState(files, config.home, config.resource.name);
    this.#state = state ?? emptySyncState(config.resource.sizeBytes, SYNC_CHUNK_BYTES);
    this.#syncFile = resourcePaths(config.home, config.resource.name).syncFile;
    this.#distrustEnd = Math.max(this.#state.distrustEnd, distrusted.get(this.#syncFile) ?? 0);
  }

  async run(): Promise<SyncState> {
    const {stream} = this.#options;
    const frames = readFrames(stream, this.#options.silenceMs ?? SILENCE_MS, PACKINGS_HERE);
    await this.#sendHello();
    const first = await nextFrame(frames);
    if (first.type !== FRAME.syncBegin) throw protocolError(`type ${first.type} for SYNC_BEGIN`);
    this.#begin(decodeSyncBegin(first.payload));
    this.#map = await this.#image.scan(this.#options.scan ?? scanImage);
    const asking = this.#ask().catch((error: unknown) => {
      this.#giveUp(error);
    });
    try {
      return this.#finish(await this.#takeAnswers(frames));
    } catch (error) {
      this.#giveUp(error);
      await asking;
      this.#keepWhatIsDone();
      throw this.#cause;
    }
  }

  /** Answers and questions end together; what went wrong first is why. */
  #giveUp(cause: unknown): void {
    this.#cause ??= cause;
    this.#isOver = true;
    this.#options.stream.destroy();
    this.#wake();
  }

  async #sendHello(): Promise<void> {
    const {config, stream} = this.#options;
    const state = this.#state;
    const known = state.image;
    if (known !== null && !isSameImage(known, this.#image.identify())) {
      this.#state = emptySyncState(state.sizeBytes, SYNC_CHUNK_BYTES);
      this.#distrust(0);
    }

    const {epoch, begin, chain, doneChunks, end, endChain, chunkBytes} = this.#state;
    const canResume = this.#state.state !== 'empty' && chunkBytes === SYNC_CHUNK_BYTES;
    const resume = {
      epoch,
      begin: formatPosition(begin),
      chain,
      doneChunks,
      end: end === null ? null : formatPosition(end),
      endChain,
    };
    const hello: SyncHello = {
      version: 1,
      resourceId: config.resource.id,
      nodeId: config.node.id,
      chunkBytes: SYNC_CHUNK_BYTES,
      resume: canResume ? resume : null,
      compression: [...PACKINGS_HERE],
    };
    await writeFrame(stream, encodeSyncHello(hello));
  }

  /** Step 1. */
  #begin(answer: SyncBegin): void {
    const old = this.#state;
    const begin = positionOf(answer.begin);
    const isResumed = answer.resumed;
    if (isResumed && (old.state === 'empty' || begin !== old.begin || answer.chain !== old.chain)) {
      throw protocolError('a SYNC_BEGIN that goes on elsewhere');
    }

    // A disk of another size, or a copy from elsewhere: what was known does not hold.
    const holds = isResumed && answer.ranges === true && old.sizeBytes === answer.sizeBytes;
    if (this.#options.isPartial === true && !holds) throw wholeOnly(begin, old.begin);
    if (answer.sizeBytes === 0) throw protocolError('a SYNC_BEGIN of an empty disk');
    this.#chunkCount = Math.ceil(answer.sizeBytes / SYNC_CHUNK_BYTES);
    // The last chunk may have been a short one of a smaller disk, and one is asked for at any rate.
    const whole = Math.floor(Math.min(old.sizeBytes, answer.sizeBytes) / SYNC_CHUNK_BYTES);
    const done = isResumed ? Math.min(old.doneChunks, whole, this.#chunkCount - 1) : 0;
    this.#askedEnd = done;
    this.#answeredEnd = done;
    this.#end = isResumed ? old.end : null;
    this.#endChain = isResumed ? old.endChain : null;
    this.#image.setSize(answer.sizeBytes, done);
    this.#only = holds ? (old.only ?? null) : null;
    this.#persist({
      schema: 1,
      state: 'copying',
      epoch: answer.epoch,
      begin,
      chain: answer.chain,
      end: this.#end,
      endChain: this.#endChain,
      sizeBytes: answer.sizeBytes,
      chunkBytes: SYNC_CHUNK_BYTES,
      doneChunks: done,
      distrustEnd: this.#distrustEnd,
      lineage: answer.lineage,
      image: this.#image.identify(),
      only: this.#only,
    });
    passCrashPoint('copy-begun');
    this.#options.onBegin?.(this.#state);
  }

  /** Asks for all chunks in order, at most SYNC_ASKED_MAX of them in advance. */
  async #ask(): Promise<void> {
    const {stream} = this.#options;
    const map = this.#map;
    const buffers: Buffer[] = [];
    while (this.#askedEnd < this.#chunkCount) {
      // A range of zeros counts as one chunk: what the source has there comes with back-pressure.
      while (this.#askedWeight + GROUP_CHUNKS > SYNC_ASKED_MAX) {
        if (this.#isOver) return;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }

      const first = this.#askedEnd;
      if (this.#isOver) return;
      if (this.#only !== null && first >= this.#distrustEnd) {
        await this.#askOnly(this.#only, first);
      } else if (first >= this.#distrustEnd && !map.has(first)) {
        const end = map.runEnd(first, this.#chunkCount);
        this.#remember(end, 1);
        await writeFrame(stream, encodeChunkRange(FRAME.syncAskZeros, {first, count: end - first}));
      } else {
        const isDistrusted = first < this.#distrustEnd;
        const limit = Math.min(this.#chunkCount, first + GROUP_CHUNKS);
        const end = isDistrusted ? Math.min(limit, this.#distrustEnd) : map.runEnd(first, limit);
        const digests = isDistrusted
          ? new Array<Buffer>(end - first).fill(DISTRUST_DIGEST)
          : await this.#digests(first, end, buffers);
        this.#remember(end, end - first);
        await writeFrame(stream, encodeSyncAsk(first, Buffer.concat(digests)));
      }
    }
  }

  /** Asks for what can differ in a chunk, or skips up to the next one where something can. */
  async #askOnly(only: readonly (readonly [number, number])[], first: number): Promise<void> {
    const {stream} = this.#options;
    const start = first * SYNC_CHUNK_BYTES;
    const end = start + this.#image.lengthOf(first);
    const here = partsWithin(only, start, end);
    for (const {offset, length} of here) {
      this.#askedBytes.push({offset, length});
      await writeFrame(stream, encodeSyncAskBytes(offset, length));
    }

    const next = only.find((range) => range[0] >= end);
    const until = next === undefined ? this.#chunkCount : Math.floor(next[0] / SYNC_CHUNK_BYTES);
    // What this chunk was asked for is answered before the answer to this.
    const last = here.length > 0 ? first + 1 : Math.min(until, this.#chunkCount);
    this.#remember(last, 1);
    await writeFrame(stream, encodeChunkRange(FRAME.syncSkip, {first, count: last - first}));
  }

  #remember(end: number, weight: number): void {
    this.#asked.push({end, weight});
    this.#askedWeight += weight;
    this.#askedEnd = end;
  }

  #digests(first: number, end: number, buffers: Buffer[]): Promise<Buffer[]> {
    const digests: Promise<Buffer>[] = [];
    for (let chunk = first; chunk < end; chunk += 1) {
      const buffer = (buffers[chunk - first] ??= Buffer.allocUnsafeSlow(SYNC_CHUNK_BYTES));
      const bytes = this.#image.read(chunk, buffer);
      digests.push(this.#image.isZero(bytes) ? Promise.resolve(ZERO_DIGEST) : digestOf(bytes));
    }

    return Promise.all(digests);
  }

  /** Step 2. @returns what SYNC_END says */
  async #takeAnswers(frames: AsyncGenerator<Frame, void>): Promise<SyncEnd> {
    for (;;) {
      const frame = await nextFrame(frames);
      if (frame.type === FRAME.syncEnd) {
        const end = decodeSyncEnd(frame.payload);
        this.#takeMark(end);
        if (this.#answeredEnd === this.#chunkCount) return end;
        throw protocolError('a SYNC_END before the last chunk');
      }

      this.#takeAnswer(frame);
      this.#persistIfDue();
      this.#report();
    }
  }

  #takeAnswer(frame: Frame): void {
    switch (frame.type) {
      case FRAME.syncMark: {
        this.#takeMark(decodeSyncEnd(frame.payload));
        break;
      }

      case FRAME.syncSame:
      case FRAME.syncZero: {
        const {first, count} = decodeChunkRange(frame.payload);
        this.#checkAnswer(first, count);
        const isAhead =
          (this.#askedBytes[0]?.offset ?? Infinity) < (first + count) * SYNC_CHUNK_BYTES;
        if (isAhead) throw protocolError('an answer before the bytes that were asked for');
        this.#image[frame.type === FRAME.syncZero ? 'zero' : 'keep'](first, count);
        this.#answered(first + count);
        break;
      }

      case FRAME.syncBytes: {
        const {offset, bytes} = decodeSyncBytes(frame.payload);
        const asked = this.#askedBytes.shift();
        if (this.#end === null || asked?.offset !== offset || asked.length !== bytes.length) {
          throw protocolError(`${bytes.length} bytes at ${offset} that were not asked for`);
        }

        this.#image.writeAt(offset, bytes);
        this.#dataBytes += bytes.length;
        break;
      }

      case FRAME.syncData: {
        const {chunk, bytes} = decodeSyncData(frame.payload);
        this.#checkAnswer(chunk, 1);
        if (bytes.length !== this.#image.lengthOf(chunk)) {
          throw protocolError(`a SYNC_DATA of ${bytes.length} bytes`);
        }

        const wasHole = chunk >= this.#distrustEnd && !this.#map.has(chunk);
        this.#image.write(chunk, bytes, wasHole);
        this.#dataBytes += bytes.length;
        this.#answered(chunk + 1);
        break;
      }

      default: {
        throw protocolError(`a frame of type ${frame.type} in the place of an answer`);
      }
    }
  }

  #takeMark(mark: SyncEnd): void {
    const end = positionOf(mark.end);
    if (end < (this.#end ?? this.#state.begin)) throw protocolError('a SYNC_MARK that goes back');
    this.#end = end;
    this.#endChain = mark.endChain;
  }

  #checkAnswer(first: number, count: number): void {
    if (this.#end === null) throw protocolError('an answer before the first SYNC_MARK');
    if (first === this.#answeredEnd && first + count <= this.#askedEnd) return;
    throw protocolError(`an answer about chunk ${first}, not ${this.#answeredEnd}`);
  }

  #answered(end: number): void {
    this.#answeredEnd = end;
    for (
      let asked = this.#asked[0];
      asked !== undefined && asked.end <= end;
      asked = this.#asked[0]
    ) {
      this.#askedWeight -= asked.weight;
      this.#asked.shift();
    }

    this.#wake();
  }

  #persistIfDue(): void {
    const isDue =
      this.#options.clock.monotonicMs() - this.#persistedMs >=
      (this.#options.persistMs ?? PERSIST_MS);
    if (isDue && this.#answeredEnd > this.#state.doneChunks) this.#persistProgress();
    else if (this.#image.dirtyBytes >= DIRTY_BYTES_MAX) this.#syncImage();
  }

  #persistProgress(): void {
    this.#syncImage();
    passCrashPoint('copy-progress');
    if (this.#distrustEnd <= this.#answeredEnd) this.#distrust(0);
    this.#persist({
      ...this.#state,
      doneChunks: this.#answeredEnd,
      end: this.#end,
      endChain: this.#endChain,
      distrustEnd: this.#distrustEnd,
    });
  }

  #syncImage(): void {
    try {
      this.#image.sync();
    } catch (error) {
      if (this.#image.isReadBack) {
        this.#distrust(Math.max(this.#distrustEnd, this.#answeredEnd));
        this.#persist({...this.#state, distrustEnd: this.#distrustEnd});
      }

      throw error;
    }
  }

  #distrust(end: number): void {
    this.#distrustEnd = end;
    if (end === 0) distrusted.delete(this.#syncFile);
    else distrusted.set(this.#syncFile, end);
  }

  #persist(state: SyncState): void {
    const {files, config, clock} = this.#options;
    try {
      writeSyncState(files, config.home, config.resource.name, state);
    } catch (error) {
      this.#hasStoreFailed = true;
      throw storeError(error, `write ${this.#syncFile}`);
    }

    this.#state = state;
    this.#persistedMs = clock.monotonicMs();
  }

  /** The stream broke off, the image did not: what came is not asked for again. */
  #keepWhatIsDone(): void {
    if (this.#image.hasFailed || this.#hasStoreFailed) return;
    if (this.#answeredEnd > this.#state.doneChunks) this.#persistProgress();
  }

  /** Step 3. */
  #finish(end: SyncEnd): SyncState {
    const {files, config} = this.#options;
    const image = this.#image.identify();
    this.#syncImage();
    this.#distrust(0);
    passCrashPoint('copy-image-done');
    const to = positionOf(end.end);
    const replayState: ReplayState = {schema: 1, from: this.#state.begin, to, image};
    if (this.#options.writeReplayState === undefined) {
      const {replayFile, directory} = resourcePaths(config.home, config.resource.name);
      replaceReplayState(files, directory, replayFile, replayState);
    } else {
      this.#options.writeReplayState(replayState);
    }

    passCrashPoint('copy-replay-state');
    this.#persist({
      ...this.#state,
      state: 'done',
      doneChunks: this.#chunkCount,
      end: to,
      endChain: end.endChain,
      distrustEnd: 0,
      image,
    });
    this.#report();
    return this.#state;
  }

  #report(): void {
    const {begin, sizeBytes} = this.#state;
    this.#options.onProgress?.({
      begin,
      end: this.#end,
      doneBytes: Math.min(this.#answeredEnd * SYNC_CHUNK_BYTES, sizeBytes),
      totalBytes: sizeBytes,
      dataBytes: this.#dataBytes,
    });
  }
}
