/** What a crash, or another node that became primary, has left of a rollback. */
import {isDiskError} from '../../core/errors.js';
import {readRollback} from '../../core/rollback-file.js';
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import {tellDisk} from './mount.js';
import {noteTurnedBack} from './rollback.js';
import {cancelPrepared, removeRollback} from './rollback-end.js';
import {followsOthers, isRollingBack} from './rollback-state.js';

/**
 * Looks once; costs one look at a file where none is under way.
 *
 *   prepared, nobody at it          taken away when the disk serves: nothing of it was changed
 *   follows another primary now     taken away: the log of that one counts
 *   running, unknown to the disk    its process is told
 *   gone, unknown to the disk       the same
 */
export async function lookAfterRollback(context: Context, resource: Resource): Promise<void> {
  if (!isRollingBack(resource) && resource.disk?.rollback == null) return;
  try {
    await resource.run('history', () => look(context, resource));
  } catch (error) {
    if (!isDiskError(error)) throw error;
    // The disk process says the same, and does not start with it.
    if (error.code === 'STATE_UNREADABLE') {
      const {name} = resource;
      const text = `${error.message}; mars history rollback ${name} --abort --force opens the disk as it is`;
      resource.say(error.code, 'critical', text);
    } else context.log.warn({resource: resource.name, err: error}, 'a rollback that was left');
  }
}

async function look(context: Context, resource: Resource): Promise<void> {
  const {name, file, places} = resource;
  const found = readRollback(places.paths.rollbackFile);
  if (found === undefined) {
    await tellOfNone(resource);
    return;
  }

  if (file.designatedRole !== 'primary') {
    if (!followsOthers(resource.disk)) return;
    noteTurnedBack(resource, found.position);
    await removeRollback(context, resource);
    const text =
      `the rollback of ${name} to ${found.asked} was not finished here, and ${name} is not primary here any ` +
      `more: it is what the primary makes of it`;
    context.tell('ROLLBACK_DROPPED', 'warning', name, text);
    return;
  }

  const {disk} = resource;
  // Its log takes the mark that ends it.
  if (disk?.mode !== 'serve' || disk.phase !== 'serving') return;
  if (await cancelPrepared(context, resource)) {
    const text = `a rollback of ${name} to ${found.asked} was left by a crash before it changed anything: it was taken away`;
    context.tell('ROLLBACK_DROPPED', 'info', name, text);
    return;
  }

  const isKnown = disk.rollback?.phase === 'running' && disk.rollback.to === found.position;
  if (!isKnown) await tellDisk(resource, {disk});
}

/** A disk that has not heard that it is over goes on with it, and stays closed. */
async function tellOfNone(resource: Resource): Promise<void> {
  await resource.poll();
  const {disk} = resource;
  if (disk?.rollback == null || isRollingBack(resource)) return;
  await tellDisk(resource, {disk});
}
