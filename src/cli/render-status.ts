/**
 * `mars status` for people: 80 columns; first whether all is well, then a line for each resource
 * and below it one for each of its replicas, then for each trouble what, since when, why, and what
 * to type. Nothing is green while a replica is not.
 */
import type {ResourceStatus, StatusDocument} from '../control/api.js';
import {
  followHealth,
  hasPrimary,
  HEALTHS,
  healthWithReplicas,
  replicaHealth,
  worst,
  type Health,
} from '../control/health.js';
import {CODES} from '../core/codes.js';
import type {Message} from '../core/disk-status.js';
import {parsePosition} from '../core/position.js';
import {findState} from '../core/states.js';
import {formatBytes, formatDuration} from '../core/units.js';
import type {Paint} from './paint.js';
import {
  describeSlot,
  explainFollow,
  HEALTH_COLOUR,
  renderReplicas,
  renderReplicaTroubles,
  type CopyRates,
  type Trouble,
} from './render-replicas.js';
import {describeVerified} from './render-verify.js';
import {renderTable, type Cell} from './table.js';
import {formatSince, formatTime} from './times.js';
import {wrapText} from './wrap-text.js';

/** Exit status of `status --exit-code` and of `check`: the convention of monitoring plugins. */
export const HEALTH_EXIT: Readonly<Record<Health, number>> = {
  ok: 0,
  warning: 1,
  critical: 2,
  unknown: 3,
};

/** In these states only the flow of the log can be what is wrong. */
const STATES_OF_FLOW: readonly ResourceStatus['state'][] = [
  'UpToDate',
  'WriteBack',
  'OutDated[F]',
  'OutDated[R]',
  'OutDated[FR]',
];

export interface RenderOptions {
  readonly paint: Paint;
  readonly nowMs: number;
  /** All positions, paths and counts of each resource as well. */
  readonly extended: boolean;
  /** How fast images are copied, where it is known. */
  readonly rates?: CopyRates;
}

/** The worst health of all resources and their replicas; a node without any is well. */
export function worstHealth(resources: readonly ResourceStatus[]): Health {
  return worst(resources.map((one) => healthWithReplicas(one)));
}

/** The whole text of `mars status`, without a final line break. */
export function renderStatus(status: StatusDocument, options: RenderOptions): string {
  const {resources} = status;
  const lines = [renderVerdict(status, options.paint)];
  if (resources.length > 0) lines.push('', ...renderRows(resources, options));
  for (const resource of resources) {
    const troubles = [
      ...renderTroubles(resource, options),
      ...renderReplicaTroubles(resource, options.paint, options.nowMs),
    ];
    if (troubles.length > 0) lines.push('', ...troubles);
  }

  if (options.extended) {
    for (const resource of resources) lines.push('', ...renderDetails(resource, options.nowMs));
  }

  return lines.join('\n');
}

function renderVerdict({node, resources}: StatusDocument, paint: Paint): string {
  const worstOfAll = worstHealth(resources);
  if (resources.length === 0) {
    return `${node}: no resources yet: mars resource create NAME --size 10G`;
  }

  const all = `${resources.length} resource${resources.length === 1 ? '' : 's'}`;
  if (worstOfAll === 'ok') {
    const behind = copiesBehind(resources);
    const but = behind === 0 ? '' : `, ${behind} cop${behind === 1 ? 'y' : 'ies'} catching up`;
    return `${node}: ${paint('green', 'all is well')}${but}${warningsElsewhere(resources)}, ${all}`;
  }

  const healths = resources.map((one) => healthWithReplicas(one));
  const counts = HEALTHS.filter((health) => health !== 'ok')
    .map((health) => ({health, count: healths.filter((one) => one === health).length}))
    .filter(({count}) => count > 0)
    .map(({health, count}) => `${count} ${health}`);
  return `${node}: ${paint(HEALTH_COLOUR[worstOfAll], `NOT well: ${counts.join(', ')}`)} of ${all}`;
}

/** Copies that flow and are not there yet: what the first line says must not hide a state below it. */
function copiesBehind(resources: readonly ResourceStatus[]): number {
  const states = resources.flatMap((one) => [
    ...(one.follow == null ? [] : [one.state]),
    ...one.replicas.map(({state}) => state),
  ]);
  return states.filter((state) => state.startsWith('OutDated')).length;
}

/** What other nodes say of theirs and does not make a copy less: it is below, so it is counted here. */
function warningsElsewhere(resources: readonly ResourceStatus[]): string {
  const messages = resources.flatMap(({replicas}) => replicas.flatMap((one) => one.messages ?? []));
  const count = messages.filter(({severity}) => severity !== 'info').length;
  return count === 0 ? '' : `, ${count} warning${count === 1 ? '' : 's'} of other nodes`;
}

