/** The settings of a resource: what `resource set NAME key=value` takes, and how they are shown. */
import type {ResourceFile} from '../core/home.js';
import {
  BLOCK_BYTES,
  HISTORY_SECONDS_MAX,
  LOG_AGE_SECONDS_MAX,
  LOG_AGE_SECONDS_MIN,
  LOG_CAP_BYTES_DEFAULT,
  LOG_CAP_BYTES_MIN,
  SEGMENT_BYTES_MAX,
  SEGMENT_BYTES_MIN,
} from '../core/limits.js';
import {DiskError} from '../core/errors.js';
import {UNIT_PATTERN} from '../core/names.js';
import {
  DEGRADE_AFTER_SECONDS_MAX,
  modeOf,
  REPLICATION_MODES,
  SYNC_REPLICAS_MAX,
} from '../core/mode.js';
import {PRIORITY_MAX, spacePolicyOf, WHEN_FULL} from '../core/space.js';
import {formatBytes, formatDuration, parseDuration, parseSize} from '../core/units.js';

type Settings = Pick<
  ResourceFile,
  | 'segmentBytes'
  | 'alignmentBytes'
  | 'driver'
  | 'durability'
  | 'device'
  | 'logCapBytes'
  | 'logAgeSeconds'
  | 'historySeconds'
  | 'systemdUnit'
  | 'whenFull'
  | 'priority'
  | 'mode'
  | 'syncReplicas'
  | 'degradeAfterSeconds'
>;

interface Setting {
  /** Words for the error: what the key takes. */
  readonly takes: string;
  /** When a new value counts. */
  readonly effect: 'now' | 'next activation';
  /** @returns the changed part, or undefined where the value is not valid */
  readonly parse: (text: string) => Partial<Settings> | undefined;
  readonly show: (file: Settings) => string;
}

const ALIGNMENTS = ['8', '16', '32', '64', '128', '256', '512', '1024', '2048', '4096'];

const SETTINGS: Readonly<Record<string, Setting>> = {
  driver: {
    takes: 'auto, kernel or fuse-native',
    effect: 'next activation',
    parse: (text) =>
      text === 'auto' || text === 'kernel' || text === 'fuse-native' ? {driver: text} : undefined,
    show: (file) => file.driver,
  },
  durability: {
    takes: 'flush or write',
    effect: 'next activation',
    parse: (text) => (text === 'flush' || text === 'write' ? {durability: text} : undefined),
    show: (file) => file.durability,
  },
  device: {
    takes: 'on or off',
    effect: 'now',
    parse: (text) => (text === 'on' || text === 'off' ? {device: text === 'on'} : undefined),
    show: (file) => (file.device ? 'on' : 'off'),
  },
  'segment-bytes': {
    takes: `a size from ${formatBytes(SEGMENT_BYTES_MIN)} to ${formatBytes(SEGMENT_BYTES_MAX)}, a multiple of 4 KiB`,
    effect: 'next activation',
    parse: parseSegmentBytes,
    show: (file) => String(file.segmentBytes),
  },
  alignment: {
    takes: 'a power of two from 8 to 4096',
    effect: 'next activation',
    parse: (text) => (ALIGNMENTS.includes(text) ? {alignmentBytes: Number(text)} : undefined),
    show: (file) => String(file.alignmentBytes),
  },
  'log-cap': {
    takes: `a size from ${formatBytes(LOG_CAP_BYTES_MIN)}: log that is kept for replicas which lag`,
    effect: 'now',
    parse: parseLogCap,
    show: (file) => String(file.logCapBytes ?? LOG_CAP_BYTES_DEFAULT),
  },
  'log-age': {
    takes: `off, or a time from ${formatDuration(LOG_AGE_SECONDS_MIN)} such as 7d: log that is kept for replicas which lag`,
    effect: 'now',
    parse: parseLogAge,
    show: ({logAgeSeconds = 0}) => (logAgeSeconds === 0 ? 'off' : formatDuration(logAgeSeconds)),
  },
  history: {
    takes: `off, or a time such as 24h, up to ${formatDuration(HISTORY_SECONDS_MAX)}: any moment since can be mounted`,
    effect: 'now',
    parse: parseHistory,
    show: ({historySeconds = 0}) => (historySeconds === 0 ? 'off' : formatDuration(historySeconds)),
  },
  'systemd-unit': {
    takes:
      'the name of a unit such as web01.target, or none: what runs where the resource is primary',
    effect: 'now',
    parse: (text) => {
      if (text === 'none') return {systemdUnit: null};
      return UNIT_PATTERN.test(text) ? {systemdUnit: text} : undefined;
    },
    show: ({systemdUnit}) => systemdUnit ?? 'none',
  },
  'when-full': {
    takes: 'block, throttle or bypass: what writes do when the log runs out of room',
    effect: 'now',
    parse: (text) => {
      const whenFull = WHEN_FULL.find((each) => each === text);
      return whenFull && {whenFull};
    },
    show: (file) => spacePolicyOf(file).whenFull,
  },
  priority: {
    takes: `a number from 0 to ${PRIORITY_MAX}: the lowest gives way first when room is short`,
    effect: 'now',
    parse: (text) => {
      const isValid = /^\d{1,3}$/u.test(text) && Number(text) <= PRIORITY_MAX;
      return isValid ? {priority: Number(text)} : undefined;
    },
    show: (file) => String(spacePolicyOf(file).priority),
  },
  mode: {
    takes: `${REPLICATION_MODES.join(', ')}: for what a flush waits`,
    effect: 'now',
    parse: (text) => {
      const mode = REPLICATION_MODES.find((each) => each === text);
      return mode && {mode};
    },
    show: (file) => modeOf(file).mode,
  },
  'sync-replicas': {
    takes: `a number from 1 to ${SYNC_REPLICAS_MAX}: replicas that have to confirm a flush`,
    effect: 'now',
    parse: (text) => {
      const count = parseCount(text, SYNC_REPLICAS_MAX);
      return count === undefined ? undefined : {syncReplicas: count};
    },
    show: (file) => String(modeOf(file).syncReplicas),
  },
  'degrade-after': {
    takes: `seconds from 1 to ${DEGRADE_AFTER_SECONDS_MAX}, or never: how long a flush waits for replicas`,
    effect: 'now',
    parse: (text) => {
      if (text === 'never') return {degradeAfterSeconds: null};
      const seconds = parseCount(text, DEGRADE_AFTER_SECONDS_MAX);
      return seconds === undefined ? undefined : {degradeAfterSeconds: seconds};
    },
    show: (file) => {
      const {degradeAfterSeconds} = modeOf(file);
      return degradeAfterSeconds === null ? 'never' : String(degradeAfterSeconds);
    },
  },
};

