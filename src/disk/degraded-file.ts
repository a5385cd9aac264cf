/**
 * Whether flushes are answered without the replicas that the mode asks for: a two-slot file, so that
 * it can be written while the file system is full, and before the first such flush is answered.
 */
import {isDiskError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {isObject} from '../core/json-file.js';
import {TwoSlotFile} from '../core/two-slot.js';

export interface Degraded {
  /** RFC 3339. */
  readonly since: string;
  readonly reason: string;
}

/** Bytes of a reason that are kept: a slot has 4 KiB. */
const REASON_CHARS_MAX = 500;

/** The file of one resource; the process that serves it is its only writer. */
export class DegradedFile {
  readonly #files: Files;
  readonly #path: string;
  readonly #directory: string;
  #file: TwoSlotFile | undefined;

  constructor(files: Files, directory: string, path: string) {
    this.#files = files;
    this.#directory = directory;
    this.#path = path;
  }

  /**
   * Reads it; makes it where it is missing.
   *
   * @returns undefined where flushes are not degraded
   * @throws DiskError STATE_UNREADABLE; the error of the file system
   */
  load(): Degraded | undefined {
    if (!this.#files.exists(this.#path)) {
      this.#create(undefined);
      return undefined;
    }

    this.#file?.close();
    this.#file = undefined;
    const {file, value} = TwoSlotFile.open(this.#files, this.#path);
    this.#file = file;
    return degradedOf(value);
  }

  /** Durable when it returns. @throws the error of the file system; then it is not known */
  write(degraded: Degraded | undefined): void {
    if (this.#file === undefined) {
      if (!this.#files.exists(this.#path)) {
        this.#create(degraded);
        return;
      }

      try {
        this.#file = TwoSlotFile.open(this.#files, this.#path).file;
      } catch (error) {
        if (!isDiskError(error, 'STATE_UNREADABLE')) throw error;
        this.#files.unlink(this.#path);
        this.#create(degraded);
        return;
      }
    }

    this.#file.write(contentOf(degraded));
  }

  #create(degraded: Degraded | undefined): void {
    const temporary = `${this.#path}.new`;
    if (this.#files.exists(temporary)) this.#files.unlink(temporary);
    const file = TwoSlotFile.create(this.#files, temporary, contentOf(degraded));
    this.#files.rename(temporary, this.#path);
    this.#files.syncDirectory(this.#directory);
    this.#file = file;
  }
}

function contentOf(degraded: Degraded | undefined): unknown {
  if (degraded === undefined) return {schema: 1, degraded: null};
  const reason = degraded.reason.slice(0, REASON_CHARS_MAX);
  return {schema: 1, degraded: {since: degraded.since, reason}};
}

function degradedOf(value: unknown): Degraded | undefined {
  const degraded = isObject(value) ? value['degraded'] : undefined;
  if (!isObject(degraded)) return undefined;
  return {since: String(degraded['since']), reason: String(degraded['reason'])};
}
