import {DISK_COUNTERS, type DiskCounter} from '../core/disk-status.js';

/** Index of each counter in the shared memory. */
export const COUNTER = Object.fromEntries(
  DISK_COUNTERS.map((name, index) => [name, index]),
) as Readonly<Record<DiskCounter, number>>;
