/**
 * The stream by which a disk process says that its status has changed (core/watch-lines). While it
 * says that it is alive and nothing else, nobody has to ask it. One of an older version has no such
 * stream, and one that is about to end refuses it: both are asked as often as ever.
 */
import type {Duplex} from 'node:stream';
import type {Clock} from '../core/clock.js';
import {isDiskError} from '../core/errors.js';
import {WATCH_NEWS, WATCH_SILENCE_MS} from '../core/watch-lines.js';

export interface DiskWatchOptions {
  readonly clock: Clock;
  readonly open: () => Promise<Duplex>;
}

/** One per resource. */
export class DiskWatch {
  readonly #options: DiskWatchOptions;
  #stream: Duplex | undefined;
  #isOpening = false;
  /** The process that has no such stream. */
  #refusedBy: number | undefined;
  #heardMs = -Infinity;
  #hasNews = true;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
  }

  /** It is alive, and its status is what it was when it was asked last. */
  get isCalm(): boolean {
    const silentMs = this.#options.clock.monotonicMs() - this.#heardMs;
    return this.#stream !== undefined && !this.#hasNews && silentMs < WATCH_SILENCE_MS;
  }

  /** To be called before it is asked: what it says from now on is news again. */
  beginLook(): void {
    this.#hasNews = false;
  }

  /** Opens the stream, unless there is one, to the process that answered with this pid. */
  async connect(pid: number): Promise<void> {
    if (this.#stream !== undefined || this.#isOpening || this.#refusedBy === pid) return;
    this.#isOpening = true;
    try {
      this.#take(await this.#options.open());
    } catch (error) {
      if (!isDiskError(error)) throw error;
      this.#refusedBy = error.code === 'USAGE' ? pid : undefined;
    } finally {
      this.#isOpening = false;
    }
  }

  close(): void {
    this.#stream?.destroy();
    this.#stream = undefined;
    this.#hasNews = true;
  }

  #take(stream: Duplex): void {
    this.#stream = stream;
    const leave = (): void => {
      stream.destroy();
      if (this.#stream === stream) this.close();
    };
    stream.on('data', (chunk: Buffer) => {
      this.#heardMs = this.#options.clock.monotonicMs();
      if (chunk.includes(WATCH_NEWS)) this.#hasNews = true;
    });
    stream.on('error', leave).on('end', leave).on('close', leave);
  }
}
