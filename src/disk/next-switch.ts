/**
 * Puts a replica that was made beside the old one in its place (next-state.ts). From here on only
 * what lies on this node is needed, and what was there before is of no use any more. In this order,
 * each step durable before the next, and all of it may be done again:
 *
 *   1. next.json `switching`: what is in `next/` is whole, and takes the place of what is here
 *   2. an image that was made beside takes the name of the old one; the replay state says {from, to}
 *      of it
 *   3. content for the blocks that differ is written to the image, which is synced
 *   4. logfiles of the new replica take their names here; all other logfiles and spares are removed
 *   5. the lineage of the new replica
 *   6. next.json is removed: image and log from `from` on are the state of the disk
 *
 * Between 1 and 6 there is no replica that could be used; whoever starts here next ends the work.
 */
import {dirname, join} from 'node:path';
import {passCrashPoint} from '../core/crash-points.js';
import {DiskError} from '../core/errors.js';
import type {FileIdentity, Files} from '../core/files.js';
import {resourcePaths} from '../core/home.js';
import {loseHistoryMounts} from '../core/history-mounts.js';
import {isSameImage} from '../image/image-file.js';
import {openReplayState, replaceReplayState} from '../image/replay-state.js';
import {removeDurableWord} from '../log/durable-word.js';
import type {DiskConfig} from './config.js';
import {writeLineage} from './lineage.js';
import {readLineage} from '../log/lineage.js';
import {
  dropNext,
  nextConfig,
  readNextState,
  repairPath,
  writeNextState,
  type NextState,
} from './next-state.js';
import {applyRepair} from './repair-segment.js';

/**
 * Step 1.
 *
 * @param positions replay positions of the new image; its log reaches to `to` at least
 */
export function commitNext(
  files: Files,
  config: DiskConfig,
  state: NextState,
  positions: {readonly from: number; readonly to: number},
): void {
  const {name} = config.resource;
  const {logDirectory} = resourcePaths(nextConfig(config, state).home, name);
  const logFiles = files
    .list(logDirectory)
    .filter((entry) => entry.startsWith('log-') && !entry.endsWith('.idx'));
  writeNextState(files, config.home, name, {...state, ...positions, state: 'switching', logFiles});
}

/**
 * Steps 2 to 6, a piece of content at a time; nothing where no replica is to be put in place.
 *
 * @throws DiskError STATE_UNREADABLE, IMAGE_CHANGED, STORE_IO, or the error of the file system
 */
export function* switchToNext(files: Files, config: DiskConfig): Generator<void, void> {
  const {home} = config;
  const {name, imagePath} = config.resource;
  const next = readNextState(files, home, name);
  if (next?.state !== 'switching') return;
  const paths = resourcePaths(home, name);
  const there = resourcePaths(paths.nextHome, name);
  loseHistoryMounts(files, paths.historyDirectory, 0);
  // Whoever wrote it, or took step 2, may have died before that was durable.
  files.syncDirectory(paths.directory);
  const isBeside = next.image !== null && files.exists(next.image);
  const fd = files.open(isBeside ? next.image : imagePath, 'read');
  const image = files.identify(fd);
  files.close(fd);
  refuseOther(files, there.replayFile, image, config);
  if (isBeside) files.rename(next.image, imagePath);
  files.syncDirectory(dirname(imagePath));
  removeDurableWord(files, paths);
  const {from, to} = next;
  replaceReplayState(files, paths.directory, paths.replayFile, {schema: 1, from, to, image});
  yield* applyRepair(files, repairPath(home, name), imagePath);
  passCrashPoint('switch-image');
  takeLog(files, there.logDirectory, paths.logDirectory, new Set(next.logFiles));
  passCrashPoint('switch-log');
  writeLineage(config, readLineage(files, there.lineageFile), files);
  passCrashPoint('switch-lineage');
  dropNext(files, home, name);
}

/** What is there must be what the content was fetched for (hazard 22). */
function refuseOther(
  files: Files,
  replayFile: string,
  found: FileIdentity,
  {resource}: DiskConfig,
): void {
  const {file, state} = openReplayState(files, replayFile);
  file.close();
  if (isSameImage(state.image, found)) return;
  throw new DiskError(
    'IMAGE_CHANGED',
    `${resource.imagePath} is not the image that is being repaired (inode ${found.inode}, expected ` +
      `${state.image.inode}): bring the right one back, or copy it anew with mars invalidate ${resource.name}`,
    {path: resource.imagePath, inode: found.inode, expected: state.image.inode},
  );
}

/** Step 4. */
function takeLog(files: Files, from: string, to: string, names: ReadonlySet<string>): void {
  for (const entry of names) {
    const path = join(from, entry);
    if (files.exists(path)) files.rename(path, join(to, entry));
  }

  files.syncDirectory(to);
  files.syncDirectory(from);
  for (const entry of files.list(to)) {
    if (/^(?:log|spare)-/u.test(entry) && !names.has(entry)) files.unlink(join(to, entry));
  }

  files.syncDirectory(to);
}

/**
 * Before the old replica goes on: one that is being made is dropped, as it is none of what comes
 * now; one that is whole is put in place.
 *
 * @throws DiskError as switchToNext
 */
export function settleNext(files: Files, config: DiskConfig): void {
  const {home, resource} = config;
  const work = switchToNext(files, config);
  while (work.next().done !== true);
  dropNext(files, home, resource.name);
}
