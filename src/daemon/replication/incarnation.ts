/**
 * Whether the resource that a replica belongs to is still what others have under its name: a resource is
 * known by its id, and one that was deleted and made anew is another one (F25). Pure, from facts: nothing is
 * done on their strength but to say so, and logs of two ids never meet.
 */
import type {DeletedResource, ResourceFacts} from '../../cluster/facts.js';
import type {Resource} from '../resource.js';
import type {ClusterPort} from './cluster-port.js';

/** The resource as a replica here knows it. */
export interface OwnIncarnation {
  readonly id: string;
  readonly name: string;
  readonly createdAt: string;
  /** This node is to be primary of it. */
  readonly isPrimary: boolean;
  /** Read only where somebody has deleted it. */
  readonly lineage: () => Epochs;
}

type Epochs = readonly {readonly epoch: string}[];

/** What became of it. */
export interface Successor {
  /** Who deleted it, and when; undefined: nobody says that. */
  readonly deleted: {readonly by: string; readonly at: string} | undefined;
  /** What has the name now elsewhere, and on which node; undefined: nothing. */
  readonly facts: ResourceFacts | undefined;
  readonly node: string | undefined;
}

type Known = Pick<ClusterPort, 'members' | 'facts'>;

/**
 * Looks for what took the place of a resource.
 *
 * @returns undefined where it is what others have, or where somebody is its primary
 */
export function findSuccessor(cluster: Known, own: OwnIncarnation): Successor | undefined {
  const {id, name, isPrimary, lineage} = own;
  if (isPrimary) return undefined;
  const replicas = cluster.members().flatMap((member) => {
    const resources = cluster.facts.get(member.id)?.resources ?? [];
    return resources.map((facts) => ({facts, node: member.name}));
  });
  const isHeld = replicas.some(
    ({facts}) =>
      facts.id === id && (facts.role === 'primary' || facts.designatedRole === 'primary'),
  );
  if (isHeld) return undefined;
  const deleted = deletedBy(cluster, id, lineage);
  const named = replicas.filter(
    ({facts}) =>
      facts.name === name &&
      facts.id !== id &&
      deletedBy(cluster, facts.id, () => facts.lineage) === undefined,
  );
  const next = named.find(({facts}) => facts.designatedRole === 'primary') ?? named[0];
  // Without a word on its end the younger one is what took the name.
  const isYounger = (next?.facts.createdAt ?? '') > own.createdAt;
  if (deleted === undefined && !isYounger) return undefined;
  return {deleted, facts: next?.facts, node: next?.node};
}

/** The same for a resource of this node; one that follows a folder has no other nodes. */
export function successorOf(
  cluster: Known,
  resource: Resource,
  lineage: OwnIncarnation['lineage'],
): Successor | undefined {
  if (resource.fault !== undefined || resource.file.followFolder !== undefined) return undefined;
  const {file, disk} = resource;
  const isPrimary = file.designatedRole === 'primary' || disk?.mode === 'serve';
  return findSuccessor(cluster, {...file, isPrimary, lineage});
}

/**
 * Who says that a resource was deleted there; not one that has it all the same.
 *
 * @param lineage of a replica of it: one that has gone on since lives on
 */
export function deletedBy(
  cluster: Known,
  id: string,
  lineage: () => Epochs,
): {readonly by: string; readonly at: string} | undefined {
  for (const member of cluster.members()) {
    const facts = cluster.facts.get(member.id);
    const found = facts?.deleted?.find((each: DeletedResource) => each.id === id);
    const isThere = facts?.resources.some((each) => each.id === id) === true;
    if (found === undefined || isThere) continue;
    const epochs = lineage();
    const at = epochs.findLastIndex(({epoch}) => epoch === found.epoch);
    if (at === -1 || at === epochs.length - 1) return {by: member.name, at: found.at};
  }

  return undefined;
}

/** What is said of it in the status. */
export function describeSuccessor(name: string, {deleted, facts, node}: Successor): string {
  const gone = deleted === undefined ? '' : `${name} was deleted on ${deleted.by} at ${deleted.at}`;
  if (facts === undefined) {
    return (
      `${gone}; this replica follows nobody: mars resource delete ${name} --dry-run, or mars primary ${name} ` +
      '--force to go on with it'
    );
  }

  const now = `the one on ${node ?? ''} is another resource, made at ${facts.createdAt}`;
  const both = gone === '' ? `of the name ${name} ${now}` : `${gone}, and ${now}`;
  return `${both}; this replica follows nobody: mars resource join ${name} --replace --dry-run`;
}
