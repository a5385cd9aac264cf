/** Histograms of the disk processes as text for Prometheus, which wants them added up by bound. */
import {
  countOf,
  LATENCY_BOUNDS_SECONDS,
  LATENCY_KINDS,
  type LatencyHistogram,
  type LatencyKind,
} from '../core/latency.js';
import type {DiskStatus} from '../core/disk-status.js';

const HISTOGRAMS: Readonly<Record<LatencyKind, readonly [name: string, help: string]>> = {
  write: [
    'mars_disk_write_latency_seconds',
    'Time from taking a write to its answer, which of fast writes is measured for one in four',
  ],
  flush: ['mars_disk_flush_latency_seconds', 'Time from taking a flush to its answer'],
  replay: [
    'mars_disk_replay_latency_seconds',
    'Time that a batch of log took until it was durable in the image',
  ],
};

/** Text in the format of Prometheus, each line ended; empty where no disk process counts. */
export function renderLatencies(disks: ReadonlyMap<string, DiskStatus>): string {
  const lines: string[] = [];
  for (const kind of LATENCY_KINDS) {
    const [name, help] = HISTOGRAMS[kind];
    const known = [...disks].flatMap(([resource, {latencies}]) =>
      latencies === undefined ? [] : [[resource, latencies[kind]] as const],
    );
    if (known.length === 0) continue;
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} histogram`);
    for (const [resource, histogram] of known) lines.push(...linesOf(name, resource, histogram));
  }

  return lines.map((line) => `${line}\n`).join('');
}

/** A resource's name needs no escape: letters, digits, dot, dash and underscore only. */
function linesOf(name: string, resource: string, histogram: LatencyHistogram): string[] {
  let sum = 0;
  const buckets = LATENCY_BOUNDS_SECONDS.map((bound, at) => {
    sum += histogram.counts[at] ?? 0;
    return `${name}_bucket{resource="${resource}",le="${bound}"} ${sum}`;
  });
  const count = countOf(histogram);
  return [
    ...buckets,
    `${name}_bucket{resource="${resource}",le="+Inf"} ${count}`,
    `${name}_sum{resource="${resource}"} ${histogram.sumSeconds}`,
    `${name}_count{resource="${resource}"} ${count}`,
  ];
}
