/**
 * Visits the records of a stretch of log, over the files that it lies in. Reads only and believes
 * nothing, as RecordCursor; it is for readers beside the disk process, so a file may vanish or be used
 * again under it: the walk then ends there, and says so.
 */
import {setImmediate as pause} from 'node:timers/promises';
import {errnoOf, storeError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {MIB} from '../core/units.js';
import {RecordCursor} from './cursor.js';
import {readLogDirectory, type SegmentFile} from './directory.js';
import {formatChain, RECORD} from './record.js';
import {withoutSuperseded} from './recovery.js';

/** Log that is read before others get their turn. */
const TURN_BYTES = 4 * MIB;
/** Files vanish between the listing and the look: they are used again. */
const LIST_TRIES = 20;

export interface WalkEnd {
  /** Behind the last record that was visited, or `from`. */
  readonly position: number;
  /** Size of the disk there. */
  readonly diskSizeBytes: number;
}

export interface WalkedLog {
  readonly files: Files;
  /** In stream order, without superseded ones. */
  readonly segments: readonly SegmentFile[];
}

/**
 * The segments of a directory that count, in order.
 *
 * @throws DiskError LOG_FORMAT, STORE_IO
 */
export function listSegments(files: Files, directory: string, resourceId: string): SegmentFile[] {
  for (let tries = 1; ; tries += 1) {
    try {
      return withoutSuperseded(readLogDirectory(files, directory, resourceId).segments).effective;
    } catch (error) {
      if (errnoOf(error) === 'ENOENT' && tries < LIST_TRIES) continue;
      throw storeError(error, `read the log in ${directory}`);
    }
  }
}

/**
 * Visits each record that begins at or behind `from` and ends at or below `to`, in order.
 *
 * @param from a position where a record begins, or where one ends
 * @param to Infinity: to the end of what can be read
 * @param visit the cursor holds the record; its bytes are used again for the next one. With the size of the
 *   disk behind it. Where it returns false the walk ends in front of this record
 * @returns where it ended: below `to` where the log is damaged or gone there, or `visit` has ended it
 * @throws DiskError STORE_IO
 */
export async function walkLog(
  {files, segments}: WalkedLog,
  from: number,
  to: number,
  visit: (cursor: RecordCursor, diskSizeBytes: number) => unknown,
): Promise<WalkEnd> {
  const first = segments.findLastIndex(({header}) => header.start <= from);
  const end = {position: from, diskSizeBytes: segments[first]?.header.diskSizeBytes ?? 0};
  if (first < 0) return end;
  const cursor = new RecordCursor(files);
  let turn = 0;
  for (let index = first; index < segments.length; index += 1) {
    const segment = segments[index];
    if (segment === undefined || segment.header.start >= to) break;
    const {header, path} = segment;
    const joins =
      index === first ||
      (header.start === cursor.position && formatChain(header.chain) === formatChain(cursor.chain));
    if (!joins) break;
    end.diskSizeBytes = header.diskSizeBytes;
    const limit = Math.min(
      segments[index + 1]?.header.start ?? Infinity,
      header.start + header.capacityBytes,
    );
    let fd: number;
    try {
      fd = files.open(path, 'read');
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') break;
      throw storeError(error, `read ${path}`);
    }

    try {
      cursor.open(fd, header, header.start, header.chain, limit);
      while (cursor.position < to && cursor.next()) {
        if (cursor.position > to) return end;
        const {record} = cursor;
        const isResize = record.type === RECORD.resize;
        const diskSizeBytes = isResize ? record.diskOffset : end.diskSizeBytes;
        if (record.position >= from && visit(cursor, diskSizeBytes) === false) return end;
        end.diskSizeBytes = diskSizeBytes;
        end.position = Math.max(end.position, cursor.position);
        turn += cursor.position - cursor.record.position;
        if (turn < TURN_BYTES) continue;
        turn = 0;
        await pause();
      }
    } catch (error) {
      throw storeError(error, `read ${path}`);
    } finally {
      files.close(fd);
    }
  }

  return end;
}
