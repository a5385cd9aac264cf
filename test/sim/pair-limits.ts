/** When a run of several nodes has gone wrong by itself. */

/** When all is mended everybody has to be where the primary is within so much simulated time. */
export const CONVERGED_MS = 300_000;
/** Of one round of everybody's work then. */
export const ROUND_MS = 300;
/** In which everybody gives up what is not needed any more. */
export const TIDY_STEPS = 200;
export const CALLS_MAX = 3_000_000;
/** Lines of a trace. */
export const TRACE_MAX = 100_000;
/** Actors that run inside each other's calls. */
export const DEPTH_MAX = 3;
