/**
 * Two histories of one resource: what is known of them, and how the one gives way to the other. On
 * the node that gives way, in this order, each step durable before the next:
 *
 *   1. its disk process has ended
 *   2. the logfiles with its own records, its lineage and, where it has room, its image are copied to
 *      forks/EPOCH-POSITION/ (branches.ts). It stays until somebody removes it
 *   3a. the image holds nothing of the branch (`to` at or below the fork): the lineage loses the
 *       epochs behind the fork, segments behind it are removed, the one with it is zeroed from there
 *   3b. it does: what its own records have changed is fetched beside it (begin-copy.ts), and put in
 *       place when it is whole; or, where that has no room or is not known, the image is compared with
 *       the other node's and copied where it differs: it is InConsistent until that is done
 *
 * Died between two steps: the resource is as forked as before, and resolve is asked again; a copy
 * that is not whole is made anew.
 */
import fs from 'node:fs';
import type {
  DeleteRequest,
  ForkRequest,
  ForkResult,
  ForkSide,
  ForkView,
  InvalidateResult,
} from '../../control/api.js';
import {passCrashPoint} from '../../core/crash-points.js';
import {DiskError, storeError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {loseHistoryMounts} from '../../core/history-mounts.js';
import {formatPosition} from '../../core/position.js';
import {readDiskConfig} from '../../disk/config.js';
import {zeroBehind} from '../../disk/follow-activation.js';
import {lineageBefore} from '../../disk/follow-lineage.js';
import {writeLineage} from '../../disk/lineage.js';
import {readLineage} from '../../log/lineage.js';
import {dropNext} from '../../disk/next-state.js';
import {openReplayState} from '../../image/replay-state.js';
import {readLogDirectory, type SegmentFile} from '../../log/directory.js';
import {readDurablePosition, removeDurableWord} from '../../log/durable-word.js';
import {indexPathOf} from '../../log/index-file.js';
import {removeSegment} from '../../log/segment-files.js';
import {describeSegment} from '../../log/inspect.js';
import {readLogEnd} from '../../log/log-end.js';
import {withoutSuperseded} from '../../log/recovery.js';
import {listBases} from '../../replica/folder-base.js';
import {findDisk, stopReplay} from '../activate.js';
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import {isServed, roleOf} from '../views.js';
import type {CopyPlan} from './begin-copy.js';
import {whyNoRoom} from './branch-image.js';
import {describeBranch, keepBranch, listBranches, type Branch} from './branches.js';
import {refuseWhileBypassed} from './bypass-rules.js';
import {asLoss, ownChanges} from './fork-diff.js';
import {planRepair} from './fork-repair.js';
import {nextState, refuseSwitching} from './next-view.js';
import {partingPoint} from './right.js';
import type {KnownReplica} from './role-services.js';
import {standingOf} from './standing.js';

const STOP_TIMEOUT_MS = 30_000;
const KEEP_SECONDS_DEFAULT = 60;

/** What the fork needs of the replica on this node. */
export interface ForkReplica {
  readonly resource: Resource;
  readonly state: ForkSide['state'];
  /**
   * The image is compared with another one, and copied where it differs.
   *
   * @param reason SPLIT_BRAIN: with the position where the histories part
   */
  copyAgain(reason: DiskError): Promise<CopyPlan['how']>;
}

/** `fork show`, from the files here and from the facts of the others. */
export async function forkView(context: Context, replica: ForkReplica): Promise<ForkView> {
  const {resource} = replica;
  await resource.poll();
  const {file, name} = resource;
  const own = standingOf(context, resource, resource.disk?.position);
  const others = context.roles?.replicas(file.id) ?? [];
  const points = others.flatMap((other) => partingPoint(own, other) ?? []);
  const at = points.length === 0 ? undefined : Math.min(...points);
  const here: ForkSide = {
    node: context.node.name,
    role: roleOf(file, isServed(resource), resource.operation),
    state: replica.state,
    link: 'here',
    epoch: own.lineage.at(-1)?.epoch ?? null,
    position: own.position,
    ownBytes: bytesBehind(own.position, at),
  };
  return {
    schema: 1,
    name,
    forked: at !== undefined,
    position: at === undefined ? null : formatPosition(at),
    sides: [here, ...others.map((other) => sideOf(other, at))],
    branches: listBranches(resource.places.paths).map((branch) => describeBranch(branch)),
  };
}

function sideOf({name, linkUp, facts}: KnownReplica, at: number | undefined): ForkSide {
  const {epoch, position, role, state} = facts;
  return {
    node: name,
    role,
    state: state as ForkSide['state'],
    link: linkUp ? 'up' : 'down',
    epoch,
    position,
    ownBytes: position === null ? null : bytesBehind(position, at),
  };
}

function bytesBehind(position: string, at: number | undefined): number | null {
  return at === undefined ? null : Math.max(0, Number.parseInt(position, 16) - at);
}

/**
 * This node gives way to the history of another one, or says what that would mean.
 *
 * @returns with `position` null where nothing is forked: nothing was done
 * @throws DiskError RESOURCE_PRIMARY, NO_SOURCE, USAGE, CONFIRM_NEEDED, STORE_*
 */
export async function resolveFork(
  context: Context,
  replica: ForkReplica,
  request: ForkRequest,
): Promise<ForkResult> {
  const {resource} = replica;
  const {name} = resource;
  const outcome = await resource.run('fork resolve', async () => {
    refuseSwitching(context.paths.home, name);
    refuseWhileBypassed(resource);
    const fork = findFork(context, resource, request.keep);
    if (fork === undefined)
      return {result: nothingToResolve(name, request), copies: false as const};
    const {at, end} = fork;
    const lostBytes = Math.max(0, end - at);
    const noImage = (await whyNoImage(resource, request)) ?? null;
    const result: ForkResult = {
      lost: asLoss(await ownChanges(resource, at)),
      repair: await repairOf(resource, at),
      branch: null,
      noImage,
      schema: 1,
      name,
      dryRun: request.dryRun,
      keep: request.keep,
      position: formatPosition(at),
      lostBytes,
    };
    if (request.dryRun) return {result, copies: false as const};
    if (!request.confirmed) {
      const text = `${lostBytes} bytes of log of ${name} on this node would give way: say --yes`;
      throw new DiskError('CONFIRM_NEEDED', text, {resource: name, lostBytes});
    }

    const going = givingWay(context, resource, at, request.keep);
    if (going !== undefined) {
      const missing = going.file?.noImage ?? null;
      const same = {...result, branch: going.id, noImage: missing, repair: 'blocks' as const};
      return {result: same, copies: false};
    }

    const {kept, isCut} = await giveWay(context, resource, at, request);
    const text = `${name} gives way to ${request.keep} from ${formatPosition(at)} on; kept in ${kept.directory}`;
    context.tell('RESOURCE_CHANGED', 'warning', name, text, {keep: request.keep});
    resource.hush('SPLIT_BRAIN');
    const missing = kept.file?.noImage ?? null;
    if (missing !== null) {
      const words = `the branch ${kept.id} of ${name} can be read, but not brought back: ${missing}`;
      context.tell('FORK_INCOMPLETE', 'warning', name, words, {branch: kept.id});
    }

    const done = {...result, branch: kept.id, noImage: missing};
    return {result: {...done, repair: 'cut' as const}, copies: !isCut};
  });
  let {result} = outcome;
  if (outcome.copies) {
    const text = `the image of ${name} here holds records that ${request.keep} does not have`;
    const position = result.position ?? '';
    const reason = new DiskError('SPLIT_BRAIN', text, {resource: name, position});
    const how = await replica.copyAgain(reason);
    result = {...result, repair: how === 'repair' || how === 'blocks' ? 'blocks' : 'compare'};
  }

  context.roles?.touch();
  resource.follow?.poke();
  return result;
}

/** As where it is said again after all is done. */
function nothingToResolve(name: string, {dryRun, keep}: ForkRequest): ForkResult {
  return {
    ...{schema: 1, name, dryRun, keep, position: null, lostBytes: 0},
    lost: {
      ...{records: 0, writtenBytes: 0, changedBytes: 0},
      ...{firstTime: null, lastTime: null, complete: true},
    },
    ...{repair: 'cut', branch: null, noImage: null},
  };
}

/**
 * The branch that gives way to `keep` already, while what is needed for that is fetched: the state is
 * Forked meanwhile, and who says it again must not have it begin anew.
 */
function givingWay(
  context: Context,
  {name, places}: Resource,
  at: number,
  keep: string,
): Branch | undefined {
  const next = nextState(context.paths.home, name);
  if (next?.kind !== 'repair' || next.at !== at) return undefined;
  const position = formatPosition(at);
  return listBranches(places.paths).findLast(
    ({file}) => file?.keep === keep && file.at === position,
  );
}

/**
 * Declares the replica here garbage, or says what that would mean: its image is compared with the
 * one of another node, and copied where it differs. Records of a history of its own are lost by it.
 *
 * @throws DiskError RESOURCE_PRIMARY, NO_SOURCE, CONFIRM_NEEDED, STORE_*
 */
export async function invalidate(
  context: Context,
  replica: ForkReplica,
  request: DeleteRequest,
): Promise<InvalidateResult> {
  const {resource} = replica;
  const {name, file} = resource;
  refusePrimary(resource, 'another node');
  refuseWhileBypassed(resource);
  const others = context.roles?.replicas(file.id) ?? [];
  const isPrimary = ({facts}: KnownReplica): boolean => facts.role === 'primary';
  // Given up for a copy that nobody can give, it would be thrown away for nothing.
  const whole = others.filter(({linkUp, facts}) => linkUp && !NOT_WHOLE.has(facts.state));
  const source = whole.find(isPrimary) ?? whole[0] ?? folderWithBase(file.followFolder);
  if (source === undefined) {
    const text = `no other node with a whole replica of ${name} is heard of now`;
    throw new DiskError('NO_SOURCE', text, {resource: name});
  }

  const result: InvalidateResult = {
    schema: 1,
    name,
    dryRun: request.dryRun,
    source: source.name,
  };
  if (request.dryRun) return result;
  if (!request.confirmed) {
    const text = `the replica of ${name} here would be replaced by that of ${source.name}: say --yes`;
    throw new DiskError('CONFIRM_NEEDED', text, {resource: name});
  }

  const text = `the replica of ${name} here was declared garbage`;
  await replica.copyAgain(new DiskError('REPLICA_INCONSISTENT', text, {resource: name}));
  return result;
}

/** A folder that is followed is a source where it has an image. */
function folderWithBase(folder: string | undefined): {name: string} | undefined {
  if (folder === undefined || listBases(folder).length === 0) return undefined;
  return {name: `the folder ${folder}`};
}

/** States in which a replica is no source of a copy. */
const NOT_WHOLE: ReadonlySet<string> = new Set([
  'InConsistent',
  'Syncing',
  'NotJoined',
  'Detached',
]);

/** Up to where log was durable here, whatever of it can still be read. */
function provenEnd({places, file}: Resource): number {
  const files = createNodeFiles();
  const {logDirectory, replayFile} = places.paths;
  const {file: stateFile, state} = openReplayState(files, replayFile);
  stateFile.close();
  const {segments} = readLogDirectory(files, logDirectory, file.id);
  const ends = withoutSuperseded(segments).effective.map(({path}) =>
    Number.parseInt(describeSegment(files, path).remainsDurable, 16),
  );
  return Math.max(state.to, readDurablePosition(files, places.paths), ...ends);
}

/** How this node would be mended. What its image holds is asked of its file: it may be at work. */
async function repairOf(resource: Resource, at: number): Promise<ForkResult['repair']> {
  const {places, file} = resource;
  const files = createNodeFiles();
  const {logDirectory, replayFile} = places.paths;
  const {segments} = readLogDirectory(files, logDirectory, file.id);
  const {file: stateFile, state} = openReplayState(files, replayFile);
  stateFile.close();
  if (isOnlyCut(withoutSuperseded(segments).effective, state.to, at)) return 'cut';
  return (await planRepair(resource, at)) === undefined ? 'compare' : 'blocks';
}

function refusePrimary(resource: Resource, where: string): void {
  const {name} = resource;
  if (resource.file.designatedRole === 'secondary' && !isServed(resource)) return;
  const text = `${name} is primary here: mars secondary ${name} comes first, or do it on ${where}`;
  throw new DiskError('RESOURCE_PRIMARY', text, {resource: name});
}

function findFork(
  context: Context,
  resource: Resource,
  keep: string,
): {readonly at: number; readonly end: number} | undefined {
  const {file, name} = resource;
  refusePrimary(resource, keep);
  const others = context.roles?.replicas(file.id) ?? [];
  const winner = others.find((other) => other.name === keep);
  if (keep === context.node.name) {
    const text = `${keep} is this node: its side is kept where the others give way. Say it there: mars secondary ${name}; mars fork resolve ${name} --keep ${keep} --dry-run`;
    throw new DiskError('USAGE', text, {resource: name, node: keep});
  }

  if (winner === undefined) {
    const names = others.map((other) => other.name).join(', ') || 'nobody';
    const text = `${keep} is not known to have a replica of ${name}; known are: ${names}`;
    throw new DiskError('NO_SOURCE', text, {resource: name, node: keep});
  }

  const own = standingOf(context, resource, undefined);
  const end = Number.parseInt(own.position, 16);
  const at = partingPoint(own, winner);
  if (at !== undefined) return {at, end};
  // Where the log is damaged it ends before what was there: that was a history of its own as well.
  const proven = provenEnd(resource);
  const there = {...own, position: formatPosition(Math.max(end, proven))};
  const before = proven > end ? partingPoint(there, winner) : undefined;
  return before === undefined ? undefined : {at: before, end: proven};
}

/** Steps 1 to 3a. */
async function giveWay(
  context: Context,
  resource: Resource,
  at: number,
  request: ForkRequest,
): Promise<{readonly kept: Branch; readonly isCut: boolean}> {
  const {name, places, file} = resource;
  const {paths} = places;
  const found = await findDisk(places);
  if (found.kind !== 'absent') {
    await stopReplay(places, name, performance.now() + STOP_TIMEOUT_MS);
    resource.noteEnd(found.status);
  }

  try {
    const files = createNodeFiles();
    // Of an earlier answer, to another question: what is here has stayed as it was.
    dropNext(files, context.paths.home, name);
    const listing = readLogDirectory(files, paths.logDirectory, file.id);
    const {effective} = withoutSuperseded(listing.segments);
    const {file: stateFile, state} = openReplayState(files, paths.replayFile);
    stateFile.close();
    const end = readLogEnd(files, paths.logDirectory, file.id);
    const kept = await keepBranch({
      paths,
      imagePath: file.imagePath,
      segments: effective,
      at,
      keep: request.keep,
      keptAt: new Date(context.clock.wallMs()).toISOString(),
      sizeBytes: file.sizeBytes,
      replay: state,
      end: {position: end?.position ?? 0, chain: end?.chain ?? '0'.repeat(16)},
      noImage: await whyNoImage(resource, request),
      deadlineMs: performance.now() + (request.timeoutSeconds ?? KEEP_SECONDS_DEFAULT) * 1000,
    });
    passCrashPoint('fork-kept');
    const isCut = isOnlyCut(effective, state.to, at);
    if (isCut) cutLog(context, resource, effective, at);
    if (isCut) resource.noteLost();
    return {kept, isCut};
  } catch (error) {
    throw storeError(error, `set the branch of ${name} aside`);
  }
}

/** The image holds nothing of the branch, and the log reaches back to where it begins. */
function isOnlyCut(segments: readonly SegmentFile[], to: number, at: number): boolean {
  return to <= at && segments.some(({header}) => header.start <= at);
}

/** Why the image of what gives way is not kept; undefined: it is. */
async function whyNoImage(
  {places, file}: Resource,
  {image}: ForkRequest,
): Promise<string | undefined> {
  if (image === false) return 'it was not wished';
  if (fs.existsSync(places.paths.syncFile)) return 'it is being copied, and no state of the disk';
  return whyNoRoom(file.imagePath, places.paths.directory);
}

/** Step 3a, as the disk process cuts: the lineage first, segments from the end, then the rest. */
function cutLog(
  context: Context,
  {name, places}: Resource,
  segments: readonly SegmentFile[],
  at: number,
): void {
  const files = createNodeFiles();
  const {logDirectory, lineageFile} = places.paths;
  const config = readDiskConfig(context.paths.home, name);
  loseHistoryMounts(files, places.paths.historyDirectory, at);
  removeDurableWord(files, places.paths);
  writeLineage(config, lineageBefore(readLineage(files, lineageFile), formatPosition(at)), files);
  passCrashPoint('fork-lineage');
  const behind = segments.filter(({header}) => header.start >= at && header.start > 0);
  for (const {path} of behind.toReversed()) removeSegment(files, path);

  if (behind.length > 0) files.syncDirectory(logDirectory);
  passCrashPoint('fork-segments');
  const last = segments.findLast((segment) => !behind.includes(segment));
  if (last === undefined) return;
  if (files.exists(indexPathOf(last.path))) files.unlink(indexPathOf(last.path));
  zeroBehind(files, last, at);
  passCrashPoint('fork-cut');
}
