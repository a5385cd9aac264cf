/** What roles need of the cluster: whom to ask, and what is known of the others. */
import type {Duplex} from 'node:stream';
import type {Member} from '../../cluster/members.js';
import type {Clock} from '../../core/clock.js';
import {DiskError} from '../../core/errors.js';
import type {Candidate} from './choose-source.js';
import {replicasElsewhere, type ClusterPort} from './cluster-port.js';
import type {StreamProtocol} from './disk-stream.js';

/** Another node with a replica, and how old the word of it is. */
export interface KnownReplica extends Candidate {
  /** RFC 3339: when it was last heard of; null: never since this daemon runs. */
  readonly heardAt: string | null;
}

/** Set by the daemon where the node belongs to a cluster; fakes in tests. */
export interface RoleServices {
  readonly nodeId: string;
  /** Other nodes with a replica, from the facts. */
  readonly replicas: (resourceId: string) => readonly KnownReplica[];
  /** Grows with all that other nodes tell anew. */
  readonly factsRevision: () => number;
  /** Id of another member; undefined where none has this name. */
  readonly memberId: (name: string) => string | undefined;
  /** true where there are other members, whether they were heard of or not. */
  readonly hasPeers: () => boolean;
  /**
   * `POST /peer/v1/PATH` to a member.
   *
   * @throws DiskError PEER_UNKNOWN for a node that is no member, else as PeerCaller.call
   */
  readonly call: (
    nodeId: string,
    path: string,
    body: unknown,
    timeoutMs: number,
  ) => Promise<unknown>;
  /**
   * A stream to a member.
   *
   * @throws DiskError PEER_UNKNOWN for a node that is no member, else as PeerCaller.open
   */
  readonly open: (
    nodeId: string,
    path: string,
    protocol: StreamProtocol,
    timeoutMs: number,
  ) => Promise<Duplex>;
  /** Asks all members for their facts now; resolves when all have answered, or in time. */
  readonly askPeers: (timeoutMs: number) => Promise<void>;
  /** Others should hear soon that something has changed here. */
  readonly touch: () => void;
}

/** The services of a real cluster. */
export function createRoleServices(
  cluster: ClusterPort,
  clock: Clock,
  askPeers: RoleServices['askPeers'],
): RoleServices {
  const {caller, facts, selfId, touch} = cluster;
  const memberOf = (nodeId: string): Member => {
    const member = cluster.members().find(({id}) => id === nodeId);
    if (member !== undefined) return member;
    const text = `the node with the id ${nodeId} is no member`;
    throw new DiskError('PEER_UNKNOWN', text, {node: nodeId});
  };
  return {
    nodeId: selfId,
    touch,
    replicas: (resourceId) =>
      replicasElsewhere(cluster, clock, resourceId).map((replica) => {
        const ageMs = facts.ageMs(replica.nodeId, clock.monotonicMs());
        const heard = Number.isFinite(ageMs);
        return {
          ...replica,
          heardAt: heard ? new Date(clock.wallMs() - ageMs).toISOString() : null,
        };
      }),
    factsRevision: () => facts.revision,
    memberId: (name) => cluster.members().find((member) => member.name === name)?.id,
    hasPeers: () => cluster.members().length > 0,
    call: async (nodeId, path, body, timeoutMs) =>
      caller.call<unknown>(memberOf(nodeId), 'POST', path, body, timeoutMs),
    open: async (nodeId, path, protocol, timeoutMs) =>
      caller.open(memberOf(nodeId), path, protocol, timeoutMs),
    askPeers,
  };
}
