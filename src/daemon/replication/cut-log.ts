/**
 * Takes the loss where a log is damaged and nobody has the good copy: the log ends where it is good
 * (log/log-loss.ts), and the next start begins an epoch there, so that every replica sees by the lineage
 * what it has more, or that it has another history. In this order, each step durable before the next:
 *
 *   1. the disk process has ended, and none can start: the lock of the generations is held
 *   2. what is taken out is kept (kept-cut.ts), with lineage and replay state
 *   3. the word on what is durable is taken back
 *   4. a file that is damaged in front of what replay needs is replaced by one that begins there
 *   5. the lineage is cut, segments behind are removed from the last on, the one with the end is zeroed
 *      from there; or, where nothing is good, all of the log goes, and an empty segment begins at `to`
 *      with an epoch and a chain value of its own
 *   6. where the image holds some of what is lost, replay is told that this does not count
 *
 * Died in any of these: the log is as damaged as before, and the cut is asked for again; or it is cut.
 */
import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import {join} from 'node:path';
import type {CutRequest, CutResult} from '../../control/cut-api.js';
import {passCrashPoint} from '../../core/crash-points.js';
import {DiskError, storeError} from '../../core/errors.js';
import {createNodeFiles, type Files} from '../../core/files.js';
import {loseHistoryMounts} from '../../core/history-mounts.js';
import {formatPosition, parsePosition} from '../../core/position.js';
import {TwoSlotFile} from '../../core/two-slot.js';
import {readDiskConfig, segmentPlan} from '../../disk/config.js';
import {zeroBehind} from '../../disk/follow-activation.js';
import {lineageBefore} from '../../disk/follow-lineage.js';
import {writeLineage} from '../../disk/lineage.js';
import {isReplayState, openReplayState} from '../../image/replay-state.js';
import {readLogDirectory, type SegmentFile} from '../../log/directory.js';
import {readDurablePosition, removeDurableWord} from '../../log/durable-word.js';
import {indexPathOf} from '../../log/index-file.js';
import {readLineage} from '../../log/lineage.js';
import {findLogLoss, type LogLoss} from '../../log/log-loss.js';
import {formatChain, type Chain} from '../../log/record.js';
import {withoutSuperseded} from '../../log/recovery.js';
import {makeSpare, removeSegment} from '../../log/segment-files.js';
import {
  encodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  segmentName,
  type SegmentHeader,
} from '../../log/segment.js';
import {deactivate, findDisk} from '../activate.js';
import type {Context} from '../context.js';
import {tryLock} from '../file-lock.js';
import type {Resource} from '../resource.js';
import {refuseWhileBypassed} from './bypass-rules.js';
import {keepCut, noteCutDone} from './kept-cut.js';
import {refuseSwitching} from './next-view.js';
import type {KnownReplica} from './role-services.js';

const ASK_PEERS_MS = 5000;
const STOP_TIMEOUT_MS = 30_000;
const LOCK_SECONDS = 30;

/**
 * Cuts a damaged log, or says what would be lost.
 *
 * @throws DiskError RESOURCE_PRIMARY while it is served, CUT_REFUSED where a replica has more or the
 *   place is another one, CUT_MIXED, CONFIRM_NEEDED, REPLICA_INCONSISTENT, STATE_UNREADABLE, LOG_FORMAT,
 *   STORE_*
 */
export function cutLog(
  context: Context,
  resource: Resource,
  request: CutRequest,
): Promise<CutResult> {
  const {name, places} = resource;
  return resource.run('log cut', async () => {
    refuseSwitching(context.paths.home, name);
    refuseCopy(resource);
    await refuseServed(resource);
    try {
      const loss = lossOf(resource);
      if (loss === undefined) return nothingToDo(name, request.dryRun);
      await context.roles?.askPeers(ASK_PEERS_MS);
      refuseBetterCopy(context, resource, loss);
      refuseElsewhere(name, loss, request.at);
      const result = resultOf(resource, loss, request.dryRun);
      if (request.dryRun) return result;
      refuseUnsaid(name, loss, request);
      await endDisk(context, resource);
      const lock = await tryLock(places.paths.generationLock, LOCK_SECONDS);
      if (lock === undefined) {
        throw new DiskError('RESOURCE_LOCKED', `somebody holds ${places.paths.generationLock}`);
      }

      try {
        const kept = carryOut(context, resource, loss);
        tell(context, resource, loss, kept);
        return {...result, kept};
      } finally {
        fs.closeSync(lock);
      }
    } catch (error) {
      throw storeError(error, `cut the log of ${name}`);
    }
  });
}

