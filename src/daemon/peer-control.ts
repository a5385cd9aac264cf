/** The routes of the control API that are about members of the cluster: control/peer-api.ts. */
import * as v from 'valibot';
import {parseAddress} from '../cluster/address.js';
import {memberByName, type Member, type setMember} from '../cluster/members.js';
import type {
  InviteDocument,
  PeerJoinDocument,
  PeerList,
  PeerRemoveDocument,
  PeerView,
} from '../control/peer-api.js';
import {DiskError} from '../core/errors.js';
import {PACKING_WISHES, packingWishOf, type PackingWish} from '../core/packing-names.js';
import {parseSize} from '../core/units.js';
import {PACKINGS_HERE} from '../log/packing.js';
import {REMOTE_CONTROLS} from '../core/remote-control.js';
import type {Peers, Removal} from './peers.js';
import {remoteControlOf} from './remote.js';
import {parseBody, SET} from './requests.js';
import type {Request} from './routes.js';
import {changeNode} from './state.js';

const VALID_SECONDS_DEFAULT = 3600;
const VALID_SECONDS_MAX = 30 * 24 * 3600;
const JOIN_SECONDS_DEFAULT = 60;

const INVITE = v.strictObject({
  validSeconds: v.optional(
    v.pipe(v.number(), v.minValue(1), v.maxValue(VALID_SECONDS_MAX)),
    VALID_SECONDS_DEFAULT,
  ),
});
const JOIN = v.strictObject({
  token: v.string(),
  timeoutSeconds: v.optional(
    v.pipe(v.number(), v.minValue(1), v.maxValue(86_400)),
    JOIN_SECONDS_DEFAULT,
  ),
});
const REMOVE = v.strictObject({
  force: v.optional(v.boolean(), false),
  dryRun: v.optional(v.boolean(), false),
});

const LEAVE = v.strictObject({
  force: v.optional(v.boolean(), false),
  dryRun: v.optional(v.boolean(), false),
  confirmed: v.optional(v.boolean(), false),
});

type Change = Parameters<typeof setMember>[2];

/**
 * Answers a request below /v1/peers.
 *
 * @throws DiskError PEER_*, TOKEN_*, KEY_UNKNOWN, USAGE, STORE_*
 */
export async function answerPeers(peers: Peers, request: Request): Promise<unknown> {
  const {method, words, body} = request;
  const [, name = '', verb, ...rest] = words;
  const route = [method, name === '' ? '' : 'NAME', verb ?? '', ...rest].join(' ').trim();
  if (method === 'POST' && verb === undefined && name === 'invite') {
    const {validSeconds} = parseBody(INVITE, body);
    const {text, cluster, node, addresses, expiresAt} = peers.invite(validSeconds);
    return {
      ...{schema: 1, token: text, cluster, node, addresses, expiresAt},
    } satisfies InviteDocument;
  }

  if (method === 'POST' && verb === undefined && name === 'join') {
    const {token, timeoutSeconds} = parseBody(JOIN, body);
    return join(peers, token, timeoutSeconds);
  }

  if (method === 'POST' && verb === undefined && name === 'leave') {
    const {force, dryRun, confirmed} = parseBody(LEAVE, body);
    const own = peers.context.node.name;
    if (!confirmed && !dryRun) {
      const text = `${own} would be no member of its cluster any more: say --yes`;
      throw new DiskError('CONFIRM_NEEDED', text, {node: own});
    }

    return removalOf(own, dryRun, await peers.leave(force, dryRun));
  }

  switch (route) {
    case 'GET':
      return listPeers(peers);
    case 'POST NAME set': {
      const {settings} = parseBody(SET, body);
      if (Object.hasOwn(settings, 'remote-control')) return setRemoteControl(peers, name, settings);
      return viewOf(peers, peers.set(name, parseChange(settings)));
    }

    case 'DELETE NAME': {
      const {force, dryRun} = parseBody(REMOVE, body);
      return removalOf(name, dryRun, await peers.remove(name, force, dryRun));
    }

    default:
      throw new DiskError('USAGE', `there is no ${method} /v1/${words.join('/')}`);
  }
}

function removalOf(name: string, dryRun: boolean, removal: Removal): PeerRemoveDocument {
  return {schema: 1, name, dryRun, ...removal};
}

