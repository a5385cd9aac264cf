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
    forced: 0,
    tails: 0,
    handovers: 0,
    copies: 0,
    lostBytes: 0,
  };
}
