/**
 * Branches of a resource that gave way: `forks/EPOCH-POSITION/` beside its log. Each is whole in
 * itself, so that it can be read, taken out and brought back (fork-undo.ts):
 *
 *   log-*           the logfiles from the common point on, or from what the image needed
 *   lineage.json    the epochs of the branch
 *   image           the disk as of the end of the branch; missing where there was no room
 *   branch.json     what it is: written last
 *
 * The directory gets its name when all in it is durable. Nothing removes it but `mars fork forget`
 * and `mars log prune --purge`.
 */
import fs from 'node:fs';
import {join} from 'node:path';
import * as v from 'valibot';
import type {ForkBranch} from '../../control/fork-api.js';
import {check} from '../../core/check.js';
import {passCrashPoint} from '../../core/crash-points.js';
import {DiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import type {ResourcePaths} from '../../core/home.js';
import {readJsonFile, writeJsonFile} from '../../core/json-file.js';
import {formatPosition} from '../../core/position.js';
import {readLogDirectory, type SegmentFile} from '../../log/directory.js';
import {chainSchema, positionSchema} from '../../log/lineage.js';
import {withoutSuperseded} from '../../log/recovery.js';
import {copyImage, replayOnto} from './branch-image.js';

const BRANCH = v.looseObject({
  schema: v.literal(1),
  /** Up to here it is the same as the history that was kept. */
  at: positionSchema,
  /** Where it ends, and the chain value there; null: the log of it does not reach its end. */
  end: positionSchema,
  endChain: v.nullable(chainSchema),
  epoch: v.nullable(v.string()),
  /** The node whose history was kept. */
  keep: v.string(),
  keptAt: v.string(),
  sizeBytes: v.number(),
  /** Why there is no image; null where there is one. */
  noImage: v.nullable(v.string()),
});

/** branch.json */
export type BranchFile = v.InferOutput<typeof BRANCH>;

/** A branch that is kept. */
export interface Branch {
  /** Name of its directory. */
  readonly id: string;
  readonly directory: string;
  /** undefined: only its logfiles were kept. */
  readonly file: BranchFile | undefined;
}

/** What becomes a branch. */
export interface BranchOrigin {
  readonly paths: ResourcePaths;
  readonly imagePath: string;
  /** Effective segments of the log, in order. */
  readonly segments: readonly SegmentFile[];
  readonly at: number;
  readonly keep: string;
  readonly keptAt: string;
  readonly sizeBytes: number;
  /** Of the image: it holds everything below `from`, and may hold blocks up to `to`. */
  readonly replay: {readonly from: number; readonly to: number};
  /** Where the valid log ends. */
  readonly end: {readonly position: number; readonly chain: string};
  /** Why no image is to be kept; undefined: it is. */
  readonly noImage: string | undefined;
  /** On the clock of performance.now(). */
  readonly deadlineMs: number;
}

function forksOf(paths: ResourcePaths): string {
  return join(paths.directory, 'forks');
}

/** The branches that are kept, oldest first. */
export function listBranches(paths: ResourcePaths): Branch[] {
  const forks = forksOf(paths);
  if (!fs.existsSync(forks)) return [];
  return fs
    .readdirSync(forks)
    .filter((name) => !name.endsWith('.tmp'))
    .map((id) => readBranch(paths, id))
    .sort((left, right) => compare(left.file?.keptAt ?? '', right.file?.keptAt ?? ''));
}

function compare(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

function readBranch(paths: ResourcePaths, id: string): Branch {
  const directory = join(forksOf(paths), id);
  const file = readJsonFile(join(directory, 'branch.json'), (value) => check(BRANCH, value));
  return {id, directory, file};
}

/**
 * The branch with this name; without one the only branch there is.
 *
 * @throws DiskError FORK_UNKNOWN with the names that there are
 */
export function findBranch(paths: ResourcePaths, name: string, id: string | undefined): Branch {
  const branches = listBranches(paths);
  const found = id === undefined ? branches : branches.filter((branch) => branch.id === id);
  const [branch] = found;
  if (branch !== undefined && found.length === 1) return branch;
  const names = branches.map((each) => each.id).join(', ') || 'none';
  const wanted = id === undefined ? 'one branch that is kept' : `a branch ${id}`;
  throw new DiskError('FORK_UNKNOWN', `expected ${wanted} of ${name}, there are: ${names}`, {
    resource: name,
    branches: names,
  });
}

/** As `mars fork show` lists it. */
export function describeBranch({id, directory, file}: Branch): ForkBranch {
  return {
    branch: id,
    directory,
    position: file?.at ?? id.split('-').at(-1) ?? '',
    end: file?.end ?? null,
    epoch: file?.epoch ?? null,
    keep: file?.keep ?? null,
    keptAt: file?.keptAt ?? null,
    image: file?.noImage === null ? join(directory, 'image') : null,
    noImage: file === undefined ? 'only its logfiles were kept' : file.noImage,
    undoable: whyNotUndoable({id, directory, file}) === null,
    bytes: allocatedBytes(directory),
  };
}

/** What is missing for an undo; null: nothing. */
export function whyNotUndoable({file}: Branch): string | null {
  if (file === undefined) return 'only its logfiles were kept';
  if (file.noImage !== null) return `no image of it was kept: ${file.noImage}`;
  return file.endChain === null ? 'its log is damaged, and does not reach its end' : null;
}

/** Bytes on the disk of all files of a directory. */
export function allocatedBytes(directory: string): number {
  return fs
    .readdirSync(directory)
    .map((name) => fs.lstatSync(join(directory, name)).blocks * 512)
    .reduce((sum, bytes) => sum + bytes, 0);
}

/** The logfiles of a branch. */
export function branchSegments({directory}: Branch, resourceId: string): SegmentFile[] {
  return withoutSuperseded(readLogDirectory(createNodeFiles(), directory, resourceId).segments)
    .effective;
}

/**
 * Keeps a branch; one that is there already under this name is the same one and stays.
 *
 * @throws DiskError TIMEOUT, STORE_* or the error of the file system; nothing is kept then
 */
export async function keepBranch(origin: BranchOrigin): Promise<Branch> {
  const {paths, segments, at} = origin;
  const forks = forksOf(paths);
  const epoch = segments.at(-1)?.header.epoch ?? null;
  const id = `${epoch?.slice(0, 8) ?? 'empty'}-${formatPosition(at)}`;
  const target = join(forks, id);
  if (fs.existsSync(target)) return readBranch(paths, id);
  const work = `${target}.tmp`;
  fs.rmSync(work, {recursive: true, force: true});
  fs.mkdirSync(work, {recursive: true, mode: 0o700});
  const needed = Math.min(at, origin.replay.from);
  const first = segments.findLastIndex(({header}) => header.start <= needed);
  const kept = segments.slice(Math.max(0, first));
  const sources = [...kept.map(({path}) => path), paths.lineageFile].filter((path) =>
    fs.existsSync(path),
  );
  for (const source of sources) {
    const copy = join(work, source.split('/').at(-1) ?? '');
    // Shares the blocks where the file system can: a branch may be many gigabytes.
    fs.copyFileSync(source, copy, fs.constants.COPYFILE_FICLONE);
    syncPath(copy);
  }

  const image = await keepImage(origin, kept, join(work, 'image'));
  const file: BranchFile = {
    schema: 1,
    at: formatPosition(at),
    end: formatPosition(image.end),
    endChain: image.end === origin.end.position ? origin.end.chain : null,
    epoch,
    keep: origin.keep,
    keptAt: origin.keptAt,
    sizeBytes: origin.sizeBytes,
    noImage: image.missing,
  };
  writeJsonFile(join(work, 'branch.json'), file);
  syncPath(work);
  passCrashPoint('branch-staged');
  fs.renameSync(work, target);
  passCrashPoint('branch-renamed');
  syncPath(forks);
  syncPath(paths.directory);
  return readBranch(paths, id);
}

/** The image as of the end of the branch. @returns where that is, and why there is none */
async function keepImage(
  {replay, end, noImage, imagePath, deadlineMs, sizeBytes}: BranchOrigin,
  segments: readonly SegmentFile[],
  target: string,
): Promise<{readonly end: number; readonly missing: string | null}> {
  const last = Math.max(end.position, replay.from);
  if (noImage !== undefined) return {end: last, missing: noImage};
  const isMixture = replay.to > replay.from && replay.to > end.position;
  if (isMixture) {
    const missing = `replay broke off below ${formatPosition(replay.to)}, and its log is damaged`;
    return {end: last, missing};
  }

  await copyImage(imagePath, target, deadlineMs);
  if (replay.from < end.position) {
    await replayOnto({segments, image: target, sizeBytes, from: replay.from, to: end.position});
  }

  syncPath(target);
  return {end: last, missing: null};
}

/** Removes a branch for good: its name first, so that what is left of it is no branch. */
export function forgetBranch(paths: ResourcePaths, {directory}: Branch): void {
  const dying = `${directory}.tmp`;
  fs.rmSync(dying, {recursive: true, force: true});
  fs.renameSync(directory, dying);
  passCrashPoint('branch-dying');
  syncPath(forksOf(paths));
  fs.rmSync(dying, {recursive: true, force: true});
}

/** fsync of a file or directory. */
export function syncPath(path: string): void {
  const fd = fs.openSync(path, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
