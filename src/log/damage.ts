/**
 * Where a log is damaged though it was durable, and what would mend it: the records between the last
 * good one and the place where the log is known to go on. Read only.
 */
import type {Files} from '../core/files.js';
import {findRemains, RecordCursor, type Remains} from './cursor.js';
import {readLogDirectory, type SegmentFile} from './directory.js';
import {isSameChain, type Chain} from './record.js';
import {withoutSuperseded} from './recovery.js';
import {SEGMENT_HEADER_BYTES, type SegmentHeader} from './segment.js';

/** Records of one segment that are missing or bad. */
export interface LogDamage {
  readonly segment: SegmentFile;
  /** The last good record ends here. */
  readonly position: number;
  /** Chain value at `position`. */
  readonly chain: Chain;
  /** Records are needed up to here: where something good goes on, or how far it was durable. */
  readonly end: number;
  /** Chain value at `end`, as what goes on there has it; undefined where nothing does. */
  readonly endChain: Chain | undefined;
  /** In the last segment: how far it was durable. What seems to go on may not; then all up to there is needed. */
  readonly lastProven: number | undefined;
}

/** Log that is walked between two pauses. */
const STEP_BYTES = 8 * 1024 * 1024;

/**
 * Walks the log from the segment that holds `from`, also where index files would spare that.
 *
 * @param to known to have been durable, by what replay has noted and by the node's word
 * @returns the first damage; undefined where there is none, or none that records would mend
 * @throws DiskError LOG_FORMAT, or the error of the file system
 */
export async function findDamage(
  files: Files,
  directory: string,
  resourceId: string,
  {from, to}: {readonly from: number; readonly to: number},
): Promise<LogDamage | undefined> {
  const {effective} = withoutSuperseded(readLogDirectory(files, directory, resourceId).segments);
  const first = effective.findLastIndex(({header}) => header.start <= from);
  if (first === -1) return undefined;
  for (const [at, segment] of effective.entries()) {
    if (at < first) continue;
    const next = effective[at + 1]?.header;
    const good = await goodEnd(files, segment.path, segment.header, next?.start ?? Infinity);
    if (next !== undefined) {
      if (good.position < next.start) {
        return {segment, ...good, end: next.start, endChain: next.chain, lastProven: undefined};
      }

      if (isSameChain(good.chain, next.chain)) continue;
      return undefined;
    }

    const behind = remainsOf(files, segment, good.position);
    const proven = Math.max(to, segment.header.durable, behind.durable);
    if (good.position >= proven) return undefined;
    const goesOn = behind.first;
    const end = goesOn?.position ?? proven;
    return {segment, ...good, end, endChain: goesOn?.chain, lastProven: proven};
  }

  return undefined;
}

/**
 * Walks the valid records of a segment file.
 *
 * @param end no record is taken that reaches beyond
 * @returns where they end, and the chain value there
 */
export async function goodEnd(
  files: Files,
  path: string,
  header: SegmentHeader,
  end: number,
): Promise<{position: number; chain: Chain}> {
  const fd = files.open(path, 'read');
  try {
    const cursor = new RecordCursor(files);
    const last = Math.min(end, header.start + header.capacityBytes);
    cursor.open(fd, header, header.start, header.chain, last);
    let pause = header.start + STEP_BYTES;
    while (cursor.next()) {
      if (cursor.position < pause) continue;
      pause = cursor.position + STEP_BYTES;
      await new Promise((resolve) => setImmediate(resolve));
    }

    return {position: cursor.position, chain: {...cursor.chain}};
  } finally {
    files.close(fd);
  }
}

function remainsOf(files: Files, {path, header}: SegmentFile, position: number): Remains {
  const fd = files.open(path, 'read');
  try {
    return findRemains(files, fd, header, position);
  } finally {
    files.close(fd);
  }
}

/** Where the bytes at a position lie in the file of its segment. */
export function fileOffset({start}: SegmentHeader, position: number): number {
  return SEGMENT_HEADER_BYTES + position - start;
}
