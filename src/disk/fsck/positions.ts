/** Which positions of a log are checked. */
import {DiskError} from '../../core/errors.js';
import {formatPosition} from '../../core/position.js';

/** Checked at most where nobody said how many. */
export const CHECKS_DEFAULT = 50;

export interface PositionWish {
  /** Only this one. */
  readonly at?: number;
  /** Nothing before it. */
  readonly from?: number;
  /** Each n-th flush mark, counted from the end; absent: as many as make CHECKS_DEFAULT. */
  readonly every?: number;
}

/**
 * @param earliest the first position whose disk is known; `end` is the last
 * @param marks where the log was flushed, ascending
 * @throws DiskError USAGE for a position outside [earliest, end]
 */
export function choosePositions(
  wish: PositionWish,
  earliest: number,
  marks: readonly number[],
  end: number,
): number[] {
  for (const position of [wish.at, wish.from]) {
    if (position === undefined || (position >= earliest && position <= end)) continue;
    throw new DiskError(
      'USAGE',
      `expected a position from ${formatPosition(earliest)}, where the image here is a state of the ` +
        `disk, to ${formatPosition(end)}, where the log ends; got ${formatPosition(position)}`,
      {earliest: formatPosition(earliest), end: formatPosition(end)},
    );
  }

  if (wish.at !== undefined) return [wish.at];
  const first = wish.from ?? earliest;
  const all = new Set([first, ...marks.filter((mark) => mark > first && mark < end), end]);
  const candidates = [...all];
  const every = wish.every ?? Math.max(1, Math.ceil(candidates.length / CHECKS_DEFAULT));
  // Counted from the end: the newest state is always among them.
  return candidates.filter((_, index) => (candidates.length - 1 - index) % every === 0);
}
