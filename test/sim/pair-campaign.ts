/** Runs scripts of several nodes, and makes one that fails small. */
import {
  crashBy,
  setCrashHandler,
  type CrashPlan,
  type CrashPoint,
} from '../../src/core/crash-points.js';
import type {PairScript} from './pair-script.js';
import type {PairStatistics} from './pair-statistics.js';
import {PairWorld} from './pair-world.js';
import type {Death} from './script.js';

export interface PairOutcome {
  /** Undefined where all went well. */
  readonly failure: string | undefined;
  readonly stack: string | undefined;
  readonly trace: readonly string[];
  readonly statistics: PairStatistics;
  /** How often each crash point was passed. */
  readonly passed: ReadonlyMap<CrashPoint, number>;
}

/** Whoever passes this crash point dies of it. */
export interface PairCrash {
  readonly plan: CrashPlan;
  readonly death: Death;
}

/** @param crash absent: nobody dies but as the script says */
export async function runPairScript(script: PairScript, crash?: PairCrash): Promise<PairOutcome> {
  const world = new PairWorld(script);
  const {trace, statistics} = world;
  const passed = new Map<CrashPoint, number>();
  const die =
    crash &&
    crashBy(crash.plan, () => {
      world.dieHere(crash.plan.point, crash.death);
    });
  setCrashHandler((point, subject) => {
    passed.set(point, (passed.get(point) ?? 0) + 1);
    die?.(point, subject);
  });
  try {
    await world.run();
    return {failure: undefined, stack: undefined, trace, statistics, passed};
  } catch (error) {
    const failure = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return {
      failure,
      stack: error instanceof Error ? error.stack : undefined,
      trace,
      statistics,
      passed,
    };
  } finally {
    setCrashHandler(undefined);
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
