/** When a run of several nodes has gone wrong by itself. */

/** Steps after which whoever still waits is stuck. */
export const PATIENCE = 3000;
export const CALLS_MAX = 3_000_000;
/** Lines of a trace. */
export const TRACE_MAX = 100_000;
/** Actors that run inside each other's calls. */
export const DEPTH_MAX = 3;
