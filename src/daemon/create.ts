/**
 * Makes and removes the directory of a resource. Both have one commit point, a rename:
 *
 *   create   .NAME.new      made whole, then renamed to NAME
 *   delete   .NAME.deleted  renamed from NAME, then removed
 *
 * No name of a resource begins with a dot, so what a crash leaves is known and removed at start.
 */
import fs from 'node:fs';
import {randomBytes} from 'node:crypto';
import {basename, join} from 'node:path';
import type {CreateRequest, DeleteResult} from '../control/api.js';
import {passCrashPoint} from '../core/crash-points.js';
import {DiskError, storeError} from '../core/errors.js';
import {createNodeFiles} from '../core/files.js';
import {HOME_SCHEMA, resourcePaths, type ResourceFile, type ResourcePaths} from '../core/home.js';
import {readJsonFile, writeJsonFile} from '../core/json-file.js';
import {SEGMENT_BYTES_DEFAULT} from '../core/limits.js';
import {checkName} from '../core/names.js';
import {nextImagePath} from '../disk/next-state.js';
import {emptySyncState, writeSyncState} from '../disk/sync-state.js';
import {SYNC_CHUNK_BYTES} from '../log/frame-schemas.js';
import type {Context} from './context.js';
import {makeImage, planImage, type ImagePlan, type ImageWish} from './image.js';
import {checkSize} from './operations.js';
import {forbiddenPlaces} from './places.js';
import {withModeChange} from './replication/shared-mode.js';
import {parseSettings} from './settings.js';
import {isBelow} from '../core/mounts.js';
import {removeDeviceLink} from './leftovers.js';

const NEW = '.new';
const DELETED = '.deleted';

function transitional(context: Context, name: string, suffix: string): string {
  return join(context.paths.resourcesDirectory, `.${name}${suffix}`);
}

export interface CreatedResource {
  readonly file: ResourceFile;
  /** Removes everything that was made. */
  readonly undo: () => void;
}

/** What a replica has in common with those that other nodes have already. */
export type Origin = Pick<
  ResourceFile,
  'id' | 'sizeBytes' | 'createdAt' | 'segmentBytes' | 'alignmentBytes' | 'followFolder'
>;

/**
 * Makes image, directories and `resource.json` of a new resource.
 *
 * @param images canonical images of the other resources, with their names
 * @param origin the resource exists elsewhere: its image is to be copied from there
 * @throws DiskError NAME_INVALID, SIZE_INVALID, KEY_UNKNOWN, RESOURCE_EXISTS, IMAGE_*, STORE_*;
 *   nothing is then left behind
 */
export async function createResource(
  context: Context,
  request: CreateRequest,
  images: ReadonlyMap<string, string>,
  origin?: Origin,
): Promise<CreatedResource> {
  const name = checkName('resource', request.name);
  checkSize(request.sizeBytes);
  const settings = withModeChange({}, parseSettings(request.settings ?? {}), context.node.id);
  if (origin !== undefined && settings.whenFull === 'bypass') {
    const text = `${name} is on other nodes already: when-full=bypass is for resources without replicas`;
    throw new DiskError('BYPASS_REPLICAS', text, {resource: name});
  }

  const {directory} = resourcePaths(context.paths.home, name);
  if (fs.existsSync(directory)) {
    throw new DiskError('RESOURCE_EXISTS', `there is a resource ${name} already`, {resource: name});
  }

  const wish = imageWish(context, request, images);
  const external = request.image === undefined ? undefined : planImage(wish);
  const work = transitional(context, name, NEW);
  let undoImage: () => void = () => undefined;
  const undo = (): void => {
    fs.rmSync(work, {recursive: true, force: true});
    fs.rmSync(directory, {recursive: true, force: true});
    undoImage();
  };
  try {
    fs.rmSync(work, {recursive: true, force: true});
    makeDirectories(context, name, work);
    const plan = external ?? {path: join(work, 'image'), kind: 'missing', extend: false};
    undoImage = await makeImage(plan, wish);
    if (external !== undefined) fs.symlinkSync(external.path, join(work, 'image'));
    const made = newFile(context, request, plan, external !== undefined);
    const file = {...made, ...origin, ...settings};
    writeJsonFile(join(work, 'resource.json'), file);
    // With the directory under its name it is known that the image is no disk yet.
    if (origin !== undefined) {
      const state = emptySyncState(origin.sizeBytes, SYNC_CHUNK_BYTES);
      writeSyncState(createNodeFiles(), context.paths.home, basename(work), state);
    }

    passCrashPoint('create-staged');
    fs.renameSync(work, directory);
    passCrashPoint('create-renamed');
    syncDirectory(context.paths.resourcesDirectory);
    return {file, undo};
  } catch (error) {
    undo();
    throw storeError(error, `create ${directory}`);
  }
}

function imageWish(
  context: Context,
  request: CreateRequest,
  others: ReadonlyMap<string, string>,
): ImageWish {
  return {
    path: request.image ?? resourcePaths(context.paths.home, request.name).image,
    sizeBytes: request.sizeBytes,
    force: request.force ?? false,
    preallocate: request.preallocate ?? false,
    places: forbiddenPlaces(context),
    others,
  };
}

