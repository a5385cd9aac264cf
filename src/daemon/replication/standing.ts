/** What this node has of a resource, and what it knows of the others: what roles are decided on. */
import fs from 'node:fs';
import {createNodeFiles} from '../../core/files.js';
import {formatPosition} from '../../core/position.js';
import {readLineage, type LineageEntry} from '../../log/lineage.js';
import {readProvenEnd} from '../../log/log-end.js';
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import {isTaken, readGrant, type Grant} from './grant.js';
import type {Standing} from './right.js';
import type {KnownReplica} from './role-services.js';

/** The grant that is in force: one that its own log has gone beyond was taken, or given back. */
export function grantInForce(resource: Resource): Grant | undefined {
  const grant = readGrant(resource.places.paths.grantFile);
  return grant === undefined || isTaken(grant, lineageOf(resource)) ? undefined : grant;
}

/** The lineage of the replica on this node. */
export function lineageOf(resource: Resource): LineageEntry[] {
  return readLineage(createNodeFiles(), resource.places.paths.lineageFile);
}

/** The same; empty where the file cannot be read. */
export function peekLineage({log}: Context, resource: Resource): LineageEntry[] {
  try {
    return lineageOf(resource);
  } catch (error) {
    log.warn({resource: resource.name, err: error}, 'lineage not read');
    return [];
  }
}

/** What this node has of a resource by the last word of its disk process, without a look into the log. */
export function lastStanding(context: Context, resource: Resource): Standing {
  const lineage = peekLineage(context, resource);
  const position = resource.lastDisk?.position ?? lineage.at(-1)?.start ?? formatPosition(0);
  return {nodeId: context.node.id, lineage, position};
}

/** What is known of the replicas of other nodes. */
export function replicasOf(context: Context, resource: Resource): readonly KnownReplica[] {
  return context.roles?.replicas(resource.file.id) ?? [];
}

/**
 * What this node has of a resource.
 *
 * @param position end of the log where it is known; else it is looked for in the files
 */
export function standingOf(
  context: Context,
  resource: Resource,
  position: string | undefined,
): Standing {
  const lineage = lineageOf(resource);
  // Of a log that is gone the lineage still says that it was there.
  const known = lineage.at(-1)?.start ?? formatPosition(0);
  // A damaged log has more than its valid part: that counts where histories are compared.
  const end = position ?? formatPosition(provenEndOf(resource));
  return {nodeId: context.node.id, lineage, position: end > known ? end : known};
}

function provenEndOf({file, places}: Resource): number {
  const {paths} = places;
  return fs.existsSync(paths.logDirectory) ? readProvenEnd(createNodeFiles(), paths, file.id) : 0;
}
