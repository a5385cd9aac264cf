/**
 * From whatever the last life left to a log that can be followed again. In this order, each step
 * durable before the next:
 *
 *   1. where the log ends (log/recovery). What is damaged or torn is cut, wherever it lies, and
 *      fetched again: the origin keeps all that is not in our image. Where this node is the origin
 *      of the last epoch nothing damaged is cut: nobody may have what lies behind
 *   2. what nobody proves to be durable HERE is written again and synced; records of others say what
 *      was durable at their origin only
 *   3. what lies behind the end is overwritten with zeros, segments behind it are removed: a later
 *      recovery must neither take it up again nor miss it
 *
 * Between `from` and `to` the image alone is no state of the disk: where the log ends below `to` it is
 * inconsistent until the rest was fetched. Below `from` the chain value that replay begins with is
 * not known until then either.
 */
import {passCrashPoint} from '../core/crash-points.js';
import type {FileIdentity, Files} from '../core/files.js';
import {resourcePaths} from '../core/home.js';
import {loseHistoryMounts} from '../core/history-mounts.js';
import {formatPosition} from '../core/position.js';
import {MIB} from '../core/units.js';
import {DiskError, errnoOf} from '../core/errors.js';
import type {TwoSlotFile} from '../core/two-slot.js';
import {openImage} from '../image/image-file.js';
import type {ReplayState} from '../image/replay-state.js';
import type {SegmentFile} from '../log/directory.js';
import {readDurablePosition, removeDurableWord} from '../log/durable-word.js';
import {readLineage, type LineageEntry} from '../log/lineage.js';
import {parseChain, type Chain} from '../log/record.js';
import {recoverLog, type RecoveredLog} from '../log/recovery.js';
import type {SegmentPlan} from '../log/segment-files.js';
import {SEGMENT_HEADER_BYTES, type SegmentHeader} from '../log/segment.js';
import {openState, setSparesAside} from './activation.js';
import {refuseBypassed} from './bypass-leave.js';
import {segmentPlan, type DiskConfig} from './config.js';
import type {TimeSample} from './follow-view.js';
import {writeLineage} from './lineage.js';
import {retainedSegments, type RetainedSegment} from './retained.js';
import {provenHere, rewriteTail} from './settle-tail.js';
import {WORD, type Shared} from './shared.js';
import {readSyncState, type SyncState} from './sync-state.js';

/** Log between two samples of time. */
const SAMPLE_BYTES = 8 * MIB;

export interface FollowActivationInput {
  readonly files: Files;
  readonly config: DiskConfig;
  readonly shared: Shared;
  readonly acceptImage: boolean;
}

/** A log that records of another node may be added to, and its image. */
export interface FollowedDisk {
  readonly plan: SegmentPlan;
  readonly imageFd: number;
  readonly identity: FileIdentity;
  readonly stateFile: TwoSlotFile;
  readonly state: ReplayState;
  /** Chain value at `state.from`; undefined where the log does not reach it any more. */
  readonly fromChain: Chain | undefined;
  readonly recovered: RecoveredLog;
  readonly retained: readonly RetainedSegment[];
  readonly lineage: readonly LineageEntry[];
  /** Times of some of the records that are not in the image. */
  readonly times: readonly TimeSample[];
  /** The copy of the image that the log has yet to complete. */
  readonly sync: SyncState | undefined;
}

/**
 * Recovers a log that is followed.
 *
 * @throws DiskError LOG_CORRUPT where the segment is missing up to which the image was written, or
 *   where a log with records of this node at its end is damaged; LOG_FORMAT, LOG_IO, IMAGE_CHANGED, IMAGE_TOO_SMALL, STATE_UNREADABLE, or the error of the file
 *   system
 */
