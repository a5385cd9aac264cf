/**
 * Reading logs from outside, for `mars log show` and `mars log verify`: no daemon, no lock, and
 * nothing is changed. While the disk runs the end moves, and a segment may be used again under the
 * reader: each record is checked by itself, and what does not fit is the end, not an error.
 */
import {basename, dirname} from 'node:path';
import {DiskError, storeError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {formatPosition} from '../core/position.js';
import {findRemains, findStrayRecords, RecordCursor} from './cursor.js';
import {readLogDirectory, readSegmentFile, type SegmentFile} from './directory.js';
import {formatChain, RECORD} from './record.js';
import {withoutSuperseded} from './recovery.js';
import {decodeBinding, SEGMENT_HEADER_BYTES, type Binding, type SegmentHeader} from './segment.js';

const TYPE_NAMES = new Map<number, string>(
  Object.entries(RECORD).map(([name, type]) => [type, name.toUpperCase()]),
);

export interface RecordDescription {
  readonly position: string;
  readonly type: string;
  readonly diskOffset: number;
  readonly lengthBytes: number;
  readonly storedBytes: number;
  readonly durable: string;
  readonly time: string;
  readonly chain: string;
}

export interface SegmentDescription {
  readonly file: string;
  readonly header: SegmentHeader;
  readonly binding: Binding | undefined;
  readonly records: number;
  readonly recordsByType: Readonly<Record<string, number>>;
  readonly payloadBytes: number;
  /** Position behind the last valid record. */
  readonly end: string;
  readonly endChain: string;
  /** Records behind the end that are valid by themselves but do not join: a torn tail or damage. */
  readonly remains: number;
  /** Highest position that any record behind the end proves to have been durable. */
  readonly remainsDurable: string;
}

/**
 * Reads one segment from its start to its end.
 *
 * @param onRecord called for each valid record; return false to stop being told
 * @throws DiskError LOG_CORRUPT where the file has no valid header, STORE_IO, LOG_FORMAT
 */
export function describeSegment(
  files: Files,
  path: string,
  onRecord: (record: RecordDescription) => boolean = () => false,
): SegmentDescription {
  const segment = openForReading(files, path);
  const {header} = segment;
  const fd = files.open(path, 'read');
  try {
    const headerBytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
    files.read(fd, headerBytes, 0, headerBytes.length, 0);
    const cursor = new RecordCursor(files);
    cursor.open(fd, header, header.start, header.chain, header.start + header.capacityBytes);
    const byType: Record<string, number> = {};
    let records = 0;
    let payloadBytes = 0;
    let telling = true;
    let remains = {count: 0, durable: 0};
    let before: number;
    do {
      before = cursor.position;
      while (cursor.next()) {
        const type = typeName(cursor.record.type);
        byType[type] = (byType[type] ?? 0) + 1;
        records += 1;
        payloadBytes += cursor.record.storedLength;
        if (telling) telling = onRecord(describeRecord(cursor));
      }

      remains = findRemains(files, fd, header, cursor.position);
      // Records behind the end may have been appended while we looked: go on from there.
      const {position, chain} = cursor;
      cursor.open(fd, header, position, chain, header.start + header.capacityBytes);
    } while (remains.count > 0 && cursor.position > before);

    return {
      file: basename(path),
      header,
      binding: decodeBinding(headerBytes),
      records,
      recordsByType: byType,
      payloadBytes,
      end: formatPosition(cursor.position),
      endChain: formatChain(cursor.chain),
      remains: remains.count,
      remainsDurable: formatPosition(remains.durable),
    };
  } catch (error) {
    throw storeError(error, `read ${path}`);
  } finally {
    files.close(fd);
  }
}

function openForReading(files: Files, path: string): SegmentFile {
  let segment: SegmentFile | undefined;
  try {
    segment = readSegmentFile(files, path, basename(path));
  } catch (error) {
    throw storeError(error, `read ${path}`);
  }

  if (segment?.header.started === true) return segment;
  const found =
    segment === undefined ? 'its header is not valid' : 'it was made ready, not started';
  throw new DiskError('LOG_CORRUPT', `${path} is not a logfile with records: ${found}`, {
    file: path,
  });
}

function typeName(type: number): string {
  return TYPE_NAMES.get(type) ?? `TYPE-${type}`;
}

function describeRecord(cursor: RecordCursor): RecordDescription {
  const {record} = cursor;
  return {
    position: formatPosition(record.position),
    type: typeName(record.type),
    diskOffset: record.diskOffset,
    lengthBytes: record.logicalLength,
    storedBytes: record.storedLength,
    durable: formatPosition(record.durable),
    time: new Date(record.timeMs).toISOString(),
    chain: formatChain({low: record.chainLow, high: record.chainHigh}),
  };
}

export interface LogVerification {
  readonly directory: string;
  readonly files: readonly SegmentDescription[];
  readonly firstPosition: string | null;
  readonly end: string | null;
  /** Empty for a sound log. */
  readonly faults: readonly LogFault[];
}

export interface LogFault {
  readonly file: string;
  readonly position: string;
  readonly fault: string;
}

/**
 * Checks every record of every segment, and that the segments join.
 *
 * The end of the last segment may be a torn tail, which is no fault, unless a record behind it
 * proves that the log was durable beyond.
 */
export function verifyLog(files: Files, directory: string, resourceId?: string): LogVerification {
  const id = resourceId ?? anyResourceId(files, directory);
  const {segments, spares} = readLogDirectory(files, directory, id);
  const described = segments.map(({path}) => describeSegment(files, path));
  const counting = new Set(withoutSuperseded(segments).effective.map(({name}) => name));
  const joined = described.filter(({file}) => counting.has(file));
  const faults: LogFault[] = [];
  for (const [at, segment] of joined.entries()) {
    const next = joined[at + 1];
    const fault = next === undefined ? tailFault(segment) : joinFault(segment, next);
    if (fault !== undefined) {
      faults.push({file: segment.file, position: segment.end, fault});
    }
  }

  const end = joined.at(-1)?.end ?? formatPosition(0);
  for (const {name, path, isUnreadable} of spares) {
    const fault = isUnreadable ? headerFault(files, path, end) : undefined;
    if (fault !== undefined) faults.push({file: name, position: end, fault});
  }

  return {
    directory,
    files: described,
    firstPosition: segments[0] ? formatPosition(segments[0].header.start) : null,
    end: joined.at(-1)?.end ?? null,
    faults,
  };
}

/** The resource of any logfile in a directory; empty where there is none. */
export function anyResourceId(files: Files, directory: string): string {
  for (const name of files.list(directory)) {
    if (!name.startsWith('log-') || name.endsWith('.idx')) continue;
    const header = readSegmentFile(files, `${directory}/${name}`, name)?.header;
    if (header?.started === true) return header.resourceId;
  }

  return '';
}

function tailFault(segment: SegmentDescription): string | undefined {
  // Fixed-width hex: text order is number order.
  if (segment.remainsDurable <= segment.end) return undefined;
  return `damaged: later records prove that it was durable up to ${segment.remainsDurable}`;
}

/** A torn header is no fault: it took nothing durable with it, or the records behind it tell. */
function headerFault(files: Files, path: string, end: string): string | undefined {
  const fd = files.open(path, 'read');
  try {
    const durable = formatPosition(findStrayRecords(files, fd, 0).durable);
    if (durable <= end) return undefined;
    return `damaged: its header is not valid, its records were durable up to ${durable}`;
  } finally {
    files.close(fd);
  }
}

function joinFault(segment: SegmentDescription, next: SegmentDescription): string | undefined {
  const start = formatPosition(next.header.start);
  // The tail was moved to the next file after an I/O error: this one ends where that one begins.
  if (start < segment.end) return undefined;
  if (start > segment.end) return `damaged: ${next.file} begins at ${start}, this file ends before`;
  if (formatChain(next.header.chain) === segment.endChain) return undefined;
  return `${next.file} does not join: its chain is ${formatChain(next.header.chain)}`;
}

/** @returns the log directory for a path that may be one of its files */
export function logDirectoryOf(path: string): string {
  return basename(path).startsWith('log-') ? dirname(path) : path;
}
