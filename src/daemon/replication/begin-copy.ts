/**
 * How an image is brought to the history of another replica, where its own was given up: what differs
 * is fetched beside it (disk/next-state), so that what is here stays whole until the rest is here,
 * or it is compared and copied in place. The disk process has ended.
 */
import {DiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {resourcePaths, type ResourceFile} from '../../core/home.js';
import {parsePosition} from '../../core/position.js';
import {beginNext, dropNext, readNextState} from '../../disk/next-state.js';
import {emptySyncState, writeSyncState, type SyncState} from '../../disk/sync-state.js';
import {bytesIn} from '../../log/changes.js';
import {SYNC_CHUNK_BYTES} from '../../log/frame-schemas.js';
import {findDisk, stopReplay} from '../activate.js';
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import {whyTooFull} from './branch-image.js';
import type {Candidate} from './choose-source.js';
import {planLostTail} from './fork-repair.js';
import {keepLostTail} from './kept-branch.js';

const STOP_TIMEOUT_MS = 30_000;

export interface CopyWishes {
  readonly home: string;
  readonly file: ResourceFile;
  /** What is known of the image, so that only a part has to be looked at. */
  readonly known: SyncState | undefined;
  /** The end of the log of the other replicas, as far as it is known. */
  readonly end: number;
}

/** What is done, and where it is not what one would wish, why. */
export interface CopyPlan {
  readonly how: 'beside' | 'blocks' | 'compare';
  readonly whyNotBeside: string | undefined;
}

/**
 * Begins it: durable when this resolves.
 *
 * @throws the error of the file system
 */
export async function beginCopy(wishes: CopyWishes): Promise<CopyPlan> {
  const {home, file, known} = wishes;
  const {name, sizeBytes} = file;
  const files = createNodeFiles();
  // Of one that was being put in place nothing is left to go on with.
  const isTorn = readNextState(files, home, name)?.state === 'switching';
  const whyNotBeside = isTorn ? 'what is here is no state of the disk' : await whyNot(wishes);
  if (known?.only != null && !isTorn && whyNotBeside === undefined) {
    beginNext(files, home, name, known);
    return {how: 'beside', whyNotBeside};
  }

  const state = isTorn || known === undefined ? emptySyncState(sizeBytes, SYNC_CHUNK_BYTES) : known;
  // First this: from here on no disk process takes this image for a whole one.
  writeSyncState(files, home, name, state);
  dropNext(files, home, name);
  return {how: state.only == null ? 'compare' : 'blocks', whyNotBeside};
}

async function whyNot({home, file, known, end}: CopyWishes): Promise<string | undefined> {
  if (known?.only == null) return undefined;
  if (file.followFolder !== undefined) return 'a folder is followed';
  const log = Math.max(0, end - known.begin) + 2 * file.segmentBytes;
  return whyTooFull(bytesIn(known.only) + log, resourcePaths(home, file.name).directory);
}

const HOW_TOLD: Readonly<Record<CopyPlan['how'], string>> = {
  beside: 'fetches what its own log has changed, and stays as it is until all of that is here',
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
 * @param known what is known of the image, so that only a part has to be looked at
 * @throws DiskError RESOURCE_PRIMARY, TIMEOUT, STORE_*
 */
export async function copyAgain(
  context: Context,
  resource: Resource,
  others: readonly Candidate[],
  reason: DiskError,
  known?: SyncState,
): Promise<void> {
  await resource.run('copy again', async () => {
    const {name, places, file} = resource;
    const found = await findDisk(places);
    if (file.designatedRole === 'primary' || found.kind === 'serving') {
      const text = `${name} is primary here: mars secondary ${name} comes first`;
      throw new DiskError('RESOURCE_PRIMARY', text, {resource: name});
    }

    if (found.kind !== 'absent') {
      await stopReplay(places, name, performance.now() + STOP_TIMEOUT_MS);
    }

    const kept = keepLostTail(places.paths, file, reason);
    const plan = await beginCopy({
      ...{home: context.paths.home, file},
      known: known ?? (await planLostTail(resource, reason)),
      end: Math.max(0, ...others.map(({facts}) => parsePosition(facts.position ?? '') ?? 0)),
    });
    // One that is repaired beside is what it was.
    if (plan.how !== 'beside') resource.noteLost();
    context.tell('SYNC_BEGUN', 'warning', name, describe(name, plan, reason) + kept);
  });
}
