/**
 * From whatever the last life left to a disk that may answer. In this order, each step durable
 * before the next:
 *
 *   1. where the log ends (log/recovery); the index of what is not in the image yet
 *   2. what lies above the proven durable position is made durable (settle-tail)
 *   3. the first segment of a new epoch, and the lineage; where the log itself has taken all
 *      space, replay gives some back first (replay-for-room). Where writes went past the log, it
 *      begins with a GAP (bypass-leave)
 *
 * Only then may a request be answered, or any position told to anybody.
 */
import {randomBytes} from 'node:crypto';
import {join} from 'node:path';
import type {Clock} from '../core/clock.js';
import {passCrashPoint} from '../core/crash-points.js';
import {DiskError, isDiskError} from '../core/errors.js';
import type {FileIdentity, Files} from '../core/files.js';
import {resourcePaths, type ResourcePaths} from '../core/home.js';
import {TwoSlotFile} from '../core/two-slot.js';
import {BlockIndex} from '../image/block-index.js';
import {isSameImage, openImage} from '../image/image-file.js';
import {REGION_BYTES} from '../image/bypass-map.js';
import {openReplayState, type ReplayState} from '../image/replay-state.js';
import {readDurablePosition} from '../log/durable-word.js';
import {indexPathOf} from '../log/index-file.js';
import type {Chain} from '../log/record.js';
import {recoverLog, type RecoveredLog} from '../log/recovery.js';
import {removeSegment, type SegmentPlan} from '../log/segment-files.js';
import {SEGMENT_HEADER_BYTES, type SegmentHeader} from '../log/segment.js';
import {LogWriter} from '../log/writer.js';
import {
  appendGap,
  openBypassToLeave,
  refuseBypassed,
  requireSealedLog,
  takeReserve,
  type BypassToLeave,
} from './bypass-leave.js';
import {segmentPlan, type DiskConfig} from './config.js';
import {beginDurableWord} from './durable-word.js';
import {indexRecord} from './index-record.js';
import {appendLineage} from './lineage.js';
import {settleNext} from './next-switch.js';
import {replayForRoom} from './replay-for-room.js';
import {readySegment} from './ready-segment.js';
import {retainedSegments, type RetainedSegment} from './retained.js';
import {provenHere, settleTail} from './settle-tail.js';
import {WORD, type Shared} from './shared.js';
import {readSyncState} from './sync-state.js';

export interface ActivationInput {
  readonly files: Files;
  readonly clock: Clock;
  readonly config: DiskConfig;
  readonly shared: Shared;
  /** 16 random bytes: the epoch. From outside, so that the simulator owns it. */
  readonly random?: (size: number) => Buffer;
  /** Take the image although it is not the one that was recorded. */
  readonly acceptImage: boolean;
  /** false: replay only, no epoch begins and nothing is appended. */
  readonly serve: boolean;
}

export interface ActiveDisk {
  readonly index: BlockIndex;
  readonly writer: LogWriter;
  readonly imageFd: number;
  readonly identity: FileIdentity;
  readonly stateFile: TwoSlotFile;
  readonly state: ReplayState;
  /** Chain value at `state.from`. */
  readonly fromChain: Chain;
  readonly epoch: string;
  readonly epochStart: number;
  readonly diskSizeBytes: number;
  readonly recovered: RecoveredLog;
  /** Older segments that replay does not need, but somebody who fetches from here. */
  readonly retained: readonly RetainedSegment[];
  readonly plan: SegmentPlan;
  readonly paths: ResourcePaths;
  /** Of the image, what the life before wrote past the log; 0: nothing. */
  readonly bypassedBytes: number;
}

/**
 * Recovers a disk and makes it ready to answer: index, writer, and for `serve` a new epoch.
 *
 * @throws DiskError LOG_CORRUPT, LOG_FORMAT, LOG_SPACE, LOG_IO, IMAGE_CHANGED, IMAGE_TOO_SMALL,
 *   STATE_UNREADABLE, or the error of the file system; nothing that was durable is changed then
 */
