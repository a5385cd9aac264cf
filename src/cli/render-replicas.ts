/**
 * The replicas of a resource for people: below the line of the resource, one line for each other
 * node, one for what comes in here, and a bar for each image that is being copied.
 */
import type {
  FollowStatus,
  ReplicaStatus,
  ResourceStatus,
  StatusDocument,
  SyncProgress,
} from '../control/api.js';
import type {SlotStatus} from '../control/space-api.js';
import {hasPrimary, replicaHealth} from '../control/health.js';
import {findState} from '../core/states.js';
import {formatBytes} from '../core/units.js';
import type {Paint} from './paint.js';
import {formatLag, renderCopy} from './render-flow.js';
import {renderTable, type Cell} from './table.js';
import {formatSeconds, formatSince} from './times.js';
import {wrapText} from './wrap-text.js';

/** Bytes per second of each copy, by `copyKey`. */
export type CopyRates = ReadonlyMap<string, number>;

/** Green is only what is well. */
export const HEALTH_COLOUR = {
  ok: 'green',
  warning: 'yellow',
  critical: 'red',
  unknown: 'yellow',
} as const;

/** What is shown of one replica: its columns, and a line below them. */
interface ReplicaRow {
  readonly cells: readonly Cell[];
  readonly below: string | undefined;
}

/**
 * The lines below the line of each resource, in the order of `resources`: all are aligned with
 * each other. A resource without replicas has none.
 */
export function renderReplicas(
  resources: readonly ResourceStatus[],
  paint: Paint,
  rates: CopyRates,
): string[][] {
  const rows = resources.map((resource) => replicaRows(resource, paint, rates));
  const header = ['', '', '', '', ''];
  const lines = renderTable(
    header,
    rows.flat().map(({cells}) => cells),
  ).slice(1);
  return rows.map((group) =>
    group.flatMap(({below}) => [lines.shift() ?? '', ...(below === undefined ? [] : [below])]),
  );
}

function replicaRows(resource: ResourceStatus, paint: Paint, rates: CopyRates): ReplicaRow[] {
  const {name, follow} = resource;
  const primary = hasPrimary(resource);
  const others = resource.replicas.map((one): ReplicaRow => ({
    cells: [
      `  ${one.node}`,
      one.role,
      {text: one.state, shown: paint(HEALTH_COLOUR[replicaHealth(one, primary)], one.state)},
      one.link === 'up' ? 'link up' : {text: 'link DOWN', shown: paint('yellow', 'link DOWN')},
      describeReplica(one),
    ],
    below: renderBelow(one.sync, rates.get(copyKey(name, one.node))),
  }));
  if (follow == null) return others;
  const own: ReplicaRow = {
    cells: [
      '  (here)',
      'follows',
      shortSource(follow.source),
      linkOf(follow),
      describeFollow(follow),
    ],
    below: renderBelow(follow.sync, rates.get(copyKey(name, undefined))),
  };
  return [own, ...others];
}

/** The path of a folder is in what it waits for. */
function shortSource(source: string | null): string {
  if (source === null) return 'nobody';
  return source.startsWith('folder ') ? 'a folder' : source;
}

function linkOf({connected}: FollowStatus): string {
  return connected ? 'connected' : 'not connected';
}

function renderBelow(copy: SyncProgress | null, rate: number | undefined): string | undefined {
  return copy === null ? undefined : `    ${renderCopy(copy, rate)}`;
}

function describeReplica(one: ReplicaStatus): string {
  if (one.role === 'primary' || one.role === 'forcedPrimary') return '';
  if (one.sync !== null) return one.replication;
  return one.replication === 'continuous'
    ? formatLag(one)
    : `${one.replication}, ${formatLag(one)}`;
}

function describeFollow(follow: FollowStatus): string {
  if (follow.sync !== null) return follow.replication;
  const lag = formatLag(follow);
  return follow.replication === 'continuous' ? lag : `${follow.replication}, ${lag}`;
}

