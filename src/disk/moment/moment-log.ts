/**
 * The log of a mounted moment: where each block that was written in [base, position) has its newest copy
 * as of the position. Read once, when the moment is mounted; the files stay as they are, because the
 * mount holds them (core/history-mounts).
 */
import {DiskError} from '../../core/errors.js';
import type {Files} from '../../core/files.js';
import {BlockIndex} from '../../image/block-index.js';
import {RecordCursor} from '../../log/cursor.js';
import type {SegmentFile} from '../../log/directory.js';
import {readIndexFile} from '../../log/index-file.js';
import {formatChain, RECORD, type Chain} from '../../log/record.js';
import {SEGMENT_HEADER_BYTES} from '../../log/segment.js';
import {listSegments} from '../../log/walk.js';
import {indexRecord} from '../index-record.js';
import type {LogReader} from '../read.js';

export interface MomentPlace {
  readonly files: Files;
  readonly logDirectory: string;
  readonly resourceId: string;
}

/** The log up to a position, looked up by block and read by position. */
export interface MomentLog extends LogReader {
  readonly index: BlockIndex;
  /** Size of the disk there. */
  readonly sizeBytes: number;
  /** Chain value there, as text. */
  readonly chain: string;
  /** Nothing is read of it any more. */
  close(): void;
}

interface Walk {
  position: number;
  chain: Chain;
  sizeBytes: number;
}

/**
 * Opens the log from `base` up to a position.
 *
 * @throws DiskError HISTORY_GONE where it is not there, or is damaged; LOG_FORMAT, STORE_IO
 */
export function openMomentLog(place: MomentPlace, base: number, position: number): MomentLog {
  const {files, logDirectory, resourceId} = place;
  const segments = listSegments(files, logDirectory, resourceId);
  const first = segments.findLastIndex(({header}) => header.start <= base);
  const begin = segments[first]?.header;
  if (begin === undefined) throw gone(base);
  const index = new BlockIndex(begin.capacityBytes);
  const walk: Walk = {
    position: begin.start,
    chain: {...begin.chain},
    sizeBytes: begin.diskSizeBytes,
  };
  const open: {readonly start: number; readonly fd: number}[] = [];
  const close = (): void => {
    for (const {fd} of open) files.close(fd);
  };
  try {
    const cursor = new RecordCursor(files);
    for (let at = first; at < segments.length && walk.position < position; at += 1) {
      const segment = segments[at] as SegmentFile;
      const {header} = segment;
      if (header.start !== walk.position || formatChain(header.chain) !== formatChain(walk.chain)) {
        break;
      }

      index.beginSegment(header.start, header.capacityBytes);
      const fd = files.open(segment.path, 'read');
      open.push({start: header.start, fd});
      const next = segments[at + 1];
      if (header.start >= base && takeIndex(files, segment, next, position, index, walk)) continue;
      const end = Math.min(next?.header.start ?? Infinity, header.start + header.capacityBytes);
      cursor.open(fd, header, header.start, header.chain, Math.min(end, position));
      while (cursor.position < position && cursor.next()) {
        if (cursor.record.type === RECORD.resize) walk.sizeBytes = cursor.record.diskOffset;
        indexRecord(index, cursor, base);
      }

      walk.position = cursor.position;
      walk.chain = {low: cursor.chain.low, high: cursor.chain.high};
    }

    if (walk.position !== position) throw gone(walk.position);
  } catch (error) {
    // Who tries again and again would run out of descriptors.
    close();
    throw error;
  }

  index.setReplayed(base);
  return {
    index,
    sizeBytes: walk.sizeBytes,
    chain: formatChain(walk.chain),
    close,
    readAt: (at, target, targetOffset, length) => {
      const segment = open.findLast(({start}) => start <= at);
      const filePosition = SEGMENT_HEADER_BYTES + at - (segment?.start ?? 0);
      const got = files.read(segment?.fd ?? -1, target, targetOffset, length, filePosition);
      if (got < length) throw Object.assign(new Error('the logfile is too short'), {code: 'EIO'});
    },
  };
}

/** Takes a sealed segment that lies below the position by its index file. @returns false: it has to be read */
function takeIndex(
  files: Files,
  {path, header}: SegmentFile,
  next: SegmentFile | undefined,
  position: number,
  index: BlockIndex,
  walk: Walk,
): boolean {
  if (next === undefined || next.header.start > position) return false;
  const found = readIndexFile(files, path, header);
  if (found?.end !== next.header.start) return false;
  if (formatChain(found.chain) !== formatChain(next.header.chain)) return false;
  index.putLoaded(found.pairs, found.extents, found.end);
  walk.position = found.end;
  walk.chain = {...found.chain};
  walk.sizeBytes = found.diskSizeBytes;
  return true;
}

function gone(position: number): DiskError {
  return new DiskError(
    'HISTORY_GONE',
    'the log does not reach from the image to that moment any more, or is damaged on the way',
    {position},
  );
}
