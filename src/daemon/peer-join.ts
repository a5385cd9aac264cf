/**
 * How a node becomes a member. The member that invites: the token is spent durably, then the node is
 * added durably, then it is answered, then the other members are told. The node that joins writes
 * the answer durably, and only then belongs to the cluster. Wherever one of the two dies, the same
 * `mars peer join` with the same token goes on.
 */
import {randomBytes} from 'node:crypto';
import {hostname, networkInterfaces} from 'node:os';
import {formatAddress, isWildcard, parseAddress, parseListen} from '../cluster/address.js';
import type {Identity} from '../cluster/certificates.js';
import {addInvitation, redeem} from '../cluster/invitations.js';
import {addMember, mergeMembers, type Cluster, type Member} from '../cluster/members.js';
import type {PeerClient, Target} from '../cluster/peer-client.js';
import {
  clusterSchema,
  helloSchema,
  joinSchema,
  type Hello,
  type JoinBody,
} from '../cluster/peer-protocol.js';
import {decodeToken, encodeToken, SECRET_BYTES, type Token} from '../cluster/token.js';
import {check} from '../core/check.js';
import {DiskError, isDiskError} from '../core/errors.js';
import type {ClusterState} from './cluster-state.js';
import type {Context} from './context.js';
import type {Origin} from './peer-server.js';

/** One address of a token after the other gets so long. */
const ADDRESS_TIMEOUT_MS = 10_000;
const ADDRESSES_MAX = 12;
/** Of a login through ssh, until mars answers over there. */
const HELLO_TIMEOUT_MS = 30_000;

/** Checks a body from a peer. @throws DiskError PEER_PROTOCOL */
export function checkPeerBody<T>(what: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    const fault = error instanceof Error ? error.message : String(error);
    throw new DiskError('PEER_PROTOCOL', `${what} of a peer is not valid: ${fault}`, {fault});
  }
}

/** Where this node can be called: for a token, best first; for `listen` on all, every address. */
export function ownAddresses(listen: string | undefined): string[] {
  const at = listen === undefined ? undefined : parseListen(listen);
  if (at === undefined) return [];
  const {host, port} = at;
  if (host !== undefined && !isWildcard(host)) return [formatAddress(host, port)];
  const addresses = Object.values(networkInterfaces())
    .flat()
    .filter((each) => each !== undefined)
    .filter(({internal, family, address}) => {
      if (internal || address.startsWith('fe80:')) return false;
      return host === undefined || host.includes(':') || family === 'IPv4';
    })
    .map(({address}) => formatAddress(address, port));
  return [...addresses, formatAddress(hostname(), port)]
    .filter((address) => parseAddress(address) !== undefined)
    .slice(0, ADDRESSES_MAX);
}

/**
 * Makes a token for one node.
 *
 * @throws DiskError PEER_NOT_LISTENING, PEER_REVOKED, STORE_*
 */
export function invite(
  context: Context,
  state: ClusterState,
  identity: Identity,
  validSeconds: number,
): Token & {readonly text: string} {
  const {node, clock} = context;
  if (state.isRevoked()) throw selfRevoked(node.name);
  const addresses = ownAddresses(node.listen);
  if (addresses.length === 0) {
    const text = 'node.json has no "listen": a token would have no address to call';
    throw new DiskError('PEER_NOT_LISTENING', text);
  }

  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  const now = clock.wallMs();
  // The list has this node, and the cluster its file, before anybody can ask for them.
  state.addSelf();
  state.setInvitations(addInvitation(state.invitations, secret, now, validSeconds * 1000));
  const token: Token = {
    cluster: state.cluster.id,
    node: node.name,
    addresses,
    fingerprint: identity.fingerprint,
    secret,
    expiresAt: new Date(now + validSeconds * 1000).toISOString(),
  };
  context.tell(
    'PEER_INVITED',
    'info',
    null,
    `a join token was made, valid until ${token.expiresAt}`,
  );
  return {...token, text: encodeToken(token)};
}

/**
 * The side that is joined.
 *
 * @returns the cluster as the new member is to write it
 * @throws DiskError PEER_PROTOCOL, PEER_NAME_TAKEN, PEER_REVOKED, PEER_UNKNOWN, TOKEN_*, STORE_*
 */
export function acceptJoin(
  context: Context,
  state: ClusterState,
  origin: Origin,
  value: unknown,
): Pick<Cluster, 'id' | 'members'> {
  const body = checkPeerBody('a join', () => check(joinSchema, value));
  if (state.isRevoked()) throw selfRevoked(context.node.name);
  if (origin.kind === 'tls' && origin.fingerprint !== body.fingerprint) {
    throw new DiskError('PEER_PROTOCOL', 'the joining node names another key than it shows');
  }

  if (body.id === state.selfId) {
    throw new DiskError('PEER_NAME_TAKEN', 'a node cannot join itself', {node: body.name});
  }

  const {clock} = context;
  const member: Member = {
    id: body.id,
    name: body.name,
    address: addressOf(body, origin),
    fingerprint: body.fingerprint,
    addedAt: new Date(clock.wallMs()).toISOString(),
  };
  // Whatever refuses the node does so before its token is spent.
  addMember(addMember(state.cluster, state.selfMember()), member);
  if (origin.kind === 'tls') {
    const {secret} = body;
    if (secret === null) throw new DiskError('TOKEN_UNKNOWN', 'a node that joins shows a token');
    state.setInvitations(redeem(state.invitations, secret, body, clock.wallMs()));
  }

  state.addSelf();
  if (state.apply((cluster) => addMember(cluster, member))) {
    const text = `${body.name} joined the cluster, reached at ${member.address || 'no address'}`;
    context.tell('PEER_JOINED', 'info', null, text, {peer: body.name});
  }

  const {id, members} = state.cluster;
  return {id, members};
}

