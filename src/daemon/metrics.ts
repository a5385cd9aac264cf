/**
 * `GET /v1/metrics`: the status and the counters of the disk processes as text for Prometheus. It is
 * made anew for each request; what is not known has no sample, so that no old number looks fresh.
 */
import {Counter, Gauge, Registry} from 'prom-client';
import type {ResourceStatus, StatusDocument} from '../control/api.js';
import {HEALTHS, healthWithReplicas} from '../control/health.js';
import {DISK_COUNTERS, type DiskCounter, type DiskStatus} from '../core/disk-status.js';
import {parsePosition} from '../core/position.js';
import {renderLatencies} from './metrics-latency.js';

export interface MetricsInput {
  readonly version: string;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly status: StatusDocument;
  /** By resource; where no disk process answers there is none. */
  readonly disks: ReadonlyMap<string, DiskStatus>;
}

export interface MetricsText {
  readonly contentType: string;
  readonly text: string;
}

const COUNTERS: Readonly<Record<DiskCounter, readonly [name: string, help: string]>> = {
  reads: ['mars_disk_reads_total', 'Read requests of applications'],
  readBytes: ['mars_disk_read_bytes_total', 'Bytes that applications read'],
  writes: ['mars_disk_writes_total', 'Write requests of applications'],
  writtenBytes: ['mars_disk_written_bytes_total', 'Bytes that applications wrote'],
  flushes: ['mars_disk_flushes_total', 'Flushes that applications asked for'],
  discards: ['mars_disk_discards_total', 'Discard requests of applications'],
  commits: ['mars_disk_log_commits_total', 'Times that the log was made durable'],
  batches: ['mars_disk_replay_batches_total', 'Batches that were written to the image'],
  replayedBytes: ['mars_disk_replayed_bytes_total', 'Bytes that were written to the image'],
  resentRequests: [
    'mars_disk_resent_requests_total',
    'Requests that the kernel sent again after the end of a disk process',
  ],
  gatheredWrites: [
    'mars_disk_gathered_writes_total',
    'Writes that came beside others and were appended to the log together with them',
  ],
};

type Labels = Readonly<Record<string, string>>;

/** Metrics by name; each is registered when it is first needed. */
class Metrics {
  readonly registry = new Registry();
  readonly #gauges = new Map<string, Gauge>();

  /** Sets a gauge; what is not known is left out. */
  set(name: string, help: string, labels: Labels, value: number | null | undefined): void {
    if (value == null || !Number.isFinite(value)) return;
    let gauge = this.#gauges.get(name);
    if (gauge === undefined) {
      const registers = [this.registry];
      gauge = new Gauge({name, help, labelNames: Object.keys(labels), registers});
      this.#gauges.set(name, gauge);
    }

    gauge.set(labels, value);
  }
}

/** All metrics of this node. */
export async function renderMetrics(input: MetricsInput): Promise<MetricsText> {
  const {version, startedAt, status, disks} = input;
  const metrics = new Metrics();
  const info = {version, node: status.node};
  metrics.set('mars_daemon_info', 'Version of the daemon and name of the node', info, 1);
  const startSeconds = Date.parse(startedAt) / 1000;
  metrics.set('mars_daemon_start_time_seconds', 'When the daemon started', {}, startSeconds);
  for (const resource of status.resources) {
    addResource(metrics, resource);
    addLog(metrics, resource);
    addReplicas(metrics, resource, status.node);
    addSlots(metrics, resource);
    addDisk(metrics, resource, disks.get(resource.name));
  }

  addCounters(metrics.registry, disks);
  const text = (await metrics.registry.metrics()) + renderLatencies(disks);
  return {contentType: metrics.registry.contentType, text};
}

function addResource(metrics: Metrics, one: ResourceStatus): void {
  const resource = one.name;
  const shown = healthWithReplicas(one);
  for (const health of HEALTHS) {
    const value = health === shown ? 1 : 0;
    metrics.set('mars_resource_health', 'The health is this one', {resource, health}, value);
  }

  const {state, role} = one;
  metrics.set('mars_resource_state', 'State on this node, always 1', {resource, state}, 1);
  metrics.set('mars_resource_role', 'Role on this node, always 1', {resource, role}, 1);
  metrics.set('mars_resource_size_bytes', 'Size of the disk', {resource}, one.sizeBytes);
  metrics.set('mars_resource_openers', 'Who has the disk open', {resource}, one.openCount);
  for (const severity of ['warning', 'critical'] as const) {
    const count = one.messages.filter((message) => message.severity === severity).length;
    const labels = {resource, severity};
    metrics.set('mars_resource_messages', 'Messages that are shown now', labels, count);
  }
}

