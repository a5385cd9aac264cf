/** Arguments and flags that several commands share, with their checks. */
import {Args, Flags} from '@oclif/core';
import {DiskError} from '../core/errors.js';
import {BLOCK_BYTES, DISK_BYTES_MAX, DISK_BYTES_MIN} from '../core/limits.js';
import {checkName} from '../core/names.js';
import {formatBytes, parseSize} from '../core/units.js';

const TIMEOUT_SECONDS_MAX = 86_400;

/** NAME of one resource. */
export const resourceArgument = Args.string({
  description: 'name of the resource',
  required: true,
  parse: (input) => Promise.resolve(checkName('resource', input)),
});

/** NAME of a member of the cluster. */
export const nodeArgument = Args.string({
  description: 'name of the node',
  required: true,
  parse: (input) => Promise.resolve(checkName('node', input)),
});

/** NAME of a resource, or `all`. */
export const targetArgument = Args.string({
  description: 'name of the resource, or all',
  required: true,
  parse: (input) => Promise.resolve(checkTarget(input)),
});

/** Like targetArgument; absent means all. */
export const optionalTargetArgument = Args.string({
  description: 'name of the resource; all where it is left out',
  parse: (input) => Promise.resolve(checkTarget(input)),
});

/** `--host NODE`: the daemon here passes the question on. */
export const hostFlag = Flags.string({
  description: 'ask, or act for, this other node of the cluster',
  helpValue: 'NODE',
  parse: (input) => Promise.resolve(checkName('node', input)),
});

export const parallelFlag = Flags.boolean({
  description: 'with all: several resources at the same time',
  default: false,
});

/** `--branch ID` of a branch that is kept. */
export const branchFlag = Flags.string({
  description: 'the branch, as mars fork show lists it; not needed where there is only one',
  helpValue: 'ID',
});

export const sizeArgument = Args.string({
  description: 'size such as 10G',
  required: true,
  parse: (input) => Promise.resolve(input),
});

/** `--timeout S` with its default. */
export function timeoutFlag(seconds: number) {
  return Flags.integer({
    description: 'longest wait in seconds',
    default: seconds,
    min: 1,
    max: TIMEOUT_SECONDS_MAX,
    helpValue: 'S',
  });
}

export const driverFlag = Flags.option({
  description: 'FUSE driver: auto takes the first that works',
  options: ['auto', 'kernel', 'fuse-native'] as const,
});

function checkTarget(input: string): string {
  return input === 'all' ? input : checkName('resource', input);
}

/**
 * Size of a disk as typed.
 *
 * @throws DiskError SIZE_INVALID where it is no size, not whole blocks, or outside the limits
 */
export function parseDiskSize(text: string): number {
  const bytes = parseSizeStrictly(text);
  if (bytes < DISK_BYTES_MIN || bytes > DISK_BYTES_MAX) {
    const range = `${formatBytes(DISK_BYTES_MIN)} to ${formatBytes(DISK_BYTES_MAX)}`;
    throw new DiskError('SIZE_INVALID', `expected a size of ${range}, got '${text}'`, {bytes});
  }

  if (bytes % BLOCK_BYTES !== 0) {
    throw new DiskError(
      'SIZE_INVALID',
      `expected a multiple of ${BLOCK_BYTES} bytes, got '${text}' (${bytes} bytes)`,
      {bytes},
    );
  }

  return bytes;
}

function parseSizeStrictly(text: string): number {
  try {
    return parseSize(text);
  } catch {
    throw new DiskError('SIZE_INVALID', `expected a size such as 10G or 512M, got '${text}'`);
  }
}

/**
 * `key=value` words to a record; the daemon knows which keys there are.
 *
 * @throws DiskError USAGE for a word without `=`, an empty key, or a key given twice
 */
export function parseSettings(words: readonly string[]): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const word of words) {
    const at = word.indexOf('=');
    if (at <= 0) throw new DiskError('USAGE', `expected key=value, got '${word}'`);
    const key = word.slice(0, at);
    if (Object.hasOwn(settings, key)) throw new DiskError('USAGE', `'${key}' is given twice`);
    settings[key] = word.slice(at + 1);
  }

  return settings;
}
