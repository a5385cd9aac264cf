/** From whom a replica takes log or image: pure, from what the facts say. */
import type {ResourceFacts} from '../../cluster/facts.js';
import type {LineageEntry} from '../../log/lineage.js';

/** Another node with a replica. */
export interface Candidate {
  readonly nodeId: string;
  readonly name: string;
  /** It was heard of just now. */
  readonly linkUp: boolean;
  readonly facts: ResourceFacts;
  /** So far is its clock ahead of the one here; absent: they are the same, or that is not known. */
  readonly clockSkewMs?: number;
}

/** What this replica has. */
export interface Own {
  readonly lineage: readonly LineageEntry[];
  /** End of what is here; fixed-width hex. */
  readonly position: string;
  /** The image is to be copied: nothing here counts. */
  readonly copying: boolean;
}

export interface Choice {
  readonly source: Candidate | undefined;
  /** Why there is none, for people. */
  readonly reason: string;
}

/**
 * Chooses a source: the primary, else the replica that is furthest ahead on our own history. Nodes
 * that were heard of come first, but one that was not is tried as well: facts may be late.
 *
 * Of two primaries whose histories part (a fork) the one is followed whose branch is here already, as long as it is
 * heard of: to go over to the other one would give up a branch on which nobody has decided yet.
 *
 * @param avoided nodes that have refused just now; the last resort
 * @param slow nodes that others are faster than; even the primary comes after these then
 */
export function chooseSource(
  own: Own,
  candidates: readonly Candidate[],
  avoided: ReadonlySet<string> = new Set(),
  slow: ReadonlySet<string> = new Set(),
): Choice {
  if (candidates.length === 0) {
    return {source: undefined, reason: 'no other node is known to have a replica'};
  }

  const isOurs = candidates.some((candidate) => goesOnHere(own, candidate));
  const fit = candidates.filter(
    (candidate) => isFit(own, candidate) && !(isOurs && partsBelow(own, candidate.facts)),
  );
  const rankOf = (candidate: Candidate): number =>
    rank(own, candidate, avoided) + (slow.has(candidate.nodeId) ? 0 : 8);
  const [source] = fit.sort(
    (left, right) =>
      rankOf(right) - rankOf(left) ||
      compare(right.facts.position ?? '', left.facts.position ?? '') ||
      compare(left.name, right.name),
  );
  if (source !== undefined) return {source, reason: ''};
  const names = candidates.map(({name}) => name).join(', ');
  const reason = own.copying
    ? `no replica can be copied: ${names} ${candidates.length === 1 ? 'has' : 'have'} none that is whole`
    : `no node is primary, and no replica is ahead of this one (${names})`;
  return {source: undefined, reason};
}

/** A replica that is itself a mixture, or not attached, has nothing to give. */
const NOTHING_TO_GIVE = new Set([
  'Syncing',
  'InConsistent',
  'Detached',
  'NotJoined',
  'DefectiveLog',
]);

/** true where a node may have what we lack. */
export function isFit(own: Own, {facts}: Candidate): boolean {
  if (!facts.attached || NOTHING_TO_GIVE.has(facts.state) || facts.sync !== null) return false;
  if (facts.role === 'primary') return true;
  return own.copying
    ? facts.designatedRole === 'primary' || facts.epoch !== null
    : isAhead(own, facts);
}

/** A primary that is heard of and has our last epoch, without a next one that began below our end. */
function goesOnHere(own: Own, {linkUp, facts}: Candidate): boolean {
  const last = own.lineage.at(-1);
  if (own.copying || last === undefined || !linkUp || facts.role !== 'primary') return false;
  return facts.lineage.some(({epoch}) => epoch === last.epoch) && !partsBelow(own, facts);
}

/** true where whoever follows `facts` has to give up what is here. */
function partsBelow(own: Own, facts: ResourceFacts): boolean {
  const known = new Set(own.lineage.map(({epoch}) => epoch));
  const common = facts.lineage.findLastIndex(({epoch}) => known.has(epoch));
  if (facts.lineage[common]?.epoch !== own.lineage.at(-1)?.epoch) return facts.lineage.length > 0;
  const next = facts.lineage[common + 1];
  return next !== undefined && next.start < own.position;
}

/** true where `facts` goes on from our own history with more than we have. */
export function isAhead(own: Pick<Own, 'lineage' | 'position'>, facts: ResourceFacts): boolean {
  const last = own.lineage.at(-1);
  if (facts.position === null) return false;
  if (last === undefined) return facts.epoch !== null;
  const at = facts.lineage.findIndex(({epoch}) => epoch === last.epoch);
  if (at === -1) return false;
  // Its next epoch began where we are, or behind it: somebody was primary after our history.
  if (at < facts.lineage.length - 1) return true;
  return facts.position > own.position;
}

function rank(own: Own, {nodeId, linkUp, facts}: Candidate, avoided: ReadonlySet<string>): number {
  const isKnown = own.copying || isAhead(own, facts) || own.lineage.length === 0;
  return (
    (avoided.has(nodeId) ? 0 : 16) +
    (facts.role === 'primary' ? 4 : 0) +
    (linkUp ? 2 : 0) +
    (isKnown ? 1 : 0)
  );
}

function compare(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
