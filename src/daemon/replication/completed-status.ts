/** What replication adds to the status of a resource: pure. */
import type {
  FollowStatus,
  ReplicaStatus,
  ResourceState,
  ResourceStatus,
} from '../../control/api.js';
import {copyHealth, healthWithReplicas, worst} from '../../control/health.js';
import {summaryOf, type VerifyReport} from '../../control/verify-api.js';
import type {Waiting} from '../../core/disk-status.js';
import type {ResourceFile} from '../../core/home.js';

export interface Completion {
  readonly file: ResourceFile;
  readonly state: ResourceState;
  /** Name of the node that is to be primary, of the others; null: none is known. */
  readonly primary: string | null;
  /** How the replica here follows; null where no disk process says. */
  readonly follow: FollowStatus | null;
  /** What an operation waits for. */
  readonly waiting: Waiting | null;
  readonly followWaiting: Waiting | null;
  readonly kept: Partial<ResourceStatus['log']>;
  readonly replicas: readonly ReplicaStatus[];
  readonly verify: VerifyReport | undefined;
}

/** The status with its replicas, and with the health that they give it. */
export function completedStatus(status: ResourceStatus, input: Completion): ResourceStatus {
  const {file, state, replicas, kept} = input;
  const isSecondary = file.designatedRole === 'secondary';
  const follow = isSecondary ? input.follow : null;
  // A secondary whose disk process does not say how it follows is not known to follow.
  const silent = isSecondary && file.attached && follow === null;
  const own = isSecondary ? copyHealth(state) : 'ok';
  const completed: ResourceStatus = {
    ...status,
    state,
    designatedPrimary: isSecondary ? input.primary : status.designatedPrimary,
    health: worst([status.health, own, silent ? 'warning' : 'ok']),
    log: {...status.log, ...kept},
    replicas,
    verify: input.verify === undefined ? null : summaryOf(input.verify),
    follow,
    waitingFor: input.waiting ?? (isSecondary ? input.followWaiting : status.waitingFor),
  };
  return {...completed, health: healthWithReplicas(completed)};
}
