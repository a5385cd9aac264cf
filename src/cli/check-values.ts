/** The numbers of `mars check` as monitoring plugins give them: `label=value[unit];warn;crit;min;max`. */
import type {FollowStatus, ReplicaStatus, ResourceStatus} from '../control/api.js';
import type {Limits, Thresholds} from './judge-check.js';
import {secondsSince} from './times.js';

export interface PerformanceValue {
  /** `web01/beta/lag` */
  readonly label: string;
  /** null: not known. */
  readonly value: number | null;
  readonly unit: 's' | 'B';
  /** Ranges as plugins write them: `60` is a problem above, `1024:` below it. */
  readonly warn: string | null;
  readonly crit: string | null;
  readonly max: number | null;
}

/** All numbers of one resource; a primary has no lag. */
export function performanceOf(
  resource: ResourceStatus,
  node: string,
  thresholds: Thresholds,
): PerformanceValue[] {
  const {name, follow, replicas, state} = resource;
  const followers = replicas.filter(({role}) => role !== 'primary' && role !== 'forcedPrimary');
  return [
    ...(follow == null ? [] : lagValues(`${name}/${node}`, follow, thresholds)),
    ...(follow == null ? [] : verifyValues(`${name}/${node}`, resource.verify, thresholds)),
    ...followers.flatMap((one) => [
      ...lagValues(`${name}/${one.node}`, one, thresholds),
      ...verifyValues(`${name}/${one.node}`, one.verify, thresholds),
    ]),
    ...(state === 'NotJoined' ? [] : logValues(resource, thresholds)),
  ];
}

function lagValues(
  label: string,
  {lagSeconds, lagBytes}: ReplicaStatus | FollowStatus,
  thresholds: Thresholds,
): PerformanceValue[] {
  const seconds = rangesAbove(thresholds.lagSeconds);
  const bytes = rangesAbove(thresholds.lagBytes);
  return [
    {label: `${label}/lag`, value: lagSeconds, unit: 's', ...seconds, max: null},
    {label: `${label}/lag_bytes`, value: lagBytes, unit: 'B', ...bytes, max: null},
  ];
}

/** Only where there is a limit. */
function verifyValues(
  label: string,
  verify: ResourceStatus['verify'],
  {verifyAge}: Thresholds,
): PerformanceValue[] {
  if (verifyAge == null) return [];
  const seconds = secondsSince(verify?.verifiedAt ?? null, verifyAge.nowMs);
  const value = Number.isFinite(seconds) ? Math.round(seconds) : null;
  return [{label: `${label}/verify_age`, value, unit: 's', ...rangesAbove(verifyAge), max: null}];
}

function logValues({name, log}: ResourceStatus, {space, fullIn}: Thresholds): PerformanceValue[] {
  const totalBytes = log.fileSystem?.totalBytes ?? null;
  const none = {warn: null, crit: null};
  return [
    {label: `${name}/log`, value: log.bytes, unit: 'B', ...none, max: log.capBytes},
    {
      ...{label: `${name}/log_free`, value: log.fileSystem?.freeBytes ?? null, unit: 'B'},
      ...(totalBytes === null ? none : rangesBelow(space, totalBytes)),
      max: totalBytes,
    },
    ...fullValue(name, log.fileSystem?.fullInSeconds ?? null, fullIn),
  ];
}

/** Only where it fills up: nothing is full in `U` seconds. */
function fullValue(name: string, value: number | null, {warn, crit}: Limits): PerformanceValue[] {
  if (value === null) return [];
  const range = (limit: number | undefined): string | null =>
    limit === undefined ? null : `${limit}:`;
  const ranges = {warn: range(warn), crit: range(crit)};
  return [{label: `${name}/log_full_in`, value, unit: 's', ...ranges, max: null}];
}

type Ranges = Pick<PerformanceValue, 'warn' | 'crit'>;

function rangesAbove({warn, crit}: Limits): Ranges {
  const range = (limit: number | undefined): string | null =>
    limit === undefined ? null : String(limit);
  return {warn: range(warn), crit: range(crit)};
}

function rangesBelow({warn, crit}: Limits, totalBytes: number): Ranges {
  const range = (percent: number | undefined): string | null =>
    percent === undefined ? null : `${Math.ceil((totalBytes * percent) / 100)}:`;
  return {warn: range(warn), crit: range(crit)};
}

/** Behind the `|`: `U` is what is not known. */
export function renderValues(values: readonly PerformanceValue[]): string {
  return values
    .map(({label, value, unit, warn, crit, max}) => {
      const number = value === null ? 'U' : `${value}${unit}`;
      return `${label}=${number};${warn ?? ''};${crit ?? ''};0;${max ?? ''}`.replace(/;+$/u, '');
    })
    .join(' ');
}
