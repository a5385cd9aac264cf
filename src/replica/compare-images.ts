/**
 * Compares two replicas chunk by chunk, each chunk at one position at both ends. The replica that is
 * compared (the target) asks; the one that it is compared with (the source) answers:
 *
 *   zeros    how many chunks in a row have no data at the source
 *   chunks   a SHA-256 for each chunk of 1 MiB
 *   blocks   a SHA-256 for each block of 4 KiB of one chunk, where its digests differ
 *
 * The target says how far its image may be (`at`); the source takes the first position that is neither
 * below this nor below what its own image may hold, and answers for that one, with the chain value
 * there: where that differs the two have different histories, and nothing is said of their content.
 */
import {createHash} from 'node:crypto';
import {digestOf} from '../core/digest.js';
import {DiskError, isDiskError} from '../core/errors.js';
import {BLOCK_BYTES} from '../core/limits.js';
import {formatPosition} from '../core/position.js';
import {RangeCollector, type ByteRange} from '../log/changes.js';
import {VIEW_CHUNK_BYTES, type ImageView, type Reading} from './image-view.js';

/** Chunks that are read at a time, at either end. */
export const GROUP_CHUNKS = 8;

export interface Question {
  readonly unit: 'zeros' | 'chunks' | 'blocks';
  readonly first: number;
  /** At most GROUP_CHUNKS, but for zeros; 1 for blocks. */
  readonly count: number;
  /** How far the image of the target may be. */
  readonly at: number;
}

export interface Answer {
  readonly position: number;
  /** Chain value there, as text. */
  readonly chain: string;
  /** Chunks without data, from the first one that was asked for on. */
  readonly zeros: number;
  /** Hex, in order. */
  readonly digests: readonly string[];
}

/** The source's end. @throws DiskError as ImageView */
export async function answerQuestion(view: ImageView, question: Question): Promise<Answer> {
  const {unit, first, count, at} = question;
  if (unit === 'zeros') {
    const position = Math.max(at, await view.imageEnd(), view.position);
    await view.extend(position);
    const zeros = view.hasData(first) ? 0 : view.runEnd(first, first + count) - first;
    return {position, chain: view.chain, zeros, digests: []};
  }

  const reading = await view.read(first, count);
  const position = Math.max(at, reading.to, view.position);
  await view.extend(position);
  const {chain} = view;
  await view.asOf(reading, position);
  return {position, chain, zeros: 0, digests: await digestsOf(reading, unit)};
}

async function digestsOf({chunks}: Reading, unit: 'chunks' | 'blocks'): Promise<string[]> {
  if (unit === 'blocks') return chunks.flatMap((chunk) => blockDigests(chunk));
  const digests = await Promise.all(chunks.map((chunk) => digestOf(chunk)));
  return digests.map((digest) => digest.toString('hex'));
}

function blockDigests(chunk: Buffer): string[] {
  const digests: string[] = [];
  for (let at = 0; at < chunk.length; at += BLOCK_BYTES) {
    const block = chunk.subarray(at, at + BLOCK_BYTES);
    digests.push(createHash('sha256').update(block).digest('hex'));
  }

  return digests;
}

export interface Comparison {
  /** Position of the first and of the last chunk that was compared. */
  readonly fromPosition: number | null;
  readonly position: number | null;
  readonly doneChunks: number;
  readonly differentBytes: number;
  /** Differing bytes in whole blocks: sorted, apart; where they are too many, widened. */
  readonly ranges: readonly ByteRange[];
}

export interface CompareOptions {
  readonly sizeBytes: number;
  /** Begins a view of the target, also anew where its log was given up under it. */
  readonly openView: () => Promise<ImageView>;
  readonly ask: (question: Question) => Promise<Answer>;
  /** Only chunks with bytes of these; absent: all. */
  readonly only?: readonly ByteRange[];
  readonly signal: AbortSignal;
  readonly monotonicMs: () => number;
  readonly onProgress?: (comparison: Comparison) => void;
  /** Waits until so many bytes may be read. */
  readonly takeRate?: (bytes: number, signal: AbortSignal) => Promise<void>;
  /** For how long what may pass is tried again. */
  readonly retryMs?: number;
}

/** What passes by itself: a process that starts, a link, a log that was used again. */
const PASSING: ReadonlySet<string> = new Set([
  'LOG_GONE',
  'LOG_BRANCHED',
  'DISK_UNREACHABLE',
  'PEER_UNREACHABLE',
  'PEER_SILENT',
  'TIMEOUT',
]);
const RETRY_MS = 60_000;
const PAUSE_MS = 500;

/**
 * Compares them.
 *
 * @throws DiskError SPLIT_BRAIN where the histories differ; VERIFY_STOPPED by `signal`; VERIFY_BEHIND;
 *   or what did not pass within `retryMs`. What was found until then was told by `onProgress`
 */
export async function compareImages(options: CompareOptions): Promise<Comparison> {
  const comparer = new Comparer(options);
  try {
    return await comparer.run();
  } finally {
    comparer.close();
  }
}

