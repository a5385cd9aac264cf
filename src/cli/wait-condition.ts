/**
 * The conditions of `mars wait`, as functions of what the status of a resource says. Each tells
 * whether it is met, and if not, who or what is missing: that is what a timeout says.
 *
 * Where the resource is primary, `synced`, `fetched`, `replayed` and `lag` are about its replicas
 * on other nodes; elsewhere about the replica of this node. `fetched` and `replayed` mean what the
 * primary had when the command began, so they end although it goes on writing. A primary that
 * knows no other replica does not meet them: a script that asks wants a second copy.
 */
import type {FollowStatus, ReplicaStatus, ResourceStatus, SyncProgress} from '../control/api.js';
import {DiskError} from '../core/errors.js';
import {formatPosition, parsePosition} from '../core/position.js';
import {formatLag} from './render-flow.js';
import {formatSeconds} from './times.js';

export interface Look {
  readonly met: boolean;
  /** What is missing: `beta has copied 40 %`; empty where it is met. */
  readonly missing: string;
  /** While an image is copied. */
  readonly copy?: SyncProgress;
}

/** Looks at one status; may remember what it saw first. */
export type Condition = (status: ResourceStatus) => Look;

const MET: Look = {met: true, missing: ''};

/** Those without a number, and what makes them. */
const WORDS: Readonly<Record<string, () => Condition>> = {
  primary: () => (status) => (isPrimary(status) ? MET : missing(`its role is ${status.role}`)),
  secondary: () => (status) =>
    status.role === 'secondary' ? MET : missing(`its role is ${status.role}`),
  attached: () => (status) => (status.state === 'Detached' ? missing('it is detached') : MET),
  detached: () => (status) => (status.state === 'Detached' ? MET : missing('it is attached')),
  device: () => (status) => (status.device === null ? missing('it has no device') : MET),
  'no-device': () => (status) =>
    status.device === null ? MET : missing(`it has its device ${status.device}`),
  closed: () => isClosed,
  connected: () => isConnected,
  synced: () => isSynced,
  uptodate: () => isUpToDate,
  fetched: () => hasAll('received', 'fetched'),
  replayed: () => hasAll('replayed', 'replayed'),
};

/** These are true of a node that has no replica, too. */
const HOLD_WITHOUT_REPLICA = new Set(['no-device', 'closed', 'connected']);

/** What `marsadm wait-resource` called them; `is-` may stand in front. */
const OLD_WORDS: Readonly<Record<string, string>> = {
  attach: 'attached',
  'attach-off': 'detached',
  'primary-off': 'secondary',
  'device-off': 'no-device',
};

/** All words, for the help and the refusal. */
export const CONDITION_WORDS: readonly string[] = [
  ...Object.keys(WORDS),
  'lag<SECONDS',
  'position>=P',
];

/**
 * The condition that a word names.
 *
 * @throws DiskError USAGE where it names none
 */
export function parseCondition(text: string): Condition {
  const plain = text.replace(/^is-/u, '');
  const make = WORDS[OLD_WORDS[plain] ?? plain];
  if (make !== undefined && Object.hasOwn(WORDS, OLD_WORDS[plain] ?? plain)) {
    return HOLD_WITHOUT_REPLICA.has(OLD_WORDS[plain] ?? plain) ? make() : ofReplica(make());
  }

  const lag = /^lag<(\d+(?:\.\d+)?)s?$/u.exec(text)?.[1];
  if (lag !== undefined) return ofReplica(lagBelow(Number(lag)));
  const position = parsePosition(/^position>=([0-9a-f]+)$/u.exec(text)?.[1] ?? '');
  if (position !== undefined) return ofReplica(positionFrom(position));
  throw new DiskError(
    'USAGE',
    `expected a condition of ${CONDITION_WORDS.join(', ')} (quote < and >), got '${text}'`,
  );
}

/** Nothing is known of a replica that is not there; it may be joined meanwhile. */
function ofReplica(condition: Condition): Condition {
  return (status) =>
    status.state === 'NotJoined'
      ? missing(`this node has no replica of it: mars resource join ${status.name}`)
      : condition(status);
}

function missing(text: string, copy?: SyncProgress | null): Look {
  return {met: false, missing: text, ...(copy == null ? {} : {copy})};
}

function isPrimary({role}: {readonly role: ResourceStatus['role']}): boolean {
  return role === 'primary' || role === 'forcedPrimary';
}

const isClosed: Condition = ({openCount, state}) => {
  if (openCount === 0 || state === 'NotJoined') return MET;
  return missing(openCount === null ? 'nobody knows who has it open' : `open: ${openCount} times`);
};