export function activateFollow(input: FollowActivationInput): FollowedDisk {
  const {files, config, shared} = input;
  const {name, imagePath, sizeBytes, id} = config.resource;
  const paths = resourcePaths(config.home, name);
  const plan = segmentPlan(config);
  files.makeDirectory(paths.logDirectory);
  refuseBypassed(files, name, paths);
  const sync = readSyncState(files, config.home, name);
  const imageFd = openImage(files, imagePath, 0);
  const {stateFile, state, identity} = openState(input, imageFd);
  const lineage = takeLineage(files, config, sync);
  const times: TimeSample[] = [];
  const word = readDurablePosition(files, paths);
  const found = recoverLog({
    files,
    directory: paths.logDirectory,
    resourceId: id,
    from: state.from,
    to: state.to,
    durable: word,
    diskSizeBytes: Math.max(sizeBytes, sync?.sizeBytes ?? 0),
    onSegment: () => undefined,
    onIndex: () => undefined,
    onRecord: ({position, record}) => {
      const last = times.at(-1);
      if (position <= state.from || position < (last?.position ?? 0) + SAMPLE_BYTES) return;
      times.push({position: last === undefined ? state.from : position, timeMs: record.timeMs});
    },
    follow: {
      accepts: (header) => isOfLineage(lineage, header),
      begin: beginOf(sync),
      // What a copy brings was written elsewhere, whoever was its origin.
      isOwn: sync === undefined && lineage.at(-1)?.node === config.node.id,
    },
  });
  files.close(openImage(files, imagePath, found.diskSizeBytes));
  // What was said of a log that is cut does not hold for what comes in its place.
  if (found.position < word) removeDurableWord(files, paths);
  const recovered = {...found, proven: provenHere(found, state, plan)};
  settle(files, plan, recovered);
  const retained = retainedSegments(recovered, shared.retainFrom);
  setSparesAside(files, plan, recovered, retained);
  for (const {header, path} of recovered.segments) {
    shared.pushSegment(header.number, files.open(path, 'write'), header.start);
  }

  publish(shared, recovered, state, found.proven);
  const fromChain = recovered.position >= state.from ? recovered.fromChain : undefined;
  return {
    plan,
    imageFd,
    identity,
    stateFile,
    state,
    fromChain,
    recovered,
    retained,
    lineage,
    times,
    sync,
  };
}

/**
 * Before the first chunk of a copy: whatever log there is belongs to another image. Spares as well,
 * as they may be from behind the place where the new log begins.
 */
export function forgetLog(files: Files, config: DiskConfig): void {
  const paths = resourcePaths(config.home, config.resource.name);
  const {logDirectory} = paths;
  loseHistoryMounts(files, paths.historyDirectory, 0);
  removeDurableWord(files, paths);
  files.makeDirectory(logDirectory);
  const named = files.list(logDirectory).filter((name) => /^(?:log|spare)-/u.test(name));
  for (const name of named) files.unlink(`${logDirectory}/${name}`);
  passCrashPoint('log-forgotten');
  if (named.length > 0) files.syncDirectory(logDirectory);
}

function publish(
  shared: Shared,
  {position, diskSizeBytes}: RecoveredLog,
  {from, to}: ReplayState,
  provenByOrigin: number,
): void {
  shared.set(WORD.following, 1);
  shared.replayed.set(from);
  shared.replayTo.set(to);
  shared.appended.set(position);
  shared.durable.set(position);
  shared.originDurable.set(Math.min(provenByOrigin, position));
  shared.diskSize.set(diskSizeBytes);
}

/** A copy that is complete brings the lineage with it, until the log has a first segment. */
function takeLineage(
  files: Files,
  config: DiskConfig,
  sync: SyncState | undefined,
): readonly LineageEntry[] {
  const {lineageFile, logDirectory} = resourcePaths(config.home, config.resource.name);
  const isBegun = files.list(logDirectory).some((name) => name.startsWith('log-'));
  if (sync === undefined || isBegun) return readLineage(files, lineageFile);
  writeLineage(config, sync.lineage, files);
  return sync.lineage;
}

/** A cut drops the epoch first, then its segments: those that are left of it do not count. */
function isOfLineage(lineage: readonly LineageEntry[], header: SegmentHeader): boolean {
  const [oldest] = lineage;
  if (oldest === undefined || formatPosition(header.start) < oldest.start) return true;
  return lineage.some(({epoch}) => epoch === header.epoch);
}

function beginOf(sync: SyncState | undefined): {position: number; chain: Chain} | undefined {
  const chain = parseChain(sync?.chain ?? '');
  return sync === undefined || chain === undefined ? undefined : {position: sync.begin, chain};
}

function settle(files: Files, plan: SegmentPlan, recovered: RecoveredLog): void {
  const last = recovered.segments.at(-1);
  try {
    rewriteTail(files, recovered);
    if (last !== undefined && recovered.tornRecords > 0) {
      zeroBehind(files, last, recovered.position);
    }
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== 'EIO') throw error;
    throw new DiskError(
      'LOG_IO',
      'the end of the log cannot be made durable: mend its device, or bring the log elsewhere',
      {directory: plan.directory, errno},
      {cause: error},
    );
  }
}

const ZEROS = Buffer.alloc(MIB);

/** Overwrites what a segment holds from `position` on, durably. */
export function zeroBehind(
  files: Files,
  {path, header}: Pick<SegmentFile, 'path' | 'header'>,
  position: number,
): void {
  const fd = files.open(path, 'write');
  try {
    const end = Math.min(files.sizeOf(fd), SEGMENT_HEADER_BYTES + header.capacityBytes);
    let at = SEGMENT_HEADER_BYTES + position - header.start;
    while (at < end) {
      const length = Math.min(ZEROS.length, end - at);
      files.write(fd, ZEROS, 0, length, at);
      at += length;
    }

    files.syncData(fd);
  } finally {
    files.close(fd);
  }
}
