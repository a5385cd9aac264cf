/**
 * `mars log verify --fsck`: the file system of a disk at many positions of its log, each as a machine
 * would find it after a power loss there.
 *
 *   1. read the log: where it was flushed, where it ends
 *   2. for each position: apply the records up to it, mount, unmount, check (check-disk.ts)
 *
 * Nothing is changed but files in the scratch directory. The disk may run: where its replay has written
 * the image beyond a position meanwhile, that one is passed over and counted.
 */
import {DiskError} from '../../core/errors.js';
import type {Files} from '../../core/files.js';
import {formatPosition} from '../../core/position.js';
import type {RecordCursor} from '../../log/cursor.js';
import {readMarks} from '../../log/marks.js';
import {RECORD} from '../../log/record.js';
import {anyResourceId} from '../../log/inspect.js';
import {listSegments, walkLog, type WalkedLog} from '../../log/walk.js';
import {checkDisk, type DiskVerdict} from './check-disk.js';
import {choosePositions, type PositionWish} from './positions.js';
import {serveDisk, type ServedDisk} from './served-disk.js';
import {findSubject, type Subject, type SubjectWish} from './subject.js';

export interface CheckLogRequest extends SubjectWish {
  readonly wish: PositionWish;
  readonly scratch: string;
  readonly limitBytes: number;
}

/** The disk at one position. */
export interface PositionCheck extends DiskVerdict {
  readonly position: string;
}

export interface CheckedLog {
  /** The disk is known from here on, by the image, ... */
  readonly earliest: string;
  /** ... to here, where the log ends. */
  readonly end: string;
  /** Flushes between the two that the log tells of. */
  readonly flushes: number;
  readonly checks: readonly PositionCheck[];
  /** Positions that were passed over, as replay wrote the image beyond them meanwhile. */
  readonly overtaken: number;
}

/** @param done bytes of log and checks, of `total` */
export type OnProgress = (done: number, total: number) => void;

/**
 * Where it throws, mounts may be left in `scratch`: the process is to unmount them, and to end.
 *
 * @throws DiskError LOG_GONE, LOG_CORRUPT, STORE_FULL where `limitBytes` is not enough, USAGE, and as
 *   findSubject, serveDisk and checkDisk
 */
export async function checkLog(
  files: Files,
  request: CheckLogRequest,
  onProgress: OnProgress,
): Promise<CheckedLog> {
  const subject = findSubject(files, request);
  const resourceId = subject.resourceId || anyResourceId(files, subject.directory);
  const log = {files, segments: listSegments(files, subject.directory, resourceId)};
  const {marks, end, diskSizeBytesMax} = await readMarks(log, subject.begin, Infinity);
  requireLog(subject, log, end);
  const positions = choosePositions(request.wish, subject.earliest, marks, end);
  const served = serveDisk({
    scratch: request.scratch,
    base: subject.image,
    sizeBytesMax: Math.max(diskSizeBytesMax, log.segments[0]?.header.diskSizeBytes ?? 0),
    limitBytes: request.limitBytes,
  });
  const checks: PositionCheck[] = [];
  let overtaken = 0;
  let at = subject.begin;
  for (const [index, position] of positions.entries()) {
    onProgress(index, positions.length);
    served.disk.clearOverlay();
    await applyLog(log, served, at, position);
    at = position;
    const found = await served.whileServed(checkDisk(served));
    if (served.disk.isFull) throw noRoom(request.limitBytes, position);
    if (subject.writtenTo() > position) overtaken += 1;
    else checks.push({position: formatPosition(position), ...found});
  }

  await served.close();
  const [earliest, last] = [formatPosition(subject.earliest), formatPosition(end)];
  const flushes = marks.filter((mark) => mark > subject.earliest).length;
  return {earliest, end: last, flushes, checks, overtaken};
}

/** The image at `begin` has to be joined by the log, and to be a state before it ends. */
function requireLog({directory, begin, earliest}: Subject, log: WalkedLog, end: number): void {
  const first = log.segments[0];
  if (first === undefined) {
    const text = `there is no logfile with records in ${directory}`;
    throw new DiskError('LOG_GONE', text, {directory});
  }

  if (first.header.start > begin) {
    throw new DiskError(
      'LOG_GONE',
      `the log in ${directory} begins at ${formatPosition(first.header.start)}; the image to begin ` +
        `with needs it from ${formatPosition(begin)} on`,
      {directory, position: formatPosition(begin)},
    );
  }

  if (end >= earliest) return;
  throw new DiskError(
    'LOG_CORRUPT',
    `the log can be read to ${formatPosition(end)} only, the image was written to ` +
      `${formatPosition(earliest)}: see mars log verify`,
    {directory, position: formatPosition(end)},
  );
}

/**
 * Brings the log layer from the disk at `from` to that at `to`.
 *
 * @throws DiskError USAGE where no record ends at `to`; LOG_GONE where the log was used again meanwhile
 */
export async function applyLog(
  log: WalkedLog,
  {disk}: Pick<ServedDisk, 'disk'>,
  from: number,
  to: number,
): Promise<void> {
  const end = await walkLog(log, from, to, (cursor) => {
    applyRecord(disk, cursor);
  });
  disk.resize(Math.max(disk.sizeBytes(), end.diskSizeBytes));
  if (end.position === to) return;
  throw new DiskError(
    'LOG_GONE',
    `no record ends at ${formatPosition(to)}, but at ${formatPosition(end.position)}: the position is ` +
      `none of this log, or the log was used again meanwhile; try again`,
    {position: formatPosition(to)},
  );
}

/** Changes the disk as replay would change the image. */
export function applyRecord(disk: ServedDisk['disk'], cursor: RecordCursor): void {
  const {record, bytes, payloadOffset} = cursor;
  switch (record.type) {
    case RECORD.write:
      disk.applyWrite(record.diskOffset, bytes, payloadOffset, record.storedLength);
      break;
    case RECORD.discard:
    case RECORD.zero:
      disk.applyZero(record.diskOffset, record.logicalLength);
      break;
    case RECORD.resize:
      disk.resize(record.diskOffset);
      break;
    default:
  }
}

function noRoom(limitBytes: number, position: number): DiskError {
  return new DiskError(
    'STORE_FULL',
    `the disk at ${formatPosition(position)} needs more scratch space than ${limitBytes} bytes: give ` +
      `more with --scratch-limit, or check later positions only, with --from`,
    {limitBytes, position: formatPosition(position)},
  );
}
