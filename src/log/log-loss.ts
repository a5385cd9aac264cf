/**
 * What has to be given up where a log is damaged and nobody has the good copy: where what is good ends,
 * and what is known of the rest. Read only; recovery.ts decides in the same way whether a log is damaged.
 *
 *   p   the first position without a valid record, from the segment on that holds `from`
 *
 *   damage                                      the log then
 *   at p, p at or behind `from`                 ends at p
 *   in front of `from`, a record begins there   begins at `from`; it ends where the next damage is
 *   in front of `from`, or the file is missing  begins anew at `to`, without a history
 *
 * Where it ends below `to` replay has broken off in what is damaged: the image may hold some of that, and
 * is no state that the disk ever had.
 */
import type {Files} from '../core/files.js';
import {bytesIn, RangeCollector, rangeOf, type ByteRange} from './changes.js';
import {findStrayRecords, RecordCursor, visitRemains} from './cursor.js';
import {readLogDirectory, type SegmentFile, type SpareFile} from './directory.js';
import {isSameChain, RECORD, RECORD_HEADER_BYTES, type Chain} from './record.js';
import {withoutSuperseded} from './recovery.js';

/** What replay and the node have noted. */
export interface LogWitness {
  readonly from: number;
  readonly to: number;
  /** Known to have been durable, by the node's own word. */
  readonly durable: number;
  /** Size of the disk where no logfile says it. */
  readonly diskSizeBytes: number;
}

/** What is lost with the end of a log. */
export interface LostLog {
  /** Behind the last record that is known of, or what is known to have been durable. */
  readonly end: number;
  /** Records whose header can still be read. */
  readonly records: number;
  /** Bytes of log between `position` and `end` that no such record covers. */
  readonly unreadableBytes: number;
  /** Parts of the disk that those records were about; sorted, apart from each other. */
  readonly ranges: readonly ByteRange[];
  readonly changedBytes: number;
  /** Times of the first and the last of them, milliseconds since 1970; null where there is none. */
  readonly firstMs: number | null;
  readonly lastMs: number | null;
}

/** A log that does not start as it is. */
export interface LogLoss {
  /** The log ends here afterwards. */
  readonly position: number;
  /** Chain value there; undefined: nobody knows it any more, the log begins anew. */
  readonly chain: Chain | undefined;
  /** What is good of it begins here, in the middle of a file; undefined: with the first file. */
  readonly begin: {readonly position: number; readonly chain: Chain} | undefined;
  /** Size of the disk there. */
  readonly diskSizeBytes: number;
  /** The image may hold blocks of records that are lost. */
  readonly isMixed: boolean;
  readonly lost: LostLog;
  /** All that count, in order. */
  readonly segments: readonly SegmentFile[];
  /** Files of the log without a header that can be read. */
  readonly strays: readonly SpareFile[];
}

interface GoodPart {
  position: number;
  chain: Chain;
  diskSizeBytes: number;
  begin: LogLoss['begin'];
}

/**
 * Looks for damage that keeps a log from being recovered.
 *
 * @returns undefined where there is none
 * @throws DiskError LOG_FORMAT, or the error of the file system
 */
export function findLogLoss(
  files: Files,
  directory: string,
  resourceId: string,
  witness: LogWitness,
): LogLoss | undefined {
  const listing = readLogDirectory(files, directory, resourceId);
  const segments = withoutSuperseded(listing.segments).effective;
  const strays = listing.spares.filter(({isUnreadable}) => isUnreadable);
  if (segments.length === 0 && witness.to === 0) return undefined;
  const good = goodPart(files, segments, witness);
  const position = good?.position ?? witness.to;
  const behind = lookBehind(files, segments, strays, position, witness);
  if (good !== undefined && good.begin === undefined && position >= behind.proven) return undefined;
  return {
    position,
    chain: good?.chain,
    begin: good?.begin,
    diskSizeBytes:
      good?.diskSizeBytes ?? segments.at(-1)?.header.diskSizeBytes ?? witness.diskSizeBytes,
    isMixed: good === undefined ? witness.from < witness.to : witness.to > position,
    // What lies behind, and was never durable, is a torn tail: recovery cuts that by itself.
    lost: position >= behind.proven ? nothingLost(position) : behind.lost,
    segments,
    strays,
  };
}

function nothingLost(end: number): LostLog {
  return {
    ...{end, records: 0, unreadableBytes: 0, ranges: [], changedBytes: 0},
    ...{firstMs: null, lastMs: null},
  };
}

