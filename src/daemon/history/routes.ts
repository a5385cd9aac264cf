/** What the control API answers on history (control/history-api). */
import type {
  EpochView,
  HistoryMarkResult,
  HistoryUnmountRequest,
  HistoryUnmountResult,
  HistoryView,
} from '../../control/history-api.js';
import {DiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {readHistoryMounts} from '../../core/history-mounts.js';
import {formatPosition} from '../../core/position.js';
import {isRollbackLabel} from '../../core/rollback-file.js';
import {readLineage} from '../../log/lineage.js';
import {isLabel, LABEL_RULE} from '../../log/mark-label.js';
import {findMarks} from '../../log/moments.js';
import {listSegments} from '../../log/walk.js';
import type {Context} from '../context.js';
import {callDisk} from '../disk-call.js';
import {
  HISTORY_ABORT,
  HISTORY_MARK,
  HISTORY_MOUNT,
  HISTORY_ROLLBACK,
  HISTORY_UNMOUNT,
  ROLLBACK_WAIT,
  parseBody,
} from '../requests.js';
import type {Resource} from '../resource.js';
import {unmountAll} from './care.js';
import {showMoment} from './moment-places.js';
import {mountMoment, unmountMoment} from './mount.js';
import {reachOf, type KnownMarks, type Reach} from './reach.js';
import {abortRollback} from './rollback-abort.js';
import {rollBack, waitForRollback} from './rollback.js';

const MARK_MS = 30_000;
const KNOWN_MAX = 8192;

/** What was read of sealed logfiles, by resource: it never changes. */
const knownMarks = new WeakMap<Resource, KnownMarks>();

function knownOf(resource: Resource): KnownMarks {
  let known = knownMarks.get(resource);
  if (known === undefined) {
    known = new Map();
    knownMarks.set(resource, known);
  }

  // Logfiles that are gone stay in it: begun anew now and then it stays small.
  if (known.size > KNOWN_MAX) known.clear();
  return known;
}

export type HistoryRoute =
  | 'GET history'
  | `POST history/${'mark' | 'mount' | 'unmount' | 'rollback' | 'rollback/abort' | 'rollback/wait'}`;

/** Answers one request. @throws DiskError as what is asked for */
export async function answerHistory(
  context: Context,
  resource: Resource,
  route: HistoryRoute,
  body: string,
): Promise<unknown> {
  switch (route) {
    case 'GET history':
      return historyView(context, resource);
    case 'POST history/mark': {
      const {label} = parseBody(HISTORY_MARK, body);
      return markMoment(context, resource, label);
    }

    case 'POST history/mount': {
      const wish = parseBody(HISTORY_MOUNT, body);
      return resource.run('history mount', () =>
        mountMoment(context, resource, wish, knownOf(resource)),
      );
    }

    case 'POST history/unmount': {
      const wish = parseBody(HISTORY_UNMOUNT, body);
      return resource.run('history unmount', () => unmount(context, resource, wish));
    }

    case 'POST history/rollback': {
      const wish = parseBody(HISTORY_ROLLBACK, body);
      return resource.run('history rollback', () =>
        rollBack(context, resource, wish, knownOf(resource)),
      );
    }

    case 'POST history/rollback/abort': {
      const wish = parseBody(HISTORY_ABORT, body);
      return resource.run('history rollback --abort', () => abortRollback(context, resource, wish));
    }

    // Not in the queue of the resource: others are refused meanwhile, with the reason.
    case 'POST history/rollback/wait':
      return waitForRollback(context, resource, parseBody(ROLLBACK_WAIT, body));
  }
}

async function historyView(context: Context, resource: Resource): Promise<HistoryView> {
  const {name, file, places} = resource;
  const files = createNodeFiles();
  const {paths} = places;
  const reach = await reachOf(context, resource, false);
  const place = {files, directory: paths.logDirectory, resourceId: file.id};
  const range = {from: reach.oldest, to: reach.newest};
  const marks = await findMarks(place, range, knownOf(resource));
  const {restorableFromMs} = reach;
  return {
    ...{schema: 1, name, windowSeconds: file.historySeconds ?? 0},
    oldest: formatPosition(reach.oldest),
    restorableFrom: restorableFromMs === null ? null : new Date(restorableFromMs).toISOString(),
    newest: formatPosition(reach.newest),
    marks: marks.map(({label, position, timeMs}) => {
      return {label, position: formatPosition(position), time: new Date(timeMs).toISOString()};
    }),
    epochs: epochsOf(resource, reach),
    mounts: readHistoryMounts(files, paths.historyDirectory).map((found) =>
      showMoment(context, name, found),
    ),
  };
}

function epochsOf({file, places}: Resource, {oldest, newest}: Reach): EpochView[] {
  const files = createNodeFiles();
  const {lineageFile, logDirectory} = places.paths;
  const begun = new Map(
    listSegments(files, logDirectory, file.id)
      .filter(({header}) => header.start === header.epochStart)
      .map(({header}) => [header.epoch, header.createdMs]),
  );
  const lineage = readLineage(files, lineageFile);
  const first = lineage.findLastIndex(({start}) => start <= formatPosition(oldest));
  return lineage
    .slice(Math.max(0, first))
    .filter(({start}) => start <= formatPosition(newest))
    .map(({epoch, nodeName, start}) => {
      const ms = begun.get(epoch);
      const time = ms === undefined ? null : new Date(ms).toISOString();
      return {epoch, node: nodeName, position: start, time};
    });
}

/** @throws DiskError USAGE, RESOURCE_NOT_PRIMARY, LOG_SPACE, TIMEOUT */
async function markMoment(
  context: Context,
  resource: Resource,
  label: string,
): Promise<HistoryMarkResult> {
  const {name, places} = resource;
  if (!isLabel(label))
    throw new DiskError('USAGE', `expected a label of ${LABEL_RULE}, got '${label}'`);
  if (isRollbackLabel(label)) {
    const text = `'${label}' is a name that only a rollback gives: choose another one`;
    throw new DiskError('USAGE', text);
  }

  await resource.poll();
  if (resource.disk?.mode !== 'serve') {
    const text = `${name} is not primary here: a moment is marked where it is written`;
    throw new DiskError('RESOURCE_NOT_PRIMARY', text, {resource: name});
  }

  const {position} = await callDisk<{position: string}>(places.paths.socket, '/mark', MARK_MS, {
    label,
  });
  const text = `a moment of ${name} is named ${label}: position ${position}`;
  context.tell('HISTORY_MARKED', 'info', name, text, {label, position});
  return {schema: 1, name, label, position, time: new Date(context.clock.wallMs()).toISOString()};
}

/** @throws DiskError HISTORY_BUSY, USAGE */
async function unmount(
  context: Context,
  resource: Resource,
  {moment, all}: HistoryUnmountRequest,
): Promise<HistoryUnmountResult> {
  const {name, places} = resource;
  if (all) return {schema: 1, name, unmounted: await unmountAll(context, resource)};
  const found = readHistoryMounts(createNodeFiles(), places.paths.historyDirectory);
  const only = moment === undefined && found.length === 1 ? found[0] : undefined;
  const wanted = only ?? found.find(({mount}) => mount.id === moment);
  if (wanted === undefined && (moment === undefined ? found.length > 0 : true)) {
    const ids = found.map(({mount}) => mount.id).join(', ') || 'none';
    const text = `expected one of the moments of ${name} that are mounted (${ids}), or --all`;
    throw new DiskError('USAGE', text, {resource: name});
  }

  if (wanted === undefined) return {schema: 1, name, unmounted: []};
  await unmountMoment(context, resource, wanted.mount);
  return {schema: 1, name, unmounted: [wanted.mount.id]};
}