const isConnected: Condition = ({replicas}) => {
  const down = replicas.filter(({link}) => link === 'down');
  return down.length === 0 ? MET : missing(down.map((one) => describeLink(one)).join('; '));
};

const isSynced: Condition = (status) => {
  if (isPrimary(status)) {
    return everyReplica(status, (one) => ({
      met: isWhole(one.state) && one.sync === null,
      missing: one.sync === null ? `${one.node} is ${one.state}` : describeCopy(one.node, one.sync),
      ...(one.sync === null ? {} : {copy: one.sync}),
    }));
  }

  const copy = status.follow?.sync ?? null;
  if (copy !== null) return missing(describeCopy('this node', copy), copy);
  return isWhole(status.state) ? MET : missing(`it is ${status.state}`);
};

const isUpToDate: Condition = (status) => {
  if (status.state !== 'UpToDate') {
    return missing(`it is ${status.state}`, status.follow?.sync ?? null);
  }

  const late = status.replicas.find((one) => one.link === 'down' || one.state !== 'UpToDate');
  if (late === undefined) return MET;
  if (late.link === 'down') return missing(describeLink(late));
  return missing(`${late.node} is ${late.state}`, late.sync);
};

/** The position `of` each replica against the end of the primary at the first look. */
function hasAll(of: 'received' | 'replayed', done: string): Condition {
  let target: string | undefined;
  return (status) => {
    const origin = isPrimary(status) ? status : status.replicas.find((one) => isPrimary(one));
    if (origin === undefined) return missing('no node is known to be primary');
    if ('link' in origin && origin.link === 'down') return missing(describeLink(origin));
    target ??= endOf(origin);
    if (target === undefined) return missing('the end of the log is not known');
    const end = target;
    const look = (name: string, has: string | null, copy: SyncProgress | null): Look => {
      if (copy === null && has !== null && has >= end) return MET;
      if (copy !== null) return missing(describeCopy(name, copy), copy);
      return missing(`${name} has ${done} up to ${has ?? 'nowhere'}, wanted ${end}`);
    };
    if (isPrimary(status)) return everyReplica(status, (one) => look(one.node, one[of], one.sync));
    const own = of === 'received' ? (status.follow?.received ?? status.position) : status.replayed;
    return look('this node', own, status.follow?.sync ?? null);
  };
}

function endOf(origin: ResourceStatus | ReplicaStatus): string | undefined {
  if ('link' in origin) return origin.received ?? origin.durable ?? undefined;
  return origin.position ?? undefined;
}

function lagBelow(limitSeconds: number): Condition {
  const look = (name: string, one: FollowStatus | ReplicaStatus, connected: boolean): Look => {
    if (!connected) return missing(`${name} is not connected`);
    if (one.lagSeconds !== null && one.lagSeconds < limitSeconds) return MET;
    const behind = one.lagSeconds === null ? 'has an unknown lag' : `is ${formatLag(one)}`;
    return missing(`${name} ${behind}, wanted less than ${formatSeconds(limitSeconds)}`, one.sync);
  };
  return (status) => {
    if (isPrimary(status)) {
      return everyReplica(status, (one) => look(one.node, one, one.link === 'up'));
    }

    const {follow} = status;
    if (follow == null) return missing('it follows no primary');
    return look('this node', follow, follow.connected);
  };
}

function positionFrom(position: number): Condition {
  const wanted = formatPosition(position);
  return (status) => {
    if (status.position !== null && status.position >= wanted) return MET;
    return missing(`it is at ${status.position ?? 'an unknown position'}, wanted ${wanted}`);
  };
}

function everyReplica({replicas}: ResourceStatus, look: (one: ReplicaStatus) => Look): Look {
  if (replicas.length === 0) return missing('no other replica is known');
  const looks = replicas.map((one) =>
    one.link === 'down' ? missing(describeLink(one), one.sync) : look(one),
  );
  return looks.find(({met}) => !met) ?? MET;
}

/** The image is of one moment, and nothing is copied. */
function isWhole(state: ResourceStatus['state']): boolean {
  return ['UpToDate', 'OutDated[F]', 'OutDated[R]', 'OutDated[FR]', 'WriteBack'].includes(state);
}

function describeCopy(name: string, {percent}: SyncProgress): string {
  return `${name} has copied ${Math.floor(percent)} %`;
}

function describeLink({node, since}: ReplicaStatus): string {
  return `${node} is not heard of${since === null ? '' : ` since ${since}`}`;
}
