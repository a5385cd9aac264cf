/** How much of what a run contained: a campaign without crashes proves nothing. */
export interface WorldStatistics {
  operations: number;
  calls: number;
  kills: number;
  powerLosses: number;
  deathsInRecovery: number;
  faults: number;
  batches: number;
  rotations: number;
  tornTails: number;
  /** Looks that slowed the writes. */
  slowed: number;
  /** Lives whose writes went past the log. */
  bypassed: number;
  simulatedMs: number;
}

export function emptyStatistics(): WorldStatistics {
  return {
    operations: 0,
    calls: 0,
    kills: 0,
    powerLosses: 0,
    deathsInRecovery: 0,
    faults: 0,
    batches: 0,
    rotations: 0,
    tornTails: 0,
    slowed: 0,
    bypassed: 0,
    simulatedMs: 0,
  };
}
