/**
 * From whatever the last life left to a disk that may answer. In this order, each step durable
 * before the next:
 *
 *   1. where the log ends (log/recovery); the index of what is not in the image yet
 *   2. what lies above the proven durable position is written again and synced: after an EIO that
 *      the dead process saw, its pages are clean, and only writing them makes fdatasync honest
 *   3. the first segment of a new epoch, and the lineage
 *
 * Only then may a request be answered, or any position told to anybody.
 */
import {randomBytes} from 'node:crypto';
import {join} from 'node:path';
import type {Clock} from '../core/clock.js';
import {DiskError, errnoOf} from '../core/errors.js';
import type {FileIdentity, Files} from '../core/files.js';
import {resourcePaths} from '../core/home.js';
import {BLOCK_BYTES} from '../core/limits.js';
import {TwoSlotFile} from '../core/two-slot.js';
import {BlockIndex} from '../image/block-index.js';
import {isSameImage, openImage} from '../image/image-file.js';
import {openReplayState, type ReplayState} from '../image/replay-state.js';
import type {RecordCursor} from '../log/cursor.js';
import {RECORD, FLAG, type Chain} from '../log/record.js';
import {indexPathOf} from '../log/index-file.js';
import {recoverLog, type RecoveredLog} from '../log/recovery.js';
import {makeReady, makeSpare, type SegmentPlan} from '../log/segment-files.js';
import {segmentName, SEGMENT_HEADER_BYTES, type SegmentHeader} from '../log/segment.js';
import {LogWriter} from '../log/writer.js';
import {segmentPlan, type DiskConfig} from './config.js';
import {appendLineage} from './lineage.js';
import {WORD, type Shared} from './shared.js';

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
  readonly plan: SegmentPlan;
}

export function activate(input: ActivationInput): ActiveDisk {
  const {files, config, shared} = input;
  const paths = resourcePaths(config.home, config.resource.name);
  const plan = segmentPlan(config);
  files.makeDirectory(paths.logDirectory);
  const imageFd = openImage(files, config.resource.imagePath, 0);
  const {stateFile, state, identity} = openState(input, imageFd);
  const index = new BlockIndex(plan.fileBytes - SEGMENT_HEADER_BYTES);
  const recovered = recoverLog({
    files,
    directory: paths.logDirectory,
    resourceId: config.resource.id,
    from: state.from,
    to: state.to,
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
  files.close(openImage(files, config.resource.imagePath, recovered.diskSizeBytes));
  rewriteTail(files, recovered);
  setSparesAside(files, plan, recovered);
  for (const segment of recovered.segments) {
    shared.pushSegment(
      segment.header.number,
      files.open(segment.path, 'write'),
      segment.header.start,
    );
  }

  const writer = new LogWriter(files, input.clock, recovered);
  const epoch = input.serve
    ? beginEpoch(input, plan, recovered, writer, index)
    : (recovered.epoch ?? '0'.repeat(32));
  shared.appended.set(writer.position);
  shared.durable.set(writer.position);
  shared.diskSize.set(recovered.diskSizeBytes);
  return {
    index,
    writer,
    imageFd,
    identity,
    stateFile,
    state,
    fromChain: recovered.fromChain,
    epoch,
    epochStart: recovered.position,
    diskSizeBytes: recovered.diskSizeBytes,
    recovered,
    plan,
  };
}

function openState(
  input: ActivationInput,
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

/** Puts a record of the log into the index, unless the image has it already. */
export function indexRecord(index: BlockIndex, cursor: RecordCursor, replayed: number): void {
  const {record} = cursor;
  const block = record.diskOffset / BLOCK_BYTES;
  switch (record.type) {
    case RECORD.write: {
      if (cursor.position <= replayed) return;
      index.put(block, record.storedLength / BLOCK_BYTES, cursor.payloadPosition);
      return;
    }

    case RECORD.discard:
    case RECORD.zero: {
      if (cursor.position <= replayed) return;
      index.putZero(block, block + record.logicalLength / BLOCK_BYTES, cursor.payloadPosition);
      return;
    }

    case RECORD.resize:
    case RECORD.seal:
    case RECORD.pad:
    case RECORD.mark: {
      return;
    }

    default: {
      if ((record.flags & FLAG.ignorable) !== 0) return;
      throw new DiskError(
        'LOG_FORMAT',
        `the log has a record of type ${record.type}, which this version does not know`,
        {type: record.type},
      );
    }
  }
}

const COPY_BYTES = 1024 * 1024;

/** Step 2: writes [proven, position) again in place and syncs it. */
function rewriteTail(files: Files, recovered: RecoveredLog): void {
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

/** Files that hold nothing that is needed any more (cut, replayed) get a name that says so. */
function setSparesAside(files: Files, plan: SegmentPlan, recovered: RecoveredLog): void {
  const named = [...recovered.spares, ...recovered.older].filter(({name}) =>
    name.startsWith('log-'),
  );
  for (const {name, path} of named) {
    files.rename(path, join(plan.directory, `spare-${name}`));
    if (files.exists(indexPathOf(path))) files.unlink(indexPathOf(path));
  }

  // Before anything is appended: the next recovery must not see what this one has cut.
  if (named.length > 0) files.syncDirectory(plan.directory);
}

/** Step 3. */
function beginEpoch(
  input: ActivationInput,
  plan: SegmentPlan,
  recovered: RecoveredLog,
  writer: LogWriter,
  index: BlockIndex,
): string {
  const {files, config, shared} = input;
  const epoch = (input.random ?? randomBytes)(16).toString('hex');
  const number = recovered.numberMax + 1;
  const path = readySegment(files, plan, number);
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
  writer.beginSegment(fd, header);
  files.sync(fd);
  index.beginSegment(header.start, header.capacityBytes);
  shared.pushSegment(number, fd, header.start);
  shared.set(WORD.readyUpTo, number);
  return epoch;
}

/** A ready segment: from a spare of the right size, else a new one. */
function readySegment(files: Files, plan: SegmentPlan, number: number): string {
  for (const name of files.list(plan.directory)) {
    if (!name.startsWith('spare-')) continue;
    const path = join(plan.directory, name);
    const fd = files.open(path, 'read');
    const size = files.sizeOf(fd);
    files.close(fd);
    if (size === plan.fileBytes) return makeReady(files, plan, path, number);
    files.unlink(path);
  }

  const path = join(plan.directory, `spare-new-${segmentName(number, plan.originName)}`);
  try {
    const making = makeSpare(files, plan, path);
    while (making.next().done !== true);
    return makeReady(files, plan, path, number);
  } catch (error) {
    if (errnoOf(error) !== 'ENOSPC') throw error;
    throw new DiskError(
      'LOG_SPACE',
      `no room in ${plan.directory} for a logfile of ${plan.fileBytes} bytes: free space there`,
      {directory: plan.directory, bytes: plan.fileBytes},
      {cause: error},
    );
  }
}
