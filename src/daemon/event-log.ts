/**
 * `events.jsonl`: daemon and disk processes append whole lines; the daemon alone renames it away
 * when it has grown, keeps one old file, and serves the lines to those who follow.
 */
import fs from 'node:fs';
import {appendEvent, type EventInput} from '../core/events.js';
import {MIB} from '../core/units.js';
import type {EventLine} from '../core/disk-status.js';
import {errnoOf, storeError} from '../core/errors.js';
import type {EventsPage} from '../control/api.js';

export const EVENTS_BYTES_MAX = 4 * MIB;
/** A follower sees a line after at most this time; a stat of a local file costs 2 us. */
const FOLLOW_INTERVAL_MS = 200;
const CHUNK_BYTES = 64 * 1024;
const PAGE_BYTES = 256 * 1024;

/** The file with the older lines. */
export function oldEventsFile(file: string): string {
  return `${file}.1`;
}

/** Appends an event; renames a full file away before. */
export function tellEvent(file: string, wallMs: number, input: EventInput): void {
  try {
    if (fs.statSync(file).size >= EVENTS_BYTES_MAX) fs.renameSync(file, oldEventsFile(file));
  } catch {
    // The first event of this home, or a full disk: the append below says nothing either.
  }

  appendEvent(file, wallMs, input);
}

export interface FollowOptions {
  /** Only lines of this resource. */
  readonly resource?: string;
  /** Go on after the last line until the signal aborts. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

/**
 * Calls `onLines` with the lines that are there, oldest first, then with each new one. Lines that
 * are no JSON, such as half a line after a power loss, are left out.
 */
export async function readEvents(
  file: string,
  options: FollowOptions,
  onLines: (text: string) => void,
): Promise<void> {
  const wanted = (line: string): boolean => isWanted(line, options.resource);
  const old = new LineReader(oldEventsFile(file));
  drain(old, wanted, onLines);
  old.close();
  let reader = new LineReader(file);
  drain(reader, wanted, onLines);
  while (options.follow && !options.signal.aborted) {
    await pause(FOLLOW_INTERVAL_MS, options.signal);
    drain(reader, wanted, onLines);
    if (!reader.isCurrent()) {
      drain(reader, wanted, onLines);
      reader.close();
      reader = new LineReader(file);
    }
  }

  reader.close();
}

/**
 * Some of the lines behind those of another page, oldest first; for who can only ask and be answered.
 *
 * @param after `next` of the page before; undefined, or of a file that is gone: from the oldest line on
 * @returns `next` as it was given where there is nothing new
 */
export function readEventsPage(
  file: string,
  {resource, after}: {readonly resource?: string | undefined; readonly after?: string | undefined},
): EventsPage {
  const parts = openParts(file);
  try {
    const [inode, place] = (after ?? '').split('-');
    const known = parts.findIndex((part) => String(part.inode) === inode);
    let offset = known < 0 ? 0 : Number(place) || 0;
    let next = after ?? '';
    for (const part of parts.slice(Math.max(0, known))) {
      const chunk = Buffer.alloc(PAGE_BYTES);
      const length = fs.readSync(part.fd, chunk, 0, PAGE_BYTES, offset);
      const end = chunk.subarray(0, length).lastIndexOf(0x0a) + 1;
      next = `${part.inode}-${offset + end}`;
      if (end > 0) {
        const lines = chunk.toString('utf8', 0, end).split('\n');
        const wanted = lines.filter((line) => isWanted(line, resource));
        return {schema: 1, events: wanted.map((line) => JSON.parse(line) as EventLine), next};
      }

      offset = 0;
    }

    return {schema: 1, events: [], next};
  } finally {
    for (const {fd} of parts) fs.closeSync(fd);
  }
}

/** The older file first; the newer one is opened first, as it becomes the older one. */
function openParts(file: string): {readonly fd: number; readonly inode: number}[] {
  const parts: {fd: number; inode: number}[] = [];
  for (const path of [file, oldEventsFile(file)]) {
    try {
      const fd = fs.openSync(path, 'r');
      const {ino: inode} = fs.fstatSync(fd);
      if (parts.some((part) => part.inode === inode)) fs.closeSync(fd);
      else parts.unshift({fd, inode});
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw storeError(error, `read ${path}`);
    }
  }

  return parts;
}

function drain(
  reader: LineReader,
  wanted: (line: string) => boolean,
  onLines: (text: string) => void,
): void {
  for (let lines = reader.next(); lines.length > 0; lines = reader.next()) {
    const text = lines.filter(wanted).join('\n');
    if (text !== '') onLines(`${text}\n`);
  }
}

function isWanted(line: string, resource: string | undefined): boolean {
  try {
    const value = JSON.parse(line) as {readonly resource?: unknown} | null;
    return value !== null && (resource === undefined || value.resource === resource);
  } catch {
    return false;
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }

    const finish = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener('abort', finish);
  });
}

/** Reads whole lines of a growing file; holds its descriptor, so that a rename loses nothing. */
class LineReader {
  readonly #path: string;
  #fd: number | undefined;
  #offset = 0;
  #rest = Buffer.alloc(0);

  constructor(path: string) {
    this.#path = path;
  }

  /** The next lines, or none where there are none yet. */
  next(): string[] {
    if (!this.#open()) return [];
    for (;;) {
      const chunk = Buffer.alloc(CHUNK_BYTES);
      const length = fs.readSync(this.#fd ?? -1, chunk, 0, CHUNK_BYTES, this.#offset);
      if (length === 0) return [];
      this.#offset += length;
      const bytes = Buffer.concat([this.#rest, chunk.subarray(0, length)]);
      const end = bytes.lastIndexOf(0x0a);
      this.#rest = bytes.subarray(end + 1);
      if (end >= 0) return bytes.toString('utf8', 0, end).split('\n');
    }
  }

  /** false once the path names another file. */
  isCurrent(): boolean {
    if (this.#fd === undefined) return true;
    try {
      return fs.statSync(this.#path).ino === fs.fstatSync(this.#fd).ino;
    } catch {
      return true; // renamed away, the new one is not there yet
    }
  }

  close(): void {
    if (this.#fd !== undefined) fs.closeSync(this.#fd);
    this.#fd = undefined;
  }

  #open(): boolean {
    if (this.#fd !== undefined) return true;
    try {
      this.#fd = fs.openSync(this.#path, 'r');
      return true;
    } catch {
      return false;
    }
  }
}
