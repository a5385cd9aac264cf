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
 * behind is a warning, as the resource works without it but has one copy less. So is one of which its
 * node says that something is critical, such as a full file system below its image.
 *
 * @param hasPrimary false: nobody is primary, so there is nothing that a replica could follow
 */
export function replicaHealth(replica: ReplicaStatus, hasPrimary = true): Health {
  const byState = HEALTH_OF_STATE[replica.state];
  if (byState === 'critical') return byState;
  const follows = isPrimary(replica) || isFlowing(replica, hasPrimary);
  const isIll = replica.messages?.some(({severity}) => severity === 'critical') === true;
  return replica.link === 'down' || !follows || isIll ? 'warning' : byState;
}

/** What a secondary in this state is worth as a copy. */
export function copyHealth(state: ResourceState): Health {
  return HEALTH_OF_STATE[state];
}

/** How well the replica of this node follows; a primary, and a resource without others, is well. */
export function followHealth({follow, state, replicas}: ResourceStatus): Health {
  if (follow == null) return 'ok';
  const flowing = isFlowing(follow, replicas.some(isPrimary));
  return worst([flowing ? 'ok' : 'warning', HEALTH_OF_STATE[state]]);
}

/** The worst of what the daemon says of the resource itself, and what its replicas are. */
export function healthWithReplicas(resource: ResourceStatus): Health {
  const primary = hasPrimary(resource);
  const others = resource.replicas.map((replica) => replicaHealth(replica, primary));
  return worst([resource.health, followHealth(resource), ...others]);
}

/** Whether this node knows of a primary, itself included. */
export function hasPrimary(resource: ResourceStatus): boolean {
  return isPrimary(resource) || resource.replicas.some(isPrimary);
}

/** `ok` where there is nothing. */
export function worst(healths: readonly Health[]): Health {
  return HEALTHS.find((health) => healths.includes(health)) ?? 'ok';
}

function isFlowing(
  {replication, lagSeconds}: Pick<ReplicaStatus, 'replication' | 'lagSeconds'>,
  primaryKnown: boolean,
): boolean {
  if (!primaryKnown) return replication !== 'paused';
  const late = lagSeconds !== null && lagSeconds > LAG_SECONDS_WARNING;
  return replication === 'continuous' && !late;
}

function isPrimary({role}: Pick<ReplicaStatus, 'role'>): boolean {
  return role === 'primary' || role === 'forcedPrimary';
}
