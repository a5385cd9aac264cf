/**
 * Moments of a log: where it was at a time, which marks it has. Reads only, beside whoever writes the
 * log; files that vanish under it end a search, and are told so by its result.
 */
import {errnoOf, storeError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import type {RecordCursor} from './cursor.js';
import type {SegmentFile} from './directory.js';
import {decodeLabel} from './mark-label.js';
import {decodeRecord, emptyRecord, formatChain, RECORD, RECORD_HEADER_BYTES} from './record.js';
import {SEGMENT_HEADER_BYTES} from './segment.js';
import {listSegments, walkLog} from './walk.js';

/** Where a moment lies: behind a record, or where the log begins. */
export interface Moment {
  readonly position: number;
  readonly chain: string;
  /** Time of the record before it, milliseconds since 1970; null: it is not known. */
  readonly timeMs: number | null;
  readonly sizeBytes: number;
}

/** A moment with a name. */
export interface Mark {
  readonly label: string;
  readonly position: number;
  readonly timeMs: number;
}

export interface MomentLogPlace {
  readonly files: Files;
  readonly directory: string;
  readonly resourceId: string;
}

/**
 * The last moment in [from, to] at or before a time.
 *
 * @returns undefined where there is none: `from` is younger, or the log cannot be read there
 */
export async function momentAtTime(
  place: MomentLogPlace,
  range: {readonly from: number; readonly to: number},
  timeMs: number,
): Promise<Moment | undefined> {
  const segments = segmentsIn(place, range.from);
  // Times never decrease: the last file whose first record is not too young.
  const first = segments.findLastIndex((segment, index) => {
    if (index === 0) return true;
    if (segment.header.start > range.to) return false;
    const begin = firstTime(place.files, segment);
    return begin !== undefined && begin <= timeMs;
  });
  return lastMoment(place, segments.slice(Math.max(0, first)), range, (cursor) => {
    return cursor.record.timeMs <= timeMs;
  });
}

/** The last moment in [from, to] at or before a position. */
export function momentAtPosition(
  place: MomentLogPlace,
  range: {readonly from: number; readonly to: number},
  position: number,
): Promise<Moment | undefined> {
  const segments = segmentsIn(place, range.from);
  const first = segments.findLastIndex(({header}) => header.start <= position);
  return lastMoment(place, segments.slice(Math.max(0, first)), range, (cursor) => {
    return cursor.position <= position;
  });
}

/** All marks in (from, to], oldest first. */
export async function findMarks(
  place: MomentLogPlace,
  range: {readonly from: number; readonly to: number},
  known = new Map<string, readonly Mark[]>(),
): Promise<Mark[]> {
  const segments = segmentsIn(place, range.from);
  const marks: Mark[] = [];
  for (const [index, segment] of segments.entries()) {
    const {header} = segment;
    if (header.start >= range.to) break;
    const next = segments[index + 1]?.header;
    // What is sealed does not change: it is read once.
    const isWhole = next !== undefined && next.start <= range.to;
    const key = `${header.epoch} ${header.number} ${header.start} ${next?.start ?? ''}`;
    const found =
      (isWhole ? known.get(key) : undefined) ??
      (await marksIn(place, segment, next?.start, range.to));
    if (isWhole) known.set(key, found);
    marks.push(...found.filter(({position}) => position >= range.from));
  }

  return marks;
}

function segmentsIn({files, directory, resourceId}: MomentLogPlace, from: number): SegmentFile[] {
  const segments = listSegments(files, directory, resourceId);
  const first = segments.findLastIndex(({header}) => header.start <= from);
  return first < 0 ? [] : segments.slice(first);
}

/** Time of the first record of a segment; undefined where it has none. */
function firstTime(files: Files, {path, header}: SegmentFile): number | undefined {
  const bytes = Buffer.alloc(RECORD_HEADER_BYTES);
  const record = emptyRecord();
  const got = withFile(files, path, (fd) =>
    files.read(fd, bytes, 0, bytes.length, SEGMENT_HEADER_BYTES),
  );
  if (got !== bytes.length || !decodeRecord(bytes, 0, record)) return undefined;
  return record.position === header.start ? record.timeMs : undefined;
}

function withFile<T>(files: Files, path: string, use: (fd: number) => T): T | undefined {
  let fd: number;
  try {
    fd = files.open(path, 'read');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw storeError(error, `read ${path}`);
  }

  try {
    return use(fd);
  } catch (error) {
    throw storeError(error, `read ${path}`);
  } finally {
    files.close(fd);
  }
}

/** The last record of [from, to] that `isBefore`; where none is, `from` itself if a record ends there. */
async function lastMoment(
  {files}: MomentLogPlace,
  segments: readonly SegmentFile[],
  {from, to}: {readonly from: number; readonly to: number},
  isBefore: (cursor: RecordCursor) => boolean,
): Promise<Moment | undefined> {
  const begin = segments[0]?.header;
  if (begin === undefined) return undefined;
  let found: Moment | undefined;
  if (begin.start >= from && begin.start <= to) {
    const {start, chain, diskSizeBytes} = begin;
    found = {position: start, chain: formatChain(chain), timeMs: null, sizeBytes: diskSizeBytes};
  }

  await walkLog({files, segments}, begin.start, to, (cursor, sizeBytes) => {
    // The first record behind `from` that is too young: what lies at `from` is the answer.
    if (cursor.position > from && !isBefore(cursor)) return false;
    if (cursor.position < from) return true;
    const {position, chain, record} = cursor;
    found = {position, chain: formatChain(chain), timeMs: record.timeMs, sizeBytes};
    return true;
  });
  return found;
}

async function marksIn(
  {files}: MomentLogPlace,
  segment: SegmentFile,
  end: number | undefined,
  to: number,
): Promise<Mark[]> {
  const marks: Mark[] = [];
  const log = {files, segments: [segment]};
  await walkLog(log, segment.header.start, Math.min(to, end ?? Infinity), (cursor) => {
    const {record, position, bytes, payloadOffset} = cursor;
    if (record.type !== RECORD.mark) return;
    const label = decodeLabel(bytes, payloadOffset, record.storedLength);
    if (label !== '') marks.push({label, position, timeMs: record.timeMs});
  });
  return marks;
}
