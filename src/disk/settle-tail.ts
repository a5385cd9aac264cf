/**
 * Makes durable what recovery took over but nobody proves to have been durable.
 *
 * It is written again in place: after an fdatasync that failed the kernel calls the pages clean, and
 * only writing them again makes the next fdatasync honest. A device that fails again gets no third
 * chance: the records move to other files, as they do while the disk runs (move-tail).
 */
import {DiskError, errnoOf} from '../core/errors.js';
import type {Files} from '../core/files.js';
import type {BlockIndex} from '../image/block-index.js';
import type {ReplayState} from '../image/replay-state.js';
import type {SegmentFile} from '../log/directory.js';
import type {RecoveredLog} from '../log/recovery.js';
import type {SegmentPlan} from '../log/segment-files.js';
import {SEGMENT_HEADER_BYTES, segmentName} from '../log/segment.js';
import {indexPart} from './index-record.js';
import {readTail, writeTail, type MovedSegment, type TailPart} from './move-tail.js';
import {readySegment} from './ready-segment.js';
import {WORD, type Shared} from './shared.js';

/**
 * Settles [proven, position).
 *
 * @returns the log as it is then; other segments where the tail had to move
 * @throws DiskError LOG_IO where it can neither be written again nor moved; the error of the file
 *   system for anything but EIO
 */
export function settleTail(
  files: Files,
  plan: SegmentPlan,
  recovered: RecoveredLog,
  index: BlockIndex,
  shared: Shared,
): RecoveredLog {
  try {
    rewriteTail(files, recovered);
    return recovered;
  } catch (error) {
    if (errnoOf(error) !== 'EIO') throw error;
  }

  return moveTail(files, plan, recovered, index, shared);
}

const COPY_BYTES = 1024 * 1024;

/**
 * What is durable on this node, also where the records are another's: those tell what was durable
 * at their origin. A segment of another origin is begun only when the one before it
 * was durable here (FollowLog); of the last one only what replay has passed is known to be.
 */
export function provenHere(
  found: RecoveredLog,
  state: Pick<ReplayState, 'to'>,
  plan: SegmentPlan,
): number {
  const last = found.segments.at(-1)?.header;
  if (last === undefined) return found.position;
  if (last.originId === plan.originId) return found.proven;
  return Math.max(last.start, Math.min(state.to, found.position));
}

/** Writes [proven, position) again in place and syncs it. @throws the error of the file system */
export function rewriteTail(files: Files, recovered: RecoveredLog): void {
  const buffer = Buffer.alloc(COPY_BYTES);
  for (const [at, segment] of recovered.segments.entries()) {
    const start = segment.header.start;
    const end = recovered.segments[at + 1]?.header.start ?? recovered.position;
    const last = at === recovered.segments.length - 1;
    if (end <= recovered.proven && !last) continue;
    const fd = files.open(segment.path, 'write');
    try {
      // The header is in doubt as well where the segment began after the proven position.
      if (start >= recovered.proven) rewrite(files, fd, buffer, 0, SEGMENT_HEADER_BYTES);
      const from = Math.max(start, recovered.proven);
      rewrite(files, fd, buffer, SEGMENT_HEADER_BYTES + from - start, Math.max(0, end - from));
      files.sync(fd);
    } finally {
      files.close(fd);
    }
  }
}

function rewrite(files: Files, fd: number, buffer: Buffer, position: number, length: number): void {
  for (let done = 0; done < length; done += COPY_BYTES) {
    const count = Math.min(COPY_BYTES, length - done);
    const got = files.read(fd, buffer, 0, count, position + done);
    files.write(fd, buffer, 0, got, position + done);
  }
}

function moveTail(
  files: Files,
  plan: SegmentPlan,
  recovered: RecoveredLog,
  index: BlockIndex,
  shared: Shared,
): RecoveredLog {
  const {segments, proven, position} = recovered;
  const failed = segments.filter((_, at) => (segments[at + 1]?.header.start ?? position) > proven);
  const sources = failed.map(({path, header}) => ({
    fd: files.open(path, 'read'),
    start: header.start,
  }));
  const capacityBytes = plan.fileBytes - SEGMENT_HEADER_BYTES;
  const parts = readTail(files, sources, proven, position, capacityBytes);
  for (const {fd} of sources) files.close(fd);
  const first = recovered.numberMax + 1;
  const moved = parts && writeParts(files, plan, recovered, parts, first);
  if (moved === undefined) {
    throw new DiskError(
      'LOG_IO',
      'the end of the log can neither be made durable nor moved to another file: mend its device',
      {directory: plan.directory},
    );
  }

  const added = moved.map((segment) => takeMoved(files, plan, segment, index));
  // Their files are not used again (keeper).
  shared.set(WORD.badFrom, failed[0]?.header.number ?? 0);
  shared.set(WORD.badUpTo, failed.at(-1)?.header.number ?? 0);
  for (const {name, path, header} of failed) {
    if (header.start >= proven) files.rename(path, `${plan.directory}/bad-${name}`);
  }

  files.syncDirectory(plan.directory);
  const kept = segments.filter(({header}) => header.start < proven);
  return {...recovered, segments: [...kept, ...added], numberMax: first + added.length - 1};
}

function writeParts(
  files: Files,
  plan: SegmentPlan,
  recovered: RecoveredLog,
  parts: readonly TailPart[],
  first: number,
): readonly MovedSegment[] | undefined {
  const last = recovered.segments.at(-1)?.header;
  if (last === undefined) return undefined;
  for (const at of parts.keys()) readySegment(files, plan, first + at);
  const result = writeTail(files, plan, parts, (at, {start, chain, diskSizeBytes}) => ({
    ...last,
    originId: plan.originId,
    originName: plan.originName,
    number: first + at,
    start,
    chain,
    durable: recovered.proven,
    diskSizeBytes,
    capacityBytes: plan.fileBytes - SEGMENT_HEADER_BYTES,
  }));
  return 'errno' in result ? undefined : result.moved;
}

function takeMoved(
  files: Files,
  plan: SegmentPlan,
  {fd, header, part}: MovedSegment,
  index: BlockIndex,
): SegmentFile {
  files.sync(fd);
  index.beginSegment(header.start, header.capacityBytes);
  indexPart(index, part);
  files.close(fd);
  const name = segmentName(header.number, plan.originName);
  return {name, path: `${plan.directory}/${name}`, header, fileBytes: plan.fileBytes};
}
