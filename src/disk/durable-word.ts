/**
 * Who says the words of log/durable-word: the thread that commits, with the descriptor that the
 * activation has opened. An error of the file is none of the log: the word before stays, and is true.
 */
import {errnoOf} from '../core/errors.js';
import type {Files} from '../core/files.js';
import type {ResourcePaths} from '../core/home.js';
import {
  DURABLE_FILE_BYTES,
  encodeDurableWord,
  moveDurableWord,
  type DurableWord,
} from '../log/durable-word.js';
import {WORD, type Shared} from './shared.js';

/**
 * Makes the file, or takes the one that is there, for the words of a new epoch, whose header is durable.
 *
 * @returns its descriptor; undefined where it cannot be made: then there are no words in this life
 */
export function beginDurableWord(
  files: Files,
  {durableFile, directory}: Pick<ResourcePaths, 'durableFile' | 'directory'>,
  word: DurableWord,
): number | undefined {
  const bytes = Buffer.alloc(DURABLE_FILE_BYTES);
  encodeDurableWord(bytes, word);
  let fd: number | undefined;
  try {
    const isNew = !files.exists(durableFile);
    fd = files.open(durableFile, 'create');
    files.write(fd, bytes, 0, bytes.length, 0);
    if (isNew) {
      // Once: its block is there from now on, also where the file system is full.
      files.sync(fd);
      files.syncDirectory(directory);
    }

    return fd;
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    if (fd !== undefined) files.close(fd);
    return undefined;
  }
}

/** Says how far the log is durable; one for each thread that commits. */
export class DurableWordWriter {
  readonly #files: Files;
  readonly #shared: Shared;
  #bytes: Buffer | undefined;

  constructor(files: Files, shared: Shared) {
    this.#files = files;
    this.#shared = shared;
  }

  /** Says it: one write(2) of a page, no sync. Whoever calls holds the commit lock. */
  say(position: number): void {
    this.#try((fd) => {
      const bytes = this.#bytes ?? this.#load(fd);
      moveDurableWord(bytes, position);
      // A whole page: a part of one that is not in the page cache is read from the device first.
      this.#files.write(fd, bytes, 0, bytes.length, 0);
    });
  }

  /** Makes what was said durable. */
  sync(): void {
    this.#try((fd) => {
      this.#files.syncData(fd);
    });
  }

  /** The epoch is what the activation wrote. */
  #load(fd: number): Buffer {
    const bytes = Buffer.alloc(DURABLE_FILE_BYTES);
    this.#files.read(fd, bytes, 0, bytes.length, 0);
    this.#bytes = bytes;
    return bytes;
  }

  #try(act: (fd: number) => void): void {
    const fd = this.#shared.get(WORD.durableFile);
    if (fd === 0) return;
    try {
      act(fd);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
    }
  }
}
