/** `mars primary NAME --force --dry-run`: what this node has, and what it does not know of others. */
import type {ReplicaStatus, ResourceStatus} from '../control/api.js';
import {DiskError} from '../core/errors.js';
import {wrapText} from './wrap-text.js';

export interface ForceDocument {
  readonly schema: 1;
  readonly name: string;
  readonly dryRun: true;
  /** Where this node would go on. */
  readonly position: string | null;
  /** Positions of the others as last heard; what they acknowledged behind them is unknown. */
  readonly others: readonly {
    readonly node: string;
    readonly role: ResourceStatus['role'];
    readonly link: ReplicaStatus['link'];
    /** When it was last heard of; null: it is heard of now, or never was. */
    readonly heardAt: string | null;
    readonly position: string | null;
    /** Has more than this node, as far as is known: that would be a second history. */
    readonly ahead: boolean;
  }[];
}

/**
 * What a use of force would mean, from what the status says now.
 *
 * @throws DiskError RESOURCE_UNKNOWN, REPLICA_INCONSISTENT where force would be refused as well
 */
export function describeForce(status: ResourceStatus): ForceDocument {
  const {name, position, state} = status;
  if (state === 'NotJoined') {
    const nodes = status.replicas.map(({node}) => node).join(', ');
    const text = `this node has no replica of ${name} that could become primary; known ones: ${nodes}`;
    throw new DiskError('RESOURCE_UNKNOWN', text, {resource: name});
  }

  if (state === 'InConsistent') {
    const text = `the replica of ${name} here is no state of the disk: it cannot become primary, not by force either`;
    throw new DiskError('REPLICA_INCONSISTENT', text, {resource: name});
  }

  const others = status.replicas.map(({node, role, link, since, received}) => ({
    ...{node, role, link, position: received},
    heardAt: link === 'up' ? null : since,
    ahead: received !== null && position !== null && received > position,
  }));
  return {schema: 1, name, dryRun: true, position, others};
}

/** The same for people. */
export function renderForce({name, position, others}: ForceDocument): string {
  const head = `${name} would become primary here from position ${position ?? 'unknown'} on`;
  const lines = others.flatMap((one) => {
    const heard =
      one.link === 'up'
        ? 'is heard of now'
        : `was last heard of ${one.heardAt === null ? 'never' : `on ${one.heardAt}`}`;
    const at = one.position === null ? 'its position is not known' : `at ${one.position}`;
    const lost = one.ahead
      ? 'it has more than this node: that would not be here'
      : 'what it has acknowledged since is unknown here';
    return wrapText(`  ${one.node} (${one.role}) ${heard}, ${at}; ${lost}`, {hanging: '    '});
  });
  const rest = others.length === 0 ? ['  no other replica is known'] : lines;
  return [head, ...rest, 'nothing was changed'].join('\n');
}
