/**
 * The judgement of `mars check`: from what the status says to OK, WARNING, CRITICAL or UNKNOWN, with
 * the reasons and the numbers. It is never better than what the daemon itself says of a resource;
 * what is not known, or is a word of another version, is never OK.
 */
import type {ReplicaStatus, ResourceStatus, StatusDocument} from '../control/api.js';
import {
  copyHealth,
  followHealth,
  hasPrimary,
  HEALTHS,
  replicaHealth,
  worst,
  type Health,
} from '../control/health.js';
import {formatBytes} from '../core/units.js';
import {performanceOf, type PerformanceValue} from './check-values.js';
import {formatSeconds, secondsSince} from './times.js';

/** Above a limit of lag, or below one of space, it is a problem; undefined: no such limit. */
export interface Limits {
  readonly warn: number | undefined;
  readonly crit: number | undefined;
}

export interface Thresholds {
  readonly lagSeconds: Limits;
  readonly lagBytes: Limits;
  /** Percent that are free. */
  readonly space: Limits;
  /** Seconds until nothing is free, at the present growth. */
  readonly fullIn: Limits;
  /** Seconds since a replica was last compared to the end; null: no limit. */
  readonly verifyAge?: (Limits & {readonly nowMs: number}) | null;
}

export interface Problem {
  readonly resource: string;
  /** Node of the replica; null: the resource on this node. */
  readonly replica: string | null;
  readonly health: Health;
  readonly text: string;
}

export interface Judgement {
  readonly health: Health;
  /** Worst first. */
  readonly problems: readonly Problem[];
  readonly values: readonly PerformanceValue[];
}

/** What is judged of a replica, here or elsewhere. */
interface Lag {
  readonly lagSeconds: number | null;
  readonly lagBytes: number | null;
}

/**
 * Judges a status.
 *
 * @param name the resource that was asked for; undefined: all that there are
 */
export function judgeCheck(
  status: StatusDocument,
  name: string | undefined,
  thresholds: Thresholds,
): Judgement {
  const {node, resources} = status;
  const found = name === undefined ? resources : resources.filter((one) => one.name === name);
  if (name !== undefined && found.length === 0) {
    const text = `there is no resource ${name} on this node`;
    const problem: Problem = {resource: name, replica: null, health: 'unknown', text};
    return {health: 'unknown', problems: [problem], values: []};
  }

  const problems = found
    .flatMap((resource) => judgeResource(resource, node, thresholds))
    .sort((left, right) => HEALTHS.indexOf(left.health) - HEALTHS.indexOf(right.health));
  return {
    health: worst(problems.map(({health}) => health)),
    problems,
    values: found.flatMap((resource) => performanceOf(resource, node, thresholds)),
  };
}

function judgeResource(
  resource: ResourceStatus,
  node: string,
  thresholds: Thresholds,
): readonly Problem[] {
  const {name, role, state} = resource;
  const own = (health: Health, text: string, replica: string | null = null): Problem => ({
    ...{resource: name, replica, health, text},
  });
  const problems = [
    ...judgeMessages(resource).map(([health, text]) => own(health, text)),
    ...judgeFollow(resource, thresholds).map(([health, text]) => own(health, text, node)),
    ...judgeSpace(resource, thresholds).map(([health, text]) => own(health, text)),
    ...resource.replicas.flatMap((one) =>
      judgeReplica(one, hasPrimary(resource), thresholds).map(([health, text]) =>
        own(health, text, one.node),
      ),
    ),
  ];
  // What the daemon knows besides is said as well: the verdict is never better than its own.
  const word = copyHealth(state) as Health | undefined;
  const health = worst([known(resource.health), word === undefined ? 'unknown' : 'ok']);
  const explained = worst(problems.map((problem) => problem.health));
  return worst([health, explained]) === explained
    ? problems
    : [own(health, `${state}, role ${role}`), ...problems];
}

type Reason = readonly [Health, string];

const LINKS: readonly string[] = ['up', 'down'] satisfies ReplicaStatus['link'][];

function judgeMessages({messages}: ResourceStatus): Reason[] {
  return messages
    .filter(({severity}) => severity !== 'info')
    .map(({code, severity, text}): Reason => [known(severity), `${code}: ${text}`]);
}

/** How the replica of this node follows. */
function judgeFollow(resource: ResourceStatus, thresholds: Thresholds): Reason[] {
  const {follow, state} = resource;
  if (follow == null) return [];
  const aged = judgeVerify(resource.verify, thresholds);
  const primary = hasPrimary(resource);
  // Lag is judged by the limits of the caller, below.
  const health = known(followHealth({...resource, follow: {...follow, lagSeconds: null}}));
  const cut = primary && !follow.connected;
  if (health === 'ok' && cut) {
    return [['warning', 'is not connected'], ...judgeLag(follow, thresholds, false), ...aged];
  }

  const text = follow.replication === 'continuous' ? state : `replication is ${follow.replication}`;
  const trouble: Reason[] = health === 'ok' ? [] : [[health, text]];
  return [...trouble, ...judgeLagOf({...follow, state}, health, primary, thresholds), ...aged];
}