/** From the segment of `from` on; undefined: the log has nothing good at or behind `from`. */
function goodPart(
  files: Files,
  segments: readonly SegmentFile[],
  {from}: LogWitness,
): GoodPart | undefined {
  const first = segments.findLastIndex(({header}) => header.start <= from);
  const segment = segments[first];
  if (segment === undefined) return undefined;
  const {start, chain, diskSizeBytes} = segment.header;
  const whole = walk(files, segments, first, {
    ...{position: start, chain: {...chain}, diskSizeBytes, begin: undefined},
  });
  if (whole.position >= from) return whole;
  const begin = recordAt(files, segment, from);
  if (begin === undefined) return undefined;
  return walk(files, segments, first, {...whole, ...begin, chain: {...begin.chain}, begin});
}

/** The valid records from `part.position` on, over the segments that join. */
function walk(
  files: Files,
  segments: readonly SegmentFile[],
  first: number,
  part: GoodPart,
): GoodPart {
  const cursor = new RecordCursor(files);
  const good = {...part};
  for (let index = first; index < segments.length; index += 1) {
    const segment = segments[index];
    if (segment === undefined) break;
    const {header, path} = segment;
    const joins = header.start === good.position && isSameChain(header.chain, good.chain);
    if (index > first && !joins) break;
    const end = Math.min(
      segments[index + 1]?.header.start ?? Infinity,
      header.start + header.capacityBytes,
    );
    const fd = files.open(path, 'read');
    try {
      cursor.open(fd, header, good.position, good.chain, end);
      while (cursor.next()) {
        if (cursor.record.type === RECORD.resize) good.diskSizeBytes = cursor.record.diskOffset;
      }
    } finally {
      files.close(fd);
    }

    good.position = cursor.position;
    good.chain = {...cursor.chain};
  }

  return good;
}

/** The record that begins at a position says which chain value is there. */
function recordAt(
  files: Files,
  {path, header}: SegmentFile,
  position: number,
): LogLoss['begin'] | undefined {
  let chain: Chain | undefined;
  const fd = files.open(path, 'read');
  try {
    visitRemains(files, fd, header, position, (record) => {
      if (record.position !== position) return;
      chain = {low: record.chainLow, high: record.chainHigh};
    });
  } finally {
    files.close(fd);
  }

  return chain && {position, chain};
}

/** What lies behind a position, and how far the log is proven to have been durable. */
function lookBehind(
  files: Files,
  segments: readonly SegmentFile[],
  strays: readonly SpareFile[],
  position: number,
  {to, durable}: LogWitness,
): {readonly proven: number; readonly lost: LostLog} {
  const ranges = new RangeCollector();
  let [records, recordBytes, end] = [0, 0, position];
  let proven = Math.max(to, durable);
  const times: number[] = [];
  for (const [index, {path, header}] of segments.entries()) {
    const next = segments[index + 1]?.header.start ?? Infinity;
    if (next <= position) continue;
    if (header.start >= position) proven = Math.max(proven, header.durable);
    const fd = files.open(path, 'read');
    try {
      visitRemains(files, fd, header, Math.max(position, header.start), (record) => {
        proven = Math.max(proven, record.durable);
        if (record.position >= next) return;
        const bytes = RECORD_HEADER_BYTES + record.storedLength;
        records += 1;
        recordBytes += bytes;
        end = Math.max(end, record.position + bytes);
        times[times.length === 0 ? 0 : 1] = record.timeMs;
        const changed = rangeOf(record);
        if (changed > 0) ranges.add(record.diskOffset, record.diskOffset + changed);
      });
    } finally {
      files.close(fd);
    }
  }

  for (const {path} of strays) {
    const fd = files.open(path, 'read');
    try {
      const found = findStrayRecords(files, fd, position);
      records += found.count;
      proven = Math.max(proven, found.durable);
    } finally {
      files.close(fd);
    }
  }

  const lostEnd = Math.max(end, proven);
  const found = ranges.finish().ranges;
  return {
    proven,
    lost: {
      end: lostEnd,
      records,
      unreadableBytes: Math.max(0, lostEnd - position - recordBytes),
      ranges: found,
      changedBytes: bytesIn(found),
      firstMs: times[0] ?? null,
      lastMs: times.at(-1) ?? null,
    },
  };
}
