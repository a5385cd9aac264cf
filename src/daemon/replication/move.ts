/**
 * One node asks another to take a replica, and the primary role, for `mars resource move`. Members
 * trust each other with images and roles; still the other node does only what its own user could say
 * without force, for a node that has a replica itself, and tells who asked.
 */
import * as v from 'valibot';
import type {Member} from '../../cluster/members.js';
import {check} from '../../core/check.js';
import {DiskError} from '../../core/errors.js';
import type {MarsNode} from '../node.js';
import {becomePrimary} from '../operations.js';
import type {Resource} from '../resource.js';
import type {Context} from '../context.js';

const JOIN_MS = 50_000;
const GRACE_MS = 5000;
const TIMEOUT_SECONDS_MAX = 3600;

const JOIN = v.object({name: v.string(), image: v.exactOptional(v.string())});
const PRIMARY = v.object({
  timeoutSeconds: v.pipe(v.number(), v.minValue(1), v.maxValue(TIMEOUT_SECONDS_MAX)),
});

/** Asks `to` to join. @throws DiskError PEER_*, TIMEOUT, or how it refuses */
export async function askToJoin(
  context: Context,
  resource: Resource,
  {to, image}: {readonly to: string; readonly image?: string},
): Promise<object> {
  const body = {name: resource.name, ...(image === undefined ? {} : {image})};
  await call(context, resource, to, 'join', body, JOIN_MS);
  return {};
}

/** Asks `to` to become primary: it asks this node for the role. @throws DiskError as `askToJoin` */
export async function askToBecomePrimary(
  context: Context,
  resource: Resource,
  {to, timeoutSeconds}: {readonly to: string; readonly timeoutSeconds: number},
): Promise<object> {
  const limitMs = timeoutSeconds * 1000 + GRACE_MS;
  await call(context, resource, to, 'primary', {timeoutSeconds}, limitMs);
  return {};
}

async function call(
  {roles}: Context,
  {file}: Resource,
  to: string,
  verb: string,
  body: unknown,
  timeoutMs: number,
): Promise<void> {
  const nodeId = roles?.memberId(to);
  if (roles === undefined || nodeId === undefined) {
    throw new DiskError('PEER_UNKNOWN', `${to} is no other member: mars peer list`, {node: to});
  }

  await roles.call(nodeId, `resources/${file.id}/${verb}`, body, timeoutMs);
}

/** Answers `POST resources/ID/join` of a member. @throws DiskError as MarsNode.join; PEER_PROTOCOL */
export async function answerJoin(
  node: MarsNode,
  caller: Member,
  id: string,
  body: unknown,
): Promise<object> {
  const {replication} = node;
  const {name, image} = checkPeer(JOIN, body);
  if (replication === undefined) throw new DiskError('NO_SOURCE', 'this node has no cluster');
  if (replication.byId(id) !== undefined) return {};
  const isCallers = replication.cluster.facts
    .get(caller.id)
    ?.resources.some((each) => each.id === id && each.name === name);
  if (isCallers !== true) {
    await replication.ask();
    const found = await replication.findElsewhere(name);
    if (found.id !== id) throw new DiskError('PEER_REFUSED', `${name} is another resource here`);
  }

  const text = `${caller.name} asks this node to take a replica of ${name}`;
  node.context.tell('MOVE_ASKED', 'info', name, text, {node: caller.name});
  await node.join(name, image === undefined ? {} : {image});
  return {};
}

/** Answers `POST resources/ID/primary` of a member. @throws DiskError as becomePrimary; PEER_PROTOCOL */
export async function answerPrimary(
  {context}: MarsNode,
  caller: Member,
  resource: Resource,
  body: unknown,
): Promise<object> {
  const {timeoutSeconds} = checkPeer(PRIMARY, body);
  const text = `${caller.name} asks this node to become primary of ${resource.name}`;
  context.tell('MOVE_ASKED', 'info', resource.name, text, {node: caller.name});
  const request = {timeoutSeconds, device: true, force: false};
  await resource.run('primary', () => becomePrimary(context, resource, request));
  return {};
}

function checkPeer<S extends v.GenericSchema>(schema: S, body: unknown): v.InferOutput<S> {
  try {
    return check(schema, body);
  } catch (error) {
    const fault = error instanceof Error ? error.message : String(error);
    throw new DiskError('PEER_PROTOCOL', `a peer's words on a move are not valid: ${fault}`);
  }
}