function addLog(metrics: Metrics, one: ResourceStatus): void {
  const labels = {resource: one.name};
  // No replica here, no log here.
  if (one.state === 'NotJoined') return;
  const {files, bytes, capBytes, fileSystem} = one.log;
  metrics.set('mars_log_files', 'Logfiles', labels, files);
  metrics.set('mars_log_bytes', 'Bytes of all logfiles', labels, bytes);
  metrics.set('mars_log_cap_bytes', 'Log that may be kept for replicas', labels, capBytes);
  const behind = 'Log that is not in the image yet';
  metrics.set('mars_log_unreplayed_bytes', behind, labels, unreplayedBytes(one));
  const free = 'Free space of the file system of the log';
  metrics.set('mars_log_filesystem_free_bytes', free, labels, fileSystem?.freeBytes);
  const size = 'Size of the file system of the log';
  metrics.set('mars_log_filesystem_size_bytes', size, labels, fileSystem?.totalBytes);
  const full = 'When the file system of the log is full at the present growth';
  metrics.set('mars_log_filesystem_full_seconds', full, labels, fileSystem?.fullInSeconds);
  const reserve = 'Space that is held back for logs on that file system';
  metrics.set('mars_log_reserve_bytes', reserve, labels, fileSystem?.reserveBytes);
  const limit = 'Speed that writes are slowed to; absent: they are not';
  metrics.set('mars_write_limit_bytes_per_second', limit, labels, one.log.slowed?.bytesPerSecond);
}

function unreplayedBytes({position, replayed}: ResourceStatus): number | null {
  const end = parsePosition(position ?? '');
  const start = parsePosition(replayed ?? '');
  return end === undefined || start === undefined ? null : Math.max(0, end - start);
}

/** Those on other nodes, and where it follows that of this node; a primary has no lag. */
function addReplicas(metrics: Metrics, one: ResourceStatus, node: string): void {
  const {follow, verify} = one;
  const own = follow == null ? [] : [{...follow, node, up: follow.connected, verify}];
  const others = one.replicas.map((other) => ({...other, up: other.link === 'up'}));
  for (const {node: replica, up, ...rest} of [...own, ...others]) {
    const labels = {resource: one.name, replica};
    const upHelp = 'Whether the replica is heard of, or that of this node is connected';
    metrics.set('mars_replica_up', upHelp, labels, up ? 1 : 0);
    if ('state' in rest) {
      const {state, role} = rest;
      const stateHelp = 'State of a replica on another node as last heard, always 1';
      metrics.set('mars_replica_state', stateHelp, {...labels, state}, 1);
      if (role === 'primary' || role === 'forcedPrimary') continue;
    }

    const seconds = 'How far it is behind the primary, or since when it was not heard of';
    metrics.set('mars_replica_lag_seconds', seconds, labels, rest.lagSeconds);
    const bytes = 'Log of the primary that it does not have yet';
    metrics.set('mars_replica_lag_bytes', bytes, labels, rest.lagBytes);
    addVerify(metrics, labels, rest.verify);
    const {sync} = rest;
    metrics.set('mars_replica_sync_done_bytes', 'Copied so far', labels, sync?.doneBytes);
    metrics.set('mars_replica_sync_total_bytes', 'To be copied', labels, sync?.totalBytes);
  }
}

/** The last comparison of a replica with another one. */
function addVerify(metrics: Metrics, labels: Labels, verify: ResourceStatus['verify']): void {
  if (verify == null) return;
  const {verifiedAt, differentBytes} = verify;
  const at = verifiedAt === null ? null : Date.parse(verifiedAt) / 1000;
  const time = 'When the replica was last compared to the end with another one';
  metrics.set('mars_replica_verified_time_seconds', time, labels, at);
  const bytes = 'Bytes in which it was found to differ';
  metrics.set('mars_replica_different_bytes', bytes, labels, differentBytes);
}

/** What is kept for replicas elsewhere. */
function addSlots(metrics: Metrics, one: ResourceStatus): void {
  const {slots = [], ageLimitSeconds} = one.log;
  const limit = 'Longest time for which log is kept for a replica';
  metrics.set('mars_log_age_limit_seconds', limit, {resource: one.name}, ageLimitSeconds);
  for (const {node: replica, position, bytes, ageSeconds} of slots) {
    const labels = {resource: one.name, replica};
    const isKept = position === null ? 0 : 1;
    metrics.set('mars_slot_kept', 'Whether log is kept for the replica', labels, isKept);
    metrics.set('mars_slot_bytes', 'Log that is kept for the replica', labels, bytes);
    const age = 'For how long the log has been beyond what the replica has replayed';
    metrics.set('mars_slot_age_seconds', age, labels, ageSeconds);
  }
}

function addDisk(metrics: Metrics, one: ResourceStatus, disk: DiskStatus | undefined): void {
  if (one.state === 'NotJoined') return;
  const labels = {resource: one.name};
  const up = disk === undefined ? 0 : 1;
  metrics.set('mars_disk_up', 'Whether a disk process answers', labels, up);
  const started = disk === undefined ? null : Date.parse(disk.startedAt) / 1000;
  metrics.set('mars_disk_start_time_seconds', 'When the disk process started', labels, started);
  const help = 'Restarts of the disk process since it is mounted';
  metrics.set('mars_disk_restarts', help, labels, disk?.restarts);
}

/** They begin at 0 with each disk process, as counters may. */
function addCounters(registry: Registry, disks: ReadonlyMap<string, DiskStatus>): void {
  for (const key of DISK_COUNTERS) {
    const [name, help] = COUNTERS[key];
    const counter = new Counter({name, help, labelNames: ['resource'], registers: [registry]});
    for (const [resource, {counters}] of disks) {
      // An older disk process may lack one.
      const value = counters[key] as number | undefined;
      if (value !== undefined) counter.inc({resource}, value);
    }
  }
}
