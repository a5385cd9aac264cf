/**
 * How an image is brought to the history of another replica, where its own was given up: what differs
 * is fetched beside it (disk/next-state), so that what is here stays whole until the rest is here,
 * or it is compared and copied in place. The disk process has ended.
 */
import fs from 'node:fs';
import {dirname} from 'node:path';
import {passCrashPoint} from '../../core/crash-points.js';
import {DiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {resourcePaths, type ResourceFile} from '../../core/home.js';
import {parsePosition} from '../../core/position.js';
import {beginNext, dropNext, nextImagePath} from '../../disk/next-state.js';
import {emptySyncState, writeSyncState, type SyncState} from '../../disk/sync-state.js';
import {bytesIn} from '../../log/changes.js';
import {SYNC_CHUNK_BYTES} from '../../log/frame-schemas.js';
import {findDisk, stopReplay} from '../activate.js';
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import {whyTooFull} from './branch-image.js';
import type {Candidate} from './choose-source.js';
import {givenUpFrom, planRepair} from './fork-repair.js';
import {keepLostTail} from './kept-branch.js';
import {nextState} from './next-view.js';

const STOP_TIMEOUT_MS = 30_000;

export interface CopyWishes {
  readonly home: string;
  readonly file: ResourceFile;
  /** What is known of the image, so that only a part has to be looked at. */
  readonly known: SyncState | undefined;
  /** The end of the log of the other replicas, as far as it is known. */
  readonly end: number;
  /** What is here of the history behind this position is given up; null: nothing is. */
  readonly at: number | null;
  /** What is here is worth nothing. */
  readonly isGarbage: boolean;
  /** Only content is mended: no history is given up. Absent: false. */
  readonly keepsHistory?: boolean;
}

/** What is done, and where it is not what one would wish, why. */
export interface CopyPlan {
  readonly how: 'repair' | 'beside' | 'blocks' | 'compare';
  readonly whyNotBeside: string | undefined;
}

/**
 * Begins it: durable when this resolves.
 *
 * @throws the error of the file system
 */
export async function beginCopy(wishes: CopyWishes): Promise<CopyPlan> {
  const {home, file, known, isGarbage} = wishes;
  const {name, sizeBytes} = file;
  const files = createNodeFiles();
  const before = nextState(home, name);
  // Of one that was being put in place nothing is left to go on with; what cannot be read may be one.
  const {nextFile} = resourcePaths(home, name);
  const isTorn = before === undefined ? fs.existsSync(nextFile) : before.state === 'switching';
  const isUsable = !isGarbage && !isTorn && !fs.existsSync(resourcePaths(home, name).syncFile);
  const whyNotBeside = isUsable ? await whyNot(wishes) : undefined;
  if (isUsable && whyNotBeside === undefined) {
    if (known?.only != null) {
      const at = wishes.keepsHistory === true ? null : known.begin;
      const next = {kind: 'repair', at, image: null, preallocate: false} as const;
      beginNext(files, home, name, known, next);
      return {how: 'repair', whyNotBeside};
    }

    beginBeside(wishes, wishes.at ?? before?.at ?? null);
    return {how: 'beside', whyNotBeside};
  }

  const state = isTorn || known === undefined ? emptySyncState(sizeBytes, SYNC_CHUNK_BYTES) : known;
  // First this: from here on no disk process takes this image for a whole one.
  writeSyncState(files, home, name, state);
  dropNext(files, home, name);
  return {how: state.only == null ? 'compare' : 'blocks', whyNotBeside};
}

function beginBeside({home, file}: CopyWishes, at: number | null): void {
  const {name, sizeBytes, imagePath} = file;
  const old = fs.statSync(imagePath);
  const image = nextImagePath(imagePath);
  // What was reserved stays so: foreign files must not take its room.
  const preallocate = old.blocks * 512 >= old.size;
  const sync = emptySyncState(sizeBytes, SYNC_CHUNK_BYTES);
  const files = createNodeFiles();
  // One that was made before goes now: its image may have the same name.
  dropNext(files, home, name);
  makeLike(old, image);
  beginNext(files, home, name, sync, {kind: 'beside', at, image, preallocate});
}

/** The new image is whose the old one is before next.json names it: a death later finds it so. */
function makeLike(old: fs.Stats, path: string): void {
  fs.rmSync(path, {force: true});
  const fd = fs.openSync(path, 'wx', 0o600);
  try {
    fs.fchownSync(fd, old.uid, old.gid);
    // After the owner: changing that takes bits away.
    fs.fchmodSync(fd, old.mode);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Why what is here cannot stay until the rest is here; undefined: it can. */
async function whyNot({home, file, known, end}: CopyWishes): Promise<string | undefined> {
  if (file.followFolder !== undefined) return 'a folder is followed';
  const {directory, logDirectory} = resourcePaths(home, file.name);
  if (fs.statSync(logDirectory).dev !== fs.statSync(directory).dev) {
    return `its log lies on another file system than ${directory}`;
  }

  const spare = 2 * file.segmentBytes;
  if (known?.only != null) {
    const log = Math.max(0, end - known.begin) + spare;
    const bytes = bytesIn(known.only);
    const old = fs.statSync(file.imagePath);
    // Holes of the image are filled when there is no way back any more.
    const filled = old.isFile() && old.blocks * 512 < old.size ? bytes : 0;
    const isOneFileSystem = old.dev === fs.statSync(directory).dev;
    const noRoom = await whyTooFull(bytes + (isOneFileSystem ? filled : 0) + log, directory);
    if (noRoom !== undefined || filled === 0 || isOneFileSystem) return noRoom;
    return whyTooFull(filled, dirname(file.imagePath));
  }

  if (!fs.lstatSync(file.imagePath).isFile()) return `${file.imagePath} is not a file of its own`;
  // Of a sparse image nobody knows how much of it the other one has.
  return whyTooFull(file.sizeBytes + spare, dirname(file.imagePath));
}

const HOW_TOLD: Readonly<Record<CopyPlan['how'], string>> = {
  repair: 'fetches what its own log has changed, and stays as it is until all of that is here',
  beside: 'is copied from another replica to a new image, and stays as it is until that is whole',
  blocks: 'takes from another replica what its own log has changed',
  compare: 'is compared with another replica and copied where it differs',
};

/** What is done to the replica, for people. */
function describe(name: string, plan: CopyPlan, reason: Error): string {
  const {how, whyNotBeside} = plan;
  const text = `${name} ${HOW_TOLD[how]}: ${reason.message}`;
  if (whyNotBeside === undefined) return text;
  return `${text}; until then it is no state of the disk, as that has no place beside it: ${whyNotBeside}`;
}

/**
 * The image of a secondary is brought to the history of another replica, whatever it holds.
 *
 * @param others that a source will be chosen from
 * @param reason REPLICA_INCONSISTENT: what is here is worth nothing, and is not kept meanwhile
 * @returns how
 * @throws DiskError RESOURCE_PRIMARY, TIMEOUT, STORE_*
 */
export async function copyAgain(
  context: Context,
  resource: Resource,
  others: readonly Candidate[],
  reason: DiskError,
): Promise<CopyPlan['how']> {
  return resource.run('copy again', async () => {
    const {name, places, file} = resource;
    const found = await findDisk(places);
    if (file.designatedRole === 'primary' || found.kind === 'serving') {
      const text = `${name} is primary here: mars secondary ${name} comes first`;
      throw new DiskError('RESOURCE_PRIMARY', text, {resource: name});
    }

    if (found.kind !== 'absent') {
      await stopReplay(places, name, performance.now() + STOP_TIMEOUT_MS);
    }

    passCrashPoint('copy-again');
    const kept = keepLostTail(places.paths, file, reason);
    const at = givenUpFrom(reason);
    const plan = await beginCopy({
      ...{home: context.paths.home, file},
      // Not before the process has ended: what it replayed until then differs as well.
      known: at === undefined ? undefined : await planRepair(resource, at),
      ...{at: at ?? null, isGarbage: reason.code === 'REPLICA_INCONSISTENT'},
      end: Math.max(0, ...others.map(({facts}) => parsePosition(facts.position ?? '') ?? 0)),
    });
    passCrashPoint('copy-again-noted');
    // One that is repaired beside is what it was.
    if (plan.how !== 'repair' && plan.how !== 'beside') resource.noteLost();
    context.tell('SYNC_BEGUN', 'warning', name, describe(name, plan, reason) + kept);
    return plan.how;
  });
}