export function activate(input: ActivationInput): ActiveDisk {
  const {files, config, shared} = input;
  const paths = resourcePaths(config.home, config.resource.name);
  const plan = segmentPlan(config);
  files.makeDirectory(paths.logDirectory);
  settleNext(files, config);
  refuseCopy(input);
  const imageFd = openImage(files, config.resource.imagePath, 0);
  if (!input.serve) refuseBypassed(files, config.resource.name, paths);
  const opened = openState(input, imageFd);
  const {stateFile, identity} = opened;
  let {state} = opened;
  const bypass = openBypassToLeave(files, paths, imageFd, state);
  const index = new BlockIndex(plan.fileBytes - SEGMENT_HEADER_BYTES);
  const found = recoverLog({
    files,
    directory: paths.logDirectory,
    resourceId: config.resource.id,
    from: state.from,
    to: state.to,
    durable: readDurablePosition(files, paths),
    diskSizeBytes: config.resource.sizeBytes,
    onSegment: ({header}) => {
      index.beginSegment(header.start, header.capacityBytes);
    },
    onIndex: ({pairs, extents, end}) => {
      index.putLoaded(pairs, extents, end);
    },
    onRecord: (cursor) => {
      indexRecord(index, cursor, state.from);
    },
  });
  index.setReplayed(state.from);
  shared.replayed.set(state.from);
  shared.replayTo.set(state.to);
  files.close(openImage(files, config.resource.imagePath, found.diskSizeBytes));
  const proven = provenHere(found, state, plan);
  const recovered = settleTail(files, plan, {...found, proven}, index, shared);
  const retained = retainedSegments(recovered, shared.retainFrom);
  if (bypass !== undefined) requireSealedLog(recovered, bypass);
  setSparesAside(files, plan, recovered, retained);
  for (const segment of recovered.segments) {
    shared.pushSegment(
      segment.header.number,
      files.open(segment.path, 'write'),
      segment.header.start,
    );
  }

  const writer = new LogWriter(files, input.clock, recovered);
  shared.appended.set(writer.position);
  shared.durable.set(writer.position);
  shared.diskSize.set(recovered.diskSizeBytes);
  let {fromChain} = recovered;
  if (bypass !== undefined) {
    // Records behind the sealed end are older than the image: of a start that broke off, or without room.
    state = standAt(recovered.position, stateFile, state, shared, index);
    fromChain = recovered.chain;
  }

  const old = {imageFd, identity, stateFile, state, fromChain};
  let epoch = recovered.epoch ?? '0'.repeat(32);
  if (input.serve) {
    try {
      epoch = beginEpoch(input, plan, recovered, writer, index, bypass);
    } catch (error) {
      if (!isDiskError(error, 'LOG_SPACE')) throw error;
      if (replayForRoom(input, old)) return activateAgain(input, bypass);
      if (!takeReserve(files, plan)) throw error;
      epoch = beginEpoch(input, plan, recovered, writer, index, bypass);
    }
  }

  if (bypass !== undefined) {
    state = standAt(writer.position, stateFile, state, shared, index);
    fromChain = {...writer.chain};
    bypass.map.leave(state.from);
    bypass.map.close();
  }

  return {
    ...old,
    state,
    fromChain,
    paths,
    bypassedBytes: (bypass?.map.regionCount ?? 0) * REGION_BYTES,
    index,
    writer,
    epoch,
    epochStart: recovered.position,
    diskSizeBytes: recovered.diskSizeBytes,
    recovered,
    retained,
    plan,
  };
}

function activateAgain(input: ActivationInput, bypass: BypassToLeave | undefined): ActiveDisk {
  bypass?.map.close();
  return activate(input);
}

/** The image holds, durably, all that the log has up to `position`, whatever was replayed. */
function standAt(
  position: number,
  stateFile: TwoSlotFile,
  before: ReplayState,
  shared: Shared,
  index: BlockIndex,
): ReplayState {
  const state = {...before, from: position, to: position};
  stateFile.write(state);
  shared.replayTo.set(position);
  shared.replayed.set(position);
  index.setReplayed(position);
  return state;
}

/** The last check: an image that is being copied is no disk, whoever wants to serve it. */
function refuseCopy({files, config}: ActivationInput): void {
  const {name} = config.resource;
  const sync = readSyncState(files, config.home, name);
  if (sync === undefined || sync.state === 'done') return;
  throw new DiskError(
    'REPLICA_INCONSISTENT',
    `the image of ${name} is not complete: it is being copied from another replica`,
    {state: sync.state},
  );
}

/**
 * Opens the replay state, or makes it where there is no log yet.
 *
 * @throws DiskError STATE_UNREADABLE, IMAGE_CHANGED
 */
