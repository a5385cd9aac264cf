/** The replicas of a resource on other nodes, for `mars status`. */
import * as v from 'valibot';
import type {ResourceFacts} from '../../cluster/facts.js';
import type {
  PeerMessage,
  ReplicaStatus,
  ResourceState,
  ResourceStatus,
  Role,
} from '../../control/api.js';
import type {SlotStatus} from '../../control/space-api.js';
import {formatPosition} from '../../core/position.js';
import type {Waiting} from '../../core/disk-status.js';
import {LOG_CAP_BYTES_DEFAULT} from '../../core/limits.js';
import {REPLICATION_MODES} from '../../core/mode.js';
import type {ResourceFile} from '../../core/home.js';
import {findState} from '../../core/states.js';
import type {Candidate} from './choose-source.js';
import {numberOf} from './replica-state.js';
import type {Slots} from './slots.js';
import {verifyOf} from './verify-facts.js';

/** What a node said before it fell silent is of no use any more after this. */
const MESSAGES_KEPT_MS = 24 * 3_600_000;

/** What a replica confirmed over its stream: newer than its facts. */
export interface Ack {
  readonly received: string;
  readonly durable: string;
  readonly replayed: string;
}

export interface ReplicaInput {
  readonly candidate: Candidate;
  /** Milliseconds since it was heard of. */
  readonly ageMs: number;
  readonly nowMs: number;
  readonly ack: Ack | undefined;
  /** End of the primary's log, as far as is known here. */
  readonly primaryEnd: string | null;
  /** Flushes of this primary count on it; null: they wait for no replica. */
  readonly counted?: boolean | null;
  /** For how long that log has been beyond a position. */
  readonly lagMs: (position: number) => number;
}

const FOLLOW = v.object({
  roleName: v.optional(v.string()),
  replication: v.optional(v.picklist(['continuous', 'paused', 'syncing', 'stopped'])),
  since: v.optional(v.string()),
  waiting: v.optional(
    v.object({reason: v.string(), since: v.string(), until: v.nullable(v.string())}),
  ),
});

/** One of `replicas`. Facts are of another node: what is not as it should be is null. */
export function replicaStatus(input: ReplicaInput): ReplicaStatus {
  const {candidate, ack, ageMs} = input;
  const {facts, linkUp, name} = candidate;
  const said = v.safeParse(FOLLOW, facts);
  const more = said.success ? said.output : {};
  const received = newer(ack?.received, facts.position);
  const durable = newer(ack?.durable, facts.durable);
  const isPrimary = facts.role === 'primary';
  const heardAt = Number.isFinite(ageMs) ? new Date(input.nowMs - ageMs).toISOString() : null;
  return {
    node: name,
    link: linkUp ? 'up' : 'down',
    role: roleOf(more.roleName, facts),
    state: stateOf(facts, linkUp, lagBytes(input, durable)),
    replication: linkUp ? replicationOf(more.replication, facts) : 'stopped',
    received,
    durable,
    replayed: newer(ack?.replayed, facts.replayed),
    lagSeconds: isPrimary && linkUp ? 0 : lagSeconds(input, durable),
    lagBytes: isPrimary ? 0 : lagBytes(input, durable),
    sync: syncOf(facts),
    counted: input.counted ?? null,
    since: linkUp ? (more.since ?? null) : heardAt,
    waitingFor: linkUp ? waitingOf(more.waiting, facts) : silence(heardAt),
    messages: ageMs > MESSAGES_KEPT_MS ? [] : messagesOf(facts),
    verify: verifyOf(facts),
  };
}

function newer(acked: string | undefined, told: string | null): string | null {
  if (acked === undefined) return told;
  return told === null || acked > told ? acked : told;
}

function roleOf(name: string | undefined, facts: ResourceFacts): Role {
  const known = name === undefined ? undefined : findState(name);
  return known?.kind === 'role' ? (name as Role) : facts.role;
}

/** Old facts are never green: what was up to date when it was last heard of need not be so now. */
function stateOf(facts: ResourceFacts, linkUp: boolean, lag: number | null): ResourceState {
  const known = findState(facts.state);
  const state = known?.kind === 'state' ? (facts.state as ResourceState) : 'Recovery';
  if (linkUp || facts.role === 'primary') return state;
  if (state === 'UpToDate') return 'OutDated[F]';
  return state === 'OutDated[R]' && lag !== 0 ? 'OutDated[FR]' : state;
}

