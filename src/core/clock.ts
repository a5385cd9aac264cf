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