/** Of this node itself: what the others may do here with --host. @throws DiskError KEY_UNKNOWN */
function setRemoteControl(
  peers: Peers,
  name: string,
  settings: Readonly<Record<string, string>>,
): PeerView {
  const {context} = peers;
  const {'remote-control': value, ...rest} = settings;
  const wish = REMOTE_CONTROLS.find((each) => each === value);
  const others = Object.keys(rest);
  if (name !== context.node.name || others.length > 0 || wish === undefined) {
    const text =
      `remote-control is a setting of this node: mars peer set ${context.node.name} ` +
      `remote-control=${REMOTE_CONTROLS.join('|')}`;
    throw new DiskError('KEY_UNKNOWN', text, {key: 'remote-control'});
  }

  const {cluster} = peers;
  if (cluster === undefined) throw peers.fault ?? new DiskError('BUG', 'no cluster, no reason');
  const self = memberByName(cluster, name);
  changeNode(context.paths.home, {remoteControl: wish});
  context.node = {...context.node, remoteControl: wish};
  context.tell('PEER_CHANGED', 'info', null, `${name}: remote-control=${wish}`, {peer: name});
  return viewOf(peers, self);
}

async function join(
  peers: Peers,
  token: string,
  timeoutSeconds: number,
): Promise<PeerJoinDocument> {
  const through = await peers.join(token, timeoutSeconds * 1000);
  const {cluster, members} = listPeers(peers);
  return {schema: 1, cluster, through: through.name, members: members.map(({name}) => name)};
}

function listPeers(peers: Peers): PeerList {
  const {cluster, context} = peers;
  if (cluster === undefined) throw peers.fault ?? new DiskError('BUG', 'no cluster, no reason');
  const members = cluster.members
    .filter(({removed}) => removed !== true)
    .sort((left, right) => (left.name < right.name ? -1 : 1));
  return {
    schema: 1,
    cluster: cluster.id,
    node: context.node.name,
    removed: peers.isRevoked(),
    listen: context.node.listen ?? null,
    members: members.map((member) => viewOf(peers, member)),
  };
}

function viewOf(peers: Peers, member: Member): PeerView {
  const {id, name, address, fingerprint, addedAt, bandwidthLimit, compression} = member;
  const link = peers.link(id);
  const self = id === peers.selfId;
  return {
    id,
    name,
    address: address === '' ? null : address,
    fingerprint,
    addedAt,
    bandwidthLimit: bandwidthLimit ?? null,
    compression: packingWishOf(compression),
    link: self ? 'self' : link.up ? 'up' : 'down',
    since: link.since,
    lastHeardAt: link.lastHeardAt,
    error: link.error,
    ...(self
      ? {}
      : {clockOffsetSeconds: link.clockOffsetSeconds, isClockSkewed: link.isClockSkewed}),
    ...(self ? {remoteControl: remoteControlOf(peers.context)} : {}),
  };
}

/** @throws DiskError KEY_UNKNOWN */
function parseChange(settings: Readonly<Record<string, string>>): Change {
  const change: {-readonly [K in keyof Change]: Change[K]} = {};
  for (const [key, value] of Object.entries(settings)) {
    if (key === 'address') change.address = checkedAddress(value);
    else if (key === 'bandwidth-limit') change.bandwidthLimit = parseLimit(value);
    else if (key === 'compression') change.compression = parseCompression(value);
    else {
      const text = `a member has the settings address, bandwidth-limit and compression, not ${key}`;
      throw new DiskError('KEY_UNKNOWN', text, {key});
    }
  }

  return change;
}

function checkedAddress(value: string): string {
  // As it is called where transports are listed; what is kept is understood by each version.
  const address = value.replace(/^tcp:\/\//u, '');
  if (parseAddress(address) !== undefined) return address;
  const text = `address: expected [tcp://]HOST:PORT, [IPV6]:PORT or ssh://[USER@]HOST, got '${value}'`;
  throw new DiskError('KEY_UNKNOWN', text, {key: 'address'});
}

function parseCompression(value: string): PackingWish {
  const known = PACKING_WISHES.filter(
    (wish) => wish === 'none' || wish === 'auto' || PACKINGS_HERE.includes(wish),
  );
  const wish = known.find((each) => each === value);
  if (wish !== undefined) return wish;
  const why = value === 'zstd' ? `: Node ${process.versions.node} has no zstd` : '';
  const text = `compression: expected one of ${known.join(', ')}, got '${value}'${why}`;
  throw new DiskError('KEY_UNKNOWN', text, {key: 'compression'});
}

function parseLimit(value: string): number | null {
  if (value === 'none') return null;
  try {
    return parseSize(value);
  } catch {
    const text = `bandwidth-limit: expected bytes a second such as 10M, or none, got '${value}'`;
    throw new DiskError('KEY_UNKNOWN', text, {key: 'bandwidth-limit'});
  }
}
