/**
 * Puts back what `mars log cut` has taken out, as long as nothing was served since: the log is then as
 * damaged as it was, for somebody who has found the good file, or wants to look again. In this order, each step durable
 * before the next:
 *
 *   1. the disk process has ended, the lock of the generations is held
 *   2. the replay state says again what the image may hold: a log that is shorter does not start
 *   3. the lineage, then the logfiles, as they were; the segment of a log that began anew goes first
 *   4. the word on what was durable, and what was kept is removed
 *
 * Died in any of these: the log is cut, or damaged as before; the undo can be asked for again.
 */
import fs from 'node:fs';
import {join} from 'node:path';
import type {CutUndoRequest, CutUndoResult} from '../../control/cut-api.js';
import {passCrashPoint} from '../../core/crash-points.js';
import {DiskError, storeError} from '../../core/errors.js';
import {createNodeFiles, type Files} from '../../core/files.js';
import {loseHistoryMounts} from '../../core/history-mounts.js';
import type {ResourcePaths} from '../../core/home.js';
import {TwoSlotFile} from '../../core/two-slot.js';
import {readDiskConfig} from '../../disk/config.js';
import {writeLineage} from '../../disk/lineage.js';
import {isReplayState, openReplayState} from '../../image/replay-state.js';
import {readLogDirectory} from '../../log/directory.js';
import {indexPathOf} from '../../log/index-file.js';
import {readLineage} from '../../log/lineage.js';
import type {Context} from '../context.js';
import {tryLock} from '../file-lock.js';
import type {Resource} from '../resource.js';
import {syncPath} from './branches.js';
import {endDisk, refuseServed} from './cut-log.js';
import {forgetCut, listCuts, type KeptCut} from './kept-cut.js';

const LOCK_SECONDS = 30;

/**
 * Undoes the last cut.
 *
 * @throws DiskError CUT_REFUSED where none is kept, or the disk was served since; RESOURCE_PRIMARY,
 *   CONFIRM_NEEDED, STATE_UNREADABLE, STORE_*
 */
export function undoCut(
  context: Context,
  resource: Resource,
  request: CutUndoRequest,
): Promise<CutUndoResult> {
  const {name, places} = resource;
  return resource.run('log cut undo', async () => {
    try {
      const cut = lastCut(resource);
      await refuseServed(resource);
      refuseHistorySince(resource, cut);
      const {position, end} = cut.file;
      const {dryRun} = request;
      const result: CutUndoResult = {
        ...{schema: 1, name, dryRun, position, end, files: cut.logFiles},
      };
      if (dryRun) return result;
      if (!request.confirmed) {
        const text = `the log of ${name} would be damaged at ${position} again: say --yes`;
        throw new DiskError('CONFIRM_NEEDED', text, {resource: name, position});
      }

      await endDisk(context, resource);
      const lock = await tryLock(places.paths.generationLock, LOCK_SECONDS);
      if (lock === undefined) {
        throw new DiskError('RESOURCE_LOCKED', `somebody holds ${places.paths.generationLock}`);
      }

      try {
        putBack(context, resource, cut);
      } finally {
        fs.closeSync(lock);
      }

      const text = `the log of ${name} is what it was before it was cut at ${position}`;
      context.tell('RESOURCE_CHANGED', 'warning', name, text, {position});
      resource.noteLost();
      context.roles?.touch();
      return result;
    } catch (error) {
      throw storeError(error, `undo the cut of the log of ${name}`);
    }
  });
}

function lastCut({name, places}: Resource): KeptCut {
  const cut = listCuts(places.paths).at(-1);
  if (cut !== undefined) return cut;
  throw new DiskError('CUT_REFUSED', `nothing that was cut from the log of ${name} is kept`, {
    resource: name,
  });
}

/** Records that were written since join what the cut has left, and nothing else. */
function refuseHistorySince({name, places}: Resource, {directory, file}: KeptCut): void {
  const files = createNodeFiles();
  const before = readLineage(files, join(directory, 'lineage.json')).map(({epoch}) => epoch);
  const known = new Set([...before, ...(file.epoch === null ? [] : [file.epoch])]);
  const since = readLineage(files, places.paths.lineageFile).find(({epoch}) => !known.has(epoch));
  if (since === undefined) return;
  const text =
    `${name} was served since its log was cut at ${file.position}: what was written since would be lost. ` +
    `What was cut can be read: mars log show ${directory}/FILE --records`;
  throw new DiskError('CUT_REFUSED', text, {resource: name, directory});
}

function putBack(context: Context, {name, places, file}: Resource, cut: KeptCut): void {
  const files = createNodeFiles();
  const {paths} = places;
  const {logDirectory} = paths;
  loseHistoryMounts(files, paths.historyDirectory, 0);
  restoreReplay(files, paths, cut);
  passCrashPoint('log-cut-undo-replay');
  const config = readDiskConfig(context.paths.home, name);
  const before = readLineage(files, join(cut.directory, 'lineage.json'));
  if (before.length > 0) writeLineage(config, before, files);
  const {segments} = readLogDirectory(files, logDirectory, file.id);
  for (const {path, header} of segments) if (header.epoch === cut.file.epoch) files.unlink(path);
  files.syncDirectory(logDirectory);
  for (const entry of cut.logFiles) {
    const path = join(logDirectory, entry);
    const temporary = join(logDirectory, 'cut.tmp');
    fs.copyFileSync(join(cut.directory, entry), temporary, fs.constants.COPYFILE_FICLONE);
    syncPath(temporary);
    if (files.exists(indexPathOf(path))) files.unlink(indexPathOf(path));
    files.rename(temporary, path);
    files.syncDirectory(logDirectory);
    passCrashPoint('log-cut-undo-file');
  }

  const word = join(cut.directory, 'durable');
  if (fs.existsSync(word)) {
    fs.copyFileSync(word, paths.durableFile);
    syncPath(paths.durableFile);
    syncPath(paths.directory);
  }

  forgetCut(cut);
}

/** Step 2. What was replayed since holds as well. */
function restoreReplay(files: Files, {replayFile}: ResourcePaths, cut: KeptCut): void {
  const before = TwoSlotFile.peek(files, join(cut.directory, 'replay'));
  if (!isReplayState(before)) return;
  const {file, state} = openReplayState(files, replayFile);
  try {
    const isAnew = cut.file.epoch !== null;
    const from = isAnew ? before.from : Math.max(before.from, state.from);
    file.write({...state, from, to: Math.max(before.to, state.to)});
  } finally {
    file.close();
  }
}
