/** Whether a disk is being rolled back, and what is refused meanwhile. */
import fs from 'node:fs';
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

/** A ROLLBACK_UNFINISHED. */
export function unfinished(name: string): DiskError {
  const text =
    `${name} is being rolled back: mars status ${name} says how far it is, ` +
    `mars history rollback ${name} --abort goes back to what it was before`;
  return new DiskError('ROLLBACK_UNFINISHED', text, {resource: name});
}