export function openState(
  input: Pick<ActivationInput, 'files' | 'config' | 'acceptImage'>,
  imageFd: number,
): {stateFile: TwoSlotFile; state: ReplayState; identity: FileIdentity} {
  const {files, config} = input;
  const paths = resourcePaths(config.home, config.resource.name);
  const identity = files.identify(imageFd);
  if (!files.exists(paths.replayFile)) {
    if (files.list(paths.logDirectory).some((name) => name.startsWith('log-'))) {
      throw new DiskError(
        'STATE_UNREADABLE',
        `${paths.replayFile} is missing though there is a log: nobody knows what the image holds`,
        {file: paths.replayFile},
      );
    }

    const state: ReplayState = {schema: 1, from: 0, to: 0, image: identity};
    const temporary = `${paths.replayFile}.new`;
    if (files.exists(temporary)) files.unlink(temporary);
    const stateFile = TwoSlotFile.create(files, temporary, state);
    files.rename(temporary, paths.replayFile);
    files.syncDirectory(paths.directory);
    return {stateFile, state, identity};
  }

  const {file, state} = openReplayState(files, paths.replayFile);
  if (!isSameImage(state.image, identity) && !input.acceptImage) {
    throw new DiskError(
      'IMAGE_CHANGED',
      `${config.resource.imagePath} is not the image that the log was replayed to (inode ` +
        `${identity.inode}, expected ${state.image.inode}): bring the right one back, or take ` +
        `this one as it is with mars primary ${config.resource.name} --force`,
      {path: config.resource.imagePath, inode: identity.inode, expected: state.image.inode},
    );
  }

  if (input.acceptImage) file.write({...state, image: identity});
  return {stateFile: file, state, identity};
}

/** Files of which nothing is needed any more become spares (replayed) or are removed (cut). */
export function setSparesAside(
  files: Files,
  plan: SegmentPlan,
  recovered: RecoveredLog,
  retained: readonly RetainedSegment[],
): void {
  const kept = new Set(retained.map(({name}) => name));
  const named = [...recovered.spares, ...recovered.older].filter(
    ({name}) => name.startsWith('log-') && !kept.has(name),
  );
  for (const {name, path} of named) {
    files.rename(path, join(plan.directory, `spare-${name}`));
    if (files.exists(indexPathOf(path))) files.unlink(indexPathOf(path));
  }

  for (const {path} of recovered.cut) removeSegment(files, path);
  passCrashPoint('spares-set-aside');
  // Before anything is appended: the next recovery must not see what this one has cut.
  if (named.length + recovered.cut.length > 0) files.syncDirectory(plan.directory);
}

/** Step 3. */
function beginEpoch(
  input: ActivationInput,
  plan: SegmentPlan,
  recovered: RecoveredLog,
  writer: LogWriter,
  index: BlockIndex,
  bypass: BypassToLeave | undefined,
): string {
  const {files, config, shared} = input;
  const epoch = (input.random ?? randomBytes)(16).toString('hex');
  const number = recovered.numberMax + 1;
  // A restart, a promotion: applications wait, however long the zeros of a whole file take here.
  const isUrgent = recovered.position > 0;
  const path = readySegment(files, plan, number, isUrgent);
  const fd = files.open(path, 'write');
  const header: SegmentHeader = {
    started: true,
    resourceId: plan.resourceId,
    originId: plan.originId,
    epoch,
    originName: plan.originName,
    number,
    start: recovered.position,
    chain: recovered.chain,
    durable: recovered.position,
    epochStart: recovered.position,
    createdMs: input.clock.wallMs(),
    diskSizeBytes: recovered.diskSizeBytes,
    alignmentBytes: config.resource.alignmentBytes,
    capacityBytes: plan.fileBytes - SEGMENT_HEADER_BYTES,
  };
  appendLineage(config, header, files);
  passCrashPoint('epoch-in-lineage');
  writer.beginSegment(fd, header);
  if (bypass !== undefined) appendGap(writer, bypass, header.start);
  files.sync(fd);
  passCrashPoint('epoch-begun');
  index.beginSegment(header.start, header.capacityBytes);
  shared.pushSegment(number, fd, header.start);
  shared.appended.set(writer.position);
  shared.durable.set(writer.position);
  shared.set(WORD.readyUpTo, number);
  const paths = resourcePaths(config.home, config.resource.name);
  const word = {epoch, position: writer.position};
  shared.set(WORD.durableFile, beginDurableWord(files, paths, word) ?? 0);
  return epoch;
}
