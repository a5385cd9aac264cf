/** How a rollback is taken away before its end. */
import fs from 'node:fs';
import {dirname} from 'node:path';
import {isDiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {GIVEN_UP_LABEL, readRollback} from '../../core/rollback-file.js';
import type {Context} from '../context.js';
import {callDisk} from '../disk-call.js';
import {applyDevice} from '../operations.js';
import type {Resource} from '../resource.js';
import {tellDisk} from './mount.js';

const MARK_MS = 30_000;

/**
 * Takes away a rollback that has changed nothing yet: the disk is as it was. In the queue of the resource.
 *
 * @param isMarked false: it is known that the log does not have the mark where it began
 * @returns false where there is none
 */
export async function cancelPrepared(
  context: Context,
  resource: Resource,
  isMarked = true,
): Promise<boolean> {
  const {rollbackFile} = resource.places.paths;
  if (readRollback(rollbackFile)?.phase !== 'prepared') return false;
  if (isMarked) await markGivenUp(context, resource);
  await removeRollback(context, resource);
  await applyDevice(resource).catch((error: unknown) => {
    // The supervision makes the device again.
    context.log.warn(
      {resource: resource.name, err: error},
      'no device after a rollback that was refused',
    );
  });
  return true;
}

/**
 * Says in the log that a rollback which has begun there does not go on: who becomes primary later would take
 * it for one that was cut. Where the disk takes no mark now that is only logged.
 */
export async function markGivenUp(context: Context, resource: Resource): Promise<void> {
  await resource.poll();
  const {disk, name, places} = resource;
  if (disk?.mode !== 'serve' || disk.phase !== 'serving') return;
  try {
    await callDisk(places.paths.socket, '/mark', MARK_MS, {label: GIVEN_UP_LABEL});
  } catch (error) {
    if (!isDiskError(error)) throw error;
    context.log.warn({resource: name, err: error}, 'no mark at the end of a rollback');
  }
}

/** The disk can be opened again, as it is. */
export async function removeRollback(context: Context, resource: Resource): Promise<void> {
  const {rollbackFile} = resource.places.paths;
  fs.rmSync(rollbackFile, {force: true});
  createNodeFiles().syncDirectory(dirname(rollbackFile));
  await resource.poll();
  if (resource.disk?.rollback === undefined) return;
  await tellDisk(resource, {disk: resource.disk}).catch((error: unknown) => {
    // It is told again (rollback-care).
    context.log.warn({resource: resource.name, err: error}, 'the disk was not told');
  });
}
