/** How much of what a run contained: a campaign without forks proves nothing about them. */
export interface PairStatistics {
  calls: number;
  deaths: number;
  faults: number;
  frames: number;
  batches: number;
  follows: number;
  cuts: number;
  forks: number;
  flips: number;
  forged: number;
  /** Streams that broke, and were kept from coming back. */
  partitions: number;
  /** Flushes that replicas had confirmed. */
  synchronous: number;
  simulatedMs: number;
  /** Until everybody was at rest in the end; of several runs the longest. */
  longestRestMs: number;
  forced: number;
  tails: number;
  handovers: number;
  copies: number;
  lostBytes: number;
}

export function emptyPairStatistics(): PairStatistics {
  return {
    calls: 0,
    deaths: 0,
    faults: 0,
    frames: 0,
    batches: 0,
    follows: 0,
    cuts: 0,
    forks: 0,
    flips: 0,
    forged: 0,
    partitions: 0,
    synchronous: 0,
    simulatedMs: 0,
    longestRestMs: 0,
    forced: 0,
    tails: 0,
    handovers: 0,
    copies: 0,
    lostBytes: 0,
  };
}
