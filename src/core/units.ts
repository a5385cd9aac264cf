import {DiskError} from './errors.js';

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;
export const TIB = 1024 * GIB;

const FACTORS: Readonly<Record<string, number>> = {'': 1, k: KIB, m: MIB, g: GIB, t: TIB};

/**
 * Parses a size as people type it: `10G`, `512M`, `1.5T`, `4096`, `10GiB`; factors are powers of 1024.
 *
 * @returns bytes, a positive safe integer
 * @throws DiskError USAGE when it is not a size
 */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/iu.exec(text.trim());
  const factor = FACTORS[match?.[2]?.toLowerCase() ?? 'none'];
  const bytes = Number(match?.[1]) * (factor ?? NaN);
  if (!Number.isSafeInteger(bytes) || bytes <= 0) {
    throw new DiskError('USAGE', `expected a size such as 10G or 512M, got '${text}'`);
  }

  return bytes;
}

const SUFFIXES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** Formats bytes for people: `1.5 GiB`, `512 B`; at most five characters of number. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let step = 0;
  while (value >= 1024 && step < SUFFIXES.length - 1) {
    value /= 1024;
    step += 1;
  }

  const digits = step === 0 || Number.isInteger(value) ? 0 : value < 10 ? 2 : 1;
  return `${value.toFixed(digits)} ${SUFFIXES[step] ?? 'B'}`;
}

const SECONDS: Readonly<Record<string, number>> = {
  s: 1,
  m: 60,
  min: 60,
  h: 3600,
  d: 86_400,
  w: 604_800,
};

/**
 * Parses a duration as people type it: `90s`, `15m`, `24h`, `7d`, `2w`; a bare number is seconds.
 *
 * @returns whole seconds, a positive safe integer
 * @throws DiskError USAGE when it is no duration
 */
export function parseDuration(text: string): number {
  const match = /^(\d+)\s*(s|m|min|h|d|w)?$/u.exec(text.trim());
  const seconds = Number(match?.[1]) * (SECONDS[match?.[2] ?? 's'] ?? NaN);
  if (!Number.isSafeInteger(seconds) || seconds <= 0) {
    throw new DiskError('USAGE', `expected a duration such as 90s, 24h or 7d, got '${text}'`);
  }

  return seconds;
}

/** The shortest text that parseDuration reads as about so many seconds: `90s`, `24h`, `7d`. */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  for (const unit of ['w', 'd', 'h', 'm']) {
    const factor = SECONDS[unit] ?? 1;
    if (whole >= factor && whole % factor === 0) return `${whole / factor}${unit}`;
  }

  if (whole < 7200) return `${whole}s`;
  return whole < 172_800 ? `${Math.round(whole / 3600)}h` : `${Math.round(whole / 86_400)}d`;
}