/** What is wrong with the replicas on other nodes: what, since when, why, and what to type. */
export function renderReplicaTroubles(
  resource: ResourceStatus,
  paint: Paint,
  nowMs: number,
): string[] {
  const primary = hasPrimary(resource);
  return resource.replicas.flatMap((one) => {
    const health = replicaHealth(one, primary);
    const said = renderMessages(resource.name, one, paint, nowMs);
    const place = `${resource.name} at ${one.node}: `;
    if (isTold(resource, one)) return [...renderSlot(resource, one.node, place), ...said];
    if (health === 'ok') return said;
    const {what, why, action} = explainReplica(one, resource);
    const head = `${place}${paint(HEALTH_COLOUR[health], health)}: ${what}`;
    const since = one.since === null ? [] : [`  since: ${formatSince(one.since, nowMs)}`];
    const {waitingFor} = one;
    const waits =
      waitingFor === null
        ? []
        : wrapText(`  waits: ${waitingFor.reason}`, {hanging: ' '.repeat(9)});
    return [
      head,
      ...since,
      ...waits,
      ...wrapText(`  why:   ${why}`, {hanging: ' '.repeat(9)}),
      ...renderSlot(resource, one.node, '  log:   '),
      ...wrapText(`  do:    ${action}`, {hanging: ' '.repeat(9)}),
      ...said,
    ];
  });
}

/** What another node says of its replica, with its age. */
function renderMessages(
  name: string,
  {node, link, since, messages = []}: ReplicaStatus,
  paint: Paint,
  nowMs: number,
): string[] {
  const heard =
    link === 'up' || since === null ? '' : `; last heard of ${formatSince(since, nowMs)}`;
  return messages
    .filter(({severity}) => severity !== 'info')
    .flatMap((message) => {
      const colour = message.severity === 'critical' ? 'red' : 'yellow';
      return [
        `${name}, ${node} says: ${paint(colour, message.severity)}: ${message.code}`,
        ...wrapText(`  what:  ${message.text}`, {hanging: ' '.repeat(9)}),
        `  since: ${formatSince(message.since, nowMs)}${heard}`,
      ];
    });
}

/** How much log is kept for a replica that is not well. */
function renderSlot({log}: ResourceStatus, node: string, label: string): string[] {
  const slot = log.slots?.find((one) => one.node === node);
  if (slot === undefined) return [];
  return wrapText(`${label}${describeSlot(slot, log)}`, {hanging: ' '.repeat(9)});
}

/** `1.2 GiB are kept for it, for 3 h; at most 10 GiB, 7 d`. */
export function describeSlot(slot: SlotStatus, log: ResourceStatus['log']): string {
  const {position, bytes, ageSeconds} = slot;
  if (position === null) return 'none is kept for it any more: it will be copied again';
  const age = ageSeconds === null || ageSeconds === 0 ? '' : `, for ${formatSeconds(ageSeconds)}`;
  const limits = [
    ...(log.capBytes === null ? [] : [formatBytes(log.capBytes)]),
    ...(log.ageLimitSeconds == null ? [] : [formatSeconds(log.ageLimitSeconds)]),
  ];
  const most = limits.length === 0 ? '' : `; at most ${limits.join(', ')}`;
  return `${bytes === null ? 'some' : formatBytes(bytes)} kept for it${age}${most}`;
}

/** Why the replica of this node is not well although its state is, and what to type. */
export function explainFollow({name, follow}: ResourceStatus): Trouble | undefined {
  if (follow == null) return undefined;
  if (follow.replication === 'continuous') {
    return {
      what: `far behind, ${formatLag(follow)}`,
      why: 'The link or this node is slower than what is written at the primary.',
      action: `Wait if it shrinks: mars wait ${name} 'lag<10'. Else look at link and disks.`,
    };
  }

  return {
    what: `replication is ${follow.replication}`,
    why: 'Nothing comes from the primary: this copy grows older, and the log for it is kept there.',
    action: `mars fetch status ${name} says why; mars up ${name} turns all switches on.`,
  };
}

