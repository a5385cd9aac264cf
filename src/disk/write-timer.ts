/**
 * How long writes take that are answered at once. Two looks at the clock would cost a hundredth of a
 * small write, so of writes that are fast one in TIMED_EVERY is timed, and counts for those before it;
 * as soon as one is slow each is. Writes that come together are timed together.
 */
import type {Clock} from '../core/clock.js';
import {LATENCY_ROW, type Shared} from './shared.js';

const TIMED_EVERY = 4;
const SLOW_MS = 1;
const UNTIMED = -1;

/** One per front. */
export class WriteTimer {
  readonly #shared: Shared;
  readonly #clock: Clock;
  /** Writes since the last one that was timed. */
  #gathered = 0;
  #timedAt = 1;

  constructor(shared: Shared, clock: Clock) {
    this.#shared = shared;
    this.#clock = clock;
  }

  /** `count` writes begin. @returns what `end` or `drop` wants */
  begin(count: number): number {
    this.#gathered += count;
    return this.#gathered < this.#timedAt ? UNTIMED : this.#clock.monotonicMs();
  }

  /** They are in the log. */
  end(beganMs: number): void {
    if (beganMs === UNTIMED) return;
    const tookMs = this.#clock.monotonicMs() - beganMs;
    this.#shared.noteLatency(LATENCY_ROW.frontWrite, tookMs, this.#gathered);
    this.#gathered = 0;
    this.#timedAt = tookMs > SLOW_MS ? 1 : TIMED_EVERY;
  }

  /** They are not: each is counted when it is answered, or refused. */
  drop(count: number): void {
    this.#gathered -= count;
  }

  /** A write that was parked is in the log. */
  endParked(sinceMs: number): void {
    this.#shared.noteLatency(LATENCY_ROW.frontWrite, this.#clock.monotonicMs() - sinceMs);
  }
}
