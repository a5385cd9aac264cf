/**
 * Lets so many bytes of writes through in a second, as the main thread says (space-guard). What is
 * not let through is parked, so that reads and flushes go on; none is parked for longer than
 * THROTTLE_DELAY_MS_MAX for that reason alone.
 *
 * A bucket of tokens that may be in debt: a write passes while any are left, whatever its size.
 */
import type {Clock} from '../core/clock.js';
import {REQUEST_BYTES_MAX} from '../core/limits.js';
import {KIB} from '../core/units.js';
import {WORD, type Shared} from './shared.js';

/** A write that is slowed waits no longer than this. */
export const THROTTLE_DELAY_MS_MAX = 1000;
/** Tokens that gather while nothing is written: a burst of so much time passes at once. */
const BURST_SECONDS = 0.2;
const DEBT_BYTES_MAX = 2 * REQUEST_BYTES_MAX;

/** The front's side of the throttle. */
export class WriteThrottle {
  readonly #shared: Shared;
  readonly #clock: Clock;
  #tokens = 0;
  #filledMs = -1;

  constructor(shared: Shared, clock: Clock) {
    this.#shared = shared;
    this.#clock = clock;
  }

  /** true while writes are slowed. */
  get isOn(): boolean {
    return this.#shared.get(WORD.writeLimitKib) !== 0;
  }

  nowMs(): number {
    return this.#clock.monotonicMs();
  }

  /**
   * Whether a write may pass now; `spend` is told of it when it has.
   *
   * @param sinceMs when it was parked, by `nowMs`; absent: it comes just now
   */
  admits(sinceMs = Infinity): boolean {
    const bytesPerSecond = this.#shared.get(WORD.writeLimitKib) * KIB;
    if (bytesPerSecond === 0) {
      this.#filledMs = -1;
      return true;
    }

    const now = this.nowMs();
    this.#fill(now, bytesPerSecond);
    return this.#tokens > 0 || now - sinceMs >= THROTTLE_DELAY_MS_MAX;
  }

  /** A write has passed. */
  spend(length: number): void {
    if (this.#filledMs < 0) return;
    // The debt is bounded as well: who passed by his age must not hold up others for long.
    this.#tokens = Math.max(this.#tokens - length, -DEBT_BYTES_MAX);
  }

  #fill(now: number, bytesPerSecond: number): void {
    const most = bytesPerSecond * BURST_SECONDS;
    const elapsedSeconds = this.#filledMs < 0 ? BURST_SECONDS : (now - this.#filledMs) / 1000;
    this.#tokens = Math.min(most, this.#tokens + elapsedSeconds * bytesPerSecond);
    this.#filledMs = now;
  }
}