function tell(context: Context, resource: Resource, loss: LogLoss, kept: string): void {
  const {name} = resource;
  const at = formatPosition(loss.position);
  const {end, records} = loss.lost;
  const text =
    `the damaged log of ${name} was cut at ${at}: ${records} records up to ${formatPosition(end)} ` +
    `are lost; kept in ${kept}`;
  context.tell('LOG_CUT', 'critical', name, text, {position: at, records});
  resource.noteLost();
  resource.hushFailure();
  context.roles?.touch();
}

/** A disk that is served is no disk that stands still; nor is one whose image goes on without its log. */
export async function refuseServed(resource: Resource): Promise<void> {
  refuseWhileBypassed(resource);
  const {name, file, places} = resource;
  const {kind} = await findDisk(places);
  const isPrimary = kind === 'silent' && file.designatedRole === 'primary';
  if (kind !== 'serving' && !isPrimary) return;
  const text = `${name} is served here: mars secondary ${name} comes first`;
  throw new DiskError('RESOURCE_PRIMARY', text, {resource: name});
}

/** Ends what replays or follows, or tries to. */
export async function endDisk(context: Context, {name, places}: Resource): Promise<void> {
  if ((await findDisk(places)).kind === 'absent') return;
  await deactivate(context, name, performance.now() + STOP_TIMEOUT_MS);
}

function refuseCopy({name, places}: Resource): void {
  const {syncFile, nextFile} = places.paths;
  if (!fs.existsSync(syncFile) && !fs.existsSync(nextFile)) return;
  const text = `${name} is being copied from another replica: what is damaged here is replaced by that`;
  throw new DiskError('REPLICA_INCONSISTENT', text, {resource: name});
}

function lossOf({places, file}: Resource): LogLoss | undefined {
  const files = createNodeFiles();
  const {paths} = places;
  const state = TwoSlotFile.peek(files, paths.replayFile);
  if (!isReplayState(state)) {
    const text = `${paths.replayFile} has no valid slot: nobody knows what the image holds`;
    throw new DiskError('STATE_UNREADABLE', text, {file: paths.replayFile});
  }

  return findLogLoss(files, paths.logDirectory, file.id, {
    ...{from: state.from, to: state.to, diskSizeBytes: file.sizeBytes},
    durable: readDurablePosition(files, paths),
  });
}

/** Whoever has more of the log, or has gone on from it, has what would be lost here. */
function refuseBetterCopy(context: Context, {name, file}: Resource, loss: LogLoss): void {
  const at = formatPosition(loss.position);
  const others = context.roles?.replicas(file.id) ?? [];
  const better = others.find(({facts}) => facts.role === 'primary' || (facts.position ?? '') > at);
  if (better === undefined) return;
  const {linkUp, facts, heardAt} = better;
  const has = `${better.name} has a replica of ${name} up to ${facts.position ?? 'an unknown position'}`;
  const next = linkUp
    ? remedyOf(name, better)
    : `bring it back (last heard of: ${heardAt ?? 'never'}), or, where it is gone for good: ` +
      `mars peer remove ${better.name} --force`;
  throw new DiskError('CUT_REFUSED', `${has}, the log here is good up to ${at}: ${next}`, {
    ...{resource: name, node: better.name, position: at},
  });
}

function remedyOf(name: string, {facts, name: node}: KnownReplica): string {
  if (facts.role === 'primary') return `mars invalidate ${name} copies it from there`;
  return (
    `mars primary ${name} takes the good copy from there; where it cannot, make ${node} primary ` +
    `(there: mars primary ${name} --force --dry-run), then mars invalidate ${name} here`
  );
}

function refuseElsewhere(name: string, loss: LogLoss, wanted: string | undefined): void {
  if (wanted === undefined || parsePosition(wanted) === loss.position) return;
  const at = formatPosition(loss.position);
  const text =
    `the log of ${name} can only be cut where it is damaged, at ${at}, not at ${wanted}: look again ` +
    `with mars log cut ${name} --dry-run`;
  throw new DiskError('CUT_REFUSED', text, {resource: name, position: at});
}

function refuseUnsaid(name: string, loss: LogLoss, {confirmed, force}: CutRequest): void {
  const at = formatPosition(loss.position);
  if (!confirmed) {
    const text =
      `the log of ${name} would be cut at ${at}, and ${loss.lost.records} records would be lost: ` +
      'look with --dry-run, then say --yes';
    throw new DiskError('CONFIRM_NEEDED', text, {resource: name, position: at});
  }

  if (!loss.isMixed || force) return;
  const text =
    `the image of ${name} holds some blocks of what would be lost behind ${at}: it would be no state that ` +
    'the disk ever had. Where that is the best there is: the same with --force, then check the file system';
  throw new DiskError('CUT_MIXED', text, {resource: name, position: at});
}

