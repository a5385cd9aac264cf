/**
 * Who may be primary next: pure, from this node's own files and from what the facts say.
 *
 * Facts are hints, so nobody becomes primary on their strength: they only say whom to ask. The one
 * who is asked decides by its own files (handover.ts). For a node's own return after an absence
 * they are enough, as all that follows from them is *not* to become primary.
 */
import type {LineageEntry} from '../../log/lineage.js';
import type {Candidate} from './choose-source.js';
import {isTaken, type Grant} from './grant.js';

/** What this node has. */
export interface OwnRight {
  readonly nodeId: string;
  readonly lineage: readonly LineageEntry[];
  readonly grant: Grant | undefined;
}

export type Right =
  /** This node was primary last and has granted the role to nobody: it may go on. */
  | {readonly kind: 'own'}
  /** That node was primary last, or is: only it can grant. */
  | {readonly kind: 'ask'; readonly nodeId: string; readonly name: string}
  /** This node has granted the role away, and nobody else is primary. */
  | {readonly kind: 'granted'; readonly grant: Grant};

/** Whom to ask for the role, or that nobody has to be asked. */
export function findRight(own: OwnRight, others: readonly Candidate[]): Right {
  const {nodeId, lineage, grant} = own;
  const ask = (other: {nodeId: string; name: string}): Right => {
    return {kind: 'ask', nodeId: other.nodeId, name: other.name};
  };
  // A grant that waits for us: its answer got lost, or we died on the way.
  const granter = others.find(({facts}) => {
    const granted = facts.granted;
    return granted?.to === nodeId && !isTaken(granted, lineage);
  });
  if (granter !== undefined) return ask(granter);
  const primaries = others
    .filter(({facts}) => facts.role === 'primary' || facts.designatedRole === 'primary')
    .sort((left, right) => Number(right.linkUp) - Number(left.linkUp));
  const [primary] = primaries;
  if (primary !== undefined) return ask(primary);
  if (grant !== undefined && !others.some(({facts}) => isTaken(grant, facts.lineage))) {
    return {kind: 'granted', grant};
  }

  const last = newestLineage(lineage, others).at(-1);
  if (last === undefined || last.node === nodeId) return {kind: 'own'};
  return ask({nodeId: last.node, name: last.nodeName});
}

/** The longest of the lineages that go on from ours; ours where none does. */
function newestLineage(
  own: readonly LineageEntry[],
  others: readonly Candidate[],
): readonly LineageEntry[] {
  let newest = own;
  for (const {facts} of others) if (goesOn(newest, facts.lineage)) newest = facts.lineage;
  return newest;
}

function goesOn(ours: readonly LineageEntry[], theirs: readonly LineageEntry[]): boolean {
  const last = ours.at(-1);
  if (last === undefined) return theirs.length > 0;
  return isTaken(last, theirs);
}

/** Where a node stands that was primary and comes back, or that meets another primary. */
export interface Standing {
  readonly nodeId: string;
  readonly lineage: readonly LineageEntry[];
  /** End of its log, fixed-width hex. */
  readonly position: string;
}

export type Verdict =
  /** Nobody has begun an epoch that we do not have. */
  | {readonly kind: 'newest'}
  /** Another one has gone on from our history; what we have is part of it. */
  | {readonly kind: 'superseded'; readonly by: string; readonly byName: string; readonly at: string}
  /** Both have records of their own behind `at`. */
  | {readonly kind: 'forked'; readonly by: string; readonly byName: string; readonly at: string}
  /** Both have epochs, and none in common as far as is known. */
  | {readonly kind: 'unrelated'; readonly by: string; readonly byName: string};

/** Compares our history with the facts of another replica; hazards 8 and 14. */
export function judge(own: Standing, other: Pick<Candidate, 'nodeId' | 'name' | 'facts'>): Verdict {
  const theirs = other.facts.lineage;
  const by = {by: other.nodeId, byName: other.name};
  if (own.lineage.length === 0 || theirs.length === 0) return {kind: 'newest'};
  const ours = new Set(own.lineage.map(({epoch}) => epoch));
  // Lineages may be cut in front, so it is the last common epoch that counts.
  const common = theirs.findLastIndex(({epoch}) => ours.has(epoch));
  if (common === -1) return {kind: 'unrelated', ...by};
  const theirNext = theirs[common + 1];
  if (theirNext === undefined) return {kind: 'newest'};
  const at = own.lineage.findIndex(({epoch}) => epoch === theirs[common]?.epoch);
  const ourNext = own.lineage[at + 1];
  const ourEnd = ourNext?.start ?? own.position;
  // Later epochs in which nothing was written are no history.
  const isEmptyBehind = own.position === ourEnd;
  const parted = ourEnd < theirNext.start ? ourEnd : theirNext.start;
  if (isEmptyBehind && own.position <= theirNext.start) {
    return {kind: 'superseded', ...by, at: theirNext.start};
  }

  return {kind: 'forked', ...by, at: parted};
}

/** The gravest verdict over all replicas: a fork before a successor. */
export function judgeAll(own: Standing, others: readonly Candidate[]): Verdict {
  const verdicts = others.map((other) => judge(own, other));
  for (const kind of ['forked', 'unrelated', 'superseded'] as const) {
    const found = verdicts.find((verdict) => verdict.kind === kind);
    if (found !== undefined) return found;
  }

  return {kind: 'newest'};
}
