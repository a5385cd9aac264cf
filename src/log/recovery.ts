/**
 * Finds out where the log ends, after whatever happened. docs/RECOVERY.md explains it.
 *
 * p is the first position without a valid record; K the highest position that anybody proves to
 * have been durable: the `durable` field of any record of this epoch in the log, also behind p,
 * the headers of later segments, what replay had written down, the word of this node on what it has
 * synced (durable-word.ts). Decision table (decideTail):
 *
 *   p against K   peers                    decision
 *   p >= K        nobody has more          end: cut what lies behind p, with an event if anything did
 *   p >= K        a peer has a longer one  take it: nothing is lost
 *   p <  K        a peer reaches K         fetch [p, K)
 *   p <  K        no peer does             stop: damage, nothing is cut and nothing is overwritten
 */
import {assert} from '../core/assert.js';
import {DiskError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {formatPosition} from '../core/position.js';
import {findRemains, findStrayRecords, RecordCursor, type Remains} from './cursor.js';
import {readLogDirectory, type SegmentFile, type SpareFile} from './directory.js';
import {readIndexFile, type SegmentIndexFile} from './index-file.js';
import {RECORD, type Chain} from './record.js';
import type {SegmentHeader} from './segment.js';

export type TailDecision = 'end' | 'take' | 'fetch' | 'stop';

export interface TailFacts {
  /** p */
  readonly validEnd: number;
  /** K */
  readonly proven: number;
  /** Where the longest chain ends that a peer has of this history; undefined: no peer answered. */
  readonly peerEnd: number | undefined;
}

/** What to do with the end of the log: the decision table above. */
export function decideTail(facts: TailFacts): TailDecision {
  const peerEnd = facts.peerEnd ?? -1;
  if (facts.validEnd >= facts.proven) return peerEnd > facts.validEnd ? 'take' : 'end';
  return peerEnd >= facts.proven ? 'fetch' : 'stop';
}

export interface RecoveryInput {
  readonly files: Files;
  readonly directory: string;
  readonly resourceId: string;
  /** Persisted replay positions: the image is that of `from`, with blocks up to `to`. */
  readonly from: number;
  readonly to: number;
  /** Known to have been durable, as the file `durable` says (log/durable-word); absent: nothing is. */
  readonly durable?: number;
  /** Size where the log is empty. */
  readonly diskSizeBytes: number;
  /** Called when the walk enters a segment, before its records. */
  readonly onSegment: (segment: SegmentFile) => void;
  /** Called instead of `onRecord` where a sealed segment has a good index file. */
  readonly onIndex: (index: SegmentIndexFile) => void;
  /** Called for each valid record; the cursor holds it. */
  readonly onRecord: (cursor: RecordCursor) => void;
  /** For a log that is fetched: what is missing at its end is fetched again, whoever proves it. */
  readonly follow?: FollowedLog;
}

/** What recovery has to know of a log that another node writes. */
export interface FollowedLog {
  /** false: a segment of a branch that was given up, though not all of it is gone yet. */
  readonly accepts: (header: SegmentHeader) => boolean;
  /** Where the log begins that has no segment yet. */
  readonly begin: {readonly position: number; readonly chain: Chain} | undefined;
  /** The last epoch was written here: what lies behind damage may be nowhere else. */
  readonly isOwn: boolean;
}

export interface RecoveredLog {
  /** Segments from the one that holds `from` on, in order. */
  readonly segments: readonly SegmentFile[];
  /** Older ones, not needed any more for replay. */
  readonly older: readonly SegmentFile[];
  /** Files that hold nothing of the log: to be used again. */
  readonly spares: readonly SpareFile[];
  /** Files with records that are no part of the log: never to be used again. */
  readonly cut: readonly {readonly name: string; readonly path: string}[];
  readonly numberMax: number;
  /** Where the log ends, and the chain value there. */
  readonly position: number;
  readonly chain: Chain;
  /** Chain value at `from`. */
  readonly fromChain: Chain;
  /** Proven durable; what lies between it and `position` is in doubt until it is written again. */
  readonly proven: number;
  readonly diskSizeBytes: number;
  /** Time of the newest record; 0 for none. */
  readonly timeMs: number;
  /** Epoch of the last segment; undefined for a new log. */
  readonly epoch: string | undefined;
  /** Records behind the end that were cut: writes that no flush covered. */
  readonly tornRecords: number;
}

/**
 * Walks the log from the segment that holds `from` to its end. A log that is followed may end below
 * `proven`, even below `from`; then `fromChain` means nothing.
 *
 * @throws DiskError LOG_CORRUPT where the log is damaged below a position proven durable, or
 *   where the segment of `from` is missing; LOG_FORMAT; nothing has been changed then
 */
export function recoverLog(input: RecoveryInput): RecoveredLog {
  const {files, directory} = input;
  assert(input.from <= input.to, 'replay goes forward');
  const listing = readLogDirectory(files, directory, input.resourceId);
  refuseReadOnly(listing.segments);
  const accepted = listing.segments.filter(({header}) => input.follow?.accepts(header) !== false);
  const {effective, superseded} = withoutSuperseded(accepted);
  const first = firstNeeded(effective, input);
  const segments = effective.slice(first);
  const walk = walkSegments(input, segments);
  const evidence = collectEvidence(input, segments, listing.spares, walk);
  const proven = Math.max(input.to, input.durable ?? 0, evidence.durable, walk.durable);
  const decision = decideTail({validEnd: walk.position, proven, peerEnd: undefined});
  const canFetch = input.follow !== undefined && !input.follow.isOwn;
  if (decision === 'stop' && !canFetch) throw damaged(input, walk, proven, segments);

  const kept = segments.slice(0, walk.used);
  const refused = listing.segments.filter((segment) => !accepted.includes(segment));
  const unreadable = listing.spares.filter(({isUnreadable}) => isUnreadable);
  return {
    segments: kept,
    older: effective.slice(0, first),
    spares: listing.spares.filter(({isUnreadable}) => !isUnreadable),
    cut: [...segments.slice(walk.used), ...superseded, ...refused, ...unreadable],
    numberMax: listing.numberMax,
    position: walk.position,
    chain: walk.chain,
    fromChain: walk.fromChain,
    proven,
    diskSizeBytes: walk.diskSizeBytes,
    timeMs: walk.timeMs,
    epoch: kept.at(-1)?.header.epoch,
    tornRecords: evidence.count,
  };
}

/** Who recovers a log goes on with it. */
function refuseReadOnly(segments: readonly SegmentFile[]): void {
  const newer = segments.find(({header}) => header.isReadOnly);
  if (newer === undefined) return;
  throw new DiskError(
    'LOG_FORMAT',
    `${newer.name} has features that this version may read but not continue: use the version ` +
      `that wrote it`,
    {file: newer.name},
  );
}

/**
 * Divides segments into those that count and those whose place another has taken: a later segment
 * begins at or below their start, after an epoch in which nothing was written, or because a tail
 * was moved after an I/O error.
 */
export function withoutSuperseded(segments: readonly SegmentFile[]): {
  effective: SegmentFile[];
  superseded: SegmentFile[];
} {
  const effective: SegmentFile[] = [];
  const superseded: SegmentFile[] = [];
  let lowest = Infinity;
  for (const segment of segments.toReversed()) {
    if (segment.header.start < lowest) effective.unshift(segment);
    else superseded.unshift(segment);
    lowest = Math.min(lowest, segment.header.start);
  }

  return {effective, superseded};
}

/** Index of the segment to begin with: the last that starts at or below `from`. */
function firstNeeded(segments: readonly SegmentFile[], input: RecoveryInput): number {
  const first = segments.findLastIndex((segment) => segment.header.start <= input.from);
  if (first >= 0) return first;
  if (segments.length === 0 && input.to === 0) return 0;
  if (segments.length === 0 && input.follow?.begin?.position === input.from) return 0;
  throw new DiskError(
    'LOG_CORRUPT',
    `the log has no segment with position ${formatPosition(input.from)}, up to which the image ` +
      `was written: bring the logfile back to ${input.directory}`,
    {position: formatPosition(input.from), directory: input.directory},
  );
}

interface Walk {
  position: number;
  chain: Chain;
  /** How many segments belong to the log. */
  used: number;
  diskSizeBytes: number;
  timeMs: number;
  /** Highest `durable` of the records walked over. */
  durable: number;
  fromChain: Chain;
}

function walkSegments(input: RecoveryInput, segments: readonly SegmentFile[]): Walk {
  const first = segments[0]?.header;
  const begin = input.follow?.begin;
  const chain = first?.chain ?? begin?.chain ?? {low: 0, high: 0};
  const walk: Walk = {
    position: first?.start ?? begin?.position ?? 0,
    chain: copyChain(chain),
    used: 0,
    diskSizeBytes: first?.diskSizeBytes ?? input.diskSizeBytes,
    timeMs: 0,
    durable: 0,
    fromChain: copyChain(chain),
  };
  const cursor = new RecordCursor(input.files);
  for (const [index, segment] of segments.entries()) {
    const {header} = segment;
    if (header.start !== walk.position) break;
    if (header.chain.low !== walk.chain.low || header.chain.high !== walk.chain.high) break;
    walk.used = index + 1;
    input.onSegment(segment);
    if (walkIndex(input, segment, segments[index + 1], walk)) continue;
    walkRecords(input, segment, segments[index + 1], cursor, walk);
  }

  return walk;
}

/**
 * Takes a sealed segment by its index file instead of reading it. Only where the next segment
 * joins it exactly, and it begins behind `from`: the chain value there has to be known.
 *
 * @returns false where it has to be read
 */
function walkIndex(
  input: RecoveryInput,
  segment: SegmentFile,
  next: SegmentFile | undefined,
  walk: Walk,
): boolean {
  const {header} = segment;
  if (next === undefined || header.start < input.from) return false;
  const index = readIndexFile(input.files, segment.path, header);
  if (index?.end !== next.header.start) return false;
  if (index.chain.low !== next.header.chain.low) return false;
  if (index.chain.high !== next.header.chain.high) return false;
  walk.position = index.end;
  walk.chain = copyChain(index.chain);
  walk.diskSizeBytes = index.diskSizeBytes;
  walk.timeMs = Math.max(walk.timeMs, index.timeMs);
  walk.durable = Math.max(walk.durable, index.durable);
  if (index.end === input.from) walk.fromChain = copyChain(index.chain);
  input.onIndex(index);
  return true;
}

function walkRecords(
  input: RecoveryInput,
  segment: SegmentFile,
  next: SegmentFile | undefined,
  cursor: RecordCursor,
  walk: Walk,
): void {
  const {header} = segment;
  // After an I/O error the tail was moved: where the next segment begins, this one ends.
  const end = Math.min(next?.header.start ?? Infinity, header.start + header.capacityBytes);
  const fd = input.files.open(segment.path, 'read');
  try {
    cursor.open(fd, header, walk.position, walk.chain, end);
    while (cursor.next()) {
      if (cursor.record.type === RECORD.resize) walk.diskSizeBytes = cursor.record.diskOffset;
      walk.timeMs = Math.max(walk.timeMs, cursor.record.timeMs);
      walk.durable = Math.max(walk.durable, cursor.record.durable);
      if (cursor.position === input.from) walk.fromChain = copyChain(cursor.chain);
      input.onRecord(cursor);
    }

    walk.position = cursor.position;
    walk.chain = copyChain(cursor.chain);
  } finally {
    input.files.close(fd);
  }
}

function copyChain(chain: Readonly<Chain>): Chain {
  return {low: chain.low, high: chain.high};
}

/** Everything in the directory that proves how far the log once was durable. */
function collectEvidence(
  input: RecoveryInput,
  segments: readonly SegmentFile[],
  spares: readonly SpareFile[],
  walk: Walk,
): {count: number; durable: number} {
  const last = segments[walk.used - 1];
  let count = 0;
  let durable = last?.header.durable ?? 0;
  const add = (path: string, find: (fd: number) => Remains): void => {
    const fd = input.files.open(path, 'read');
    try {
      const remains = find(fd);
      count += remains.count;
      durable = Math.max(durable, remains.durable);
    } finally {
      input.files.close(fd);
    }
  };

  if (last !== undefined) {
    add(last.path, (fd) => findRemains(input.files, fd, last.header, walk.position));
  }

  for (const {header, path} of segments.slice(walk.used)) {
    durable = Math.max(durable, header.durable);
    add(path, (fd) => findRemains(input.files, fd, header, header.start));
  }

  // A segment whose header was torn or rotted: its records still speak for themselves.
  for (const {path} of spares.filter(({isUnreadable}) => isUnreadable)) {
    add(path, (fd) => findStrayRecords(input.files, fd, walk.position));
  }

  return {count, durable};
}

function damaged(
  {directory}: RecoveryInput,
  walk: Walk,
  proven: number,
  segments: readonly SegmentFile[],
): DiskError {
  const file = segments[walk.used - 1]?.name ?? segments[0]?.name ?? 'none';
  return new DiskError(
    'LOG_CORRUPT',
    `the log is damaged at position ${formatPosition(walk.position)} in ${file}, though it was ` +
      `durable up to ${formatPosition(proven)}: nothing was cut, and a replica that has it gives the ` +
      `good copy at the next start; all places: mars log verify ${directory}`,
    {position: formatPosition(walk.position), durable: formatPosition(proven), file},
  );
}
