/**
 * A rollback that is under way: `resources/NAME/rollback.json`. While it is there nobody can open the disk, the
 * log from `base` on is kept, and nothing at or above `position` goes to the image; that outlives every
 * process. The daemon writes it, the disk process removes it when all is done.
 *
 *   prepared   nothing of the disk has been changed yet: a daemon that finds it takes it away
 *   running    the disk process goes on with it, whenever it is started
 */
import {isObject, readJsonFile} from './json-file.js';
import {parsePosition} from './position.js';

export interface RollbackFile {
  readonly schema: 1;
  readonly phase: 'prepared' | 'running';
  /** What was asked for, in words. */
  readonly asked: string;
  /** The disk becomes what it was here, 16 hex digits. */
  readonly position: string;
  /** Chain value there. */
  readonly chain: string;
  /** The log is needed from here on. */
  readonly base: string;
  /** Everything that is to be taken back was written below; null: whatever the log holds. */
  readonly from: string | null;
  /** RFC 3339. */
  readonly startedAt: string;
}

/** Marks around what a rollback writes: `from` is in the log as the first one. */
const BEGIN = 'before-rollback-to-';
const END = 'rolled-back-to-';
/** Label of the moment where one was taken back before it had changed anything, or was given up. */
export const GIVEN_UP_LABEL = 'rollback-given-up';

/** Label of the moment before a rollback: rolling back to it undoes that. */
export function beginLabel(position: string): string {
  return BEGIN + position;
}

/** Label of the moment when all is written. */
export function endLabel(position: string): string {
  return END + position;
}

/** Whether only a rollback may set a mark of that name. */
export function isRollbackLabel(label: string): boolean {
  return label.startsWith(BEGIN) || label.startsWith(END) || label === GIVEN_UP_LABEL;
}

/**
 * The rollback in whose middle a log ends.
 *
 * @param marks of the log, oldest first
 * @returns the mark where it began, and where it was to go; undefined: it ends in none
 */
export function unfinishedRollback<T extends {readonly label: string}>(
  marks: readonly T[],
): {readonly begin: T; readonly to: string} | undefined {
  const last = marks.findLast(({label}) => isRollbackLabel(label));
  if (last?.label.startsWith(BEGIN) !== true) return undefined;
  return {begin: last, to: last.label.slice(BEGIN.length)};
}

/** @returns undefined where there is none @throws DiskError STATE_UNREADABLE, HOME_NEWER, STORE_IO */
export function readRollback(path: string): RollbackFile | undefined {
  return readJsonFile(path, checkRollback);
}

/** @throws Error that names the fault */
export function checkRollback(value: unknown): RollbackFile {
  if (!isObject(value)) throw new Error('it is not an object');
  for (const key of ['asked', 'chain', 'startedAt']) {
    if (typeof value[key] !== 'string') throw new Error(`"${key}" is no text`);
  }

  const {phase, position, base, from} = value;
  if (phase !== 'prepared' && phase !== 'running') throw new Error('"phase" is unknown');
  const positions = from === null ? [position, base] : [position, base, from];
  for (const text of positions) {
    if (typeof text !== 'string' || parsePosition(text) === undefined) {
      throw new Error('"position", "base" and "from" are positions');
    }
  }

  const file = value as unknown as RollbackFile;
  if (file.base > file.position) throw new Error('"base" is behind "position"');
  if (file.from !== null && file.from < file.position)
    throw new Error('"from" is before "position"');
  return file;
}
