/** One run: a cluster, writers, a schedule, judgements, and everything taken away at the end. */
import {setTimeout as sleep} from 'node:timers/promises';
import {beginFault} from './faults.js';
import {judge, leaveAndJoin, type Costs} from './judge.js';
import {force, handOver, race} from './roles.js';
import {describeStep, makeSchedule, type ScheduleOptions, type Step} from './schedule.js';
import {World} from './world.js';

export interface TortureOptions extends ScheduleOptions {
  /** A line of what happens. */
  readonly log: (text: string) => void;
  /** Ends the run early, in order. */
  readonly signal: AbortSignal;
}

/** @returns how many steps were done @throws Error at the first thing that is wrong */
export async function torture(options: TortureOptions): Promise<number> {
  const {log, signal, nodes, minutes} = options;
  const steps = makeSchedule(options);
  const world = new World(nodes, log);
  const costs: Costs = {first: new Map()};
  let done = 0;
  try {
    await world.start();
    const start = performance.now();
    const elapsedMs = (): number => performance.now() - start;
    for (const step of steps) {
      // A slow machine does less in its time; the last judgement is never left out.
      if (elapsedMs() > minutes * 60_000 && step !== steps.at(-1)) continue;
      const waitMs = Math.max(0, step.atMs - elapsedMs());
      const isDue = await sleep(waitMs, true, {signal}).catch(() => false);
      if (!isDue) break;
      log(`+${(elapsedMs() / 1000).toFixed(1)} s: ${describeStep(step)}`);
      world.check();
      await doStep(world, step, costs);
      done += 1;
    }

    world.check();
    return done;
  } catch (error) {
    log(`FAILED: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    log(await world.cluster.describe().catch(String));
    throw error;
  } finally {
    await world.dispose();
  }
}

async function doStep(world: World, step: Step, costs: Costs): Promise<void> {
  switch (step.kind) {
    case 'handover':
      return handOver(world, step);
    case 'race':
      return race(world);
    case 'force':
      return force(world, step);
    case 'leave':
      return leaveAndJoin(world, step);
    case 'judge':
      return judge(world, costs);
    case 'link':
    case 'flap':
    case 'flip':
    case 'kill':
    case 'stop':
    case 'restart':
    case 'rotate':
      beginFault(world, step);
  }
}
