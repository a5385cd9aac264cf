/** Time comes from outside, so that the simulator owns it. */
export interface Clock {
  /** Wall clock in milliseconds since 1970; may jump. */
  wallMs(): number;
  /** Monotonic milliseconds, for durations and deadlines. */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

// performance.now() begins at 0 with each thread.
const threadStartMs = Number(process.hrtime.bigint()) / 1e6 - performance.now();

/** A time of one thread can be compared with one of another thread of this process. */
export const threadsClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => threadStartMs + performance.now(),
};
