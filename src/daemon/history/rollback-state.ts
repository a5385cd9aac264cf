/** Whether a disk is being rolled back, and what is refused meanwhile. */
import fs from 'node:fs';
import type {DiskStatus} from '../../core/disk-status.js';
import {DiskError} from '../../core/errors.js';
import type {Resource} from '../resource.js';

/** true from before the first change until the disk is whole again. Costs one look at a file. */
export function isRollingBack({places}: Pick<Resource, 'places'>): boolean {
  return fs.existsSync(places.paths.rollbackFile);
}

/**
 * Before anything that needs a disk that is whole.
 *
 * @throws DiskError ROLLBACK_UNFINISHED
 */
export function refuseWhileRollingBack(resource: Resource): void {
  if (isRollingBack(resource)) throw unfinished(resource.name);
}

/**
 * Whether what is here is what the primary makes of it: the log of another node is followed, or this copy is given
 * up for another one. Not while it is not known, or the histories have parted: either of them may be kept then.
 */
export function followsOthers(disk: DiskStatus | undefined): boolean {
  const follow = disk?.mode === 'follow' ? disk.follow : undefined;
  if (follow == null) return false;
  const {answer, phase, next} = follow;
  if (phase === 'empty' || phase === 'syncing' || next != null) return true;
  return answer?.kind === 'follow' || answer?.kind === 'cut';
}

/** A ROLLBACK_UNFINISHED. */
export function unfinished(name: string): DiskError {
  const text =
    `${name} is being rolled back: mars status ${name} says how far it is, ` +
    `mars history rollback ${name} --abort goes back to what it was before`;
  return new DiskError('ROLLBACK_UNFINISHED', text, {resource: name});
}
