/**
 * `replay follow` and `log import`: what a replica takes from files. The first is a wish that stays
 * until it is taken back; the second takes what is there now, and says what was missing.
 */
import fs from 'node:fs';
import {basename, dirname} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {FlowView, ImportRequest, ImportResult} from '../../control/api.js';
import {DiskError, errnoOf, storeError} from '../../core/errors.js';
import {parseSegmentName} from '../../log/segment.js';
import {readExportFileOf} from '../../replica/folder-file.js';
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import {folderOf} from './export.js';
import type {FolderSource} from './folder-source.js';
import type {Replica} from './replica.js';
import {flowView} from './switches.js';

const LOOK_MS = 100;

/**
 * Follows a folder from now on, or other nodes again.
 *
 * @param path undefined: other nodes
 * @throws DiskError RESOURCE_PRIMARY, FOLDER_FOREIGN, IMAGE_PATH_INVALID, STORE_*
 */
export async function followFolder(
  context: Context,
  replica: Replica,
  path: string | undefined,
): Promise<FlowView> {
  const {resource} = replica;
  const {name, file} = resource;
  if (path === undefined) {
    if (file.followFolder !== undefined) {
      resource.save({followFolder: undefined});
      const text = `${name} follows other nodes again, not ${file.followFolder}`;
      context.tell('RESOURCE_CHANGED', 'info', name, text);
    }
  } else {
    refusePrimary(resource);
    const folder = existingFolder(context, path);
    readExportFileOf(folder, file.id);
    if (file.followFolder !== folder) {
      resource.save({followFolder: folder});
      context.tell('RESOURCE_CHANGED', 'info', name, `${name} follows the folder ${folder}`);
    }
  }

  replica.follow.poke();
  await resource.poll();
  return flowView(resource, replica, 'fetch');
}

/** @throws DiskError USAGE where there is none, IMAGE_PATH_INVALID, STORE_* */
function existingFolder(context: Context, path: string): string {
  const folder = folderOf(context, path);
  try {
    fs.readdirSync(folder);
    return folder;
  } catch (error) {
    const found = {ENOENT: 'nothing is there', ENOTDIR: 'a file'}[errnoOf(error) ?? ''];
    if (found === undefined) throw storeError(error, `read the folder ${folder}`);
    const text = `expected a folder with exported logfiles, found ${found}: ${folder}`;
    throw new DiskError('USAGE', text, {folder});
  }
}

function refusePrimary({name, file}: Resource): void {
  if (file.designatedRole === 'secondary' && file.attached) return;
  if (!file.attached) {
    const text = `${name} is detached here: mars attach ${name} comes first`;
    throw new DiskError('RESOURCE_DETACHED', text, {resource: name});
  }

  const text = `${name} is primary here and takes no log from elsewhere: mars secondary ${name} comes first`;
  throw new DiskError('RESOURCE_PRIMARY', text, {resource: name});
}

/**
 * Takes what a folder, or some logfiles, have.
 *
 * @returns when all of it is in the log here, durably, and in the image where that is wanted
 * @throws DiskError FOLDER_GAP, FOLDER_DAMAGED, FOLDER_FOREIGN, SPLIT_BRAIN, FETCH_STOPPED, TIMEOUT; what
 *   fits before that was taken
 */
export async function importFiles(
  context: Context,
  replica: Replica,
  request: ImportRequest,
): Promise<ImportResult> {
  const {paths, timeoutSeconds} = request;
  const {resource} = replica;
  const {name, file} = resource;
  refusePrimary(resource);
  if (file.fetchPaused === true) {
    const text = `the fetch of ${name} is paused: mars fetch resume ${name}`;
    throw new DiskError('FETCH_STOPPED', text, {resource: name});
  }

  if (replica.folders.isTaking) {
    const text = `files are being imported into ${name} already: try again when that has ended`;
    throw new DiskError('RESOURCE_BUSY', text, {resource: name});
  }

  const {folder, only} = filesOf(context, paths);
  if (only === undefined) readExportFileOf(folder, file.id);
  await resource.poll();
  const from = resource.lastDisk?.position ?? null;
  const {source, done} = replica.folders.takeOnce(folder, only);
  try {
    const deadlineMs = performance.now() + timeoutSeconds * 1000;
    await taken(replica, source, deadlineMs);
    await resource.poll();
    if (request.replay) await replayed(resource, deadlineMs);
    return {schema: 1, name, folder, from, end: resource.lastDisk?.position ?? null};
  } finally {
    done();
  }
}

async function replayed(resource: Resource, deadlineMs: number): Promise<void> {
  for (;;) {
    const {disk, name} = resource;
    if (disk !== undefined && disk.replayed >= disk.position) return;
    if (performance.now() > deadlineMs) {
      const at = disk?.replayed ?? 'an unknown position';
      const text = `${name} has replayed up to ${at} only: it goes on in the background`;
      throw new DiskError('TIMEOUT', text, {resource: name});
    }

    await sleep(LOOK_MS);
    await resource.poll();
  }
}

/** One folder, or logfiles by their names. @throws DiskError USAGE, IMAGE_PATH_INVALID, STORE_* */
function filesOf(
  context: Context,
  paths: readonly string[],
): {folder: string; only: ReadonlyMap<string, string> | undefined} {
  const [first = ''] = paths;
  const places = paths.map((path) => folderOf(context, path));
  const folders = places.filter((path) => isFolder(path));
  if (folders.length === 1 && places.length === 1)
    return {folder: places[0] ?? first, only: undefined};
  if (folders.length > 0) {
    throw new DiskError('USAGE', 'expected one folder, or logfiles, and not both');
  }

  const only = new Map(places.map((path) => [basename(path), path]));
  for (const name of only.keys()) {
    if (parseSegmentName(name) !== undefined) continue;
    const text = `${name} is not named as a logfile, log-NUMBER-NODE: import files with their names`;
    throw new DiskError('USAGE', text, {file: name});
  }

  if (only.size < places.length) {
    throw new DiskError('USAGE', 'two of the files have the same name: import them one by one');
  }

  return {folder: dirname(places[0] ?? first), only};
}

function isFolder(path: string): boolean {
  try {
    return fs.statSync(path).isDirectory();
  } catch (error) {
    throw storeError(error, `read ${path}`);
  }
}

/** Waits until a look at the files finds nothing more to take. */
async function taken(replica: Replica, source: FolderSource, deadlineMs: number): Promise<void> {
  const {resource, follow} = replica;
  const {name} = resource;
  for (;;) {
    const {step} = source;
    if (step?.kind === 'wait') {
      if (step.isComplete) return;
      throw new DiskError(step.code ?? 'FOLDER_GAP', `${name} waits for ${step.reason}`, {
        resource: name,
      });
    }

    const answer = resource.disk?.follow?.answer;
    if (answer?.kind === 'forked' && follow.state.stage === 'waiting') {
      const at = answer.position ?? 'an unknown position';
      const text = `${source.folder} and the log here have different histories from ${at} on: nothing was taken`;
      throw new DiskError('SPLIT_BRAIN', text, {resource: name});
    }

    if (performance.now() > deadlineMs) {
      const why = follow.state.waiting?.reason ?? 'it goes on in the background no longer';
      throw new DiskError('TIMEOUT', `not all of ${source.folder} was taken in time: ${why}`, {
        resource: name,
      });
    }

    await sleep(LOOK_MS);
  }
}
