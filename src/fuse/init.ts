/**
 * INIT: what kernel and we agree upon, and the file that tells it to the next generation, since
 * the kernel asks only once in the life of a mount.
 */
import {DiskError} from '../core/errors.js';
import {HOME_SCHEMA} from '../core/home.js';
import {isObject, readJsonFile, writeJsonFile} from '../core/json-file.js';
import {REQUEST_BYTES_MAX} from '../core/limits.js';
import type {InitOut} from './encode.js';
import {
  BODY,
  IN_HEADER_BYTES,
  INIT_FLAG,
  INIT_FLAG2,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  PROTOCOL_MINOR_MIN,
} from './abi.js';

export interface InitResult extends InitOut {
  readonly kernelMajor: number;
  readonly kernelMinor: number;
  /** FUSE_HAS_RESEND: unanswered requests outlive this process (kernel >= 6.9). */
  readonly canResend: boolean;
}

/** `fuse_init_in`; `flags2` is 0 where the kernel did not send it. */
export interface InitIn {
  readonly major: number;
  readonly minor: number;
  readonly maxReadaheadBytes: number;
  readonly flags: number;
  readonly flags2: number;
}

const FLAGS_WANTED =
  INIT_FLAG.ASYNC_READ |
  INIT_FLAG.BIG_WRITES |
  INIT_FLAG.ASYNC_DIO |
  INIT_FLAG.MAX_PAGES |
  INIT_FLAG.INIT_EXT;

/** @param lengthBytes of the whole request; at least header and 16 bytes */
export function decodeInit(request: Uint32Array, lengthBytes: number): InitIn {
  const flags = request[BODY + 3] ?? 0;
  const extended = (flags & INIT_FLAG.INIT_EXT) !== 0 && lengthBytes >= IN_HEADER_BYTES + 20;
  return {
    major: request[BODY] ?? 0,
    minor: request[BODY + 1] ?? 0,
    maxReadaheadBytes: request[BODY + 2] ?? 0,
    flags,
    flags2: extended ? (request[BODY + 4] ?? 0) : 0,
  };
}

/**
 * Takes of the kernel's offers what we use. No writeback cache: data would be acknowledged that
 * only the page cache above us holds.
 *
 * @throws DiskError FUSE_PROTOCOL for a kernel below protocol 7.31
 */
export function negotiate(init: InitIn): InitResult {
  if (init.major < PROTOCOL_MAJOR || init.minor < PROTOCOL_MINOR_MIN) {
    throw new DiskError(
      'FUSE_PROTOCOL',
      `the kernel speaks FUSE ${init.major}.${init.minor}, mars needs 7.${PROTOCOL_MINOR_MIN} or later`,
      {major: init.major, minor: init.minor},
    );
  }

  const flags = init.flags & FLAGS_WANTED;
  const flags2 = init.flags2 & INIT_FLAG2.HAS_RESEND;
  return {
    kernelMajor: init.major,
    kernelMinor: init.minor,
    canResend: flags2 !== 0,
    minor: Math.min(init.minor, PROTOCOL_MINOR),
    maxReadaheadBytes: Math.min(init.maxReadaheadBytes, REQUEST_BYTES_MAX),
    flags,
    flags2,
    maxBackground: 64,
    congestionThreshold: 48,
    // Without FUSE_MAX_PAGES the kernel stays at 32 pages whatever it is told.
    maxWriteBytes: REQUEST_BYTES_MAX,
    maxPages: REQUEST_BYTES_MAX / 4096,
  };
}

/** @throws DiskError STORE_*; call it before INIT is answered */
export function saveInit(path: string, init: InitResult): void {
  writeJsonFile(path, {schema: HOME_SCHEMA, ...init});
}

/**
 * @returns undefined where there is none: then INIT was never answered, and comes again
 * @throws DiskError STATE_UNREADABLE, HOME_NEWER or STORE_*
 */
export function loadInit(path: string): InitResult | undefined {
  return readJsonFile(path, checkInit);
}

function checkInit(value: unknown): InitResult {
  if (!isObject(value)) throw new Error('not an object');
  const number = (key: string): number => {
    const field = value[key];
    if (typeof field !== 'number' || !Number.isSafeInteger(field) || field < 0) {
      throw new Error(`"${key}" is not a number`);
    }

    return field;
  };

  return {
    kernelMajor: number('kernelMajor'),
    kernelMinor: number('kernelMinor'),
    canResend: value['canResend'] === true,
    minor: number('minor'),
    maxReadaheadBytes: number('maxReadaheadBytes'),
    flags: number('flags'),
    flags2: number('flags2'),
    maxBackground: number('maxBackground'),
    congestionThreshold: number('congestionThreshold'),
    maxWriteBytes: number('maxWriteBytes'),
    maxPages: number('maxPages'),
  };
}
