/** Scripts of several nodes once more for each crash point that they pass, with a death there. */
import type {CrashPoint} from '../../src/core/crash-points.js';
import {runPairScript, type PairCrash} from './pair-campaign.js';
import type {PairScript} from './pair-script.js';
import {below, createRandom} from './random.js';
import type {Death} from './script.js';

const DEATHS: readonly Death[] = ['kill', 'power'];

/** One death of each kind at some pass of each point, drawn from the seed of the script. */
export function drawCrashes(
  script: PairScript,
  passed: ReadonlyMap<CrashPoint, number>,
): PairCrash[] {
  const random = createRandom(script.seed ^ 0xc4a5);
  return [...passed].flatMap(([point, passes]) =>
    DEATHS.map((death) => ({
      plan: {point, subject: undefined, pass: 1 + below(random, passes)},
      death,
    })),
  );
}

/** @returns what went wrong, in words that repeat it; empty where all went well */
export async function sweepCrashes(script: PairScript): Promise<string[]> {
  const {passed} = await runPairScript(script);
  const failures: string[] = [];
  for (const crash of drawCrashes(script, passed)) {
    const {failure} = await runPairScript(script, crash);
    // A commit that waits for a commit cannot be played without threads.
    if (failure?.includes('is not a shared typed array') === true) continue;
    if (failure !== undefined) failures.push(`${describeCrash(script, crash)}: ${failure}`);
  }

  return failures;
}

export function describeCrash({seed}: PairScript, {plan, death}: PairCrash): string {
  return `npm run sim -- --pair --seed ${seed} --crash ${plan.point}:${plan.pass} --death ${death}`;
}
