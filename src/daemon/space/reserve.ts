/**
 * Space that is held back on the file system of a log: a real file without content, so that others
 * cannot take it, which is removed when a log has no room, and made again when there is plenty.
 *
 *   held    the file is there, with its space allocated
 *   freed   the log needed it; made again after CALM_MS in which there was enough
 *   none    the file system cannot allocate, or is too small
 */
import fs from 'node:fs';
import {join} from 'node:path';
import {errnoOf, isDiskError} from '../../core/errors.js';
import {GIB, MIB} from '../../core/units.js';
import {runProgram} from '../../core/run-program.js';

/** There has to be enough for so long before it is taken back. */
const CALM_MS = 30_000;
const ALLOCATE_TIMEOUT_MS = 10_000;
const RESERVE_BYTES_MIN = 4 * MIB;
const RESERVE_BYTES_MAX = GIB;

const RESERVE_NAME = 'reserve';

export type ReserveStep = 'freed' | 'taken' | undefined;

/**
 * How much is held back: two logfiles of the largest kind, but never more than a thirty-second of
 * the file system, so that a small one is not the smaller for it.
 *
 * @returns 0 where that would be too little to be of use
 */
export function reserveBytesFor(segmentBytesMax: number, totalBytes: number): number {
  const bytes = Math.min(2 * segmentBytesMax, totalBytes / 32, RESERVE_BYTES_MAX);
  const whole = Math.trunc(bytes / MIB) * MIB;
  return whole < RESERVE_BYTES_MIN ? 0 : whole;
}

/**
 * The reserve of a file system in one of the directories that a daemon before this one may have
 * chosen: the first that is there, or a new one in the first directory.
 *
 * @param directories the log directories on that file system, the preferred one first; not empty
 * @returns with those that are one too many
 */
export function findReserve(directories: readonly [string, ...string[]]): {
  readonly reserve: Reserve;
  readonly others: readonly Reserve[];
} {
  const paths = directories.map((directory) => join(directory, RESERVE_NAME));
  const [found, ...others] = paths.filter((path) => fs.existsSync(path));
  const reserve = new Reserve(found ?? join(directories[0], RESERVE_NAME));
  return {reserve, others: others.map((path) => new Reserve(path))};
}

/** The reserve of one file system. */
export class Reserve {
  /** The file, whether it is there or not. */
  readonly path: string;
  #enoughSinceMs: number | undefined;
  /** It was not there when the daemon began: it is taken without a delay, where there is room. */
  #isNew: boolean;
  #cannot = false;

  constructor(path: string) {
    this.path = path;
    this.#isNew = !fs.existsSync(path);
  }

  /** Bytes that are held back now. */
  get heldBytes(): number {
    return fs.statSync(this.path, {throwIfNoEntry: false})?.size ?? 0;
  }

  /** Gives the space to the log. @returns whether there was any */
  free(): boolean {
    this.#enoughSinceMs = undefined;
    this.#isNew = false;
    if (this.heldBytes === 0) return false;
    try {
      fs.rmSync(this.path, {force: true});
      return true;
    } catch (error) {
      // Read-only by now, or gone: the rest of the ladder is climbed all the same.
      if (errnoOf(error) === undefined) throw error;
      return false;
    }
  }

  /**
   * Takes the space back where there has been enough for a while.
   *
   * @returns whether it was taken now
   */
  async keep(
    nowMs: number,
    bytes: number,
    {freeBytes, totalBytes}: {readonly freeBytes: number; readonly totalBytes: number},
  ): Promise<boolean> {
    if (this.#cannot || bytes === 0 || this.heldBytes > 0) return false;
    if (freeBytes < bytes + Math.max(bytes, totalBytes / 8)) {
      this.#enoughSinceMs = undefined;
      return false;
    }

    this.#enoughSinceMs ??= nowMs;
    if (!this.#isNew && nowMs - this.#enoughSinceMs < CALM_MS) return false;
    this.#isNew = false;
    return this.#allocate(bytes);
  }

  async #allocate(bytes: number): Promise<boolean> {
    try {
      fs.writeFileSync(this.path, '', {mode: 0o600});
      const args = ['-l', String(bytes), this.path];
      const {status} = await runProgram('fallocate', args, ALLOCATE_TIMEOUT_MS);
      if (status === 0) return true;
    } catch (error) {
      if (!isDiskError(error) && (error as NodeJS.ErrnoException).code === undefined) throw error;
    }

    // Not here (no fallocate on this file system), or not now: a log works without it.
    this.#cannot = true;
    fs.rmSync(this.path, {force: true});
    return false;
  }
}
