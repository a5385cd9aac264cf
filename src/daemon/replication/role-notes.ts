/** What a node shows of grants and forks, beside what it does about them (roles). */
import fs from 'node:fs';
import {isDiskError} from '../../core/errors.js';
import {formatPosition} from '../../core/position.js';
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import {isTaken, removeGrant, type Grant} from './grant.js';
import {partingPoint} from './right.js';
import {grantInForce, replicasOf, standingOf} from './standing.js';

/** Shows a grant that is not known to be taken; removes one that the own lineage went beyond. */
export function noteGrant(context: Context, resource: Resource): void {
  const {name} = resource;
  let grant: Grant | undefined;
  try {
    grant = grantInForce(resource);
    const {grantFile} = resource.places.paths;
    if (grant === undefined && fs.existsSync(grantFile)) removeGrant(grantFile);
  } catch (error) {
    if (!isDiskError(error)) throw error;
    resource.say(error.code, 'critical', error.message);
    return;
  }

  const taken =
    grant !== undefined &&
    replicasOf(context, resource).some(({facts}) => isTaken(grant, facts.lineage));
  if (grant === undefined || taken) {
    resource.hush('GRANT_UNCONFIRMED');
    return;
  }

  const text =
    `${name} was granted to ${grant.toName}, unconfirmed since ${grant.at}: it has not become ` +
    `primary as far as is known`;
  resource.say('GRANT_UNCONFIRMED', 'warning', text);
}

/** A primary says where another node has a history of its own; it goes on all the same. */
export function noteForks(context: Context, resource: Resource): void {
  const {disk, name} = resource;
  if (disk?.mode !== 'serve' || context.roles === undefined) return;
  const own = standingOf(context, resource, disk.position);
  const forks = replicasOf(context, resource).flatMap((replica) => {
    const at = partingPoint(own, replica);
    return at === undefined ? [] : [{name: replica.name, at: formatPosition(at)}];
  });
  const [fork] = forks;
  if (fork === undefined) {
    resource.hush('SPLIT_BRAIN');
    return;
  }

  const text =
    `${fork.name} has another history of ${name} from ${fork.at} on; this node goes on as ` +
    `primary, both are kept: mars fork show ${name}`;
  if (!resource.messages.some(({code}) => code === 'SPLIT_BRAIN')) {
    context.tell('SPLIT_BRAIN', 'critical', name, text, {node: fork.name});
  }

  resource.say('SPLIT_BRAIN', 'critical', text);
}
