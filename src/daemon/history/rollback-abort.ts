/** `history rollback --abort`: back to what the disk was before the rollback, by a rollback to there. */
import type {HistoryAbortRequest, HistoryAbortResult} from '../../control/history-api.js';
import {DiskError, isDiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {writeJsonFile} from '../../core/json-file.js';
import {parsePosition} from '../../core/position.js';
import {readRollback, type RollbackFile} from '../../core/rollback-file.js';
import {momentAtPosition} from '../../log/moments.js';
import type {Context} from '../context.js';
import {callDisk} from '../disk-call.js';
import {applyDevice} from '../operations.js';
import type {Resource} from '../resource.js';
import {hushOfRole} from '../role-messages.js';
import {tellDisk} from './mount.js';
import {noteTurnedBack} from './rollback.js';
import {cancelPrepared, markGivenUp, removeRollback} from './rollback-end.js';

/** A step that is under way ends first. */
const REST_MS = 30_000;

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
  const running = readForAbort(resource, force);
  if (running === 'unreadable') return giveUp(context, resource, undefined);
  if (await cancelPrepared(context, resource)) return {outcome: 'none'};
  if (running === undefined) return {outcome: 'none'};
  if (force) return giveUp(context, resource, running);
  // Asked for once more: it is on the way back.
  if (running.from === null) return {outcome: 'undone', position: running.position};
  const back = await wayBack(resource, running, running.from);
  await restDisk(resource);
  // While the log was read it may have come to its end.
  const left = readRollback(rollbackFile);
  if (left?.position !== running.position) return {outcome: 'none'};
  noteTurnedBack(resource, running.position);
  writeJsonFile(rollbackFile, back);
  const text = `the rollback of ${name} to ${running.asked} is undone: back to ${back.position}`;
  context.tell('ROLLBACK_BEGUN', 'warning', name, text, {position: back.position});
  await tellDisk(resource, {disk: resource.disk});
  return {outcome: 'undone', position: back.position};
}

/** @throws DiskError STATE_UNREADABLE, with what takes such a file away */
function readForAbort(
  {name, places}: Resource,
  force: boolean,
): RollbackFile | 'unreadable' | undefined {
  try {
    return readRollback(places.paths.rollbackFile);
  } catch (error) {
    if (!isDiskError(error, 'STATE_UNREADABLE')) throw error;
    if (force) return 'unreadable';
    const text = `${error.message}; mars history rollback ${name} --abort --force opens the disk as it is`;
    throw new DiskError('STATE_UNREADABLE', text, error.details);
  }
}

/** By force: the disk stays as it is. @param running undefined: its file cannot be read */
async function giveUp(
  context: Context,
  resource: Resource,
  running: RollbackFile | undefined,
): Promise<Begun> {
  const {name} = resource;
  if (running !== undefined) {
    noteTurnedBack(resource, running.position);
    await restDisk(resource);
  }

  await markGivenUp(context, resource);
  await removeRollback(context, resource);
  if (running === undefined) resource.hush('STATE_UNREADABLE');
  await applyDevice(resource);
  const what = running === undefined ? '' : ` to ${running.asked}`;
  const text =
    `the rollback of ${name}${what} was given up by force: the disk is a mixture of then and before` +
    (running === undefined ? ', as far as is known: what was to be done could not be read' : '');
  context.tell('ROLLBACK_DROPPED', 'warning', name, text);
  return {outcome: 'left'};
}

/** Nothing of it is under way for some seconds, or until it is told of something new. */
async function restDisk(resource: Resource): Promise<void> {
  await resource.poll();
  if (resource.disk?.mode !== 'serve') return;
  await callDisk(resource.places.paths.socket, '/rollback/rest', REST_MS);
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
