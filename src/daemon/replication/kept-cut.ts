/**
 * What `mars log cut` takes out of a log: `cuts/POSITION/` beside it, with everything that is needed to
 * have the log as it was.
 *
 *   log-*           logfiles that are shortened or removed, as they were
 *   lineage.json, replay, durable    as they were; what was not there is not there
 *   cut.json        what it is
 *
 * The directory gets its name when all in it is durable. Nothing removes it but the undo and
 * `mars log prune --purge`.
 */
import fs from 'node:fs';
import {basename, join} from 'node:path';
import * as v from 'valibot';
import {check} from '../../core/check.js';
import {passCrashPoint} from '../../core/crash-points.js';
import type {ResourcePaths} from '../../core/home.js';
import {readJsonFile, writeJsonFile} from '../../core/json-file.js';
import {idSchema, positionSchema} from '../../log/lineage.js';
import {syncPath} from './branches.js';

const CUT = v.looseObject({
  schema: v.literal(1),
  /** Where the log ends since, and where it was known to end. */
  position: positionSchema,
  end: positionSchema,
  /** Epoch of a log that begins anew since; null: its history goes on. */
  epoch: v.nullable(idSchema),
  cutAt: v.string(),
  /** The cut was done to its end: what is cut at the same place later is another one. */
  isDone: v.optional(v.boolean()),
});

/** cut.json */
export type CutFile = v.InferOutput<typeof CUT>;

/** A part of a log that was taken out. */
export interface KeptCut {
  readonly directory: string;
  readonly file: CutFile;
  /** Names of the logfiles. */
  readonly logFiles: readonly string[];
}

function cutsOf({directory}: ResourcePaths): string {
  return join(directory, 'cuts');
}

/** What was taken out of a log and is kept, oldest first. @throws DiskError STATE_UNREADABLE */
export function listCuts(paths: ResourcePaths): KeptCut[] {
  const cuts = cutsOf(paths);
  if (!fs.existsSync(cuts)) return [];
  return fs
    .readdirSync(cuts)
    .filter((name) => !name.endsWith('.tmp'))
    .flatMap((name) => {
      const directory = join(cuts, name);
      const file = readJsonFile(join(directory, 'cut.json'), (value) => check(CUT, value));
      if (file === undefined) return [];
      return [{directory, file, logFiles: logFilesOf(directory)}];
    })
    .sort((left, right) => (left.file.cutAt < right.file.cutAt ? -1 : 1));
}

function logFilesOf(directory: string): string[] {
  return fs.readdirSync(directory).filter((name) => name.startsWith('log-'));
}

/**
 * Keeps what is about to be taken out. Where a cut of before was not done to its end, what it has kept
 * is what the log was, and stays.
 *
 * @param logFiles paths
 * @throws the error of the file system; nothing has changed then
 */
export function keepCut(paths: ResourcePaths, logFiles: readonly string[], file: CutFile): KeptCut {
  const cuts = cutsOf(paths);
  const names = logFiles.map((path) => basename(path));
  let directory = join(cuts, file.position);
  for (let count = 2; fs.existsSync(directory); count += 1) {
    const kept = logFilesOf(directory);
    if (!isDone(directory) && names.every((name) => kept.includes(name))) break;
    directory = join(cuts, `${file.position}-${count}`);
  }

  const work = `${directory}.tmp`;
  fs.rmSync(work, {recursive: true, force: true});
  if (fs.existsSync(directory)) {
    // The epoch of a log that begins anew is another one with each try.
    const before = readJsonFile(join(directory, 'cut.json'), (value) => check(CUT, value));
    const same = {...file, ...before, epoch: file.epoch};
    writeJsonFile(join(directory, 'cut.json'), same);
    return {directory, file: same, logFiles: logFilesOf(directory)};
  }

  fs.mkdirSync(work, {recursive: true, mode: 0o700});
  const others = [paths.lineageFile, paths.replayFile, paths.durableFile];
  for (const source of [...logFiles, ...others.filter((path) => fs.existsSync(path))]) {
    const copy = join(work, basename(source));
    fs.copyFileSync(source, copy, fs.constants.COPYFILE_FICLONE);
    syncPath(copy);
  }

  writeJsonFile(join(work, 'cut.json'), file);
  syncPath(work);
  passCrashPoint('log-cut-staged');
  fs.renameSync(work, directory);
  syncPath(cuts);
  syncPath(paths.directory);
  passCrashPoint('log-cut-kept');
  return {directory, file, logFiles: names};
}

/** The log is cut, durably. */
export function noteCutDone({directory, file}: KeptCut): void {
  writeJsonFile(join(directory, 'cut.json'), {...file, isDone: true});
}

function isDone(directory: string): boolean {
  const file = readJsonFile(join(directory, 'cut.json'), (value) => check(CUT, value));
  return file?.isDone === true;
}

/** Removes what is kept, its name first. */
export function forgetCut({directory}: KeptCut): void {
  const dying = `${directory}.tmp`;
  fs.rmSync(dying, {recursive: true, force: true});
  fs.renameSync(directory, dying);
  fs.rmSync(dying, {recursive: true, force: true});
}
