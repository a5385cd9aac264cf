/**
 * Up to where two nodes have the same log, and what the one that follows has to do. Pure.
 *
 * An epoch begins once, so an entry that both lineages have with the same start and the same chain
 * value proves that everything below its start is the same on both. Behind it, in the newest such
 * epoch E, the source has the records up to S (where its next epoch begins, or its log ends), the
 * follower those up to F (likewise). Of one epoch nobody but its origin writes, so up to the lower
 * of the two they agree. An epoch in which nothing was written may be missing in either lineage.
 */
import {parsePosition} from '../core/position.js';
import type {LineageEntry} from '../log/lineage.js';

export interface Branch {
  /** The epochs in order; older ones may be missing in front. */
  readonly lineage: readonly LineageEntry[];
  /** Where the log ends. */
  readonly position: number;
}

export interface FollowerBranch extends Branch {
  readonly nodeId: string;
  /** The image may hold blocks of everything below. */
  readonly to: number;
}

export type CommonPoint =
  /** Records from here on fit behind what the follower has. */
  | {readonly kind: 'follow'; readonly position: number}
  /** The same, after it has dropped what it has beyond, and all epochs that the source has not. */
  | {readonly kind: 'cut'; readonly position: number}
  /** Both went on from here in their own way; a code where it was not the follower that wrote. */
  | {readonly kind: 'forked'; readonly position: number; readonly code?: 'ORIGIN_LOST_DATA'}
  /** The source has nothing that the follower has not. */
  | {readonly kind: 'behind'}
  /** No epoch is known to both. */
  | {readonly kind: 'unknown'};

/** Compares the history of a source with that of a follower. */
export function findCommonPoint(source: Branch, follower: FollowerBranch): CommonPoint {
  // The lineage is written before the log: power loss may have taken the end of the log below it.
  const known = source.lineage.filter((entry) => startOf(entry) <= source.position);
  const at = known.findLastIndex((entry) => find(follower.lineage, entry) >= 0);
  const common = known[at];
  if (common === undefined) return {kind: 'unknown'};
  const sourceNext = known[at + 1];
  const followerNext = follower.lineage[find(follower.lineage, common) + 1];
  const sourceEnd = sourceNext === undefined ? source.position : startOf(sourceNext);
  const followerEnd = followerNext === undefined ? follower.position : startOf(followerNext);
  if (follower.position > followerEnd) {
    return withOwnEpochs(source.position, sourceEnd, followerEnd);
  }

  return sourceNext === undefined
    ? againstOpenEpoch(sourceEnd, follower, followerNext !== undefined)
    : againstEndedEpoch(sourceEnd, follower, followerNext !== undefined, common);
}

/** The follower has records of epochs that the source does not know. */
function withOwnEpochs(position: number, sourceEnd: number, followerEnd: number): CommonPoint {
  const isPrefix = position === sourceEnd && sourceEnd <= followerEnd;
  if (isPrefix) return {kind: 'behind'};
  return {kind: 'forked', position: Math.min(sourceEnd, followerEnd)};
}

/** The newest common epoch is the source's last one, which it has up to `end`. */
function againstOpenEpoch(
  end: number,
  {position, to}: FollowerBranch,
  hasEmptyEpochs: boolean,
): CommonPoint {
  if (position > end || to > end) return {kind: 'behind'};
  if (!hasEmptyEpochs) return {kind: 'follow', position};
  if (to > position) return {kind: 'forked', position, code: 'ORIGIN_LOST_DATA'};
  return {kind: 'cut', position};
}

/** The newest common epoch ended at `end` for the source: another began there. */
function againstEndedEpoch(
  end: number,
  follower: FollowerBranch,
  hasEmptyEpochs: boolean,
  common: LineageEntry,
): CommonPoint {
  const {position, to} = follower;
  if (position <= end && to <= end && !hasEmptyEpochs) return {kind: 'follow', position};
  // What the follower wrote itself was acknowledged to somebody: no peer may drop that.
  if (position > end && common.node === follower.nodeId) return {kind: 'forked', position: end};
  const cut = Math.min(position, end);
  if (to > cut) return {kind: 'forked', position: cut, code: 'ORIGIN_LOST_DATA'};
  return {kind: 'cut', position: cut};
}

function find(lineage: readonly LineageEntry[], wanted: LineageEntry): number {
  return lineage.findIndex(
    ({epoch, start, chain}) =>
      epoch === wanted.epoch && start === wanted.start && chain === wanted.chain,
  );
}

/** Lineages are checked where they come from; what is no position would be beyond every log. */
function startOf(entry: LineageEntry): number {
  return parsePosition(entry.start) ?? Infinity;
}
