/** Where a log ends that nobody writes at this moment. Read only; recovery.ts is who cuts. */
import type {Files} from '../core/files.js';
import type {ResourcePaths} from '../core/home.js';
import {findRemains, RecordCursor} from './cursor.js';
import {readLogDirectory} from './directory.js';
import {readDurablePosition} from './durable-word.js';
import {formatChain} from './record.js';
import {withoutSuperseded} from './recovery.js';
import type {SegmentHeader} from './segment.js';

/** End of a log, as a grant names it. */
export interface LogEnd {
  /** Epoch of the last segment: 32 hex digits. */
  readonly epoch: string;
  readonly position: number;
  /** Chain value at `position`: two logs with the same one there are the same. */
  readonly chain: string;
}

/**
 * Walks the last segment. It says nothing of durability, nor of what lies in front of it.
 *
 * @returns undefined where the log has no segment
 * @throws DiskError LOG_FORMAT, or the error of the file system
 */
export function readLogEnd(
  files: Files,
  directory: string,
  resourceId: string,
): LogEnd | undefined {
  return atLogEnd(files, directory, resourceId, (end) => end);
}

/**
 * How far the log is known to have been durable, also where it is damaged: to where its valid part
 * ends, or further where records behind that say so, or this node's word. It reads all of the last segment.
 *
 * @returns 0 where nothing of a log is known
 * @throws as readLogEnd; DiskError STATE_UNREADABLE where the lineage is not valid
 */
export function readProvenEnd(files: Files, paths: ResourcePaths, resourceId: string): number {
  const end = atLogEnd(files, paths.logDirectory, resourceId, ({position}, fd, header) =>
    Math.max(position, findRemains(files, fd, header, position).durable),
  );
  return Math.max(end ?? 0, readDurablePosition(files, paths));
}

function atLogEnd<T>(
  files: Files,
  directory: string,
  resourceId: string,
  look: (end: LogEnd, fd: number, header: SegmentHeader) => T,
): T | undefined {
  const {segments} = readLogDirectory(files, directory, resourceId);
  const last = withoutSuperseded(segments).effective.at(-1);
  if (last === undefined) return undefined;
  const {header, path} = last;
  const cursor = new RecordCursor(files);
  const fd = files.open(path, 'read');
  try {
    const end = header.start + header.capacityBytes;
    cursor.open(fd, header, header.start, header.chain, end);
    while (cursor.next());
    const {position, chain} = cursor;
    return look({epoch: header.epoch, position, chain: formatChain(chain)}, fd, header);
  } finally {
    files.close(fd);
  }
}
