/**
 * Carries out a prune plan (log/prune-plan) for one resource. Where its disk process runs, that
 * process uses again what nobody needs, by itself and at once: here it is only shown. Where none
 * runs, this does what the next start of it would do, under the lock of its generations, so that
 * none can start meanwhile: rename to `spare-*`, then remove the spares that are too many.
 *
 * Before each file everything is read again: the slots, the replay state, the header of the file.
 * Readers in other processes need no pin: they check each record, and what was used again is the
 * end for them, never wrong data (replica/segment-reader).
 */
import fs from 'node:fs';
import {join} from 'node:path';
import type {FileNeed, PrunedFile, PruneRequest, PruneResult} from '../control/care-api.js';
import {systemClock} from '../core/clock.js';
import {DiskError, storeError} from '../core/errors.js';
import type {DiskStatus} from '../core/disk-status.js';
import {createNodeFiles} from '../core/files.js';
import {positionOf, readHistoryMounts} from '../core/history-mounts.js';
import {resourcePaths, type ResourceFile} from '../core/home.js';
import {formatPosition} from '../core/position.js';
import {readRollback} from '../core/rollback-file.js';
import {TwoSlotFile} from '../core/two-slot.js';
import {readSyncState} from '../disk/sync-state.js';
import {isReplayState} from '../image/replay-state.js';
import {readLogDirectory, readSegmentFile, type SegmentFile} from '../log/directory.js';
import {indexPathOf} from '../log/index-file.js';
import {lowestNeed, planPrune, type LogNeed, type PlannedFile} from '../log/prune-plan.js';
import {isSameSegment} from '../replica/segment-reader.js';
import {tryLock} from './file-lock.js';
import {Slots} from './replication/slots.js';

/** Spares that are kept for the next start; as a disk process that is calm keeps. */
const SPARES_KEPT = 4;

export interface PruneSubject {
  readonly home: string;
  readonly file: ResourceFile;
  /** `silent`: its lock is held, but it does not answer. */
  readonly disk: DiskStatus | 'silent' | undefined;
}

/**
 * Prunes the log of one resource, or says what would go and why the rest stays.
 *
 * @throws DiskError CONFIRM_NEEDED, STATE_UNREADABLE, LOG_FORMAT, STORE_*; then what was not done yet
 *   stays
 */
export async function pruneLog(subject: PruneSubject, request: PruneRequest): Promise<PruneResult> {
  const {home, file} = subject;
  const paths = resourcePaths(home, file.name);
  if (request.purge && !request.dryRun && !request.confirmed) {
    const text = `branches that were given up and files whose device failed would be removed for good: say --yes`;
    throw new DiskError('CONFIRM_NEEDED', text, {resource: file.name});
  }

  try {
    if (request.dryRun || subject.disk !== undefined) {
      const planned = [...planOf(subject), ...planPurge(subject, request)];
      if (!request.dryRun)
        carryOut(
          subject,
          planned.filter(({kind}) => kind === 'aside'),
        );
      return resultOf(subject, request.dryRun, planned);
    }

    const lock = await tryLock(paths.generationLock);
    // A generation that starts just now prunes by itself.
    if (lock === undefined) return await pruneLog({...subject, disk: 'silent'}, request);
    try {
      const planned = [...planOf(subject), ...planPurge(subject, request)];
      carryOut(subject, planned);
      return resultOf(subject, false, planned);
    } finally {
      fs.closeSync(lock);
    }
  } catch (error) {
    throw storeError(error, `prune the log in ${paths.logDirectory}`);
  }
}

/** Who needs the log from where on, read now from the files. @throws DiskError STATE_UNREADABLE */
export function readNeeds(home: string, file: ResourceFile): LogNeed[] {
  const files = createNodeFiles();
  const {replayFile, slotsFile, historyDirectory, rollbackFile} = resourcePaths(home, file.name);
  const needs: LogNeed[] = [];
  const sync = readSyncState(files, home, file.name);
  if (sync !== undefined) {
    const text = 'the copy of the image here is not complete';
    needs.push({by: 'copy', node: null, position: sync.begin, text});
  }

  if (files.exists(replayFile)) {
    const state = TwoSlotFile.peek(files, replayFile);
    if (!isReplayState(state)) {
      throw new DiskError('STATE_UNREADABLE', `${replayFile} has no valid slot`, {
        file: replayFile,
      });
    }

    const at = formatPosition(state.from);
    const text = `the image here has it up to ${at}${whyBehind(file)}`;
    needs.push({by: 'replay', node: null, position: state.from, text});
  } else {
    // Without it nobody knows what the image has.
    const text = 'it is not known how far the image here is';
    needs.push({by: 'replay', node: null, position: 0, text});
  }

  for (const {name, position, at} of new Slots(slotsFile, systemClock).all.values()) {
    const text = `${name} has replayed up to ${formatPosition(position)}, as last heard at ${at}`;
    needs.push({by: 'slot', node: name, position, text});
  }

  for (const {mount, isLost} of readHistoryMounts(files, historyDirectory)) {
    if (isLost) continue;
    const text = `the moment ${mount.id} is mounted: mars history unmount ${file.name} ${mount.id}`;
    needs.push({by: 'history', node: null, position: positionOf(mount.base), text});
  }

  const rollback = readRollback(rollbackFile);
  if (rollback !== undefined) {
    const {base, asked} = rollback;
    const text = `the disk is being rolled back to ${asked}: mars status ${file.name}`;
    needs.push({by: 'history', node: null, position: positionOf(base), text});
  }

  return needs;
}