function replicationOf(
  said: ReplicaStatus['replication'] | undefined,
  facts: ResourceFacts,
): ReplicaStatus['replication'] {
  if (said !== undefined) return said;
  if (facts.sync !== null) return 'syncing';
  return facts.fetchPaused ? 'paused' : 'stopped';
}

function lagBytes({primaryEnd}: ReplicaInput, durable: string | null): number | null {
  if (primaryEnd === null || durable === null) return null;
  return Math.max(0, numberOf(primaryEnd) - numberOf(durable));
}

function lagSeconds(input: ReplicaInput, durable: string | null): number | null {
  const {candidate, ageMs, lagMs} = input;
  const behindMs = durable === null ? null : lagMs(numberOf(durable));
  if (candidate.linkUp) return behindMs === null ? null : Math.round(behindMs / 100) / 10;
  if (!Number.isFinite(ageMs)) return null;
  return Math.round(Math.max(ageMs, behindMs ?? 0) / 1000);
}

function messagesOf({messages}: ResourceFacts): PeerMessage[] {
  return messages.map(({code, severity, text, since}) => ({code, severity, text, since}));
}

function syncOf({sync}: ResourceFacts): ReplicaStatus['sync'] {
  if (sync === null) return null;
  const {doneBytes, totalBytes} = sync;
  const percent = totalBytes === 0 ? 0 : Math.floor((doneBytes / totalBytes) * 1000) / 10;
  return {percent, doneBytes, totalBytes};
}

function waitingOf(said: Waiting | undefined, facts: ResourceFacts): Waiting | null {
  if (said !== undefined) return said;
  const critical = facts.messages.find(({severity}) => severity === 'critical');
  return critical === undefined
    ? null
    : {reason: critical.text, since: critical.since, until: null};
}

function silence(heardAt: string | null): Waiting | null {
  if (heardAt === null) return null;
  return {reason: 'nothing is heard of this node', since: heardAt, until: null};
}

/** A resource that this node has no replica of. */
export function notJoinedStatus(
  facts: ResourceFacts,
  replicas: readonly ReplicaStatus[],
  designatedPrimary: string | null,
): ResourceStatus {
  return {
    name: facts.name,
    sizeBytes: facts.sizeBytes,
    role: 'none',
    designatedPrimary,
    state: 'NotJoined',
    health: 'ok',
    mode: REPLICATION_MODES.find((mode) => mode === facts.mode) ?? 'async',
    synchronous: null,
    image: null,
    device: null,
    openCount: null,
    epoch: facts.epoch,
    position: null,
    durable: null,
    replayed: null,
    log: {files: 0, bytes: 0, capBytes: null, firstPosition: null},
    restorableFrom: null,
    replicas,
    waitingFor: null,
    messages: [],
  };
}

/** The part of the log's status that is about others: the limits, and what is kept for whom. */
export function keptFor(
  {logCapBytes, logAgeSeconds = 0}: ResourceFile,
  slots: Slots,
  end: string | null,
): Pick<ResourceStatus['log'], 'capBytes' | 'ageLimitSeconds' | 'slots'> {
  return {
    capBytes: logCapBytes ?? LOG_CAP_BYTES_DEFAULT,
    ageLimitSeconds: logAgeSeconds === 0 ? null : logAgeSeconds,
    slots: slotStatuses(slots, end),
  };
}

/** What is kept for others, and who was let go; `end` is where the log here ends. */
function slotStatuses(slots: Slots, end: string | null): SlotStatus[] {
  const kept = [...slots.all.values()].map(({name, position, at, ageMs}): SlotStatus => ({
    node: name,
    position: formatPosition(position),
    bytes: end === null ? null : Math.max(0, numberOf(end) - position),
    ageSeconds: Math.round(ageMs / 1000),
    at,
  }));
  const dropped = [...slots.dropped.values()].map(({name, at}): SlotStatus => ({
    ...{node: name, at, position: null, bytes: null, ageSeconds: null},
  }));
  return [...kept, ...dropped].sort((a, b) => (a.node < b.node ? -1 : 1));
}
