/** The daemon's end of `POST /watch` (core/watch-lines): one stream counts, the newest. */
import type {Duplex} from 'node:stream';
import type {Clock} from '../core/clock.js';
import {WATCH_ALIVE, WATCH_ALIVE_MS, WATCH_NEWS} from '../core/watch-lines.js';
import {WORD, type Shared} from './shared.js';

/** A daemon that does not read is told no more meanwhile. */
const BACKLOG_BYTES_MAX = 64;
/** A look that comes a little early is that of its time all the same. */
const SLACK_MS = 100;
/** Words of the shared memory that change where the status does; of a position, its sequence. */
const WATCHED: readonly number[] = [
  ...[WORD.appended, WORD.durable, WORD.replayTo, WORD.replayed, WORD.replayState],
  ...[WORD.segmentFirst, WORD.segmentEnd, WORD.currentNumber, WORD.readyUpTo, WORD.retain],
  ...[WORD.diskSize, WORD.replayPaused, WORD.parked, WORD.stopping, WORD.logDefective],
  ...[WORD.historySeconds, WORD.historyShort, WORD.replayedTime],
];

export interface WatchPortOptions {
  readonly clock: Clock;
  readonly shared: Shared;
  /** What the status says beside the shared memory, short: two that are equal mean the same. */
  readonly mark: () => string;
  /** It is in no state that lasts: there is always something new. */
  readonly isBusy: () => boolean;
}

/** Tells a daemon when it is worth asking; one per disk process that serves. */
export class WatchPort {
  readonly #options: WatchPortOptions;
  readonly #words = new Int32Array(WATCHED.length);
  #socket: Duplex | undefined;
  #mark = '';
  #saidMs = 0;
  #hasNews = false;

  constructor(options: WatchPortOptions) {
    this.#options = options;
  }

  /** Takes a stream in place of the one before. */
  open(socket: Duplex): void {
    this.#socket?.destroy();
    this.#socket = socket;
    this.#hasNews = true;
    const leave = (): void => {
      socket.destroy();
      if (this.#socket === socket) this.#socket = undefined;
    };
    socket.on('error', leave).on('end', leave).on('close', leave).resume();
    this.step();
  }

  /** Somebody has changed something: to be told with the next step. */
  note(): void {
    this.#hasNews = true;
  }

  /**
   * Looks whether something has changed, and tells it; called once or twice a second.
   *
   * @returns whether there was news, with or without a daemon that hears it
   */
  step(): boolean {
    const isNews = this.#takeChanges() || this.#options.isBusy();
    const socket = this.#socket;
    if (socket === undefined || socket.writableLength > BACKLOG_BYTES_MAX) return isNews;
    this.#say(socket, isNews || this.#hasNews);
    return isNews;
  }

  #say(socket: Duplex, isNews: boolean): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (!isNews && nowMs - this.#saidMs < WATCH_ALIVE_MS - SLACK_MS) return;
    this.#hasNews = false;
    this.#saidMs = nowMs;
    socket.write(Buffer.of(isNews ? WATCH_NEWS : WATCH_ALIVE));
  }

  /** @returns whether there were any since the last call; one that is not told is still in #hasNews */
  #takeChanges(): boolean {
    const {shared, mark} = this.#options;
    let hasChanged = false;
    for (let at = 0; at < WATCHED.length; at += 1) {
      const word = shared.words[WATCHED[at] ?? 0] ?? 0;
      if (word !== this.#words[at]) hasChanged = true;
      this.#words[at] = word;
    }

    const now = mark();
    if (now !== this.#mark) hasChanged = true;
    this.#mark = now;
    if (hasChanged) this.#hasNews = true;
    return hasChanged;
  }
}
