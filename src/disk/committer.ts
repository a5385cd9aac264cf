/**
 * Makes the log durable and answers who waited for it: group commit.
 *
 *   take the end of the log -> fdatasync of the segments between durable and there -> say so in the
 *   file `durable` (disk/durable-word) -> publish `durable` -> answer every request whose target lies below
 *
 * Where the mode is synchronous (disk/sync-mode), replicas have to confirm as well before a request
 * is answered: the main thread publishes `confirmed` and signals. Neither waits for the other.
 *
 * When fdatasync fails nothing is published and nobody is answered: the kernel calls the pages
 * clean after it, so asking again would be told 0. The front moves the tail to another file
 * (front-log) and signals; only then is there another try.
 */
import type {Clock} from '../core/clock.js';
import {errnoOf} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {COMMIT_BYTES_MAX, COMMIT_INTERVAL_MS} from '../core/limits.js';
import {ERRNO, type Responder} from '../fuse/handler.js';
import {COUNTER} from './counters.js';
import {DurableWordWriter} from './durable-word.js';
import {LATENCY_ROW, WORD, type Shared, type WaitingRequest} from './shared.js';

export type CommitResult = 'done' | 'failed' | 'busy';

/**
 * How often a thread with nothing to do looks. Being signalled by the first write after each commit
 * would wake it once for every fsync of the application, which costs more than the fsync; only one
 * that has seen no write for two looks sleeps until the next one (commit-thread).
 */
export const POLL_MS = COMMIT_INTERVAL_MS / 2;
const BUSY_MS = 1;

export interface CommitterOptions {
  readonly files: Files;
  /** Shared with the front: it says since when a request waits. */
  readonly clock: Clock;
  readonly shared: Shared;
  readonly responder: Responder;
  /** fdatasync failed: the front has to be woken to move the tail. */
  readonly onFailure: (errno: string) => void;
  /** The log has become durable, and WORD.durableWanted is set. */
  readonly onDurable?: () => void;
}

