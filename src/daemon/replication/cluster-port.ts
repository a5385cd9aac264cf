import type {Duplex} from 'node:stream';
import type {FactStore, ResourceFacts} from '../../cluster/facts.js';
import type {Member} from '../../cluster/members.js';
import type {PeerCaller} from '../../cluster/peer-caller.js';
import type {StreamProtocol} from '../../cluster/peer-routes.js';
import type {Clock} from '../../core/clock.js';
import {DiskError} from '../../core/errors.js';
import type {Candidate} from './choose-source.js';
import {deletedBy} from './incarnation.js';
import {isExportSlot} from './slots.js';

/** Facts older than this are no proof that anything is well. */
export const FACTS_FRESH_MS = 10_000;

/** What replication needs of the cluster; a fake in tests. */
export interface ClusterPort {
  readonly selfId: string;
  /** Members other than this node that were not removed. */
  readonly members: () => readonly Member[];
  /** true for a node that was a member, and that somebody has removed. */
  readonly isRemoved: (nodeId: string) => boolean;
  readonly facts: FactStore;
  readonly caller: PeerCaller;
  /** How far the clock of a member is off the one here; absent or undefined: it is not known to be. */
  readonly clockSkewMs?: (nodeId: string) => number | undefined;
  /** Something of this node changed: others should hear of it soon. */
  readonly touch: () => void;
}

/** The other members' replicas of a resource, by name of the node. */
export function replicasElsewhere(
  cluster: ClusterPort,
  clock: Clock,
  resourceId: string,
): Candidate[] {
  return cluster.members().flatMap(({id, name}) => {
    const facts = cluster.facts.get(id)?.resources.find((each) => each.id === resourceId);
    if (facts === undefined) return [];
    const skewMs = cluster.clockSkewMs?.(id);
    const more = skewMs === undefined ? {} : {clockSkewMs: skewMs};
    return [{nodeId: id, name, linkUp: isLinkUp(cluster, clock, id), facts, ...more}];
  });
}

/**
 * Opens a stream to the node that log or image is taken from.
 *
 * @throws DiskError PEER_UNKNOWN, and as PeerCaller.open
 */
export function openSource(
  {members, caller}: ClusterPort,
  resourceId: string,
  nodeId: string,
  protocol: StreamProtocol,
  timeoutMs: number,
): Promise<Duplex> {
  const member = members().find(({id}) => id === nodeId);
  if (member === undefined) {
    throw new DiskError('PEER_UNKNOWN', 'the source is no member any more', {node: nodeId});
  }

  const flow = protocol === 'mars-log/1' ? 'log' : 'sync';
  return caller.open(member, `resources/${resourceId}/${flow}`, protocol, timeoutMs);
}

/** Members that say that they have this resource and cannot read its files, by name. */
export function unreadableAt({facts, members}: ClusterPort, resourceName: string): string[] {
  return members()
    .filter(({id}) => facts.get(id)?.unreadable?.includes(resourceName) === true)
    .map(({name}) => name);
}

/** false: nobody who needs log any more, as far as fresh facts say; folders stay until forgotten. */
export function mayNeedLog(
  cluster: ClusterPort,
  clock: Clock,
  nodeId: string,
  replicas: readonly Candidate[],
  resourceName: string,
): boolean {
  const {facts, members} = cluster;
  if (isExportSlot(nodeId)) return true;
  if (!members().some(({id}) => id === nodeId)) return false;
  if (facts.ageMs(nodeId, clock.monotonicMs()) > FACTS_FRESH_MS) return true;
  if (facts.get(nodeId)?.unreadable?.includes(resourceName) === true) return true;
  return replicas.some((replica) => replica.nodeId === nodeId);
}

/** true where the node was heard of just now. */
export function isLinkUp(cluster: ClusterPort, clock: Clock, nodeId: string): boolean {
  return cluster.facts.ageMs(nodeId, clock.monotonicMs()) < FACTS_FRESH_MS;
}

/**
 * Resources of other members that are not in `ownIds`, each once, the primary's word first; without those
 * that were deleted and have replicas left only: the name may be another one's now.
 */
export function resourcesElsewhere(
  cluster: ClusterPort,
  ownIds: ReadonlySet<string>,
): {readonly member: Member; readonly facts: ResourceFacts}[] {
  const found = new Map<string, {member: Member; facts: ResourceFacts}>();
  for (const member of cluster.members()) {
    for (const facts of cluster.facts.get(member.id)?.resources ?? []) {
      const known = found.get(facts.id);
      const better =
        known === undefined || (known.facts.role !== 'primary' && facts.role === 'primary');
      if (!ownIds.has(facts.id) && better) found.set(facts.id, {member, facts});
    }
  }

  return [...found.values()].filter(
    ({facts}) =>
      facts.role === 'primary' || deletedBy(cluster, facts.id, () => facts.lineage) === undefined,
  );
}
