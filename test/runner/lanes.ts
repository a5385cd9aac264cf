/** Several test processes at a time: most of them wait more than they compute. */
import {addTotals, emptyTotals, type Totals} from './totals.js';

/** On two cores more than this makes every wait of a test longer. */
export const LANES = 3;

/** One process of tests. */
export interface Task {
  readonly name: string;
  /** @param echo whether the output is to be shown while it comes: nothing else runs beside it */
  run(echo: boolean): Promise<Totals>;
}

/**
 * Runs `tasks` in their order, up to `lanes` at a time.
 *
 * @param running names of those that run now, for who has to say what hung
 */
export async function runTasks(
  tasks: readonly Task[],
  lanes: number,
  running: Set<string>,
): Promise<Totals> {
  const totals = emptyTotals();
  const waiting = [...tasks];
  const width = Math.min(lanes, waiting.length);
  const lane = async (): Promise<void> => {
    for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) {
      running.add(task.name);
      addTotals(totals, await task.run(width === 1));
      running.delete(task.name);
    }
  };
  await Promise.all(Array.from({length: width}, lane));
  return totals;
}
