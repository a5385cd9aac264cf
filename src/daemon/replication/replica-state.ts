/** What a secondary that follows is, in the words of `mars status`: pure. */
import {existsSync} from 'node:fs';
import type {FollowStatus, ReplicaStatus, ResourceState, SyncProgress} from '../../control/api.js';
import type {DiskNext, DiskStatus, Waiting} from '../../core/disk-status.js';
import {resourcePaths, type ResourceFile} from '../../core/home.js';
import type {Candidate} from './choose-source.js';
import type {Resource} from '../resource.js';
import {nextOf, nextState} from './next-view.js';
import type {FollowState} from './follow.js';

/** What is known of a follower. */
export interface FollowerInput {
  readonly file: ResourceFile;
  readonly disk: DiskStatus | undefined;
  readonly follow: FollowState;
  /** End of the primary's log as far as it is known, else the furthest of its epoch; fixed-width hex. */
  readonly primaryEnd: string | null;
  /** Epoch that the primary writes in, as it told; null: not known. */
  readonly primaryEpoch: string | null;
  /** The source, or the primary, was heard of just now. */
  readonly linkUp: boolean;
  /** Milliseconds since something was heard of it; Infinity for never. */
  readonly silentMs: number;
  /** For how long the primary has been in an epoch that the log here does not have; 0: it has it. */
  readonly otherEpochMs?: number;
  /** A folder is followed, and this old is what was exported to it; null: not known. */
  readonly folderAgeMs?: number | null;
}

/** The state of a replica that follows; undefined where the disk process does not say. */
export function followerState(input: FollowerInput): ResourceState | undefined {
  const {disk, follow} = input;
  const says = disk?.follow ?? undefined;
  if (disk === undefined || says === undefined) return undefined;
  if (says.phase === 'empty' || says.phase === 'syncing') {
    return follow.stage === 'open' && follow.flow === 'sync' ? 'Syncing' : 'InConsistent';
  }

  // The log up to the end of the copy, or of a broken batch, is not in the image yet.
  if (isMixture(disk)) return 'InConsistent';
  // What is here is whole, and of a history that nobody goes on with, until the other one is here.
  const next = nextOf(says);
  if (next !== undefined) return stateBesideNext(next);
  const answer = says.answer?.kind;
  if (answer === 'forked') return 'Forked';
  if (answer === 'unknown' || answer === 'gone') return 'Orphan';
  const fetched = isFetched(input);
  // Replay that trails behind by wish lacks nothing: log and image are the disk together.
  const trails = (disk.history?.windowSeconds ?? 0) > 0 && !input.file.replayPaused;
  const replayed = trails || disk.replayed >= disk.position;
  if (fetched) return replayed ? 'UpToDate' : 'OutDated[R]';
  return replayed ? 'OutDated[F]' : 'OutDated[FR]';
}

/** While no disk process of a follower answers, what the files of the replica say. */
export function stateOfFiles(home: string, name: string): ResourceState {
  const next = nextState(home, name);
  const isMixed = existsSync(resourcePaths(home, name).syncFile) || next?.state === 'switching';
  if (isMixed) return 'InConsistent';
  return next === undefined ? 'OutDated[FR]' : stateBesideNext(next);
}

/** What is here while something takes its place: given up, without a source, or only to be mended. */
function stateBesideNext({kind, at}: Pick<DiskNext, 'kind'> & {at: unknown}): ResourceState {
  if (at !== null) return 'Forked';
  return kind === 'repair' ? 'OutDated[FR]' : 'Orphan';
}

/** Without a primary: how far the epoch that we have is known to go on any other node. */
export function furthestEnd(
  others: readonly Pick<Candidate, 'facts'>[],
  epoch: string | null,
): string | null {
  const ends = others.filter(({facts}) => epoch !== null && facts.epoch === epoch);
  return ends.reduce<string | null>((most, {facts}) => maxOf(most, facts.position), null);
}

/** Image and log are no state that the origin ever was in. */
function isMixture(disk: DiskStatus): boolean {
  const end = disk.follow?.sync?.end ?? null;
  if (end !== null && disk.replayed < end) return true;
  return disk.position < disk.replayingTo;
}

