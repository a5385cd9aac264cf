import type {ErrorCode} from './codes.js';

export type ErrorDetails = Readonly<Record<string, string | number>>;

/** An operating error: disk, peer, user. Programming errors are asserts. */
export class DiskError extends Error {
  override readonly name = 'DiskError';
  readonly code: ErrorCode;
  /** Facts for the log line and for `--json`: numbers keep their unit in the key. */
  readonly details: ErrorDetails;

  constructor(
    code: ErrorCode,
    message: string,
    details: ErrorDetails = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.details = details;
  }
}

/** Narrows `error`; with `code`, only that code. */
export function isDiskError(error: unknown, code?: ErrorCode): error is DiskError {
  return error instanceof DiskError && (code === undefined || error.code === code);
}

/** The errno name of an error of node:fs and the like: `ENOSPC`; undefined for anything else. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** Whether an errno says that there is no room, by the file system or by quota. */
export function isNoRoom(errno: string | undefined): boolean {
  return errno === 'ENOSPC' || errno === 'EDQUOT';
}

/**
 * Turns an error of the file system into a DiskError; passes anything else on.
 *
 * @param what what was being done to which file, for the message: `write the log /x/y`
 */
export function storeError(error: unknown, what: string): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  const code: ErrorCode = isNoRoom(errno)
    ? 'STORE_FULL'
    : errno === 'EROFS'
      ? 'STORE_READ_ONLY'
      : 'STORE_IO';
  return new DiskError(code, `cannot ${what}: ${errno}`, {errno}, {cause: error});
}
