/** From where to where the disk of this node can be mounted as it was, and where a moment lies in that. */
import {setTimeout as sleep} from 'node:timers/promises';
import type {DiskStatus} from '../../core/disk-status.js';
import {DiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {formatPosition, parsePosition} from '../../core/position.js';
import {TwoSlotFile} from '../../core/two-slot.js';
import type {When} from '../../core/when.js';
import {readSyncState} from '../../disk/sync-state.js';
import {isReplayState} from '../../image/replay-state.js';
import {readDurablePosition} from '../../log/durable-word.js';
import {readProvenEnd} from '../../log/log-end.js';
import {
  findMarks,
  momentAtPosition,
  momentAtTime,
  type Mark,
  type Moment,
} from '../../log/moments.js';
import type {Context} from '../context.js';
import {findDisk} from '../activate.js';
import {callDisk} from '../disk-call.js';
import type {Resource} from '../resource.js';

const COMMIT_MS = 30_000;
const LOOK_MS = 20;
const READY_MS = 10_000;

/** What can be mounted: positions in [oldest, newest]. */
export interface Reach {
  /** Everything below is in the image: the log from here on is needed. */
  readonly base: number;
  readonly oldest: number;
  readonly newest: number;
  /** Milliseconds since 1970: any moment since; null: not known. */
  readonly restorableFromMs: number | null;
  /** The disk process; undefined where none runs. */
  readonly disk: DiskStatus | undefined;
}

/** Marks of sealed logfiles of one resource: they are read once. */
export type KnownMarks = Map<string, readonly Mark[]>;

/**
 * Looks how far back and forth the disk can be mounted now.
 *
 * @param commits true: what was written until now is made durable first, so that it counts
 * @throws DiskError DISK_UNREACHABLE, REPLICA_INCONSISTENT, HISTORY_GONE where there is no log yet
 */
export async function reachOf(
  context: Context,
  resource: Resource,
  commits: boolean,
): Promise<Reach> {
  const {places, name, file} = resource;
  const {home} = context.paths;
  const files = createNodeFiles();
  const sync = readSyncState(files, home, name);
  const disk = await readyDisk(resource);
  if (disk !== undefined) {
    if (commits) await callDisk(places.paths.socket, '/commit', COMMIT_MS);
    const status = commits ? ((await findDisk(places)).status ?? disk) : disk;
    if (isMixture(status)) throw inconsistent(name);
    const durable = positionOf(status.durable);
    const origin = positionOf(status.follow?.originDurable ?? status.replayingTo);
    const oldest = Math.max(positionOf(status.replayingTo), positionOf(status.replayed));
    const newest = status.mode === 'follow' ? Math.min(durable, origin) : durable;
    const from = status.history?.restorableFrom ?? null;
    return {
      ...{base: positionOf(status.replayed), oldest, newest: Math.max(oldest, newest)},
      ...{restorableFromMs: from === null ? null : Date.parse(from), disk: status},
    };
  }

  if (sync !== undefined) throw inconsistent(name);
  const {paths} = places;
  const state = files.exists(paths.replayFile)
    ? TwoSlotFile.peek(files, paths.replayFile)
    : undefined;
  if (!isReplayState(state)) {
    throw new DiskError('HISTORY_GONE', `${name} was never in use here: it has no history`, {
      resource: name,
    });
  }

  const newest = Math.max(
    state.to,
    readDurablePosition(files, paths),
    files.exists(paths.logDirectory) ? readProvenEnd(files, paths, file.id) : 0,
  );
  const createdMs = state.to === 0 ? Date.parse(file.createdAt) : null;
  return {
    ...{base: state.from, oldest: state.to, newest},
    ...{restorableFromMs: state.timeMs ?? createdMs, disk: undefined},
  };
}

/** One that is only starting is waited for: it may recover its log. */
async function readyDisk(resource: Resource): Promise<DiskStatus | undefined> {
  const deadline = performance.now() + READY_MS;
  for (;;) {
    const {kind, status} = await findDisk(resource.places);
    if (kind === 'absent') return undefined;
    const isReady = status !== undefined && !['starting', 'recovering'].includes(status.phase);
    if (isReady) return status;
    if (performance.now() > deadline) {
      const text = `the disk process of ${resource.name} does not answer: mars status ${resource.name}`;
      throw new DiskError('DISK_UNREACHABLE', text, {resource: resource.name});
    }

    await sleep(LOOK_MS);
  }
}

function isMixture({follow, position, replayed, replayingTo}: DiskStatus): boolean {
  if (follow?.phase === 'empty' || follow?.phase === 'syncing') return true;
  const end = follow?.sync?.end ?? null;
  return (end !== null && replayed < end) || position < replayingTo;
}

function inconsistent(name: string): DiskError {
  return new DiskError(
    'REPLICA_INCONSISTENT',
    `the image of ${name} is being copied from another replica: it has no history until that is done`,
    {resource: name},
  );
}

/**
 * Finds a moment.
 *
 * @throws DiskError HISTORY_GONE, HISTORY_AHEAD, HISTORY_MARK_UNKNOWN, LOG_FORMAT, STORE_IO
 */
export async function findMoment(
  resource: Resource,
  reach: Reach,
  when: When,
  known: KnownMarks,
): Promise<Moment> {
  const {file, places} = resource;
  const {logDirectory} = places.paths;
  const place = {files: createNodeFiles(), directory: logDirectory, resourceId: file.id};
  const range = {from: reach.oldest, to: reach.newest};
  if (when.kind === 'time') {
    refuseTime(resource, reach, when.timeMs);
    return required(await momentAtTime(place, range, when.timeMs), resource);
  }

  let position = when.kind === 'position' ? positionOf(when.position) : 0;
  if (when.kind === 'mark') {
    const marks = await findMarks(place, range, known);
    const mark = marks.findLast(({label}) => label === when.label);
    if (mark === undefined) {
      const labels = marks.map(({label}) => label).join(', ') || 'none';
      throw new DiskError(
        'HISTORY_MARK_UNKNOWN',
        `there is no mark '${when.label}' in what can be mounted of ${resource.name} here: ${labels}`,
        {resource: resource.name, label: when.label},
      );
    }

    position = mark.position;
  }

  if (position < reach.oldest) throw tooOld(resource, reach);
  if (position > reach.newest) {
    const newest = formatPosition(reach.newest);
    const text = `the log of ${resource.name} is durable here up to ${newest} only`;
    throw new DiskError('HISTORY_AHEAD', text, {resource: resource.name, newest});
  }

  return required(await momentAtPosition(place, range, position), resource);
}

function refuseTime(resource: Resource, reach: Reach, timeMs: number): void {
  const {restorableFromMs} = reach;
  if (timeMs > Date.now() + 1000) {
    const text = `${new Date(timeMs).toISOString()} has not come yet`;
    throw new DiskError('HISTORY_AHEAD', text, {resource: resource.name});
  }

  if (restorableFromMs !== null && timeMs < restorableFromMs) throw tooOld(resource, reach);
}

function tooOld({name}: Resource, {restorableFromMs, oldest}: Reach): DiskError {
  const from = restorableFromMs === null ? null : new Date(restorableFromMs).toISOString();
  return new DiskError(
    'HISTORY_GONE',
    `the image of ${name} is newer than that: what can be mounted here begins at ` +
      `${from ?? 'a time that is not known'} (position ${formatPosition(oldest)}); mars history list ${name}`,
    {resource: name, oldest: formatPosition(oldest), ...(from === null ? {} : {from})},
  );
}

function required(moment: Moment | undefined, {name}: Resource): Moment {
  if (moment !== undefined) return moment;
  throw new DiskError(
    'HISTORY_GONE',
    `the log of ${name} cannot be read from the image up to that moment: mars log verify ${name}`,
    {resource: name},
  );
}

function positionOf(text: string): number {
  return parsePosition(text) ?? 0;
}