function isFetched({disk, primaryEnd, primaryEpoch, linkUp}: FollowerInput): boolean {
  const says = disk?.follow ?? undefined;
  if (says === undefined || !linkUp) return false;
  // Asked and not answered: whether the source has this history is not known.
  if (says.connected && says.answer === null) return false;
  // Positions of another epoch tell nothing: the origin may have lost its tail and gone on.
  if (primaryEpoch !== null && disk?.epoch !== primaryEpoch) return false;
  return says.received >= (says.originEnd ?? '') && says.received >= (primaryEnd ?? '');
}

/** How a follower is doing, for its own status. */
export function followStatus(input: FollowerInput): FollowStatus | null {
  const {disk, follow, file} = input;
  const says = disk?.follow ?? undefined;
  if (says === undefined) return null;
  const end = maxOf(says.originEnd, input.primaryEnd);
  return {
    source: follow.source?.name ?? null,
    replication: replicationOf(file, follow),
    connected: follow.stage === 'open' && says.connected,
    received: says.received,
    lagSeconds: lagSeconds(input),
    lagBytes: end === null ? null : Math.max(0, numberOf(end) - numberOf(says.received)),
    sync: progressOf(disk),
  };
}

/** Never green from old facts: while nothing is heard the lag grows. */
function lagSeconds(input: FollowerInput): number | null {
  const {disk, linkUp, silentMs} = input;
  const says = disk?.follow ?? undefined;
  if (says === undefined) return null;
  const {folderAgeMs} = input;
  if (folderAgeMs !== undefined) {
    return folderAgeMs === null ? null : Math.max(0, Math.round(folderAgeMs / 1000));
  }

  if (isFetched(input)) return 0;
  // What the stream says of its lag is about the epoch that is here.
  const epochSeconds = Math.round((input.otherEpochMs ?? 0) / 1000);
  const told = says.lagSeconds;
  const known = epochSeconds === 0 ? told : Math.max(told ?? 0, epochSeconds);
  if (linkUp) return known;
  return Number.isFinite(silentMs) ? Math.max(known ?? 0, Math.round(silentMs / 1000)) : known;
}

/** The word for how a replica is replicated now, from wishes and facts. */
export function replicationOf(
  file: ResourceFile,
  follow: FollowState,
): ReplicaStatus['replication'] {
  if (!file.attached || file.connected === false) return 'stopped';
  if (follow.flow === 'sync') {
    if (file.syncPaused === true) return 'paused';
    return follow.stage === 'open' ? 'syncing' : 'stopped';
  }

  if (file.fetchPaused === true) return 'paused';
  return follow.stage === 'open' ? 'continuous' : 'stopped';
}

/** How far the copy of the image is; null where there is none to make. */
export function progressOf(disk: DiskStatus | undefined): SyncProgress | null {
  const says = disk?.follow ?? undefined;
  const next = nextOf(says);
  if (next !== undefined) return percentOf(next);
  if (says?.phase !== 'empty' && says?.phase !== 'syncing') return null;
  const doneBytes = says.sync?.doneBytes ?? 0;
  const totalBytes = says.sync?.totalBytes ?? disk?.sizeBytes ?? 0;
  return percentOf({doneBytes, totalBytes});
}

function percentOf({doneBytes, totalBytes}: Omit<SyncProgress, 'percent'>): SyncProgress {
  const percent = totalBytes === 0 ? 0 : Math.floor((doneBytes / totalBytes) * 1000) / 10;
  return {percent, doneBytes, totalBytes};
}

/** The same, also while no disk process says it. */
export function copyProgress({disk, file, places}: Resource): SyncProgress | null {
  const known = progressOf(disk);
  if (known !== null || disk !== undefined) return known;
  if (!existsSync(places.paths.syncFile)) return null;
  return {percent: 0, doneBytes: 0, totalBytes: file.sizeBytes};
}

/** What the replica waits for: its stream, else its disk process. */
export function waitingOf(disk: DiskStatus | undefined, follow: FollowState): Waiting | null {
  return follow.waiting ?? disk?.waiting ?? null;
}

/** A position that was checked before, or is our own, as a number. */
export function numberOf(position: string): number {
  return Number.parseInt(position, 16);
}

function maxOf(left: string | null, right: string | null): string | null {
  if (left === null || right === null) return left ?? right;
  return left > right ? left : right;
}