function renderRows(resources: readonly ResourceStatus[], {paint, rates}: RenderOptions): string[] {
  const rows = resources.map((one): Cell[] => [
    one.name,
    one.role,
    {text: one.state, shown: paint(HEALTH_COLOUR[healthWithReplicas(one)], one.state)},
    formatBytes(one.sizeBytes),
    formatBytes(one.log.bytes),
    formatBehind(one),
  ]);
  const header = ['NAME', 'ROLE', 'STATE', 'SIZE', 'LOG', 'UNREPLAYED'];
  const [head = '', ...lines] = renderTable(header, rows);
  const below = renderReplicas(resources, paint, rates ?? new Map());
  return [head, ...lines.flatMap((line, index) => [line, ...(below[index] ?? [])])];
}

function formatBehind({position, replayed}: ResourceStatus): string {
  const end = position === null ? undefined : parsePosition(position);
  const start = replayed === null ? undefined : parsePosition(replayed);
  if (end === undefined || start === undefined) return '-';
  return formatBytes(Math.max(0, end - start));
}

function renderTroubles(resource: ResourceStatus, options: RenderOptions): string[] {
  const lines = resource.messages.flatMap((message) =>
    message.severity === 'info' && healthWithReplicas(resource) === 'ok'
      ? []
      : renderMessage(resource, message, options),
  );
  if (resource.waitingFor !== null) {
    const {reason, since, until} = resource.waitingFor;
    const end = until === null ? '' : `, at the latest until ${formatTime(until)}`;
    lines.push(
      ...wrapText(
        `${resource.name} waits for: ${reason}, since ${formatSince(since, options.nowMs)}${end}`,
        {hanging: '  '},
      ),
    );
  }

  const health = worst([resource.health, followHealth(resource)]);
  if (lines.length === 0 && health !== 'ok' && !isElsewhere(resource)) {
    const {what, why, action} = explainTrouble(resource);
    const head = options.paint(HEALTH_COLOUR[health], health);
    lines.push(`${resource.name}: ${head}: ${what}`);
    if (why !== '') lines.push(...labelled('why', why));
    if (action !== '') lines.push(...labelled('do', action));
  }

  return lines;
}

/** true where this node is well, and only replicas on others are not: they have lines of their own. */
function isElsewhere(resource: ResourceStatus): boolean {
  const {role, state, replicas} = resource;
  const isSettled = role === 'primary' || role === 'forcedPrimary' || role === 'secondary';
  const well = isSettled && STATES_OF_FLOW.includes(state);
  const primary = hasPrimary(resource);
  const others = replicas.some((one) => replicaHealth(one, primary) !== 'ok');
  return well && others && followHealth(resource) === 'ok';
}

/** By what the replica does not do, or else by its state. */
function explainTrouble(resource: ResourceStatus): Trouble {
  const {name, state, health} = resource;
  const flows = health === 'ok' && STATES_OF_FLOW.includes(state);
  const trouble = flows ? explainFollow(resource) : undefined;
  if (trouble !== undefined) return trouble;
  const entry = findState(state);
  return {what: state, why: entry?.meaning ?? '', action: named(entry?.action ?? '', name)};
}

function renderMessage(
  resource: ResourceStatus,
  message: Message,
  {paint, nowMs}: RenderOptions,
): string[] {
  const colour = {info: 'dim', warning: 'yellow', critical: 'red'} as const;
  const {meaning, remedy} = CODES[message.code];
  return [
    `${resource.name}: ${paint(colour[message.severity], message.severity)}: ${message.code}`,
    ...labelled('what', message.text),
    ...labelled('since', formatSince(message.since, nowMs)),
    ...labelled('why', meaning),
    ...labelled('do', named(remedy, resource.name)),
  ];
}

/** Remedies speak of NAME; here it is known. */
function named(remedy: string, name: string): string {
  return remedy.replaceAll(/\bNAME\b/gu, name);
}

function labelled(label: string, text: string): string[] {
  return wrapText(`  ${`${label}:`.padEnd(7)}${text}`, {hanging: ' '.repeat(9)});
}

function renderDetails(one: ResourceStatus, nowMs: number): string[] {
  const fields: [string, string | null][] = [
    ['size', `${formatBytes(one.sizeBytes)} (${one.sizeBytes} bytes)`],
    ['role', `${one.role} (designated primary: ${one.designatedPrimary ?? 'none'})`],
    ['state', `${one.state} (${one.health}), mode ${one.mode}`],
    ...describeSynchronous(one),
    ['image', one.image],
    ['device', one.device],
    ['openers', one.openCount === null ? null : String(one.openCount)],
    ['epoch', one.epoch],
    ['position', one.position],
    ['durable', one.durable],
    ['replayed', one.replayed],
    ['log', `${formatBytes(one.log.bytes)} in files: ${one.log.files}, ${formatCap(one)}`],
    ...describeRoom(one),
    ['log from', one.log.firstPosition],
    ['restorable from', one.restorableFrom === null ? null : formatTime(one.restorableFrom)],
  ];
  const own = fields.map(([name, value]) => `  ${name.padEnd(16)} ${value ?? '-'}`);
  return [
    ...[one.name, ...own, ...renderVerified(one, nowMs)],
    ...[...renderSwitches(one), ...renderPositions(one)],
  ];
}

