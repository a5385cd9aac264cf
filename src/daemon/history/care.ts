/**
 * Looks after mounted moments: tells of those that are lost, and takes away what a crash or a reboot has left of
 * others. Where processes have the lock of a moment it lives; else what is there of it is of no use.
 */
import {createNodeFiles} from '../../core/files.js';
import {readHistoryMounts} from '../../core/history-mounts.js';
import type {Context} from '../context.js';
import {DiskError} from '../../core/errors.js';
import type {Resource} from '../resource.js';
import {lookAfterRollback} from './rollback-care.js';
import {isServed} from './moment-places.js';
import {removeMoment, unmountMoment} from './mount.js';

/** One for each resource; all of it may be forgotten. */
export class HistoryCare {
  readonly #context: Context;
  readonly #resource: Resource;

  constructor(context: Context, resource: Resource) {
    this.#context = context;
    this.#resource = resource;
  }

  /** Looks once. Costs one look at a directory where nothing is mounted. */
  async look(): Promise<void> {
    const resource = this.#resource;
    await lookAfterRollback(this.#context, resource);
    const found = readHistoryMounts(createNodeFiles(), directoryOf(resource));
    noteLost(
      resource,
      found.filter(({isLost}) => isLost).map(({mount}) => mount.id),
    );
    for (const {mount} of found) {
      if (await isServed(resource, mount.id)) continue;
      await resource.run('history', () => this.#remove(mount.id));
    }
  }

  /** In the queue of the resource: what is mounted just now has its processes by then. */
  async #remove(id: string): Promise<void> {
    const resource = this.#resource;
    const found = readHistoryMounts(createNodeFiles(), directoryOf(resource));
    const mount = found.find((one) => one.mount.id === id)?.mount;
    if (mount === undefined || (await isServed(resource, id))) return;
    await removeMoment(this.#context, resource, mount);
    const text = `the moment ${id} of ${resource.name} was left by a crash or reboot: its remains were removed`;
    this.#context.tell('CRASH_CLEANED', 'warning', resource.name, text);
  }
}

function noteLost(resource: Resource, ids: readonly string[]): void {
  if (ids.length === 0) {
    resource.hush('HISTORY_LOST');
    return;
  }

  const text =
    `mounted moments that are lost, reads are answered with an I/O error: ${ids.join(', ')}; ` +
    `mars history unmount ${resource.name} ${ids[0] ?? ''}`;
  resource.say('HISTORY_LOST', 'warning', text);
}

function directoryOf({places}: Resource): string {
  return places.paths.historyDirectory;
}

/**
 * Before a resource is removed from this node.
 *
 * @throws DiskError HISTORY_BUSY where a moment of it is mounted
 */
export function refuseWhileMounted(resource: Resource): void {
  const [first] = readHistoryMounts(createNodeFiles(), directoryOf(resource));
  if (first === undefined) return;
  const {name} = resource;
  const text = `the moment ${first.mount.id} of ${name} is mounted: mars history unmount ${name} --all comes first`;
  throw new DiskError('HISTORY_BUSY', text, {resource: name});
}

/** Takes all moments of a resource away. @throws DiskError HISTORY_BUSY: the rest stays */
export async function unmountAll(context: Context, resource: Resource): Promise<string[]> {
  const found = readHistoryMounts(createNodeFiles(), directoryOf(resource));
  for (const {mount} of found) await unmountMoment(context, resource, mount);
  return found.map(({mount}) => mount.id);
}
