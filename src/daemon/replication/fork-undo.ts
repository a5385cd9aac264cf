/**
 * What can be done with a branch that gave way while it is kept: bring it back, take its image out,
 * drop it. To bring it back, in this order, each step durable before the next:
 *
 *   1. its disk process has ended
 *   2. sync.json `empty`: what this replica had until now counts as garbage
 *   3. the logfiles are removed, and those of the branch copied in their place; its lineage
 *   4. the image of the branch is copied beside the old one, and takes its name
 *   5. the replay state says that the image holds everything up to the end of the branch
 *   6. sync.json is removed: from here on this is the history of this node
 *
 * Where the branch gave way and the other history is not all here yet (disk/next-state), the branch is still
 * what this node has: then what was fetched of the other one is removed, and that is all. A replica that
 * is made beside for another reason is dropped with what is here.
 *
 * Died before 6: the replica is compared with the other node's and copied, as it was one of its
 * replicas before; the branch is still kept, and the undo can be asked for again: what is here counts as
 * garbage then, so no history of this node stands against it.
 */
import fs from 'node:fs';
import {basename, dirname, isAbsolute, join} from 'node:path';
import type {
  ForkBranchRequest,
  ForkExtractRequest,
  ForkExtractResult,
  ForkForgetResult,
  ForkUndoResult,
} from '../../control/fork-api.js';
import {passCrashPoint} from '../../core/crash-points.js';
import {DiskError, errnoOf, storeError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {loseHistoryMounts} from '../../core/history-mounts.js';
import {parsePosition} from '../../core/position.js';
import {readDiskConfig} from '../../disk/config.js';
import {writeLineage} from '../../disk/lineage.js';
import {readLineage} from '../../log/lineage.js';
import {dropNext, readNextState} from '../../disk/next-state.js';
import {
  emptySyncState,
  readSyncState,
  removeSyncState,
  writeSyncState,
} from '../../disk/sync-state.js';
import {replaceReplayState} from '../../image/replay-state.js';
import {removeDurableWord} from '../../log/durable-word.js';
import {SYNC_CHUNK_BYTES} from '../../log/frame-schemas.js';
import {findDisk, stopReplay} from '../activate.js';
import type {Context} from '../context.js';
import {forbiddenPlaces} from '../places.js';
import type {Resource} from '../resource.js';
import {runProgram} from '../../core/run-program.js';
import {resolveSafely} from '../safe-path.js';
import {isServed} from '../views.js';
import {copyImage, whyNoRoom} from './branch-image.js';
import {
  allocatedBytes,
  branchSegments,
  findBranch,
  forgetBranch,
  syncPath,
  whyNotUndoable,
  type Branch,
  type BranchFile,
} from './branches.js';
import {refuseWhileBypassed} from './bypass-rules.js';
import {refuseSwitching} from './next-view.js';
import {partingPoint} from './right.js';
import {standingOf} from './standing.js';

const STOP_TIMEOUT_MS = 30_000;
const ALLOCATE_TIMEOUT_MS = 60_000;

/**
 * Makes a branch that gave way the history of this node again: the resource is then forked as it
 * was, and somebody has to decide once more.
 *
 * @throws DiskError RESOURCE_PRIMARY, FORK_UNKNOWN, FORK_INCOMPLETE, SPLIT_BRAIN, REPLICA_NEEDED,
 *   CONFIRM_NEEDED, STORE_*, TIMEOUT
 */
export function undoFork(
  context: Context,
  resource: Resource,
  request: ForkBranchRequest,
): Promise<ForkUndoResult> {
  const {name, places} = resource;
  return resource.run('fork undo', async () => {
    const deadlineMs = performance.now() + request.timeoutSeconds * 1000;
    refuseSwitching(context.paths.home, name);
    refuseWhileBypassed(resource);
    const branch = findBranch(places.paths, name, request.branch);
    const isPending = isStillHere(context, resource, branch);
    const file = (isPending ? branch.file : undefined) ?? requireWhole(name, branch);
    refusePrimary(resource);
    if (!isPending) {
      refuseOwnHistory(context, resource, branch);
      await refuseWithoutRoom(resource, branch);
    }

    const result: ForkUndoResult = {
      ...{schema: 1, name, dryRun: request.dryRun, branch: branch.id},
      ...{position: file.at, end: file.end, other: file.keep},
    };
    if (request.dryRun) return result;
    if (!request.confirmed) {
      const text = `${name} here would leave the history of ${file.keep} for the branch ${branch.id}: say --yes`;
      throw new DiskError('CONFIRM_NEEDED', text, {resource: name});
    }

    try {
      await (isPending
        ? giveUpNext(context, resource)
        : bringBack(context, resource, branch, file, deadlineMs));
    } catch (error) {
      throw storeError(error, `bring back the branch ${branch.id} of ${name}`);
    }

    const text = `${name} has the branch ${branch.id} again; the history of ${file.keep} is not followed any more`;
    context.tell('RESOURCE_CHANGED', 'warning', name, text, {branch: branch.id});
    context.roles?.touch();
    resource.follow?.poke();
    return result;
  });
}

/**
 * Whether what gives way is still here, and whole, as the other history is not all here yet: it only has to
 * stay. A replica that is made for another reason says nothing of the branch.
 */
function isStillHere({paths}: Context, {name, places}: Resource, branch: Branch): boolean {
  const files = createNodeFiles();
  const givenUp = readNextState(files, paths.home, name)?.at ?? undefined;
  const from = parsePosition(branch.file?.at ?? '');
  // Where the image is not even at the fork it is given up from there on.
  if (givenUp === undefined || from === undefined || givenUp > from) return false;
  const last = readLineage(files, join(branch.directory, 'lineage.json')).at(-1);
  const own = readLineage(files, places.paths.lineageFile);
  return last !== undefined && own.some(({epoch}) => epoch === last.epoch);
}

async function refuseWithoutRoom({file}: Resource, {directory}: Branch): Promise<void> {
  const noRoom = await whyNoRoom(join(directory, 'image'), dirname(file.imagePath));
  if (noRoom === undefined || !isFile(file.imagePath)) return;
  throw new DiskError('STORE_FULL', `the image of the branch has no room: ${noRoom}`);
}

/** What was to take the place of the branch is not made any more. */
async function giveUpNext(context: Context, {name, places}: Resource): Promise<void> {
  const found = await findDisk(places);
  if (found.kind !== 'absent') {
    await stopReplay(places, name, performance.now() + STOP_TIMEOUT_MS);
  }

  refuseSwitching(context.paths.home, name);
  dropNext(createNodeFiles(), context.paths.home, name);
}

function isFile(path: string): boolean {
  return fs.statSync(path).isFile();
}

function requireWhole(name: string, branch: Branch): BranchFile {
  const missing = whyNotUndoable(branch);
  if (missing === null && branch.file !== undefined) return branch.file;
  const text = `the branch ${branch.id} of ${name} cannot be brought back: ${missing ?? 'it has no branch.json'}`;
  throw new DiskError('FORK_INCOMPLETE', text, {resource: name, branch: branch.id});
}

function refusePrimary(resource: Resource): void {
  const {name} = resource;
  if (resource.file.designatedRole === 'secondary' && !isServed(resource)) return;
  const text = `${name} is primary here: mars secondary ${name} comes first`;
  throw new DiskError('RESOURCE_PRIMARY', text, {resource: name});
}

/** What this node wrote since then, and nobody else has, must not go for the branch. */
function refuseOwnHistory(context: Context, resource: Resource, branch: Branch): void {
  const {name, file} = resource;
  if (isGarbage(context, resource)) return;
  const own = standingOf(context, resource, undefined);
  const others = context.roles?.replicas(file.id) ?? [];
  if (others.some((other) => partingPoint(own, other) !== undefined)) {
    const text = `${name} is forked here already: mars fork resolve ${name} comes first`;
    throw new DiskError('SPLIT_BRAIN', text, {resource: name});
  }

  const before = readLineage(createNodeFiles(), join(branch.directory, 'lineage.json'));
  const known = new Set(before.map(({epoch}) => epoch));
  const last = own.lineage.at(-1);
  const wasPrimary = own.lineage.some(({epoch, node}) => node === own.nodeId && !known.has(epoch));
  if (!wasPrimary || last === undefined) return;
  const hasAll = others.some(
    ({linkUp, facts}) =>
      linkUp &&
      facts.lineage.some(({epoch}) => epoch === last.epoch) &&
      (facts.position ?? '') >= own.position,
  );
  if (hasAll) return;
  const text = `${name} was primary here since, and no node that is heard of now has all that it wrote`;
  throw new DiskError('REPLICA_NEEDED', text, {resource: name});
}

/** The image is to be copied, or half of that: what is here is no state of the disk, whatever its log says. */
function isGarbage({paths}: Context, {name}: Resource): boolean {
  const sync = readSyncState(createNodeFiles(), paths.home, name);
  return sync !== undefined && sync.state !== 'done';
}

async function bringBack(
  context: Context,
  resource: Resource,
  branch: Branch,
  file: BranchFile,
  deadlineMs: number,
): Promise<void> {
  const {name, places} = resource;
  const {paths} = places;
  const {home} = context.paths;
  const files = createNodeFiles();
  const found = await findDisk(places);
  if (found.kind !== 'absent') {
    await stopReplay(places, name, performance.now() + STOP_TIMEOUT_MS);
  }

  writeSyncState(files, home, name, emptySyncState(resource.file.sizeBytes, SYNC_CHUNK_BYTES));
  loseHistoryMounts(files, paths.historyDirectory, 0);
  passCrashPoint('undo-marked');
  dropNext(files, home, name);
  resource.noteLost();
  removeDurableWord(files, paths);
  for (const entry of files.list(paths.logDirectory)) {
    // Spares as well: records that were cut must not be found by a recovery of this log.
    if (entry.startsWith('log-') || entry.startsWith('spare-')) {
      files.unlink(join(paths.logDirectory, entry));
    }
  }

  passCrashPoint('undo-log-removed');
  for (const segment of branchSegments(branch, resource.file.id)) {
    const copy = join(paths.logDirectory, segment.name);
    fs.copyFileSync(segment.path, copy, fs.constants.COPYFILE_FICLONE);
    syncPath(copy);
  }

  files.syncDirectory(paths.logDirectory);
  passCrashPoint('undo-log-copied');
  const lineage = readLineage(files, join(branch.directory, 'lineage.json'));
  writeLineage(readDiskConfig(home, name), lineage, files);
  const identity = await putImage(branch, resource.file.imagePath, deadlineMs);
  passCrashPoint('undo-image');
  const end = parsePosition(file.end) ?? 0;
  const state = {schema: 1, from: end, to: end, image: identity} as const;
  replaceReplayState(files, paths.directory, paths.replayFile, state);
  passCrashPoint('undo-replay-state');
  removeSyncState(files, home, name);
}

/** Step 4. */
async function putImage(branch: Branch, imagePath: string, deadlineMs: number) {
  const files = createNodeFiles();
  const source = join(branch.directory, 'image');
  const before = fs.statSync(imagePath);
  if (before.isFile()) {
    const beside = `${imagePath}.undo`;
    fs.rmSync(beside, {force: true});
    await copyImage(source, beside, deadlineMs);
    fs.chmodSync(beside, before.mode);
    fs.chownSync(beside, before.uid, before.gid);
    if (before.blocks * 512 >= before.size) {
      // What was preallocated stays so: foreign files must not take its room.
      const length = String(fs.statSync(beside).size);
      await runProgram('fallocate', ['-l', length, beside], ALLOCATE_TIMEOUT_MS);
    }

    syncPath(beside);
    passCrashPoint('undo-image-staged');
    fs.renameSync(beside, imagePath);
    syncPath(dirname(imagePath));
  } else {
    // Holes must be zeros there too: what cp writes is all of it.
    await copyImage(source, imagePath, deadlineMs, 'never');
    syncPath(imagePath);
  }

  const fd = files.open(imagePath, 'read');
  try {
    return files.identify(fd);
  } finally {
    files.close(fd);
  }
}

/**
 * Copies the image of a branch to a file of the user.
 *
 * @throws DiskError FORK_UNKNOWN, FORK_INCOMPLETE, USAGE where the file exists, STORE_*, TIMEOUT
 */
export async function extractFork(
  context: Context,
  resource: Resource,
  request: ForkExtractRequest,
): Promise<ForkExtractResult> {
  const {name, places} = resource;
  const branch = findBranch(places.paths, name, request.branch);
  const {file} = branch;
  if (file?.noImage !== null) {
    const why = file?.noImage ?? 'only its logfiles were kept';
    const text = `there is no image of the branch ${branch.id} of ${name}: ${why}`;
    throw new DiskError('FORK_INCOMPLETE', text, {resource: name, branch: branch.id});
  }

  const to = targetOf(context, request.to);

  const source = join(branch.directory, 'image');
  try {
    const noRoom = await whyNoRoom(source, dirname(to));
    if (noRoom !== undefined) throw new DiskError('STORE_FULL', noRoom, {file: to});
    const work = `${to}.tmp`;
    await copyImage(source, work, performance.now() + request.timeoutSeconds * 1000);
    syncPath(work);
    fs.renameSync(work, to);
    syncPath(dirname(to));
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    throw storeError(error, `copy the image of the branch ${branch.id} to ${to}`);
  }

  const sizeBytes = fs.statSync(to).size;
  return {schema: 1, name, branch: branch.id, file: to, sizeBytes, end: file.end};
}

/** Never below one of our mounts: there nobody of ours looks. @throws DiskError USAGE */
function targetOf(context: Context, path: string): string {
  if (isAbsolute(path)) {
    const directory = resolveSafely(dirname(path), forbiddenPlaces(context));
    const target = join(directory, basename(path));
    if (!fs.existsSync(target)) return target;
  }

  throw new DiskError('USAGE', `expected the path of a file that does not exist, got ${path}`);
}

/**
 * Drops a branch that is kept, for good.
 *
 * @throws DiskError FORK_UNKNOWN, CONFIRM_NEEDED, STORE_*
 */
export function forgetFork(
  context: Context,
  resource: Resource,
  request: ForkBranchRequest,
): Promise<ForkForgetResult> {
  const {name, places} = resource;
  return resource.run('fork forget', () => {
    const branch = findBranch(places.paths, name, request.branch);
    const {id, directory} = branch;
    const bytes = allocatedBytes(directory);
    const {dryRun} = request;
    const result: ForkForgetResult = {schema: 1, name, dryRun, branch: id, directory, bytes};
    if (dryRun) return Promise.resolve(result);
    if (!request.confirmed) {
      const text = `${directory} (${bytes} bytes) would be removed for good: say --yes`;
      throw new DiskError('CONFIRM_NEEDED', text, {resource: name, branch: id});
    }

    try {
      forgetBranch(places.paths, branch);
    } catch (error) {
      throw storeError(error, `remove ${directory}`);
    }

    const text = `the branch ${id} of ${name} was dropped`;
    context.tell('RESOURCE_CHANGED', 'warning', name, text, {branch: id});
    return Promise.resolve(result);
  });
}