function nothingToDo(name: string, dryRun: boolean): CutResult {
  return {
    ...{schema: 1, name, dryRun, damaged: false, position: null, end: null, begin: null},
    ...{anew: false, mixed: false, sizeBytes: null, files: [], kept: null},
    lost: {
      ...{bytes: 0, records: 0, unreadableBytes: 0, changedBytes: 0, ranges: []},
      ...{firstTime: null, lastTime: null},
    },
  };
}

function resultOf({name, file}: Resource, loss: LogLoss, dryRun: boolean): CutResult {
  const {position, begin, chain, lost, isMixed, diskSizeBytes} = loss;
  return {
    ...{schema: 1, name, dryRun, damaged: true, kept: null, mixed: isMixed},
    position: formatPosition(position),
    end: formatPosition(lost.end),
    begin: begin === undefined ? null : formatPosition(begin.position),
    anew: chain === undefined,
    sizeBytes: {before: file.sizeBytes, after: diskSizeBytes},
    files: touched(loss).map((segment) => segment.name),
    lost: {
      bytes: lost.end - position,
      records: lost.records,
      unreadableBytes: lost.unreadableBytes,
      changedBytes: lost.changedBytes,
      ranges: lost.ranges.map(([start, end]) => ({offset: start, length: end - start})),
      firstTime: timeOf(lost.firstMs),
      lastTime: timeOf(lost.lastMs),
    },
  };
}

function timeOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

/** Files that are not the same afterwards. */
function touched(loss: LogLoss): readonly {readonly name: string; readonly path: string}[] {
  const {segments, strays, chain, begin, position, lost} = loss;
  if (chain === undefined) return [...segments, ...strays];
  const isCut = lost.end > position;
  const last = segments.findLastIndex(({header}) => header.start <= position);
  const trimmed = begin === undefined ? -1 : firstWith(segments, begin.position);
  const changed = segments.filter((_, index) => index === trimmed || (isCut && index >= last));
  return isCut ? [...changed, ...strays] : changed;
}

function firstWith(segments: readonly SegmentFile[], position: number): number {
  return segments.findLastIndex(({header}) => header.start <= position);
}

/** Steps 2 to 6. @returns where it is kept */
function carryOut(context: Context, resource: Resource, loss: LogLoss): string {
  const {paths} = resource.places;
  const files = createNodeFiles();
  const epoch = loss.chain === undefined ? randomBytes(16).toString('hex') : null;
  const kept = keepCut(
    paths,
    touched(loss).map(({path}) => path),
    {
      ...{schema: 1, epoch, position: formatPosition(loss.position)},
      end: formatPosition(loss.lost.end),
      cutAt: new Date(context.clock.wallMs()).toISOString(),
    },
  );
  loseHistoryMounts(files, paths.historyDirectory, 0);
  removeDurableWord(files, paths);
  if (epoch === null) cutTail(context, resource, files, loss);
  else beginAnew(context, resource, files, {loss, epoch});
  if (loss.isMixed) acceptMixture(files, paths.replayFile, loss);
  noteCutDone(kept);
  passCrashPoint('log-cut-done');
  return kept.directory;
}

/** Steps 4 and 5. */
function cutTail(context: Context, resource: Resource, files: Files, loss: LogLoss): void {
  const {name, places, file} = resource;
  const {logDirectory, lineageFile} = places.paths;
  const {begin, position, strays, lost} = loss;
  if (begin !== undefined) beginAt(files, resource, loss.segments, begin);
  if (lost.end === position) return;
  const {segments} = readLogDirectory(files, logDirectory, file.id);
  const effective = withoutSuperseded(segments).effective;
  // What replay needs begins in it, also where nothing of it is good.
  const first = Math.max(0, firstWith(effective, Math.min(position, replayFrom(files, resource))));
  const behind = effective.slice(first + 1).filter(({header}) => header.start >= position);
  const last = effective.findLast((segment) => !behind.includes(segment));
  const known = readLineage(files, lineageFile);
  const keptEpoch = effective[first]?.header.epoch;
  const lineage = lineageBefore(known, formatPosition(position), keptEpoch);
  writeLineage(readDiskConfig(context.paths.home, name), lineage, files);
  passCrashPoint('log-cut-lineage');
  for (const {path} of [...behind.toReversed(), ...strays]) removeSegment(files, path);
  files.syncDirectory(logDirectory);
  passCrashPoint('log-cut-segments');
  if (last === undefined) return;
  if (files.exists(indexPathOf(last.path))) files.unlink(indexPathOf(last.path));
  zeroBehind(files, last, position);
}

