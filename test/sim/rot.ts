import {basename, join} from 'node:path';
import {resourcePaths, type ResourcePaths} from '../../src/core/home.js';
import {decodeDurableWord} from '../../src/log/durable-word.js';
import {SEGMENT_HEADER_BYTES} from '../../src/log/segment.js';
import {KIB} from '../../src/core/units.js';
import {below, chance, pick, type Random} from './random.js';
import {SimFailure} from './oracle.js';
import {SIM_HOME, SIM_NAME} from './sim-config.js';
import type {SimDisk} from './sim-disk.js';

/** Places that are tried before a file counts as empty. */
const TRIES = 40;

/** Where the last commit is to rot: so much of what was written last. */
const LAST_BYTES = 16 * KIB;

/** Thrown where a log that rotted was refused, as it should be: the run ends well. */
export class RotNoticed extends Error {
  override readonly name = 'RotNoticed';
}

/** How far the node has said that its log is durable, as its disk has it now; 0: it has said nothing. */
export function wordOf(disk: SimDisk, {directory, durableFile}: ResourcePaths): number {
  const isThere = disk.peekNames(directory).includes(basename(durableFile));
  const bytes = isThere ? disk.peek(durableFile, 0, 64) : Buffer.alloc(0);
  return decodeDurableWord(bytes)?.position ?? 0;
}

/**
 * The word may be late where a fault hit its file, or gone with the power, but never else: whatever rots
 * then of what was flushed is refused, not cut.
 */
export function requireWord(disk: SimDisk, paths: ResourcePaths, flushed: number): void {
  const told = wordOf(disk, paths);
  if (told >= flushed || disk.faults.injected > 0) return;
  throw new SimFailure(`flushed to ${flushed}, but the word says ${told}`);
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
  const end = chance(random, 0.5) ? endOf(disk, logDirectory, names) : undefined;
  const path = end?.path ?? join(logDirectory, pick(random, names));
  const size = disk.peekSize(path);
  for (let count = 0; count < TRIES; count += 1) {
    // Most of a segment may be empty: near its start there is always something.
    const position =
      end === undefined
        ? Math.floor(size ** (0.5 + random() / 2))
        : end.offset - below(random, Math.min(LAST_BYTES, end.offset));
    if ((disk.peek(path, position, 1)[0] ?? 0) === 0) continue;
    const bit = below(random, 8);
    disk.rot(path, position, bit);
    return `bit ${bit} of byte ${position} of ${path} rots`;
  }

  return undefined;
}

/** The last byte that is not zero, in the newest file that has more than a header. */
function endOf(
  disk: SimDisk,
  directory: string,
  names: readonly string[],
): {readonly path: string; readonly offset: number} | undefined {
  for (const name of names.filter((each) => !each.endsWith('.idx')).toReversed()) {
    const path = join(directory, name);
    const bytes = disk.peek(path, 0, disk.peekSize(path));
    const offset = bytes.findLastIndex((byte) => byte !== 0);
    if (offset >= SEGMENT_HEADER_BYTES) return {path, offset};
  }

  return undefined;
}
