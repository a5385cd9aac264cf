/**
 * A limit of bytes per second that all streams to one peer share. Who wants to send takes its bytes
 * first; all wait in one line, so that streams with pieces of one size get the same share.
 */
import type {Clock} from '../core/clock.js';

/** What may be sent at once after a pause, as time. */
const BURST_MS = 250;
/** No piece keeps the others waiting longer than a timer can be set. */
const WAIT_MS_MAX = 2 ** 30;

/** Calls back after some milliseconds. @returns what calls it off */
export type Timer = (action: () => void, ms: number) => () => void;

const systemTimer: Timer = (action, ms) => {
  const timer = setTimeout(action, ms);
  return () => {
    clearTimeout(timer);
  };
};

interface Waiter {
  readonly bytes: number;
  readonly go: () => void;
}

/** The bucket of one peer. */
export class Bandwidth {
  readonly #clock: Clock;
  readonly #timer: Timer;
  #bytesPerSecond: number | null = null;
  /** Bytes that may be sent; below 0 after a large piece. */
  #tokens = 0;
  #filledAt: number;
  #waiters: Waiter[] = [];
  #cancel: (() => void) | undefined;

  constructor(clock: Clock, bytesPerSecond: number | null, timer = systemTimer) {
    this.#clock = clock;
    this.#timer = timer;
    this.#filledAt = clock.monotonicMs();
    this.setLimit(bytesPerSecond);
  }

  /** Changes the limit, at once also for those who wait; null: none. */
  setLimit(bytesPerSecond: number | null): void {
    this.#fill();
    this.#bytesPerSecond = bytesPerSecond;
    this.#tokens = Math.min(this.#tokens, this.#burst());
    this.#serve();
  }

  /**
   * Resolves when this many bytes may be sent.
   *
   * @param signal gives up the place in the line: it resolves at once then
   */
  take(bytes: number, signal?: AbortSignal): Promise<void> {
    if (this.#bytesPerSecond === null || signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const leave = (): void => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        resolve();
        this.#serve();
      };
      const waiter: Waiter = {
        bytes,
        go: () => {
          signal?.removeEventListener('abort', leave);
          resolve();
        },
      };
      signal?.addEventListener('abort', leave, {once: true});
      this.#waiters.push(waiter);
      this.#serve();
    });
  }

  #burst(): number {
    return ((this.#bytesPerSecond ?? 0) * BURST_MS) / 1000;
  }

  #fill(): void {
    const now = this.#clock.monotonicMs();
    const gained = ((this.#bytesPerSecond ?? 0) * (now - this.#filledAt)) / 1000;
    this.#tokens = Math.min(this.#burst(), this.#tokens + gained);
    this.#filledAt = now;
  }

  /** A piece goes as soon as there is no debt; what it is larger than the bucket, the next one waits. */
  #serve(): void {
    this.#fill();
    this.#cancel?.();
    this.#cancel = undefined;
    for (;;) {
      const [first] = this.#waiters;
      if (first === undefined) return;
      if (this.#bytesPerSecond !== null && this.#tokens < 0) break;
      this.#waiters.shift();
      if (this.#bytesPerSecond !== null) this.#tokens -= first.bytes;
      first.go();
    }

    const waitMs = Math.ceil((-this.#tokens * 1000) / this.#bytesPerSecond);
    this.#cancel = this.#timer(
      () => {
        this.#serve();
      },
      Math.min(Math.max(waitMs, 1), WAIT_MS_MAX),
    );
  }
}