function parseCount(text: string, max: number): number | undefined {
  const count = /^\d{1,6}$/u.test(text) ? Number(text) : 0;
  return count >= 1 && count <= max ? count : undefined;
}

function parseLogCap(text: string): Partial<Settings> | undefined {
  try {
    const bytes = parseSize(text);
    return bytes >= LOG_CAP_BYTES_MIN ? {logCapBytes: bytes} : undefined;
  } catch {
    return undefined;
  }
}

function parseLogAge(text: string): Partial<Settings> | undefined {
  if (text === 'off') return {logAgeSeconds: 0};
  try {
    const seconds = parseDuration(text);
    const isValid = seconds >= LOG_AGE_SECONDS_MIN && seconds <= LOG_AGE_SECONDS_MAX;
    return isValid ? {logAgeSeconds: seconds} : undefined;
  } catch {
    return undefined;
  }
}

function parseHistory(text: string): Partial<Settings> | undefined {
  if (text === 'off' || text === '0') return {historySeconds: 0};
  try {
    const seconds = parseDuration(text);
    return seconds <= HISTORY_SECONDS_MAX ? {historySeconds: seconds} : undefined;
  } catch {
    return undefined;
  }
}

function parseSegmentBytes(text: string): Partial<Settings> | undefined {
  try {
    const bytes = parseSize(text);
    const valid =
      bytes >= SEGMENT_BYTES_MIN && bytes <= SEGMENT_BYTES_MAX && bytes % BLOCK_BYTES === 0;
    return valid ? {segmentBytes: bytes} : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Turns `key=value` pairs into the changed part of a resource file.
 *
 * @throws DiskError KEY_UNKNOWN with what exists, or what the key takes
 */
export function parseSettings(pairs: Readonly<Record<string, string>>): Partial<Settings> {
  let changed: Partial<Settings> = {};
  for (const [key, text] of Object.entries(pairs)) {
    const setting = Object.hasOwn(SETTINGS, key) ? SETTINGS[key] : undefined;
    if (setting === undefined) {
      const keys = Object.keys(SETTINGS).join(', ');
      throw new DiskError('KEY_UNKNOWN', `there is no setting '${key}': expected one of ${keys}`, {
        key,
      });
    }

    const part = setting.parse(text);
    if (part === undefined) {
      throw new DiskError('KEY_UNKNOWN', `${key} takes ${setting.takes}, got '${text}'`, {
        key,
        value: text,
      });
    }

    changed = {...changed, ...part};
  }

  return changed;
}

/** All settings as text, as `resource show` prints them. */
export function showSettings(file: Settings): Record<string, string> {
  return Object.fromEntries(
    Object.entries(SETTINGS).map(([key, setting]) => [key, setting.show(file)]),
  );
}

/** The keys whose new value counts at the next activation only. */
export function deferredKeys(pairs: Readonly<Record<string, string>>): string[] {
  return Object.keys(pairs).filter((key) => SETTINGS[key]?.effect === 'next activation');
}

/** The keys of resource.json that are settings. */
export const resourceSettingsKeys = [
  'segmentBytes',
  'alignmentBytes',
  'driver',
  'durability',
  'device',
  'logCapBytes',
  'logAgeSeconds',
  'historySeconds',
  'systemdUnit',
  'whenFull',
  'priority',
  'mode',
  'syncReplicas',
  'degradeAfterSeconds',
] as const satisfies readonly (keyof Settings)[];
