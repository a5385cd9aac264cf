import {resourcePaths} from '../../src/core/home.js';
import {SimFailure} from './oracle.js';
import {SIM_HOME, SIM_NAME} from './sim-config.js';
import type {SimDisk} from './sim-disk.js';

/** The log, two ready, sixteen spares (keeper), and what is on its way. */
const FILES_MAX = 24;
const DESCRIPTORS_MAX = 16;

/** Nothing grows without bound: what a disk at rest, with everything replayed, may still hold. */
export function checkBounds(disk: SimDisk): void {
  const names = disk
    .peekNames(resourcePaths(SIM_HOME, SIM_NAME).logDirectory)
    // A file that failed under I/O is kept aside for ever.
    .filter((name) => !name.startsWith('bad-'));
  if (names.length > FILES_MAX) {
    throw new SimFailure(`${names.length} files are left in the log: ${names.join(' ')}`);
  }

  if (disk.descriptorCount > DESCRIPTORS_MAX) {
    throw new SimFailure(`${disk.descriptorCount} descriptors are open`);
  }
}