/** The daemon has a message of its own for a node that is not heard of. */
function isTold({messages}: ResourceStatus, {node, link, state}: ReplicaStatus): boolean {
  if (link === 'up' || state === 'Forked') return false;
  return messages.some(
    ({code, text}) => code === 'LINK_DOWN' && text.split(/[ ,:]+/u).includes(node),
  );
}

/** What, why and what to type; since when stands elsewhere. */
export interface Trouble {
  readonly what: string;
  readonly why: string;
  readonly action: string;
}

function explainReplica(one: ReplicaStatus, {name, role, wishes}: ResourceStatus): Trouble {
  const {node} = one;
  if (one.link === 'down') {
    return {
      what: 'not heard of',
      why: `What is shown of ${node} is old. The log that it still needs is kept meanwhile.`,
      action: `Look at the network and at the daemon of ${node}: mars peer list.`,
    };
  }

  const ill = one.messages?.find(({severity}) => severity === 'critical');
  if (ill !== undefined && replicaHealth({...one, messages: []}) === 'ok') {
    return {
      what: `critical there: ${ill.code}`,
      why: 'Its node says so, below; the replica counts as no good copy until that is over.',
      action: `On ${node}: mars status ${name}. mars explain ${ill.code} says what it means.`,
    };
  }

  const entry = findState(one.state);
  if (replicaHealth({...one, lagSeconds: 0, replication: 'continuous'}) !== 'ok') {
    const action = (entry?.action ?? 'Look at it there.').replaceAll(/\bNAME\b/gu, name);
    return {what: one.state, why: entry?.meaning ?? '', action: `On ${node}: ${action}`};
  }

  const serves = role === 'primary' || role === 'forcedPrimary';
  if (one.replication !== 'continuous' && wishes?.connected === false && serves) {
    return {
      what: `replication is ${one.replication}`,
      why: `${name} is disconnected here by wish: nobody gets its log, which is kept.`,
      action: `mars connect ${name}`,
    };
  }

  if (one.replication === 'syncing') {
    return {
      what: 'its image is being copied',
      why: 'It is one copy more when that is done, and its log has arrived.',
      action: `mars wait ${name} synced`,
    };
  }

  if (one.replication !== 'continuous') {
    return {
      what: `replication is ${one.replication}`,
      why: 'This copy is not kept up: it grows older, and the log for it is kept.',
      action: `On ${node}: mars status ${name} says why; mars up ${name} turns all switches on.`,
    };
  }

  return {
    what: `far behind, ${formatLag(one)}`,
    why: 'The link or the other node is slower than what is written here.',
    action: `Wait if it shrinks: mars wait ${name} 'lag<10'. Else look at link and node.`,
  };
}

/** true where an image is being copied, here or on another node. */
export function isCopying({resources}: StatusDocument): boolean {
  return resources.some((one) => copiesOf(one).length > 0);
}

/** How fast the copies go, from two looks that are `seconds` apart. */
export function copyRates(
  before: StatusDocument,
  after: StatusDocument,
  seconds: number,
): CopyRates {
  const old = new Map(before.resources.flatMap((one) => copiesOf(one)));
  const rates = new Map<string, number>();
  if (seconds <= 0) return rates;
  for (const [key, doneBytes] of after.resources.flatMap((one) => copiesOf(one))) {
    const oldBytes = old.get(key);
    if (oldBytes !== undefined) rates.set(key, Math.max(0, doneBytes - oldBytes) / seconds);
  }

  return rates;
}

function copiesOf({name, follow, replicas}: ResourceStatus): [string, number][] {
  const own = follow?.sync ?? null;
  const others = replicas.flatMap(({node, sync}): [string, number][] =>
    sync === null ? [] : [[copyKey(name, node), sync.doneBytes]],
  );
  return own === null ? others : [[copyKey(name, undefined), own.doneBytes], ...others];
}

/** A resource cannot have a `/` in its name, nor can a node. */
function copyKey(name: string, node: string | undefined): string {
  return `${name}/${node ?? ''}`;
}
