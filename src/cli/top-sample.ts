/** What `mars top` shows: two looks at the counters of the disk processes, and what lies between. */
import type {ResourceList, ResourceStatus, StatusDocument} from '../control/api.js';
import {healthWithReplicas, type Health} from '../control/health.js';
import type {DiskCounter, DiskStatus} from '../core/disk-status.js';
import {LATENCY_KINDS, latencyBetween, latencyQuantile, type LatencyKind} from '../core/latency.js';
import {parsePosition} from '../core/position.js';
import type {Daemon} from './daemon.js';

/** One look. */
export interface TopSample {
  /** On a clock that does not jump. */
  readonly atMs: number;
  readonly status: StatusDocument;
  /** By resource; none where no disk process answers. */
  readonly disks: ReadonlyMap<string, DiskStatus>;
}

/** One resource; null: not known, as of a disk process that was not there at both looks. */
export interface TopRow {
  readonly name: string;
  readonly role: ResourceStatus['role'];
  readonly state: ResourceStatus['state'];
  readonly health: Health;
  readonly readBytesPerSecond: number | null;
  readonly writtenBytesPerSecond: number | null;
  readonly readsPerSecond: number | null;
  readonly writesPerSecond: number | null;
  readonly flushesPerSecond: number | null;
  readonly replayedBytesPerSecond: number | null;
  readonly logBytes: number;
  readonly unreplayedBytes: number | null;
  /** The worst of all replicas that follow; here also what this node follows. */
  readonly lagSeconds: number | null;
  readonly lagBytes: number | null;
  /** Of what was done between the looks; null: nothing was, or it is not known. */
  readonly latency: Readonly<Record<LatencyKind, LatencyQuantiles | null>>;
}

/** Half of all took no longer than `p50Seconds`, 99 of 100 no longer than `p99Seconds`. */
export interface LatencyQuantiles {
  readonly p50Seconds: number;
  readonly p99Seconds: number;
}

export interface TopDocument {
  readonly schema: 1;
  readonly node: string;
  readonly intervalSeconds: number;
  readonly resources: readonly TopRow[];
}

/** @throws DiskError as Daemon.get */
export async function takeSample(daemon: Daemon): Promise<TopSample> {
  const status = await daemon.get<StatusDocument>('/v1/status');
  const {resources} = await daemon.get<ResourceList>('/v1/resources');
  const disks = resources.flatMap(({name, disk}): [string, DiskStatus][] =>
    disk === null ? [] : [[name, disk]],
  );
  return {atMs: performance.now(), status, disks: new Map(disks)};
}

/** What happened between two looks, by resource. */
export function compareSamples(before: TopSample, after: TopSample): TopDocument {
  const seconds = Math.max(0, after.atMs - before.atMs) / 1000;
  const resources = after.status.resources.map((one): TopRow => {
    const rate = (counter: DiskCounter): number | null =>
      rateOf(before.disks.get(one.name), after.disks.get(one.name), counter, seconds);
    return {
      ...{name: one.name, role: one.role, state: one.state, health: healthWithReplicas(one)},
      readBytesPerSecond: rate('readBytes'),
      writtenBytesPerSecond: rate('writtenBytes'),
      readsPerSecond: rate('reads'),
      writesPerSecond: rate('writes'),
      flushesPerSecond: rate('flushes'),
      replayedBytesPerSecond: rate('replayedBytes'),
      logBytes: one.log.bytes,
      unreplayedBytes: unreplayedOf(one),
      lagSeconds: worstOf(one, ({lagSeconds}) => lagSeconds),
      lagBytes: worstOf(one, ({lagBytes}) => lagBytes),
      latency: latencyOf(before.disks.get(one.name), after.disks.get(one.name)),
    };
  });
  return {schema: 1, node: after.status.node, intervalSeconds: seconds, resources};
}

/** A new disk process begins at 0: what it did since the last look is not known. */
function rateOf(
  before: DiskStatus | undefined,
  after: DiskStatus | undefined,
  counter: DiskCounter,
  seconds: number,
): number | null {
  if (before === undefined || after === undefined || before.pid !== after.pid) return null;
  if (seconds <= 0) return null;
  // A disk process of an older version may lack a counter.
  const difference = after.counters[counter] - before.counters[counter];
  return Number.isNaN(difference) ? null : Math.max(0, difference) / seconds;
}

function latencyOf(
  before: DiskStatus | undefined,
  after: DiskStatus | undefined,
): TopRow['latency'] {
  const quantilesOf = (kind: LatencyKind): LatencyQuantiles | null => {
    const [old, now] = [before?.latencies?.[kind], after?.latencies?.[kind]];
    if (old === undefined || now === undefined || before?.pid !== after?.pid) return null;
    const between = latencyBetween(old, now);
    const [p50Seconds, p99Seconds] = [0.5, 0.99].map((part) => latencyQuantile(between, part));
    return p50Seconds == null || p99Seconds == null ? null : {p50Seconds, p99Seconds};
  };
  const [write, flush, replay] = LATENCY_KINDS.map(quantilesOf);
  return {write: write ?? null, flush: flush ?? null, replay: replay ?? null};
}

function unreplayedOf({position, replayed}: ResourceStatus): number | null {
  const end = parsePosition(position ?? '');
  const start = parsePosition(replayed ?? '');
  return end === undefined || start === undefined ? null : Math.max(0, end - start);
}

interface Lag {
  readonly lagSeconds: number | null;
  readonly lagBytes: number | null;
}

function worstOf({follow, replicas}: ResourceStatus, pick: (lag: Lag) => number | null) {
  const others = replicas.filter(({role}) => role !== 'primary' && role !== 'forcedPrimary');
  const lags = [...(follow == null ? [] : [follow]), ...others].flatMap((lag) => pick(lag) ?? []);
  return lags.length === 0 ? null : Math.max(...lags);
}