/** How to call back a node that joined. '' where there is no way. */
function addressOf(body: JoinBody, origin: Origin): string {
  const listen = parseListen(body.listen);
  const ssh = `ssh://${body.host}`;
  const fallback = origin.kind === 'local' && parseAddress(ssh) !== undefined ? ssh : '';
  if (listen === undefined) return fallback;
  const {host, port} = listen;
  if (host !== undefined && !isWildcard(host)) return formatAddress(host, port);
  const from = origin.kind === 'tls' ? origin.remoteAddress : body.host;
  const address = formatAddress(from, port);
  return parseAddress(address) === undefined ? fallback : address;
}

export interface JoinOptions {
  readonly context: Context;
  readonly state: ClusterState;
  readonly identity: Identity;
  readonly client: PeerClient;
  /** Names of resources on this node. */
  readonly resources: () => readonly string[];
  /** Of the whole join. */
  readonly timeoutMs: number;
}

/**
 * The side that joins.
 *
 * @param where a token, or `ssh://[user@]host`
 * @returns the member that took this node in
 * @throws DiskError TOKEN_*, PEER_*, TIMEOUT, STORE_*; nothing was changed here then
 */
export async function joinCluster(options: JoinOptions, where: string): Promise<Member> {
  const {context, client, timeoutMs} = options;
  const deadlineMs = performance.now() + timeoutMs;
  const address = parseAddress(where.trim());
  if (address !== undefined) {
    if (address.kind !== 'ssh') {
      const text = `expected a token or ssh://[USER@]HOST, got ${where}: mars peer invite makes a token`;
      throw new DiskError('USAGE', text);
    }

    const target = {name: address.target, address: where.trim(), fingerprint: ''};
    const helloMs = Math.min(HELLO_TIMEOUT_MS, timeoutMs);
    const answer = await client.call<unknown>(target, 'GET', 'hello', undefined, helloMs);
    const hello: Hello = checkPeerBody('a hello', () => check(helloSchema, answer));
    requireFree(options, hello.cluster);
    const named = {...target, name: hello.name, fingerprint: hello.fingerprint};
    return finishJoin(options, named, null, hello.cluster, deadlineMs);
  }

  const token = decodeToken(where);
  requireFree(options, token.cluster);
  if (token.fingerprint === options.identity.fingerprint) {
    throw new DiskError(
      'USAGE',
      `the token was made on this node, ${context.node.name}: use it on the new one`,
    );
  }

  let failure: unknown;
  for (const each of token.addresses) {
    const target = {name: token.node, address: each, fingerprint: token.fingerprint};
    try {
      return await finishJoin(options, target, token.secret, token.cluster, deadlineMs);
    } catch (error) {
      if (!isOtherAddressWorthATry(error)) throw error;
      failure ??= error;
      if (performance.now() >= deadlineMs) break;
    }
  }

  throw failure;
}

/** Behind an address there may be another machine, or none: the next one may be right. */
function isOtherAddressWorthATry(error: unknown): boolean {
  return (
    isDiskError(error, 'PEER_UNREACHABLE') ||
    isDiskError(error, 'PEER_FINGERPRINT') ||
    isDiskError(error, 'TIMEOUT')
  );
}

async function finishJoin(
  options: JoinOptions,
  target: Target,
  secret: string | null,
  clusterId: string,
  deadlineMs: number,
): Promise<Member> {
  const {context, state, identity, client} = options;
  const {node} = context;
  const body: JoinBody = {
    secret,
    id: node.id,
    name: node.name,
    fingerprint: identity.fingerprint,
    listen: node.listen ?? '',
    host: hostname(),
  };
  const timeoutMs = Math.max(1, Math.min(ADDRESS_TIMEOUT_MS, deadlineMs - performance.now()));
  const answer = await client.call<unknown>(target, 'POST', 'join', body, timeoutMs);
  const {id, members} = checkPeerBody('the answer', () => check(clusterSchema, answer));
  const inviter = members.find((each) => each.fingerprint === target.fingerprint);
  const self = members.find((each) => each.id === node.id);
  if (id !== clusterId || inviter === undefined || self === undefined) {
    throw new DiskError(
      'PEER_PROTOCOL',
      `${target.name} answered with a cluster that is not its own`,
    );
  }

  const known = {...inviter, address: target.address};
  // The daemon may have got a resource while it waited.
  requireFree(options, id);
  state.apply((cluster) => {
    const heard = [...members.filter((each) => each.id !== inviter.id), known];
    if (cluster.id === id) return mergeMembers(cluster, heard);
    return {...cluster, id, members: heard, stamp: cluster.stamp + 1};
  });
  const text = `this node joined the cluster ${id} of ${inviter.name}`;
  context.tell('CLUSTER_JOINED', 'info', null, text, {peer: inviter.name});
  return known;
}

/** @throws DiskError PEER_OTHER_CLUSTER, PEER_HAS_RESOURCES */
function requireFree({context, state, resources}: JoinOptions, clusterId: string): void {
  if (state.cluster.id === clusterId) return;
  const others = state.others();
  if (others.length > 0) {
    const names = others.map(({name}) => name).join(', ');
    const text = `${context.node.name} is in a cluster with ${names} already`;
    throw new DiskError('PEER_OTHER_CLUSTER', text, {
      ours: state.cluster.id,
      theirs: clusterId,
    });
  }

  const names = resources();
  if (names.length === 0) return;
  const text = `${context.node.name} has resources of its own (${names.join(', ')}): expected none`;
  throw new DiskError('PEER_HAS_RESOURCES', text, {resources: names.join(' ')});
}

function selfRevoked(name: string): DiskError {
  return new DiskError('PEER_REVOKED', `${name} was removed from its cluster`, {node: name});
}
