/**
 * Histograms of latency: how often something took how long, in buckets that double. They only grow; a
 * quantile is exact to its bucket, and in it the times are taken for evenly spread.
 */

/** Latencies that a disk process counts. */
export const LATENCY_KINDS = ['write', 'flush', 'replay'] as const;

export type LatencyKind = (typeof LATENCY_KINDS)[number];

/** 2^2 us: nothing of what is counted is faster by enough to matter. */
const FIRST_EXPONENT = 2;
const BOUND_COUNT = 25;

/** Upper bounds of the buckets, both 4 us and 67 s among them; one more bucket has no bound. */
export const LATENCY_BOUNDS_SECONDS: readonly number[] = Array.from(
  {length: BOUND_COUNT},
  (_, at) => 2 ** (at + FIRST_EXPONENT) / 1e6,
);

export const LATENCY_BUCKET_COUNT = BOUND_COUNT + 1;

const LAST_BOUND_MICROSECONDS = 2 ** (BOUND_COUNT - 1 + FIRST_EXPONENT);

/** Index of the bucket for a time, without allocation: it is asked for each write of a disk. */
export function latencyBucketOf(milliseconds: number): number {
  const microseconds = milliseconds * 1000;
  if (!(microseconds > 2 ** FIRST_EXPONENT)) return 0;
  if (microseconds > LAST_BOUND_MICROSECONDS) return BOUND_COUNT;
  return 32 - FIRST_EXPONENT - Math.clz32(Math.ceil(microseconds) - 1);
}

/** What was counted since a process began. */
export interface LatencyHistogram {
  /** By bucket, each for itself; buckets at the end that count nothing are left out. */
  readonly counts: readonly number[];
  readonly sumSeconds: number;
}

export type Latencies = Readonly<Record<LatencyKind, LatencyHistogram>>;

/** How many were counted. */
export function countOf({counts}: LatencyHistogram): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

/** What came between two looks at one histogram. */
export function latencyBetween(
  before: LatencyHistogram,
  after: LatencyHistogram,
): LatencyHistogram {
  return {
    counts: after.counts.map((count, at) => Math.max(0, count - (before.counts[at] ?? 0))),
    sumSeconds: Math.max(0, after.sumSeconds - before.sumSeconds),
  };
}

/**
 * The time within which the part `quantile` (0.5, 0.99) of all was done.
 *
 * @returns seconds; the last bound for what took longer than that; null where nothing was counted
 */
export function latencyQuantile(histogram: LatencyHistogram, quantile: number): number | null {
  const total = countOf(histogram);
  if (total === 0) return null;
  const wanted = total * quantile;
  let below = 0;
  for (const [at, count] of histogram.counts.entries()) {
    if (count > 0 && below + count >= wanted) {
      const lower = LATENCY_BOUNDS_SECONDS[at - 1] ?? 0;
      const upper = LATENCY_BOUNDS_SECONDS[at] ?? lower;
      return lower + ((upper - lower) * Math.max(0, wanted - below)) / count;
    }

    below += count;
  }

  return LATENCY_BOUNDS_SECONDS.at(-1) ?? null;
}
