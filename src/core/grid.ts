/** A timer that comes a little early has come: the next one is a whole period later. */
const EARLY_MS = 100;

/**
 * Milliseconds until the next whole multiple of a period on the wall clock: who looks at something at
 * these times wakes up together with all others, and not each at a time of its own.
 *
 * @returns more than EARLY_MS, and no more than that above a period
 */
export function untilNext(periodMs: number, wallMs: number): number {
  const leftMs = periodMs - (Math.trunc(wallMs) % periodMs);
  return leftMs > EARLY_MS ? leftMs : leftMs + periodMs;
}
