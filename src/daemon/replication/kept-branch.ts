/**
 * What a replica has that the history it follows has not: copied to `forks/EPOCH-POSITION/` before it
 * gives way, whoever wrote it. It stays there until somebody removes it.
 */
import fs from 'node:fs';
import {join} from 'node:path';
import {passCrashPoint} from '../../core/crash-points.js';
import {storeError, type DiskError} from '../../core/errors.js';
import {createNodeFiles, type Files} from '../../core/files.js';
import type {ResourceFile, ResourcePaths} from '../../core/home.js';
import {formatPosition, parsePosition} from '../../core/position.js';
import {readLogDirectory, type SegmentFile} from '../../log/directory.js';
import {withoutSuperseded} from '../../log/recovery.js';

/**
 * Copies the logfiles with anything behind `at`, and the lineage, durably. The directory has its name
 * when all is there; one that is whole already is left as it is.
 *
 * @returns where it is kept, and the segments that count, in order
 * @throws DiskError LOG_FORMAT, or the error of the file system
 */
export function keepBranch(
  files: Files,
  paths: ResourcePaths,
  resourceId: string,
  at: number,
): {readonly kept: string; readonly segments: readonly SegmentFile[]} {
  const listing = readLogDirectory(files, paths.logDirectory, resourceId);
  const {effective: segments} = withoutSuperseded(listing.segments);
  const first = segments.findLastIndex(({header}) => header.start <= at);
  const forks = join(paths.directory, 'forks');
  const epoch = segments.at(-1)?.header.epoch.slice(0, 8) ?? 'empty';
  const kept = join(forks, `${epoch}-${formatPosition(at)}`);
  if (fs.existsSync(kept)) return {kept, segments};
  const work = `${kept}.tmp`;
  fs.rmSync(work, {recursive: true, force: true});
  fs.mkdirSync(work, {recursive: true, mode: 0o700});
  const branch = segments.slice(Math.max(0, first)).map(({path}) => path);
  for (const source of [...branch, paths.lineageFile]) {
    const copy = join(work, source.split('/').at(-1) ?? '');
    // Shares the blocks where the file system can: a branch may be many gigabytes.
    fs.copyFileSync(source, copy, fs.constants.COPYFILE_FICLONE);
    syncPath(copy);
  }

  syncPath(work);
  passCrashPoint('tail-staged');
  fs.renameSync(work, kept);
  passCrashPoint('tail-renamed');
  syncPath(forks);
  syncPath(paths.directory);
  return {kept, segments};
}

/**
 * The end of a log may be the only copy of what its origin has acknowledged and then lost (hazard 8):
 * it is kept before the image is copied again, and whoever misses it finds it there.
 *
 * @returns where, for the message; empty where the reason is another one
 * @throws DiskError STORE_*: then nothing may be given up
 */
export function keepLostTail(
  paths: ResourcePaths,
  {id, name}: Pick<ResourceFile, 'id' | 'name'>,
  {code, details}: DiskError,
): string {
  if (code !== 'ORIGIN_LOST_DATA') return '';
  const at = parsePosition(String(details['position'] ?? '')) ?? 0;
  try {
    const {kept} = keepBranch(createNodeFiles(), paths, id, at);
    return `; what its origin has lost is kept in ${kept}`;
  } catch (error) {
    throw storeError(error, `set the end of the log of ${name} aside`);
  }
}

function syncPath(path: string): void {
  const fd = fs.openSync(path, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
