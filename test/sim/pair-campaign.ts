/** Runs scripts of several nodes, and makes one that fails small. */
import type {PairScript} from './pair-script.js';
import type {PairStatistics} from './pair-statistics.js';
import {PairWorld} from './pair-world.js';

export interface PairOutcome {
  /** Undefined where all went well. */
  readonly failure: string | undefined;
  readonly stack: string | undefined;
  readonly trace: readonly string[];
  readonly statistics: PairStatistics;
}

export async function runPairScript(script: PairScript): Promise<PairOutcome> {
  const world = new PairWorld(script);
  const {trace, statistics} = world;
  try {
    await world.run();
    return {failure: undefined, stack: undefined, trace, statistics};
  } catch (error) {
    const failure = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return {failure, stack: error instanceof Error ? error.stack : undefined, trace, statistics};
  }
}

/**
 * Leaves out steps while the script still fails: halves, quarters, ... single steps.
 *
 * @param limitMs time after which the smallest so far is taken
 */
export async function shrinkPairScript(script: PairScript, limitMs: number): Promise<PairScript> {
  const deadline = Date.now() + limitMs;
  let best = script;
  for (let size = Math.ceil(script.steps.length / 2); size >= 1; size = Math.floor(size / 2)) {
    let at = 0;
    while (at < best.steps.length && Date.now() < deadline) {
      const steps = [...best.steps.slice(0, at), ...best.steps.slice(at + size)];
      const shorter = {...best, steps};
      const {failure} = await runPairScript(shorter);
      if (failure === undefined) at += size;
      else best = shorter;
    }
  }

  return best;
}
