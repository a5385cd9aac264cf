/**
 * Who may be primary next: pure, from this node's own files and from what the facts say.
 *
 * Facts are hints, so nobody becomes primary on their strength: they only say whom to ask. The one
 * who is asked decides by its own files (handover.ts). For a node's own return after an absence
 * they are enough, as all that follows from them is *not* to become primary.
 */
import {formatPosition, parsePosition} from '../../core/position.js';
import type {LineageEntry} from '../../log/lineage.js';
import {findCommonPoint} from '../../replica/common-point.js';
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
  if (ours.length === 0) return theirs.length > 0;
  // Our last epochs may be empty, and so known to nobody else.
  const known = new Set(ours.map(({epoch}) => epoch));
  const common = theirs.findLastIndex(({epoch}) => known.has(epoch));
  return common >= 0 && common < theirs.length - 1;
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

/**
 * Compares our history with the facts of another replica, as if we were to follow it (hazards 8 and
 * 14). How far our image is does not matter here: nothing is cut on the strength of facts.
 */
export function judge(own: Standing, other: Pick<Candidate, 'nodeId' | 'name' | 'facts'>): Verdict {
  const theirs = {lineage: other.facts.lineage, position: endOf(other.facts)};
  const by = {by: other.nodeId, byName: other.name};
  if (own.lineage.length === 0 || theirs.lineage.length === 0) return {kind: 'newest'};
  const ours = {...own, position: numberOf(own.position), to: 0};
  const point = findCommonPoint(theirs, ours);
  switch (point.kind) {
    case 'behind':
      return {kind: 'newest'};
    case 'unknown':
      return {kind: 'unrelated', ...by};
    case 'forked':
      return {kind: 'forked', ...by, at: formatPosition(point.position)};
    case 'follow':
    case 'cut': {
      const known = new Set(own.lineage.map(({epoch}) => epoch));
      const last = other.facts.lineage.findLastIndex(({epoch}) => known.has(epoch));
      const next = other.facts.lineage[last + 1];
      return next === undefined ? {kind: 'newest'} : {kind: 'superseded', ...by, at: next.start};
    }
  }
}

/** Who has more of our last epoch than we have. */
export interface LongerTail {
  readonly nodeId: string;
  readonly name: string;
  /** Where its log ends. */
  readonly position: number;
}

/** The peer that answers and has the longest chain of our own last epoch; undefined: nobody has more. */
export function findLongerTail(
  own: Standing,
  others: readonly Pick<Candidate, 'nodeId' | 'name' | 'linkUp' | 'facts'>[],
): LongerTail | undefined {
  const last = own.lineage.at(-1);
  const end = parsePosition(own.position);
  if (last?.node !== own.nodeId || end === undefined) return undefined;
  const longer = others.flatMap(({nodeId, name, linkUp, facts}) => {
    const position = facts.position === null ? undefined : parsePosition(facts.position);
    if (!linkUp || position === undefined || position <= end) return [];
    // A peer with another epoch behind it is none that we can go on with.
    if (facts.lineage.at(-1)?.epoch !== last.epoch) return [];
    const theirs = {lineage: facts.lineage, position};
    const ours = {nodeId: own.nodeId, lineage: own.lineage, position: end, to: 0};
    return findCommonPoint(theirs, ours).kind === 'follow' ? [{nodeId, name, position}] : [];
  });
  return longer.sort((left, right) => right.position - left.position)[0];
}

/**
 * Where our history and that of a replica part, whoever looks; undefined where they do not. A tail
 * that its origin has lost is no fork: the one side would give it up (hazard 8).
 */
export function partingPoint(
  own: Standing,
  other: Pick<Candidate, 'nodeId' | 'facts'>,
): number | undefined {
  const ours = {...own, position: numberOf(own.position), to: 0};
  const theirs = {
    nodeId: other.nodeId,
    lineage: other.facts.lineage,
    position: endOf(other.facts),
    to: 0,
  };
  const point = findCommonPoint(ours, theirs);
  if (point.kind !== 'forked') return undefined;
  return findCommonPoint(theirs, ours).kind === 'forked' ? point.position : undefined;
}

/**
 * Where the log of a replica ends. While it becomes primary it tells no position, but its lineage
 * does: the new epoch counts, or who comes back just then would take itself for the newest.
 */
function endOf({position, lineage}: Pick<Candidate['facts'], 'position' | 'lineage'>): number {
  return numberOf(position ?? lineage.at(-1)?.start ?? '');
}

function numberOf(position: string): number {
  return parsePosition(position) ?? 0;
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
