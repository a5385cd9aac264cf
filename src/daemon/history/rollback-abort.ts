/** `history rollback --abort`: back to what the disk was before the rollback, by a rollback to there. */
import type {HistoryAbortRequest, HistoryAbortResult} from '../../control/history-api.js';
import {DiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {writeJsonFile} from '../../core/json-file.js';
import {parsePosition} from '../../core/position.js';
import {readRollback, type RollbackFile} from '../../core/rollback-file.js';
import {momentAtPosition} from '../../log/moments.js';
import type {Context} from '../context.js';
import {applyDevice} from '../operations.js';
import type {Resource} from '../resource.js';
import {hushOfRole} from '../role-messages.js';
import {tellDisk} from './mount.js';
import {cancelPrepared, noteTurnedBack, removeRollback} from './rollback.js';

/**
 * Undoes a rollback that is under way: begins to. In the queue of the resource.
 *
 * @throws DiskError HISTORY_GONE where the log cannot be read up to there
 */
export async function abortRollback(
  context: Context,
  resource: Resource,
  {force}: HistoryAbortRequest,
): Promise<HistoryAbortResult> {
  const {name} = resource;
  const begun = await turnBack(context, resource, force);
  const position = begun.outcome === 'undone' ? begun.position : null;
  return {schema: 1, name, outcome: begun.outcome, position};
}

type Begun =
  {readonly outcome: 'none' | 'left'} | {readonly outcome: 'undone'; readonly position: string};

async function turnBack(context: Context, resource: Resource, force: boolean): Promise<Begun> {
  const {name, places} = resource;
  const {rollbackFile} = places.paths;
  // Also what a promotion said of a log that ends in a rollback: whoever says this has read it.
  hushOfRole(context, resource, 'ROLLBACK_UNFINISHED');
  if (await cancelPrepared(context, resource)) return {outcome: 'none'};
  const running = readRollback(rollbackFile);
  if (running === undefined) return {outcome: 'none'};
  // Asked for once more: it is on the way back.
  if (running.from === null && !force) return {outcome: 'undone', position: running.position};
  if (force) {
    noteTurnedBack(resource, running.position);
    await removeRollback(context, resource);
    await applyDevice(resource);
    const text = `the rollback of ${name} to ${running.asked} was given up by force: the disk is a mixture of then and before`;
    context.tell('ROLLBACK_DROPPED', 'warning', name, text);
    return {outcome: 'left'};
  }

  const back = await wayBack(resource, running, running.from ?? running.position);
  noteTurnedBack(resource, running.position);
  writeJsonFile(rollbackFile, back);
  const text = `the rollback of ${name} to ${running.asked} is undone: back to ${back.position}`;
  context.tell('ROLLBACK_BEGUN', 'warning', name, text, {position: back.position});
  await resource.poll();
  await tellDisk(resource, {disk: resource.disk});
  return {outcome: 'undone', position: back.position};
}

async function wayBack(
  {name, file, places}: Resource,
  running: RollbackFile,
  from: string,
): Promise<RollbackFile> {
  const place = {
    files: createNodeFiles(),
    directory: places.paths.logDirectory,
    resourceId: file.id,
  };
  const position = parsePosition(from) ?? 0;
  const range = {from: parsePosition(running.base) ?? 0, to: position};
  const moment = await momentAtPosition(place, range, position);
  if (moment?.position !== position) {
    const text =
      `the log of ${name} cannot be read up to the begin of the rollback: mars log verify ${name}; ` +
      `mars history rollback ${name} --abort --force opens the disk as it is`;
    throw new DiskError('HISTORY_GONE', text, {resource: name});
  }

  return {
    ...running,
    asked: 'before the rollback',
    position: from,
    chain: moment.chain,
    from: null,
  };
}