function replayFrom(files: Files, {places}: Resource): number {
  const {file, state} = openReplayState(files, places.paths.replayFile);
  file.close();
  return state.from;
}

/** Step 4: a file of the same name and size, whose first record is the one at `begin`. */
function beginAt(
  files: Files,
  resource: Resource,
  segments: readonly SegmentFile[],
  begin: {readonly position: number; readonly chain: Chain},
): void {
  const segment = segments[firstWith(segments, begin.position)];
  if (segment === undefined) return;
  const {path, header} = segment;
  const {logDirectory} = resource.places.paths;
  const moved = {...header, start: begin.position, chain: begin.chain};
  const temporary = join(logDirectory, 'cut.tmp');
  const bytes = Buffer.alloc(header.start + header.capacityBytes - begin.position);
  const source = files.open(path, 'read');
  try {
    files.read(
      source,
      bytes,
      0,
      bytes.length,
      SEGMENT_HEADER_BYTES + begin.position - header.start,
    );
  } finally {
    files.close(source);
  }

  writeSegment(files, temporary, segment.fileBytes, moved, bytes);
  if (files.exists(indexPathOf(path))) files.unlink(indexPathOf(path));
  files.rename(temporary, path);
  files.syncDirectory(logDirectory);
  passCrashPoint('log-cut-begin');
}

/** A segment whose records, if any, are whole before it has its name. Durable when it returns. */
function writeSegment(
  files: Files,
  path: string,
  fileBytes: number,
  header: SegmentHeader,
  records: Buffer,
): void {
  if (files.exists(path)) files.unlink(path);
  const plan = {
    ...{directory: '', resourceId: header.resourceId, originId: header.originId},
    ...{originName: header.originName, fileBytes},
  };
  const spare = makeSpare(files, plan, path, () => true);
  while (spare.next().done !== true);
  const fd = files.open(path, 'write');
  try {
    files.write(fd, records, 0, records.length, SEGMENT_HEADER_BYTES);
    const head = encodeSegmentHeader(header);
    files.write(fd, head, 0, head.length, 0);
    files.sync(fd);
  } finally {
    files.close(fd);
  }
}

/** Step 5, where nobody knows any more how the log goes on. */
function beginAnew(
  context: Context,
  {name, places, file}: Resource,
  files: Files,
  {loss, epoch}: {readonly loss: LogLoss; readonly epoch: string},
): void {
  const {logDirectory} = places.paths;
  const config = readDiskConfig(context.paths.home, name);
  const plan = segmentPlan(config);
  const number = readLogDirectory(files, logDirectory, file.id).numberMax + 1;
  const random = randomBytes(8);
  const header: SegmentHeader = {
    ...{started: true, epoch, number},
    ...{resourceId: plan.resourceId, originId: plan.originId, originName: plan.originName},
    ...{start: loss.position, epochStart: loss.position, durable: loss.position},
    chain: {low: random.readUInt32LE(0), high: random.readUInt32LE(4)},
    createdMs: context.clock.wallMs(),
    diskSizeBytes: loss.diskSizeBytes,
    alignmentBytes: file.alignmentBytes,
    capacityBytes: plan.fileBytes - SEGMENT_HEADER_BYTES,
  };
  const temporary = join(logDirectory, 'cut.tmp');
  writeSegment(files, temporary, plan.fileBytes, header, Buffer.alloc(0));
  const entry = {
    ...{epoch, node: plan.originId, nodeName: plan.originName},
    ...{start: formatPosition(loss.position), chain: formatChain(header.chain)},
  };
  writeLineage(config, [entry], files);
  passCrashPoint('log-cut-lineage');
  for (const entryName of files.list(logDirectory)) {
    // Spares as well: their records are of a history that is not known any more.
    if (/^(?:log|spare)-/u.test(entryName)) files.unlink(join(logDirectory, entryName));
  }

  files.syncDirectory(logDirectory);
  passCrashPoint('log-cut-segments');
  files.rename(temporary, join(logDirectory, segmentName(number, plan.originName)));
  files.syncDirectory(logDirectory);
}

/** Step 6: last, so that a log which is not cut to its end is never taken with this image. */
function acceptMixture(files: Files, replayFile: string, {position, chain}: LogLoss): void {
  const {file, state} = openReplayState(files, replayFile);
  try {
    // Of a log that begins anew there is nothing to replay again.
    const from = chain === undefined ? position : state.from;
    file.write({...state, from, to: position});
  } finally {
    file.close();
  }
}
