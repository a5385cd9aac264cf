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

const START_LOOKS = 5;

// performance.now() begins at 0 with each thread.
const threadStartMs = findThreadStart();

/** What passes between the two calls, and more so at the very first, makes it too early: never too late. */
function findThreadStart(): number {
  let startMs = -Infinity;
  for (let look = 0; look < START_LOOKS; look += 1) {
    startMs = Math.max(startMs, Number(process.hrtime.bigint()) / 1e6 - performance.now());
  }

  return startMs;
}

/** A time of one thread can be compared with one of another thread of this process. */
export const threadsClock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => threadStartMs + performance.now(),
};
