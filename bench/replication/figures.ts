/** What the replication bench measures is a list of figures; each may have a goal. */
import type {Pair, Settings} from './pair.js';

export interface Figure {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly value: number;
  /** The value is to be at least, or at most, that. */
  readonly goal?: {readonly kind: 'least' | 'most'; readonly value: number};
}

/** One measurement, which yields several figures of one run. */
export interface Probe {
  readonly name: string;
  /** false: once is enough, whatever --reps says, as it takes long. */
  readonly isRepeated: boolean;
  measure(pair: Pair, settings: Settings): Promise<readonly Figure[]>;
}

export function least(value: number): Figure['goal'] & object {
  return {kind: 'least', value};
}

export function most(value: number): Figure['goal'] & object {
  return {kind: 'most', value};
}
