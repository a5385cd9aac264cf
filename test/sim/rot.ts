import {join} from 'node:path';
import {resourcePaths} from '../../src/core/home.js';
import {below, pick, type Random} from './random.js';
import {SIM_HOME, SIM_NAME} from './sim-config.js';
import type {SimDisk} from './sim-disk.js';

/** Places that are tried before a file counts as empty. */
const TRIES = 40;

/** Thrown where a log that rotted was refused, as it should be: the run ends well. */
export class RotNoticed extends Error {
  override readonly name = 'RotNoticed';
}

/**
 * Flips one bit of a logfile or its index, where there is anything but zeros.
 *
 * @returns what was done, for the trace; undefined where nothing was found to rot
 */
export function rotLog(disk: SimDisk, random: Random): string | undefined {
  const {logDirectory} = resourcePaths(SIM_HOME, SIM_NAME);
  const names = disk.peekNames(logDirectory).filter((name) => name.startsWith('log-'));
  if (names.length === 0) return undefined;
  const path = join(logDirectory, pick(random, names));
  const size = disk.peekSize(path);
  for (let count = 0; count < TRIES; count += 1) {
    // Most of a segment may be empty: near its start there is always something.
    const position = Math.floor(size ** (0.5 + random() / 2));
    if ((disk.peek(path, position, 1)[0] ?? 0) === 0) continue;
    const bit = below(random, 8);
    disk.rot(path, position, bit);
    return `bit ${bit} of byte ${position} of ${path} rots`;
  }

  return undefined;
}