/** Commits the log for its thread, or for the front; see the states above. */
export class Committer {
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #shared: Shared;
  readonly #responder: Responder;
  readonly #onFailure: (errno: string) => void;
  readonly #onDurable: (() => void) | undefined;
  readonly #request: WaitingRequest = {
    ...{uniqueLow: 0, uniqueHigh: 0, target: 0, writtenBytes: 0},
    sinceMs: 0,
  };
  readonly #word: DurableWordWriter;
  #dirtySince = -1;

  constructor(options: CommitterOptions) {
    this.#files = options.files;
    this.#word = new DurableWordWriter(options.files, options.shared);
    this.#clock = options.clock;
    this.#shared = options.shared;
    this.#responder = options.responder;
    this.#onFailure = options.onFailure;
    this.#onDurable = options.onDurable;
  }

  /**
   * Commits if somebody waits, enough has gathered, or time is up.
   *
   * @returns milliseconds until the next step has something to do; Infinity: when signalled
   */
  step(): number {
    const shared = this.#shared;
    if (shared.get(WORD.logDefective) !== 0) return this.#refuseAll();
    if (shared.get(WORD.commitFailed) !== 0) return Infinity;
    const durable = shared.durable.get();
    const unsynced = shared.appended.get() - durable;
    const isWanted = unsynced > 0 && shared.get(WORD.commitWanted) !== 0;
    const isFlushed = shared.newestWaiting > durable;
    if (isFlushed || unsynced >= COMMIT_BYTES_MAX || isWanted) {
      return this.commit() === 'busy' ? BUSY_MS : 0;
    }

    if (shared.waitingCount > 0 && !this.answerWaiting()) return BUSY_MS;

    if (unsynced === 0) {
      this.#dirtySince = -1;
      return POLL_MS;
    }

    const now = this.#clock.monotonicMs();
    if (this.#dirtySince < 0) this.#dirtySince = now;
    // The first write may have come right after the look before this one.
    const wait = this.#dirtySince + COMMIT_INTERVAL_MS - POLL_MS - now;
    if (wait > 0) return wait;
    return this.commit() === 'busy' ? BUSY_MS : 0;
  }

  /**
   * One round, unless another thread is in one: the front commits by itself where nobody else
   * waits (disk/inline-commit). Only who holds the lock writes `durable`.
   */
  commit(): CommitResult {
    const {words} = this.#shared;
    if (Atomics.compareExchange(words, WORD.commitLock, 0, 1) !== 0) return 'busy';
    try {
      return this.#commitLocked() ? 'done' : 'failed';
    } finally {
      Atomics.store(words, WORD.commitLock, 0);
    }
  }

  /** The last round of a process that ends in order: what it says of the log is durable as well. */
  end(): void {
    if (this.commit() === 'done') this.#word.sync();
  }

  /**
   * Answers those whose flush is durable, and confirmed where that is asked for; syncs nothing.
   *
   * @returns false where another thread is in a commit: it may not know yet what was confirmed
   */
  answerWaiting(): boolean {
    const shared = this.#shared;
    if (!shared.tryLock(WORD.commitLock)) return false;
    try {
      this.#answer();
      return true;
    } finally {
      shared.unlock(WORD.commitLock);
    }
  }

  #commitLocked(): boolean {
    const shared = this.#shared;
    // The other thread's fdatasync failed: another one would say 0 and be a lie.
    if (shared.get(WORD.commitFailed) !== 0) return false;
    shared.set(WORD.commitWanted, 0);
    const target = shared.appended.get();
    const durable = shared.durable.get();
    if (target > durable && !this.#sync(durable, target)) return false;
    // The word first: nobody may know of what a recovery would not know.
    if (target > durable) this.#word.say(target);
    if (target > durable) {
      shared.durable.set(target);
      shared.wakeIfAsleep(WORD.replayAsleep, WORD.replaySignal);
    }

    this.#dirtySince = -1;
    this.#answer();
    shared.counters[COUNTER.commits] = (shared.counters[COUNTER.commits] ?? 0) + 1;
    if (target > durable && shared.get(WORD.replayForced) !== 0) shared.signal(WORD.replaySignal);
    if (target > durable && shared.get(WORD.durableWanted) !== 0) this.#onDurable?.();
    return true;
  }

  #sync(durable: number, target: number): boolean {
    const shared = this.#shared;
    for (let ordinal = shared.segmentEnd - 1; ordinal >= shared.segmentFirst; ordinal -= 1) {
      const {fd, start, end} = shared.segment(ordinal);
      if (end <= durable) break;
      if (start >= target || end <= start) continue;
      try {
        this.#files.syncData(fd);
      } catch (error) {
        const errno = errnoOf(error);
        if (errno === undefined) throw error;
        shared.set(WORD.commitFailed, ordinal + 1);
        this.#onFailure(errno);
        return false;
      }
    }

    return true;
  }

  #answer(): void {
    const shared = this.#shared;
    const request = this.#request;
    const limit = shared.flushLimit;
    let nowMs = -1;
    while (shared.peekWaiting(request) && request.target <= limit) {
      const {uniqueLow, uniqueHigh, writtenBytes, sinceMs} = request;
      if (nowMs < 0) nowMs = this.#clock.monotonicMs();
      if (writtenBytes > 0) this.#responder.answerWrite(uniqueLow, uniqueHigh, writtenBytes);
      else this.#responder.answer(uniqueLow, uniqueHigh, 0);
      shared.popWaiting();
      const row = writtenBytes > 0 ? LATENCY_ROW.commitWrite : LATENCY_ROW.commitFlush;
      shared.noteLatency(row, nowMs - sinceMs);
    }

    if (nowMs >= 0) shared.signal(WORD.frontSignal);
  }

  /** The log cannot be saved: an honest error for everybody who waits. */
  #refuseAll(): number {
    const shared = this.#shared;
    while (shared.peekWaiting(this.#request)) {
      this.#responder.answer(this.#request.uniqueLow, this.#request.uniqueHigh, ERRNO.EIO);
      shared.popWaiting();
    }

    shared.signal(WORD.frontSignal);
    return Infinity;
  }
}
