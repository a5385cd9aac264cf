/** The guards of the log's room in the simulated life: the real ones; each third of the seeds has a policy. */
import {KIB} from '../../src/core/units.js';
import {BypassGuard} from '../../src/disk/bypass-guard.js';
import {COMMAND, WORD} from '../../src/disk/shared.js';
import {SpaceGuard} from '../../src/disk/space-guard.js';
import type {Life} from './life.js';
import type {Script} from './script.js';
import type {SimClock} from './sim-clock.js';
import type {WorldStatistics} from './statistics.js';

/** So little that writes are slowed often, for a replica that is as far as the image. */
const FETCH_CAP_BYTES = 512 * KIB;

/** Seeds whose writes go past a log that has no room. */
export function isBypassing({seed}: Pick<Script, 'seed'>): boolean {
  return seed % 3 === 2;
}

/** A life with its guards. Nobody has to wake the front: the world lets it look after each step. */
export function withGuard(
  life: Life,
  script: Script,
  clock: SimClock,
  statistics: WorldStatistics,
  leave: () => void,
): Life {
  const {shared, keeper, disk, files} = life;
  const guard = new SpaceGuard({
    ...{files, clock, shared, directory: disk.plan.directory},
    segmentBytes: disk.plan.fileBytes,
    whenFull: script.seed % 3 === 0 ? 'throttle' : 'block',
    spareCount: () => keeper.spareCount,
    onSlowed: (now) => {
      if (now !== undefined) statistics.slowed += 1;
    },
    wake: () => undefined,
    silentMs: () => 0,
    letGo: () => undefined,
  });
  const bypass = new BypassGuard({
    ...{files, clock, shared, leave, paths: disk.paths, plan: disk.plan},
    enter: () => {
      shared.set(WORD.command, COMMAND.bypass);
    },
  });
  if (isBypassing(script)) {
    bypass.want(true);
    bypass.prepareNow();
  }

  let wasInside = false;
  const lookForRoom = (): void => {
    bypass.step();
    if (bypass.isInside && !wasInside) statistics.bypassed += 1;
    wasInside = bypass.isInside;
    guard.tell({position: shared.replayed.get(), capBytes: FETCH_CAP_BYTES});
    guard.step();
  };
  return {...life, lookForRoom};
}

/** One step of the thread that keeps the log supplied. */
export function keep({keeper, lookForRoom}: Life): void {
  keeper.step();
  lookForRoom?.();
}
