/**
 * All that the main thread of a disk process looks at by itself, in one wake-up: with many disks on a
 * machine it is the wake-ups that cost, not what is done in them. Twice a second; once a second where
 * nothing has happened for a while.
 */
import {untilNext} from '../core/grid.js';
import type {DiskProcess} from './process.js';

const PULSE_MS = 500;
const PULSE_CALM_MS = 1000;
/** So many looks without news, and it is calm. */
const CALM_LOOKS = 10;

/** @param lookAtHolder starts another one where it died */
export function startPulse(disk: DiskProcess, lookAtHolder: () => void): void {
  let calmLooks = 0;
  const beat = (): void => {
    lookAtHolder();
    disk.nudge();
    disk.space?.pulse();
    disk.supplyAfterReplay();
    disk.history.look();
    calmLooks = disk.watch.step() ? 0 : calmLooks + 1;
    const isCalm = calmLooks >= CALM_LOOKS;
    // Together with all disks that are at rest: the daemon hears them in one wake-up.
    const calmMs = untilNext(PULSE_CALM_MS, disk.options.clock.wallMs());
    setTimeout(beat, isCalm ? calmMs : PULSE_MS).unref();
  };
  setTimeout(beat, PULSE_MS).unref();
}
