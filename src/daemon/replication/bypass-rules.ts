/**
 * Who may not take image and log of a resource together for its disk while writes go past the log, or
 * may do so (docs/decisions/0012-bypass.md): everybody but the node itself.
 */
import {DiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import type {ResourceFile} from '../../core/home.js';
import {spacePolicyOf, WHEN_FULL_DEFAULT, type WhenFull} from '../../core/space.js';
import {refuseBypassed} from '../../disk/bypass-leave.js';
import {peekBypass} from '../../image/bypass-map.js';
import {readRetain} from '../../disk/retained.js';
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';

/** Whether writes may go past the log of this resource: not where somebody else has it, or its log. */
export function mayBypass(context: Context, file: ResourceFile): boolean {
  if (file.followFolder !== undefined) return false;
  if ((context.roles?.replicas(file.id) ?? []).length > 0) return false;
  return readRetain(context.paths.home, file.name) === Infinity;
}

/** What a resource does when its log is full: its wish, where that may be. */
export function whenFullInForce(context: Context, file: ResourceFile): WhenFull {
  const {whenFull} = spacePolicyOf(file);
  return whenFull === 'bypass' && !mayBypass(context, file) ? WHEN_FULL_DEFAULT : whenFull;
}

/** Whether the image has what the log does not say. @throws DiskError STATE_UNREADABLE */
export function isBypassed({places}: Resource): boolean {
  return peekBypass(createNodeFiles(), places.paths)?.period != null;
}

/**
 * For a wish of `when-full=bypass`.
 *
 * @throws DiskError BYPASS_REPLICAS
 */
export function refuseBypassWish(context: Context, file: ResourceFile): void {
  if (mayBypass(context, file)) return;
  const text =
    `when-full=bypass: ${file.name} has replicas on other nodes, or its log is exported: they would ` +
    `not get what goes past the log`;
  throw new DiskError('BYPASS_REPLICAS', text, {resource: file.name});
}

/**
 * For a copy of image or log to somebody else.
 *
 * @throws DiskError BYPASS_REPLICAS, BYPASS_NOT_LEFT, STATE_UNREADABLE
 */
export function refuseSharing(resource: Resource): void {
  refuseWhileBypassed(resource);
  const {name, file} = resource;
  if (spacePolicyOf(file).whenFull !== 'bypass') return;
  const text = `${name} has when-full=bypass here, so nobody else gets its log: mars resource set ${name} when-full=block comes first`;
  throw new DiskError('BYPASS_REPLICAS', text, {resource: name});
}

/**
 * For whatever believes that image and log are the disk.
 *
 * @throws DiskError BYPASS_NOT_LEFT, STATE_UNREADABLE
 */
export function refuseWhileBypassed({name, places}: Resource): void {
  refuseBypassed(createNodeFiles(), name, places.paths);
}
