import type {Clock} from '../../src/core/clock.js';

/** Time that passes only when the simulator says so; the wall clock may jump, also back. */
export class SimClock implements Clock {
  #monotonicMs = 0;
  #wallMs = Date.UTC(2026, 10, 22);

  wallMs(): number {
    return this.#wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  advance(milliseconds: number): void {
    this.#monotonicMs += milliseconds;
    this.#wallMs += milliseconds;
  }

  jump(milliseconds: number): void {
    this.#wallMs += milliseconds;
  }
}
