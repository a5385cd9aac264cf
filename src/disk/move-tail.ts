/**
 * Moves the tail of the log that is not durable out of files whose fdatasync failed: read back
 * (it is in the page cache), each record checked, written at the same positions to ready segments.
 *
 * The order makes it one step: records first, durable, the started headers last and from the last
 * segment to the first. Until the first segment's header is there, recovery sees the old files only, or
 * old ones up to where a new one begins; from then on the new ones. Either way the whole tail.
 */
import {join} from 'node:path';
import {errnoOf} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {RecordCursor} from '../log/cursor.js';
import {RECORD, RECORD_HEADER_BYTES, type Chain} from '../log/record.js';
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  segmentName,
  type SegmentHeader,
} from '../log/segment.js';
import type {SegmentPlan} from '../log/segment-files.js';

/** A segment that is open for reading. */
export interface TailSource {
  readonly fd: number;
  readonly start: number;
}

interface TailRecord {
  readonly bytes: Buffer;
  readonly position: number;
  /** Chain value in front of it. */
  readonly chain: Chain;
}

/** What one new segment takes over. */
export interface TailPart {
  readonly start: number;
  readonly chain: Chain;
  /** Size of the disk in front of it: a RESIZE may be among the records. */
  readonly diskSizeBytes: number;
  readonly records: readonly TailRecord[];
}

/**
 * Reads the records of [from, end), divided into what fits a segment each.
 *
 * @returns undefined where a record cannot be read any more: damage; at least one part else
 */
export function readTail(
  files: Files,
  sources: readonly TailSource[],
  from: number,
  end: number,
  capacityBytes: number,
): TailPart[] | undefined {
  const cursor = new RecordCursor(files);
  const parts: (Omit<TailPart, 'records'> & {records: TailRecord[]})[] = [];
  let diskSizeBytes = 0;
  for (const [at, source] of sources.entries()) {
    const header = readHeader(files, source.fd);
    if (header === undefined) return undefined;
    diskSizeBytes = header.diskSizeBytes;
    const limit = Math.min(sources[at + 1]?.start ?? Infinity, end);
    cursor.open(source.fd, header, source.start, header.chain, limit);
    while (cursor.position < limit) {
      const position = cursor.position;
      const chain = {low: cursor.chain.low, high: cursor.chain.high};
      const sizeBefore = diskSizeBytes;
      if (!cursor.next()) return undefined;
      if (cursor.record.type === RECORD.resize) diskSizeBytes = cursor.record.diskOffset;
      if (position < from) continue;
      const length = cursor.position - position;
      const current = parts.at(-1);
      const offset = cursor.payloadOffset - RECORD_HEADER_BYTES;
      const record = {
        bytes: Buffer.from(cursor.bytes.subarray(offset, offset + length)),
        position,
        chain,
      };
      if (current !== undefined && cursor.position <= current.start + capacityBytes) {
        current.records.push(record);
      } else {
        parts.push({start: position, chain, diskSizeBytes: sizeBefore, records: [record]});
      }
    }
  }

  return parts.length > 0 ? parts : undefined;
}

/** A segment that has taken over a part. */
export interface MovedSegment {
  readonly fd: number;
  readonly header: SegmentHeader;
  readonly part: TailPart;
}

/**
 * Writes the parts to the ready segments from `number` on.
 *
 * @param headerFor the started header of a segment with this number, start and chain
 * @returns the segments, open; or the errno where one failed and nothing has changed
 * @throws the errno error of a step back that failed too: the log cannot be trusted to be whole
 */
export function writeTail(
  files: Files,
  plan: SegmentPlan,
  parts: readonly TailPart[],
  headerFor: (at: number, part: TailPart) => SegmentHeader,
): {readonly moved: readonly MovedSegment[]} | {readonly errno: string} {
  const moved: MovedSegment[] = [];
  let begun = parts.length;
  try {
    for (const [at, part] of parts.entries()) {
      const header = headerFor(at, part);
      const fd = files.open(pathOf(plan, header), 'write');
      moved.push({fd, header, part});
      for (const {bytes, position} of part.records) {
        files.write(fd, bytes, 0, bytes.length, SEGMENT_HEADER_BYTES + position - part.start);
      }
    }

    // The old file may be durable after all, and flushes in it answered: it must not give way to one
    // whose header survives a power loss and whose records do not.
    for (const {fd} of moved) files.syncData(fd);
    for (const {fd, header} of moved.toReversed()) {
      begun -= 1;
      files.write(fd, encodeSegmentHeader(header), 0, SEGMENT_HEADER_BYTES, 0);
    }

    return {moved};
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    for (const [at, {fd, header}] of moved.entries()) {
      files.close(fd);
      // A header may be there, wholly or not: under its name it would cut the log short.
      if (at >= begun) files.rename(pathOf(plan, header), badPathOf(plan, header));
    }

    return {errno};
  }
}

function readHeader(files: Files, fd: number): SegmentHeader | undefined {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  files.read(fd, bytes, 0, bytes.length, 0);
  return decodeSegmentHeader(bytes);
}

function pathOf(plan: SegmentPlan, header: SegmentHeader): string {
  return join(plan.directory, segmentName(header.number, plan.originName));
}

function badPathOf(plan: SegmentPlan, header: SegmentHeader): string {
  return join(plan.directory, `bad-${segmentName(header.number, plan.originName)}`);
}
