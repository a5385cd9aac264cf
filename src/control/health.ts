/**
 * What the replicas on other nodes mean for the health of a resource. In one place, as the daemon
 * counts by it and the status for people must never be green where it is not.
 */
import type {ReplicaStatus, ResourceState, ResourceStatus} from './api.js';

export type Health = ResourceStatus['health'];

/** Worst first, as monitoring tools rank them. */
export const HEALTHS = [
  'critical',
  'warning',
  'unknown',
  'ok',
] as const satisfies readonly Health[];

/** A replica that is further behind than this is stale: a healthy link is below a second. */
export const LAG_SECONDS_WARNING = 60;

/** What a replica in each state is worth: only `ok` counts as a second copy that is current. */
const HEALTH_OF_STATE: Readonly<Record<ResourceState, Health>> = {
  UpToDate: 'ok',
  WriteBack: 'ok',
  'OutDated[F]': 'ok',
  'OutDated[R]': 'ok',
  'OutDated[FR]': 'ok',
  Recovery: 'warning',
  Syncing: 'warning',
  InConsistent: 'warning',
  Detached: 'warning',
  NotJoined: 'warning',
  EmergencyMode: 'warning',
  Orphan: 'critical',
  DefectiveLog: 'critical',
  DefectiveImage: 'critical',
  Forked: 'critical',
};

/**
 * How well a replica is, as far as this node knows: one that is not heard of, stopped, or far
 * behind is a warning, as the resource works without it but has one copy less.
 */
export function replicaHealth(replica: ReplicaStatus): Health {
  const byState = HEALTH_OF_STATE[replica.state];
  if (byState === 'critical') return byState;
  const follows = replica.replication === 'continuous' || isPrimary(replica);
  const late = replica.lagSeconds !== null && replica.lagSeconds > LAG_SECONDS_WARNING;
  return replica.link === 'down' || !follows || late ? 'warning' : byState;
}

/** The worse of what the daemon says of the resource and what its replicas are. */
export function healthWithReplicas({health, replicas}: ResourceStatus): Health {
  return worst([health, ...replicas.map((replica) => replicaHealth(replica))]);
}

/** `ok` where there is nothing. */
export function worst(healths: readonly Health[]): Health {
  return HEALTHS.find((health) => healths.includes(health)) ?? 'ok';
}

function isPrimary({role}: ReplicaStatus): boolean {
  return role === 'primary' || role === 'forcedPrimary';
}