class Comparer {
  readonly #options: CompareOptions;
  readonly #ranges = new RangeCollector();
  readonly #count: number;
  #view: ImageView | undefined;
  #next = 0;
  #fromPosition: number | null = null;
  #position: number | null = null;
  #differentBytes = 0;

  constructor(options: CompareOptions) {
    this.#options = options;
    this.#count = Math.ceil(options.sizeBytes / VIEW_CHUNK_BYTES);
  }

  close(): void {
    this.#view?.close();
  }

  #throwIfStopped(): void {
    if (this.#options.signal.aborted) throw stopped();
  }

  async run(): Promise<Comparison> {
    const {monotonicMs, retryMs = RETRY_MS} = this.#options;
    let wellMs = monotonicMs();
    this.#skip();
    while (this.#next < this.#count) {
      this.#throwIfStopped();
      try {
        this.#view ??= await this.#options.openView();
        await this.#step(this.#view);
        wellMs = monotonicMs();
      } catch (error) {
        // What the view knows of the log may not hold any more.
        this.#view?.close();
        this.#view = undefined;
        this.#throwIfStopped();
        const mayPass = isDiskError(error) && PASSING.has(error.code);
        if (!mayPass || monotonicMs() - wellMs > retryMs) throw error;
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        continue;
      }

      this.#skip();
      this.#options.onProgress?.(this.#found());
    }

    return this.#found();
  }

  #found(): Comparison {
    return {
      fromPosition: this.#fromPosition,
      position: this.#position,
      doneChunks: this.#next,
      differentBytes: this.#differentBytes,
      ranges: [...this.#ranges.finish().ranges],
    };
  }

  /** Goes to the next chunk that is to be looked at. */
  #skip(): void {
    const {only} = this.#options;
    if (only === undefined) return;
    const start = this.#next * VIEW_CHUNK_BYTES;
    const next = only.find(([, end]) => end > start);
    const chunk = next === undefined ? this.#count : Math.floor(next[0] / VIEW_CHUNK_BYTES);
    this.#next = Math.min(this.#count, Math.max(this.#next, chunk));
  }

  async #step(view: ImageView): Promise<void> {
    if (!view.hasData(this.#next) && (await this.#stepZeros(view))) return;
    const first = this.#next;
    const limit = this.#options.only === undefined ? first + GROUP_CHUNKS : first + 1;
    const end = Math.min(this.#count, limit);
    const chunks = await this.#compare(view, 'chunks', first, end - first);
    const found: [number, number[]][] = [];
    for (const chunk of chunks) {
      const blocks = await this.#compare(view, 'blocks', first + chunk, 1);
      found.push([(first + chunk) * VIEW_CHUNK_BYTES, blocks]);
    }

    // Not before all of them are known: a group that is tried again counts once.
    for (const [offset, blocks] of found) this.#note(offset, blocks);
    this.#next = end;
  }

  /** @returns false where the first chunk has to be looked at */
  async #stepZeros(view: ImageView): Promise<boolean> {
    const first = this.#next;
    const count = view.runEnd(first, this.#count) - first;
    const at = await view.imageEnd();
    const answer = await this.#options.ask({
      unit: 'zeros',
      first,
      count,
      at: Math.max(at, view.position),
    });
    await this.#agree(view, answer);
    if (answer.zeros === 0 || view.hasData(first)) return false;
    this.#next = view.runEnd(first, first + Math.min(count, answer.zeros));
    return true;
  }

  /** @returns which of the chunks, or of the blocks, differ */
  async #compare(
    view: ImageView,
    unit: 'chunks' | 'blocks',
    first: number,
    count: number,
  ): Promise<number[]> {
    const {ask, takeRate, signal} = this.#options;
    await takeRate?.(count * VIEW_CHUNK_BYTES, signal);
    this.#throwIfStopped();
    const reading = await view.read(first, count);
    const at = Math.max(reading.to, view.position);
    const answer = await ask({unit, first, count, at});
    await this.#agree(view, answer);
    await view.asOf(reading, answer.position);
    const own = await digestsOf(reading, unit);
    if (own.length !== answer.digests.length) {
      const text = `${answer.digests.length} digests came in the place of ${own.length}`;
      throw new DiskError('PEER_PROTOCOL', text);
    }

    return own.flatMap((digest, index) => (digest === answer.digests[index] ? [] : [index]));
  }

  /** Both ends have the same log up to the position of an answer. */
  async #agree(view: ImageView, {position, chain}: Answer): Promise<void> {
    this.#throwIfStopped();
    await view.extend(position);
    if (view.chain !== chain) {
      const at = formatPosition(position);
      const text = `the two have different histories at ${at}: what they hold cannot be compared`;
      throw new DiskError('SPLIT_BRAIN', text, {position: at});
    }

    this.#fromPosition ??= position;
    this.#position = position;
  }

  #note(offset: number, blocks: readonly number[]): void {
    const {sizeBytes} = this.#options;
    for (const block of blocks) {
      const start = offset + block * BLOCK_BYTES;
      const end = Math.min(sizeBytes, start + BLOCK_BYTES);
      this.#ranges.add(start, end);
      this.#differentBytes += end - start;
    }
  }
}

function stopped(): DiskError {
  return new DiskError('VERIFY_STOPPED', 'the comparison was ended before its end');
}
