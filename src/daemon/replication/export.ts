/**
 * `log export`: the log of a replica as files in a folder, and an image that it can go on from. The
 * folder has a slot like a replica (slots.ts): what it does not have yet is kept for it, within
 * `log-cap`, from its first export until it is forgotten.
 */
import fs from 'node:fs';
import {join} from 'node:path';
import type {ExportResult} from '../../control/api.js';
import {DiskError, storeError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {HOME_SCHEMA} from '../../core/home.js';
import {writeJsonFile} from '../../core/json-file.js';
import {formatPosition, parsePosition} from '../../core/position.js';
import {exportLog, type FolderEnd} from '../../replica/export-log.js';
import {beginOf, listBases, writeBase, type WrittenBase} from '../../replica/folder-base.js';
import {EXPORT_FILE, readExportFileOf} from '../../replica/folder-file.js';
import {localStream} from '../../replica/local-stream.js';
import type {Context} from '../context.js';
import {forbiddenPlaces} from '../places.js';
import {resolveSafely} from '../safe-path.js';
import {refuseSharing} from './bypass-rules.js';
import {numberOf} from './replica-state.js';
import type {Replica} from './replica.js';
import {serveImage} from './serve.js';
import {sourceStatus} from './source-status.js';
import {exportSlot} from './slots.js';

export interface ExportRequest {
  readonly folder: string;
  readonly base: boolean;
  readonly open: boolean;
  readonly forget: boolean;
}

/** Exports to one folder run one after the other. */
const running = new Map<string, Promise<unknown>>();

/**
 * Exports what the folder does not have yet, or forgets the folder.
 *
 * @throws DiskError BYPASS_REPLICAS, BYPASS_NOT_LEFT, FOLDER_FOREIGN, LOG_GONE, SPLIT_BRAIN, REPLICA_INCONSISTENT, DISK_UNREACHABLE,
 *   IMAGE_PATH_INVALID, STORE_*; what is in the folder stays whole
 */
export async function exportFolder(
  context: Context,
  replica: Replica,
  request: ExportRequest,
): Promise<ExportResult> {
  const folder = folderOf(context, request.folder);
  const before = running.get(folder) ?? Promise.resolve();
  const result = before.then(() =>
    request.forget ? forget(replica, folder) : exportOnce(context, replica, folder, request),
  );
  const settled = result.catch(() => undefined);
  running.set(folder, settled);
  try {
    return await result;
  } finally {
    if (running.get(folder) === settled) running.delete(folder);
  }
}

/** A folder that somebody names: never one on a mount of ours. @throws DiskError IMAGE_PATH_INVALID */
export function folderOf(context: Context, path: string): string {
  return resolveSafely(path, forbiddenPlaces(context));
}

function forget({slots, resource}: Replica, folder: string): ExportResult {
  const known = slots.forget(exportSlot(folder));
  const {name} = resource;
  return {schema: 1, name, folder, files: [], end: null, base: null, kept: false, forgotten: known};
}

async function exportOnce(
  context: Context,
  replica: Replica,
  folder: string,
  request: ExportRequest,
): Promise<ExportResult> {
  const {resource, slots} = replica;
  const {id, name} = resource.file;
  refuseSharing(resource);
  makeFolder(folder);
  const had = readExportFileOf(folder, id);
  refuseMixture(replica);
  const slot = {id: exportSlot(folder), name: `export to ${folder}`};
  const isNew = !slots.all.has(slot.id);
  try {
    const base = request.base ? await makeBase(context, replica, folder, slot) : undefined;
    const pinned = await pin(replica, folder, slot, had && numberOf(had.end), base);
    const end = had && {position: numberOf(had.end), chain: had.chain, lineage: had.lineage};
    const written = await writeLog(context, replica, folder, {...request, begin: pinned, had: end});
    await replica.pin(slot.id, slot.name, written.end.position);
    if (isNew || base !== undefined) {
      const words = base === undefined ? '' : `, with a base image at ${base.begin}`;
      const text = `${name} is exported to ${folder}${words}; its log is kept for that`;
      context.tell('EXPORT_BEGUN', 'info', name, text);
    }

    return {
      ...{schema: 1, name, folder, files: written.files, kept: true, forgotten: false},
      ...{end: formatPosition(written.end.position), base: base ?? null},
    };
  } catch (error) {
    // Nothing of it can be used: nothing is kept for it.
    if (isNew) slots.forget(slot.id);
    throw error;
  }
}

function makeFolder(folder: string): void {
  try {
    fs.mkdirSync(folder, {recursive: true, mode: 0o755});
  } catch (error) {
    throw storeError(error, `make ${folder}`);
  }
}

function refuseMixture({resource, state}: Replica): void {
  if (state !== 'InConsistent' && state !== 'Syncing') return;
  const text = `the replica of ${resource.name} here is no state of the disk yet: export on another node`;
  throw new DiskError('REPLICA_INCONSISTENT', text, {resource: resource.name});
}

async function makeBase(
  context: Context,
  replica: Replica,
  folder: string,
  slot: {readonly id: string; readonly name: string},
): Promise<WrittenBase> {
  const [here, there] = localStream();
  const identity = {resourceId: replica.resource.file.id, nodeId: context.node.id};
  const serving = serveImage(replica, here, slot);
  // The other end is told why, and tells it.
  serving.catch(() => undefined);
  const base = await writeBase(there, folder, identity);
  await serving;
  return base;
}

/** Keeps the log that the folder needs next. @returns where a folder without logfiles begins */
async function pin(
  replica: Replica,
  folder: string,
  slot: {readonly id: string; readonly name: string},
  had: number | undefined,
  base: WrittenBase | undefined,
): Promise<number> {
  const {log} = await sourceStatus(replica, -1);
  const begin = parsePosition(base?.begin ?? '') ?? newestBase(folder);
  const oldest = numberOf(log.firstPosition);
  // Without an image there is nothing that older log could be applied to but another replica's.
  const position = had ?? begin ?? oldest;
  const kept = replica.slots.all.get(slot.id)?.position ?? Infinity;
  await replica.pin(slot.id, slot.name, Math.min(kept, position));
  return begin ?? oldest;
}

function newestBase(folder: string): number | undefined {
  const [newest] = listBases(folder);
  return newest === undefined ? undefined : beginOf(newest);
}

interface WriteRequest {
  readonly begin: number;
  readonly had: FolderEnd | undefined;
  readonly open: boolean;
}

async function writeLog(
  context: Context,
  replica: Replica,
  folder: string,
  {begin, had, open}: WriteRequest,
): Promise<{files: readonly string[]; end: FolderEnd}> {
  const {file, places} = replica.resource;
  const files = createNodeFiles();
  const status = await sourceStatus(replica, -1);
  const at = new Date(context.clock.wallMs()).toISOString();
  const origin = numberOf(status.follow?.originDurable ?? status.replayed);
  const durable = numberOf(status.durable);
  const position = status.mode === 'follow' ? Math.min(durable, origin) : durable;
  const {written, end} = await exportLog({
    ...{files, folder, nodeId: context.node.id, begin, had, withOpen: open},
    place: {files, directory: places.paths.logDirectory, resourceId: file.id},
    source: {lineage: replica.lineage(), position, sizeBytes: status.sizeBytes},
    epoch: status.epoch ?? '',
  });
  writeJsonFile(join(folder, EXPORT_FILE), {
    schema: HOME_SCHEMA,
    ...{resourceId: file.id, name: file.name, node: context.node.name, createdAt: file.createdAt},
    sizeBytes: Math.max(file.sizeBytes, status.sizeBytes),
    ...{segmentBytes: file.segmentBytes, alignmentBytes: file.alignmentBytes},
    ...{lineage: end.lineage, end: formatPosition(end.position), chain: end.chain, at},
  });
  return {files: written, end};
}