function makeDirectories(context: Context, name: string, work: string): void {
  fs.mkdirSync(context.paths.disksDirectory, {recursive: true, mode: 0o700});
  const {directory, logDirectory} = resourcePaths(context.paths.home, name);
  fs.mkdirSync(join(work, logDirectory.slice(directory.length)), {recursive: true, mode: 0o700});
}

function newFile(
  context: Context,
  request: CreateRequest,
  plan: ImagePlan,
  external: boolean,
): ResourceFile {
  const {image} = resourcePaths(context.paths.home, request.name);
  return {
    schema: HOME_SCHEMA,
    name: request.name,
    id: randomBytes(16).toString('hex'),
    sizeBytes: request.sizeBytes,
    createdAt: new Date(context.clock.wallMs()).toISOString(),
    imagePath: external ? plan.path : image,
    imageOwned: plan.kind === 'missing',
    designatedRole: (request.activate ?? true) ? 'primary' : 'secondary',
    attached: true,
    replayPaused: false,
    device: true,
    driver: request.driver ?? 'auto',
    segmentBytes: SEGMENT_BYTES_DEFAULT,
    alignmentBytes: 8,
    durability: 'flush',
  };
}

/** What deleting a resource removes and keeps; block devices and foreign images are kept. */
export function describeDelete(context: Context, file: ResourceFile): DeleteResult {
  const {directory} = resourcePaths(context.paths.home, file.name);
  const removes = [{path: directory, bytes: bytesBelow(directory)}];
  const inside = isBelow(file.imagePath, directory);
  if (!inside && file.imageOwned) {
    removes.push({path: file.imagePath, bytes: bytesBelow(file.imagePath)});
  }

  const keeps = inside || file.imageOwned ? [] : [file.imagePath];
  return {schema: 1, name: file.name, dryRun: true, removes, keeps};
}

/** Allocated bytes of a file or tree; links are not followed. */
function bytesBelow(path: string): number {
  let stat: fs.Stats;
  try {
    stat = fs.lstatSync(path);
  } catch {
    return 0;
  }

  if (!stat.isDirectory()) return stat.blocks * 512;
  return fs.readdirSync(path).reduce((sum, name) => sum + bytesBelow(join(path, name)), 0);
}

/**
 * Removes a resource that nothing runs for.
 *
 * The rename is the commit point. Giving the space back may take minutes for a large image in many
 * pieces; it goes on beside other requests, and is finished at the next start after a crash.
 *
 * @returns resolves when the space is given back
 * @throws DiskError STORE_*; before the rename nothing has changed
 */
export async function removeResource(
  context: Context,
  file: ResourceFile,
  link: string,
): Promise<void> {
  const paths = resourcePaths(context.paths.home, file.name);
  const work = transitional(context, file.name, DELETED);
  try {
    fs.rmSync(work, {recursive: true, force: true});
    fs.renameSync(paths.directory, work);
    passCrashPoint('delete-renamed');
    syncDirectory(context.paths.resourcesDirectory);
    removeRunFiles(paths);
    removeDeviceLink(link);
    passCrashPoint('delete-run-files');
    fs.rmSync(nextImagePath(file.imagePath), {force: true});
    if (file.imageOwned) await fs.promises.rm(file.imagePath, {force: true});
    await fs.promises.rm(work, {recursive: true, force: true});
  } catch (error) {
    throw storeError(error, `delete ${paths.directory}`);
  }
}

/** Removes what a disk process left in run/disks. */
export function removeRunFiles(paths: ResourcePaths): void {
  const {socket, output, fuseFile, fifo} = paths;
  const besides = ['env', 'last', 'program', 'role'].map((suffix) =>
    socket.replace(/sock$/u, suffix),
  );
  for (const path of [socket, output, `${output}.1`, fuseFile, fifo, ...besides]) {
    fs.rmSync(path, {force: true});
  }
}

function finishRemoval(work: string, file: ResourceFile | undefined): void {
  // An image inside the directory goes with it.
  if (file !== undefined) fs.rmSync(nextImagePath(file.imagePath), {force: true});
  if (file?.imageOwned === true) fs.rmSync(file.imagePath, {force: true});
  fs.rmSync(work, {recursive: true, force: true});
}

/** Finishes what a crash interrupted; at the start of the daemon. @returns what was removed */
export function removeUnfinished(context: Context): string[] {
  const removed: string[] = [];
  for (const name of fs.readdirSync(context.paths.resourcesDirectory)) {
    if (!name.startsWith('.') || !(name.endsWith(NEW) || name.endsWith(DELETED))) continue;
    const work = join(context.paths.resourcesDirectory, name);
    // Of a creation that did not get this far, only the directory: the image may be a user's.
    finishRemoval(work, name.endsWith(DELETED) ? fileOf(work) : undefined);
    removed.push(work);
  }

  return removed;
}

function fileOf(work: string): ResourceFile | undefined {
  try {
    return readJsonFile(join(work, 'resource.json'), (value) => value as ResourceFile);
  } catch {
    return undefined;
  }
}

function syncDirectory(path: string): void {
  const fd = fs.openSync(path, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
