/**
 * Whose clock is wrong. Nothing of mars depends on it but the times in messages and logs, by which
 * people compare what happened where; so it is told, and no more.
 */

const HOUR_SECONDS = 3600;
const DAY_SECONDS = 24 * HOUR_SECONDS;

/** Clocks that are kept by anything differ by less; a slow link is not taken for a wrong clock. */
export const CLOCK_SKEW_MS = 5000;

/** How far the clock of another node is ahead of the one here. */
export interface ClockOffset {
  /** Negative: it is behind. */
  readonly offsetMs: number;
  /** The other one may have been read at any time while the call was under way. */
  readonly errorMs: number;
}

/**
 * From one call: the other node read its clock between the question and the answer.
 *
 * @param theirs RFC 3339 as it was answered; an older version does not say
 * @returns undefined where it is not known, or the clock here was set meanwhile
 */
export function clockOffset(
  sent: {readonly wallMs: number; readonly monotonicMs: number},
  answered: {readonly wallMs: number; readonly monotonicMs: number},
  theirs: unknown,
): ClockOffset | undefined {
  const theirMs = typeof theirs === 'string' ? Date.parse(theirs) : NaN;
  const errorMs = (answered.monotonicMs - sent.monotonicMs) / 2;
  const jumpMs = Math.abs(answered.wallMs - sent.wallMs - 2 * errorMs);
  if (Number.isNaN(theirMs) || jumpMs > CLOCK_SKEW_MS / 2) return undefined;
  return {offsetMs: theirMs - (sent.wallMs + errorMs), errorMs};
}

/** Whether the clocks are not the same; what was told stays until they are clearly the same again. */
export function isSkewed({offsetMs, errorMs}: ClockOffset, was: boolean): boolean {
  return Math.abs(offsetMs) - errorMs > (was ? CLOCK_SKEW_MS / 2 : CLOCK_SKEW_MS);
}

/** `the clock of beta is 2 h ahead of the one here`. */
export function skewText(name: string, offsetMs: number): string {
  const side = offsetMs > 0 ? 'ahead of' : 'behind';
  return `the clock of ${name} is ${durationText(Math.abs(offsetMs) / 1000)} ${side} the one here`;
}

/**
 * All of it in one sentence: where several others agree with each other and none with this node, the
 * clock here is the one.
 *
 * @param skewed nodes whose clock is not as the one here
 * @param same how many others have the same time as this node
 */
export function skewMessage(
  skewed: readonly {readonly name: string; readonly offsetMs: number}[],
  same: number,
): string | undefined {
  const [first] = skewed;
  if (first === undefined) return undefined;
  const offsets = skewed.map(({offsetMs}) => offsetMs);
  const spreadMs = Math.max(...offsets) - Math.min(...offsets);
  if (skewed.length > 1 && same === 0 && spreadMs < CLOCK_SKEW_MS) {
    const names = skewed.map(({name}) => name).join(', ');
    const side = first.offsetMs > 0 ? 'behind' : 'ahead of';
    return `the clock of this node is ${durationText(Math.abs(first.offsetMs) / 1000)} ${side} those of ${names}`;
  }

  return skewed.map(({name, offsetMs}) => skewText(name, offsetMs)).join('; ');
}

function durationText(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 2 * HOUR_SECONDS) return `${Math.round(seconds / 60)} min`;
  if (seconds < 2 * DAY_SECONDS) return `${Math.round(seconds / HOUR_SECONDS)} h`;
  return `${Math.round(seconds / DAY_SECONDS)} days`;
}