/** The file system of the log, and what happens when it is full. */
function describeRoom({log}: ResourceStatus): [string, string][] {
  const {fileSystem, whenFull, priority, slowed, bypassed} = log;
  const rows: [string, string][] = [];
  if (fileSystem != null) {
    const {freeBytes, totalBytes, reserveBytes = 0, fullInSeconds} = fileSystem;
    const words = [
      `${formatBytes(freeBytes)} of ${formatBytes(totalBytes)} free`,
      ...(reserveBytes === 0 ? [] : [`reserve ${formatBytes(reserveBytes)}`]),
      ...(fullInSeconds == null ? [] : [`full in ${formatDuration(fullInSeconds)}`]),
    ];
    rows.push(['log room', words.join(', ')]);
  }

  if (whenFull !== undefined) rows.push(['when full', `${whenFull}, priority ${priority ?? '-'}`]);
  if (slowed != null) {
    rows.push(['writes slowed', `to ${formatBytes(slowed.bytesPerSecond)}/s, ${slowed.reason}`]);
  }

  if (bypassed != null) {
    const words = `since ${formatTime(bypassed.since)}, ${formatBytes(bypassed.bytes)} of the image`;
    rows.push(['PAST THE LOG', words]);
  }

  return rows;
}

/** For whom flushes wait; nothing where they wait for nobody. */
function describeSynchronous({synchronous, replicas}: ResourceStatus): [string, string][] {
  if (synchronous == null) return [];
  const {syncReplicas, degradeAfterSeconds, degraded, flushesWaiting} = synchronous;
  const end = degradeAfterSeconds === null ? 'for ever' : `${degradeAfterSeconds} s at most`;
  const counted = replicas.filter((one) => one.counted === true).map(({node}) => node);
  const others = replicas.filter((one) => one.counted === false).map(({node}) => node);
  const words = [
    `${syncReplicas} ${syncReplicas === 1 ? 'replica' : 'replicas'}, ${end}`,
    ...(counted.length === 0 ? [] : [`counted: ${counted.join(', ')}`]),
    ...(others.length === 0 ? [] : [`NOT counted: ${others.join(', ')}`]),
    ...(degraded === null ? [] : [`DEGRADED since ${formatTime(degraded.since)}`]),
    ...((flushesWaiting ?? 0) === 0 ? [] : [`${flushesWaiting ?? 0} wait now`]),
  ];
  return [['flushes wait for', words.join('; ')]];
}

/** When each replica was compared last, and what was found. */
function renderVerified({follow, verify, replicas}: ResourceStatus, nowMs: number): string[] {
  const own: [string, ResourceStatus['verify']][] = follow == null ? [] : [['verified', verify]];
  const others = replicas
    .filter(({role}) => role === 'secondary')
    .map((one): [string, ResourceStatus['verify']] => [`verified ${one.node}`, one.verify]);
  return [...own, ...others].map(
    ([label, said]) => `  ${label.padEnd(16)} ${describeVerified(said, nowMs)}`,
  );
}

/** The switches as they are wished; what came of it stands in the state. */
function renderSwitches({wishes}: ResourceStatus): string[] {
  if (wishes === undefined) return [];
  const off = [
    wishes.connected ? '' : 'connect',
    wishes.fetchPaused ? 'fetch' : '',
    wishes.syncPaused ? 'sync' : '',
    wishes.replayPaused ? 'replay' : '',
  ].filter((word) => word !== '');
  return [`  ${'switched off'.padEnd(16)} ${off.length === 0 ? '-' : off.join(', ')}`];
}

/** Where each other replica stands. */
function renderPositions({replicas, log}: ResourceStatus): string[] {
  const positions = replicas.flatMap(({node, received, durable, replayed}) =>
    [
      [`at ${node}`, ''],
      ['  received', received ?? '-'],
      ['  durable', durable ?? '-'],
      ['  replayed', replayed ?? '-'],
    ].map(([name = '', value = '']) => `  ${name.padEnd(16)} ${value}`.trimEnd()),
  );
  const slots = (log.slots ?? []).flatMap((slot) => [
    `  ${`slot of ${slot.node}`.padEnd(16)} ${slot.position ?? '-'}`,
    `  ${''.padEnd(16)} ${describeSlot(slot, log)}`,
  ]);
  return [...positions, ...slots];
}

function formatCap({log}: ResourceStatus): string {
  return log.capBytes === null ? 'no cap' : `at most ${formatBytes(log.capBytes)}`;
}
