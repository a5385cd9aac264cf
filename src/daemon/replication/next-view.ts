/** A replica that is made beside the one here (disk/next-state), as the daemon sees it. */
import type {DiskFollow, DiskNext} from '../../core/disk-status.js';
import {DiskError, isDiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {resourcePaths} from '../../core/home.js';
import {formatPosition} from '../../core/position.js';
import {peekNextState, type NextState} from '../../disk/next-state.js';
import {readSyncState} from '../../disk/sync-state.js';
import {readLineage, type LineageEntry} from '../../log/lineage.js';

/** true while content is copied, be it into the image or beside it: no log is fetched then. */
export function isCopying({phase, next}: Pick<DiskFollow, 'phase' | 'next'>): boolean {
  if (next != null) return next.phase === 'copying';
  return phase === 'empty' || phase === 'syncing';
}

/** The replica that is made, while what is here is still whole. */
export function nextOf(follow: DiskFollow | null | undefined): DiskNext | undefined {
  const next = follow?.next ?? undefined;
  return next?.phase === 'switching' ? undefined : next;
}

/** Epochs of a replica that is made; empty where it is not known. */
export function nextLineage(home: string, name: string): LineageEntry[] {
  const {nextHome} = resourcePaths(home, name);
  return readLineage(createNodeFiles(), resourcePaths(nextHome, name).lineageFile);
}

/** The new replica is being put in the place of the old one: there is none to be used meanwhile. */
export function isSwitching(home: string, name: string): boolean {
  return nextState(home, name)?.state === 'switching';
}

/** What next.json says; undefined where there is none, or it cannot be read: the disk process says so. */
export function nextState(home: string, name: string): NextState | undefined {
  return peekNextState(createNodeFiles(), home, name);
}

/** A history that is given up here, as the node tells it to others. */
export interface GivenUp {
  /** It counts up to here only, as the rest is given up; null: there is no position that counts. */
  readonly at: string | null;
}

/**
 * What the files say of that, also before a disk process runs that does.
 *
 * @returns undefined where nothing is given up, or nobody can tell
 */
export function givenUpHere(home: string, name: string): GivenUp | undefined {
  const at = nextState(home, name)?.at ?? undefined;
  if (at !== undefined) return {at: formatPosition(at)};
  try {
    const sync = readSyncState(createNodeFiles(), home, name);
    return sync === undefined || sync.state === 'done' ? undefined : {at: null};
  } catch (error) {
    if (!isDiskError(error, 'STATE_UNREADABLE')) throw error;
    return undefined;
  }
}

/** @throws DiskError DISK_UNREACHABLE where no decision about the replica here can be made just now */
export function refuseSwitching(home: string, name: string): void {
  if (!isSwitching(home, name)) return;
  const text = `what was fetched for ${name} is put in place just now: try again`;
  throw new DiskError('DISK_UNREACHABLE', text, {resource: name});
}
