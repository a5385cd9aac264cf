/** Runs scripts, and makes failing ones small. */
import type {Script, Step} from './script.js';
import type {WorldStatistics} from './statistics.js';
import {World} from './world.js';

export interface Outcome {
  readonly failure: string | undefined;
  readonly stack: string | undefined;
  readonly trace: readonly string[];
  readonly statistics: WorldStatistics;
}

export function runScript(script: Script): Outcome {
  const world = new World(script);
  try {
    world.run();
    return {failure: undefined, stack: undefined, trace: world.trace, statistics: world.statistics};
  } catch (error) {
    const failure = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    const stack = error instanceof Error ? error.stack : undefined;
    return {failure, stack, trace: world.trace, statistics: world.statistics};
  }
}

/**
 * Leaves out steps while the script still fails: halves, quarters, ... single steps.
 *
 * @param limitMs time after which the smallest so far is taken
 */
export function shrinkScript(script: Script, limitMs: number): Script {
  const deadline = Date.now() + limitMs;
  let best = script;
  for (let size = Math.ceil(script.steps.length / 2); size >= 1; size = Math.floor(size / 2)) {
    let at = 0;
    while (at < best.steps.length && Date.now() < deadline) {
      const steps: Step[] = [...best.steps.slice(0, at), ...best.steps.slice(at + size)];
      const shorter = {...best, steps};
      if (runScript(shorter).failure === undefined) at += size;
      else best = shorter;
    }
  }

  return best;
}
