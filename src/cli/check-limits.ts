/** The limits that `mars check` takes as flags: `--warn-X` and `--crit-X`. */
import {LAG_SECONDS_WARNING} from '../control/health.js';
import {DiskError} from '../core/errors.js';
import {parseDuration} from '../core/units.js';
import type {Limits, Thresholds} from './judge-check.js';

/**
 * Both limits of one kind.
 *
 * @param kind what follows `warn-` and `crit-` in the names of the flags
 * @throws DiskError USAGE where one is no limit
 */
export function parseLimits(
  flags: Readonly<Record<string, unknown>>,
  kind: string,
  parse: (text: string) => number,
): Limits {
  const read = (flag: string): number | undefined => {
    const text = flags[flag];
    return typeof text === 'string' ? parse(text) : undefined;
  };
  const warn = read(`warn-${kind}`);
  const crit = read(`crit-${kind}`);
  // The daemon warns from there on by itself: a higher limit would promise what cannot be kept.
  if (kind === 'lag' && warn !== undefined && warn > LAG_SECONDS_WARNING) {
    throw new DiskError('USAGE', `expected --warn-lag of at most ${LAG_SECONDS_WARNING} seconds`);
  }

  return {warn, crit};
}

/** Both limits of the age of a comparison; null: there is none. @throws DiskError USAGE */
export function parseVerifyAge(
  flags: Readonly<Record<string, unknown>>,
): NonNullable<Thresholds['verifyAge']> | null {
  const limits = parseLimits(flags, 'verify-age', parseDuration);
  const isLimited = limits.warn !== undefined || limits.crit !== undefined;
  return isLimited ? {...limits, nowMs: Date.now()} : null;
}

/** @throws DiskError USAGE where `text` is no number of seconds */
export function parseSeconds(text: string): number {
  return parseNumber(text, Number.MAX_SAFE_INTEGER, 'seconds such as 60 or 0.5');
}

/** @throws DiskError USAGE where `text` is not from 0 to 100 */
export function parsePercent(text: string): number {
  return parseNumber(text.replace(/%$/u, ''), 100, 'a percentage from 0 to 100');
}

function parseNumber(text: string, max: number, expected: string): number {
  const value = /^\d+(?:\.\d+)?$/u.test(text) ? Number(text) : NaN;
  if (value <= max) return value;
  throw new DiskError('USAGE', `expected ${expected}, got '${text}'`);
}
