/**
 * Writes the log as files to a folder: whole logfiles once the log goes on in another, the open one
 * where that is wanted, and nothing that is not durable at the origin. Called again it adds what is
 * new. A file appears under its name only when it is whole and durable (temporary file, fsync,
 * rename, fsync of the folder), so that whoever copies the folder meanwhile copies no half one.
 *
 * The records are read as a peer would be given them (log-source.ts): what is damaged here, or used
 * again under the reader, is never exported.
 */
import {join} from 'node:path';
import {assert} from '../core/assert.js';
import {DiskError, storeError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {formatPosition} from '../core/position.js';
import {readLogDirectory} from '../log/directory.js';
import type {Hello} from '../log/frames.js';
import type {LineageEntry} from '../log/lineage.js';
import {readLogEnd} from '../log/log-end.js';
import {formatChain} from '../log/record.js';
import {withoutSuperseded} from '../log/recovery.js';
import {
  decodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  segmentName,
  type SegmentHeader,
} from '../log/segment.js';
import {LogSource, type LogPlace, type SourceBatch, type SourceLog} from './log-source.js';

export interface ExportInput {
  readonly files: Files;
  readonly folder: string;
  readonly place: LogPlace;
  readonly nodeId: string;
  /** The log here; its `position` is where what is durable at the origin ends. */
  readonly source: SourceLog;
  /** Epoch that the disk process appends in. */
  readonly epoch: string;
  /** A folder that has nothing gets the logfile with this position first. */
  readonly begin: number;
  /** What `export.json` says that the folder has, or had before its files were taken away. */
  readonly had: FolderEnd | undefined;
  /** Also the logfile that is still appended to, as far as it is durable. */
  readonly withOpen: boolean;
}

/** End of an exported log. */
export interface FolderEnd {
  readonly position: number;
  readonly chain: string;
  readonly lineage: Hello['lineage'];
}

export interface ExportedLog {
  /** Names of logfiles that are new, or longer, in order. */
  readonly written: readonly string[];
  readonly end: FolderEnd;
}

const COPY_BYTES = 1024 * 1024;

/**
 * Exports what the folder does not have yet.
 *
 * @throws DiskError LOG_GONE, SPLIT_BRAIN, LOG_CORRUPT, STORE_*; files that are there stay whole
 */
export async function exportLog(input: ExportInput): Promise<ExportedLog> {
  const {folder, place} = input;
  removeTemporary(input);
  const source = new LogSource(place);
  try {
    const from = await openSource(source, input);
    if (from.isComplete) return {written: [], end: from};
    const written = await copyAll(input, source);
    const end = written.length === 0 ? from : (endOfFolder(input) ?? from);
    return {written, end};
  } catch (error) {
    removeTemporary(input);
    throw storeError(error, `export the log to ${folder}`);
  } finally {
    source.close();
  }
}

/** Where the folder's log ends: by its logfiles, or by what it had before they were taken away. */
function endOfFolder(input: ExportInput): FolderEnd | undefined {
  const {files, folder, place, had, source} = input;
  const known = readLogEnd(files, folder, place.resourceId);
  if (known === undefined) return had;
  const {position, chain, epoch} = known;
  // export.json is written last: of a new epoch only the log here may know.
  const lineage = upTo(had?.lineage ?? [], epoch) ?? upTo(source.lineage, epoch) ?? [];
  return {position, chain, lineage};
}

function upTo(lineage: readonly LineageEntry[], epoch: string): Hello['lineage'] | undefined {
  const last = lineage.findIndex((entry) => entry.epoch === epoch);
  return last < 0 ? undefined : lineage.slice(0, last + 1);
}

/** The beginning of the logfile with a position, as an end. @throws DiskError LOG_GONE */
function beginOf({files, place, source, folder, begin}: ExportInput): FolderEnd {
  const {segments} = readLogDirectory(files, place.directory, place.resourceId);
  const held = withoutSuperseded(segments).effective.findLast(({header}) => header.start <= begin);
  if (held === undefined) throw gone(folder, formatPosition(begin), undefined);
  return endAt(source, held.header);
}

function endAt({lineage}: SourceLog, header: SegmentHeader): FolderEnd {
  const at = formatPosition(header.start);
  return {
    position: header.start,
    chain: formatChain(header.chain),
    lineage: lineage.filter(({start}) => start <= at),
  };
}

/** Lets the source go on behind the folder's end; it is complete where there is nothing behind. */
async function openSource(
  source: LogSource,
  input: ExportInput,
): Promise<FolderEnd & {readonly isComplete: boolean}> {
  const {folder, source: log} = input;
  const from = endOfFolder(input) ?? beginOf(input);
  const answer = await source.open(helloOf(input, from), log);
  if (answer.kind === 'follow') return {...from, isComplete: false};
  if (answer.kind === 'behind') return {...from, isComplete: true};
  const position = formatPosition(from.position);
  if (answer.kind === 'gone') throw gone(folder, position, answer.oldest);
  const text =
    `${folder} has another history than the log here (${answer.kind}, up to ${position}): export ` +
    'to a new folder with --base';
  throw new DiskError('SPLIT_BRAIN', text, {folder, position});
}

function helloOf({place, nodeId}: ExportInput, {position, chain, lineage}: FolderEnd): Hello {
  const at = formatPosition(position);
  return {
    ...{version: 1, resourceId: place.resourceId, nodeId, epoch: lineage.at(-1)?.epoch ?? null},
    ...{position: at, chain, to: at, lineage},
  };
}

function gone(folder: string, position: string, oldest: string | undefined): DiskError {
  const text =
    `the log here begins at ${oldest ?? 'nowhere'}, ${folder} needs it from ${position} on: export ` +
    'to a new folder with --base';
  return new DiskError('LOG_GONE', text, {folder, position});
}

async function copyAll(input: ExportInput, source: LogSource): Promise<string[]> {
  const {files, source: log, epoch, withOpen} = input;
  const written: string[] = [];
  let open: OpenCopy | undefined;
  try {
    for (;;) {
      const batch = source.read({appended: log.position, epoch});
      if (batch === undefined) break;
      if (batch.kind === 'records') {
        open?.append(batch.bytes);
      } else {
        open?.publish(written);
        open = await enter(input, source, batch);
      }

      await new Promise((resolve) => setImmediate(resolve));
    }

    if (withOpen || isFollowed(input, source.position)) open?.publish(written);
    else open?.drop();
    open = undefined;
    return written;
  } finally {
    open?.drop();
    if (written.length > 0) files.syncDirectory(input.folder);
  }
}

/** Goes on in the folder's copy of a logfile; where it has none, from its beginning. */
async function enter(
  input: ExportInput,
  source: LogSource,
  {bytes, position}: SourceBatch,
): Promise<OpenCopy> {
  const header = decodeSegmentHeader(bytes);
  assert(header !== undefined, 'the source gives whole headers');
  const hasFront = input.files.exists(join(input.folder, nameOf(header)));
  if (header.start === position || hasFront) return new OpenCopy(input, header, bytes, position);
  const hello = helloOf(input, endAt(input.source, header));
  const answer = await source.open(hello, input.source);
  if (answer.kind !== 'follow') throw gone(input.folder, hello.position, answer.oldest);
  const first = source.read({appended: input.source.position, epoch: input.epoch});
  assert(first?.kind === 'segment', 'a stream begins with its segment');
  return new OpenCopy(input, header, first.bytes, header.start);
}

function nameOf({number, originName}: SegmentHeader): string {
  return segmentName(number, originName);
}

/** The log goes on in another file from here: nothing is added to the one before any more. */
function isFollowed({files, place}: ExportInput, position: number): boolean {
  const {segments} = readLogDirectory(files, place.directory, place.resourceId);
  return segments.at(-1)?.header.start === position && segments.length > 1;
}

/** One logfile on its way into the folder. */
class OpenCopy {
  readonly #input: ExportInput;
  readonly #name: string;
  readonly #fd: number;
  #at: number;
  #added = 0;

  constructor(input: ExportInput, header: SegmentHeader, bytes: Buffer, position: number) {
    const {files, folder} = input;
    this.#input = input;
    this.#name = nameOf(header);
    this.#fd = files.open(temporaryOf(input), 'create');
    files.truncate(this.#fd, 0);
    files.write(this.#fd, bytes, 0, bytes.length, 0);
    this.#at = SEGMENT_HEADER_BYTES + position - header.start;
    // What the folder has of it already: the source goes on behind it.
    if (position > header.start) this.#copyKnown(join(folder, this.#name));
  }

  #copyKnown(path: string): void {
    const {files} = this.#input;
    const fd = files.open(path, 'read');
    try {
      const bytes = Buffer.alloc(COPY_BYTES);
      for (let at = SEGMENT_HEADER_BYTES; at < this.#at; at += COPY_BYTES) {
        const length = Math.min(COPY_BYTES, this.#at - at);
        const got = files.read(fd, bytes, 0, length, at);
        if (got !== length) throw shorter(path);
        files.write(this.#fd, bytes, 0, length, at);
      }
    } finally {
      files.close(fd);
    }
  }

  append(bytes: Buffer): void {
    this.#input.files.write(this.#fd, bytes, 0, bytes.length, this.#at);
    this.#at += bytes.length;
    this.#added += bytes.length;
  }

  /** Gives it its name; nothing where it is no longer than what is there. */
  publish(written: string[]): void {
    const {files, folder} = this.#input;
    if (this.#added === 0) {
      this.drop();
      return;
    }

    files.sync(this.#fd);
    files.close(this.#fd);
    files.rename(temporaryOf(this.#input), join(folder, this.#name));
    written.push(this.#name);
  }

  drop(): void {
    const {files} = this.#input;
    files.close(this.#fd);
    removeTemporary(this.#input);
  }
}

function shorter(path: string): DiskError {
  const text = `${path} is shorter than what was exported: remove it, and export again`;
  return new DiskError('FOLDER_DAMAGED', text, {path});
}

function temporaryOf({folder, place}: ExportInput): string {
  return join(folder, `.log-${place.resourceId}.tmp`);
}

function removeTemporary(input: ExportInput): void {
  const path = temporaryOf(input);
  if (input.files.exists(path)) input.files.unlink(path);
}