function whyBehind(file: ResourceFile): string {
  if (!file.attached) return `: ${file.name} is detached`;
  return file.replayPaused ? ': replay is paused' : '';
}

function planOf({home, file, disk}: PruneSubject): PlannedFile[] {
  const files = createNodeFiles();
  const {logDirectory} = resourcePaths(home, file.name);
  if (!files.exists(logDirectory)) return [];
  return planPrune({
    listing: readLogDirectory(files, logDirectory, file.id),
    needs: readNeeds(home, file),
    hasDisk: disk !== undefined,
    fileBytes: file.segmentBytes,
    sparesKept: SPARES_KEPT,
    sizeOf: (path) => fs.statSync(path).size,
  });
}

/** What no log needs, but somebody may want: it goes only when that is asked for. */
function planPurge({home, file}: PruneSubject, {purge}: PruneRequest): PlannedFile[] {
  const {directory, logDirectory} = resourcePaths(home, file.name);
  const bad = namesIn(logDirectory).filter((name) => name.startsWith('bad-'));
  const forks = namesIn(join(directory, 'forks')).filter((name) => !name.endsWith('.tmp'));
  const cuts = namesIn(join(directory, 'cuts'));
  const action = purge ? 'delete' : 'keep';
  const entry = (path: string, why: string): PlannedFile => ({
    ...{file: path.slice(directory.length + 1), kind: 'aside', path, bytes: bytesOf(path)},
    ...{
      start: null,
      end: null,
      action,
      neededBy: [],
      reason: purge ? why : `${why}: --purge removes it`,
    },
  });
  return [
    ...bad.map((name) =>
      entry(
        join(logDirectory, name),
        name.includes('.damaged')
          ? 'it was damaged, and mended from a replica'
          : 'its device failed',
      ),
    ),
    ...forks.map((name) => entry(join(directory, 'forks', name), 'a branch that was given up')),
    ...cuts.map((name) => entry(join(directory, 'cuts', name), 'mars log cut has taken it out')),
  ];
}

function namesIn(directory: string): string[] {
  return fs.existsSync(directory) ? fs.readdirSync(directory).sort() : [];
}

function bytesOf(path: string): number {
  const stat = fs.lstatSync(path);
  if (!stat.isDirectory()) return stat.size;
  return namesIn(path).reduce((sum, name) => sum + bytesOf(join(path, name)), 0);
}

/** In the order of the plan: the oldest segments first, so that what is left has no hole. */
function carryOut(subject: PruneSubject, planned: readonly PlannedFile[]): void {
  const {home, file} = subject;
  const files = createNodeFiles();
  const {logDirectory} = resourcePaths(home, file.name);
  let renamed = false;
  for (const {action, segment, end, path} of planned) {
    if (action === 'spare' && segment !== undefined && end !== null) {
      if (!isStillUnneeded(subject, segment, end)) break;
      files.rename(path, spareName(logDirectory, segment.name));
      if (files.exists(indexPathOf(path))) files.unlink(indexPathOf(path));
      renamed = true;
    } else if (action === 'delete') {
      fs.rmSync(path, {recursive: true, force: true});
    }
  }

  if (renamed) files.syncDirectory(logDirectory);
}

/** The closure check: nobody needs anything of it now, and it is the file that was looked at. */
function isStillUnneeded({home, file}: PruneSubject, segment: SegmentFile, end: number): boolean {
  if (lowestNeed(readNeeds(home, file)) < end) return false;
  const found = readSegmentFile(createNodeFiles(), segment.path, segment.name);
  return found !== undefined && isSameSegment(found.header, segment.header);
}

function spareName(logDirectory: string, name: string): string {
  let path = join(logDirectory, `spare-${name}`);
  for (let count = 1; fs.existsSync(path); count += 1) {
    path = join(logDirectory, `spare-${name}-${count}`);
  }

  return path;
}

function resultOf(
  {home, file}: PruneSubject,
  dryRun: boolean,
  planned: readonly PlannedFile[],
): PruneResult {
  const lowest = lowestNeed(readNeeds(home, file));
  const sum = (wanted: (entry: PlannedFile) => boolean): number =>
    planned.filter(wanted).reduce((bytes, entry) => bytes + entry.bytes, 0);
  return {
    schema: 1,
    name: file.name,
    dryRun,
    neededFrom: lowest === Infinity ? null : formatPosition(lowest),
    files: planned.map(showFile),
    deletedBytes: sum(({action}) => action === 'delete'),
    freeBytes: sum(
      ({action, kind}) => action === 'spare' || (kind === 'spare' && action === 'keep'),
    ),
  };
}

function showFile(planned: PlannedFile): PrunedFile {
  const {file, kind, bytes, start, end, action, reason, neededBy} = planned;
  return {
    ...{file, kind, bytes, action, reason},
    start: start === null ? null : formatPosition(start),
    end: end === null ? null : formatPosition(end),
    neededBy: neededBy.map(({by, node, position, text}): FileNeed => ({
      by,
      node,
      position: formatPosition(position),
      text,
    })),
  };
}
