/**
 * What a command shows when it fails: what was found, the next step, and a stable code, on stderr
 * or, under --json, as one document. The exit status comes from the code's entry in core/codes.
 */
import {Errors} from '@oclif/core';
import {CODES, EXIT, type CodeEntry, type ErrorCode} from '../core/codes.js';
import {DiskError, isDiskError, storeError, type ErrorDetails} from '../core/errors.js';
import {whatReplacesOption} from './old-names.js';
import {wrapText} from './wrap-text.js';

/** The JSON document of a failure. */
export interface FailureDocument {
  readonly schema: 1;
  readonly error: FailureBody;
}

export interface FailureBody {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
  readonly remedy: string;
}

/** Ends a command after its failure was shown: oclif only takes the exit status from it. */
export class CommandFailure extends Errors.CLIError {
  override skipOclifErrorHandling = true;

  constructor(error: DiskError) {
    super(error.message, {code: error.code, exit: exitOf(error.code)});
    this.cause = error;
  }
}

/** The exit status that belongs to a code. */
export function exitOf(code: ErrorCode): number {
  const entry: CodeEntry = CODES[code];
  // A warning code that ends a command is still not success.
  return EXIT[entry.exit] === EXIT.done ? EXIT.bug : EXIT[entry.exit];
}

/** Turns whatever a command threw into a DiskError; what nobody foresaw becomes BUG. */
export function toDiskError(error: unknown): DiskError {
  if (error instanceof DiskError) {
    const message = cleanMessage(error.message);
    return message === error.message ? error : new DiskError(error.code, message, error.details);
  }

  if (error instanceof Errors.CLIError) {
    return new DiskError('USAGE', withHint(cleanMessage(error.message)), {}, {cause: error});
  }

  const stored = storeError(error, 'do this');
  if (isDiskError(stored)) return stored;
  const message = error instanceof Error ? error.message : String(error);
  return new DiskError('BUG', message, {}, {cause: error});
}

/** An option of MARS that is none here is answered with what does the same. */
function withHint(message: string): string {
  const option = /^Nonexistent flags?: (--[\w-]+)/u.exec(message)?.[1];
  const hint = option === undefined ? undefined : whatReplacesOption(option);
  return hint === undefined ? message : `${message}: ${hint}`;
}

/** Takes off what oclif's parser puts around every message. */
function cleanMessage(message: string): string {
  return message
    .replace(/^Parsing --(\S+) \n\t/u, '--$1: ')
    .replace(/\n?See more help with --help$/u, '');
}

/**
 * @param command words of the command that failed, for the remedy: `resource create`
 */
export function failureBody(error: DiskError, command?: string): FailureBody {
  const {code, message, details} = error;
  return {code, message, details, remedy: remedyOf(code, command)};
}

/** The document that stands on stdout instead of the command's own. */
export function failureDocument(error: DiskError, command?: string): FailureDocument {
  return {schema: 1, error: failureBody(error, command)};
}

function remedyOf(code: ErrorCode, command: string | undefined): string {
  const {remedy}: CodeEntry = CODES[code];
  return command === undefined
    ? remedy
    : remedy.replace('mars COMMAND', `mars ${command}`.trimEnd());
}

/** The failure for people: message, remedy and code; a bug also has its stack. */
export function renderFailure(error: DiskError, command?: string): string {
  const lines = [
    ...wrapText(`mars: ${error.message}`, {hanging: '      '}),
    ...wrapText(`next: ${remedyOf(error.code, command)}`, {hanging: '      '}),
    `code: ${error.code} (exit ${exitOf(error.code)}; more: mars explain ${error.code})`,
  ];
  if (error.code === 'BUG' && error.cause instanceof Error) lines.push(error.cause.stack ?? '');
  return lines.join('\n');
}

/**
 * A path that the user typed and that is not there is a wrong word, not an I/O error.
 *
 * @param expected what should have been at the path: `a logfile`
 */
export function refinePathError(error: unknown, path: string, expected: string): unknown {
  const errno = isDiskError(error, 'STORE_IO') ? error.details['errno'] : undefined;
  const found = {ENOENT: 'nothing is there', ENOTDIR: 'nothing is there', EISDIR: 'a directory'};
  if (typeof errno !== 'string' || !Object.hasOwn(found, errno)) return error;
  const what = found[errno as keyof typeof found];
  return new DiskError('USAGE', `expected ${expected}, found ${what}: ${path}`, {}, {cause: error});
}