/** A replica on another node. */
function judgeReplica(one: ReplicaStatus, primary: boolean, thresholds: Thresholds): Reason[] {
  const link: Health = LINKS.includes(one.link) ? 'ok' : 'unknown';
  const health = worst([link, known(replicaHealth({...one, lagSeconds: null}, primary))]);
  const trouble: Reason[] = health === 'ok' ? [] : [[health, describeReplica(one)]];
  if (one.role === 'primary' || one.role === 'forcedPrimary') return trouble;
  const aged = judgeVerify(one.verify, thresholds);
  return [...trouble, ...judgeLagOf(one, health, primary, thresholds), ...aged];
}

function describeReplica({link, since, state, replication, messages}: ReplicaStatus): string {
  if (link === 'down') return `not heard of${since === null ? '' : ` since ${since}`}, ${state}`;
  const ill = messages?.find(({severity}) => severity === 'critical');
  const told = ill === undefined ? state : `${state}, critical there: ${ill.code}`;
  return replication === 'continuous' ? told : `${told}, replication is ${replication}`;
}

/** How long ago it was compared with another replica. */
function judgeVerify(verify: ResourceStatus['verify'], {verifyAge}: Thresholds): Reason[] {
  if (verifyAge == null) return [];
  const seconds = secondsSince(verify?.verifiedAt ?? null, verifyAge.nowMs);
  const text =
    seconds === Infinity
      ? 'was never compared to the end: mars verify'
      : `was last compared ${formatSeconds(seconds)} ago: mars verify`;
  return reasons(above(seconds, verifyAge), text);
}

function judgeLagOf(
  one: Lag & Pick<ReplicaStatus, 'state' | 'sync'>,
  health: Health,
  primary: boolean,
  thresholds: Thresholds,
): Reason[] {
  // Without a primary there is nothing to be behind; a copy under way is a problem of its own.
  const copying = one.state === 'Syncing' || one.sync !== null;
  if (!primary || (copying && health !== 'ok')) return [];
  return judgeLag(one, thresholds, health === 'ok');
}

/** @param mustKnow false: it is told already that the replica is not well */
function judgeLag(lag: Lag, {lagSeconds, lagBytes}: Thresholds, mustKnow: boolean): Reason[] {
  const unknown: Reason = ['unknown', 'its lag is not known'];
  const limited = lagBytes.warn !== undefined || lagBytes.crit !== undefined;
  const missing = lag.lagSeconds == null || (limited && lag.lagBytes == null);
  const seconds = above(lag.lagSeconds, lagSeconds);
  const bytes = above(lag.lagBytes, lagBytes);
  return [
    ...reasons(seconds, `${formatSeconds(lag.lagSeconds ?? 0)} behind`),
    ...reasons(bytes, `${formatBytes(lag.lagBytes ?? 0)} behind`),
    ...(mustKnow && missing ? [unknown] : []),
  ];
}

function judgeSpace({state, health, log}: ResourceStatus, {space, fullIn}: Thresholds): Reason[] {
  // Without a replica here there is no log here.
  if (state === 'NotJoined') return [];
  const {fileSystem} = log;
  if (fileSystem == null || !(fileSystem.totalBytes > 0)) {
    return health === 'critical' ? [] : [['unknown', 'the free space for its log is not known']];
  }

  const {freeBytes, totalBytes} = fileSystem;
  const percent = (freeBytes / totalBytes) * 100;
  const text = `${formatBytes(freeBytes)} (${percent.toFixed(1)} %) free for its log`;
  const seconds = fileSystem.fullInSeconds;
  const soon = seconds == null ? 'ok' : below(seconds, fullIn);
  return [
    ...reasons(below(percent, space), text),
    ...reasons(soon, `room for its log is gone in ${formatSeconds(seconds ?? 0)}`),
  ];
}

function reasons(health: Health, text: string): Reason[] {
  return health === 'ok' ? [] : [[health, text]];
}

function above(value: number | null, {warn, crit}: Limits): Health {
  if (value == null) return 'ok';
  if (crit !== undefined && value > crit) return 'critical';
  return warn !== undefined && value > warn ? 'warning' : 'ok';
}

function below(value: number, {warn, crit}: Limits): Health {
  if (crit !== undefined && value < crit) return 'critical';
  return warn !== undefined && value < warn ? 'warning' : 'ok';
}

/** A daemon of another version may say words that this one does not know. */
function known(health: string | undefined): Health {
  return HEALTHS.find((one) => one === health) ?? 'unknown';
}
