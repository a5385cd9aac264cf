/** How people name a moment: `history mount NAME --at WHEN`. Pure, but for the time zone of the process. */
import {DiskError} from './errors.js';
import {parsePosition} from './position.js';

/** A moment as it was asked for. */
export type When =
  | {readonly kind: 'time'; readonly timeMs: number}
  | {readonly kind: 'position'; readonly position: string}
  | {readonly kind: 'mark'; readonly label: string};

export const WHEN_RULE =
  'a time (2026-11-22T10:15:00Z, or local: "2026-11-22 10:15", 10:15), how long ago (-10min, -2h), ' +
  'now, a position (16 hex digits), or the label of a mark';

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  sec: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

const AGO = /^-(\d+(?:\.\d+)?)\s*(s|sec|m|min|h|d|w)$/u;
const DATE = /^(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2})(\.\d+)?)?)?$/u;
const OF_DAY = /^(\d{1,2}):(\d{2})(?::(\d{2}))?$/u;
const ZONED = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})$/iu;
const LABEL = /^[a-zA-Z][a-zA-Z0-9_.:-]*$/u;

/**
 * Reads a moment as people type it. A time of day is the last one that has passed.
 *
 * @throws DiskError USAGE
 */
export function parseWhen(text: string, nowMs: number): When {
  const words = text.trim();
  if (words === 'now') return {kind: 'time', timeMs: nowMs};
  const timeMs = ago(words, nowMs) ?? zoned(words) ?? localDate(words) ?? timeOfDay(words, nowMs);
  if (timeMs !== undefined) return {kind: 'time', timeMs};
  if (/^[0-9a-f]{16}$/u.test(words) && parsePosition(words) !== undefined) {
    return {kind: 'position', position: words};
  }

  if (LABEL.test(words)) return {kind: 'mark', label: words};
  throw new DiskError('USAGE', `expected ${WHEN_RULE}, got '${text}'`);
}

function ago(words: string, nowMs: number): number | undefined {
  const [, count, unit] = AGO.exec(words) ?? [];
  return unit === undefined ? undefined : nowMs - Number(count) * (UNIT_MS[unit] ?? NaN);
}

function zoned(words: string): number | undefined {
  if (!ZONED.test(words)) return undefined;
  const timeMs = Date.parse(words.toUpperCase().replace(' ', 'T'));
  return Number.isNaN(timeMs) ? undefined : timeMs;
}

function localDate(words: string): number | undefined {
  const found = DATE.exec(words);
  if (found === null) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = found
    .slice(1, 7)
    .map((digits: string | undefined) => Number(digits ?? 0));
  const milliseconds = Math.round(Number(found[7] ?? 0) * 1000);
  const date = new Date(year, month - 1, day, hour, minute, second, milliseconds);
  // 30 February is no day, though Date makes one of it.
  const isReal = date.getMonth() === month - 1 && date.getDate() === day && hour < 24;
  return isReal && minute < 60 && second < 60 ? date.getTime() : undefined;
}

function timeOfDay(words: string, nowMs: number): number | undefined {
  const [, hour, minute, second = '0'] = OF_DAY.exec(words) ?? [];
  if (hour === undefined || minute === undefined) return undefined;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  const date = new Date(nowMs);
  date.setHours(Number(hour), Number(minute), Number(second), 0);
  if (date.getTime() > nowMs) date.setDate(date.getDate() - 1);
  return date.getTime();
}
