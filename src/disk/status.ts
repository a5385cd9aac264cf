import {DISK_COUNTERS, type DiskCounter, type DiskStatus} from '../core/disk-status.js';
import type {Latencies, LatencyHistogram} from '../core/latency.js';
import {formatPosition} from '../core/position.js';
import {formatChain} from '../log/record.js';
import {segmentName} from '../log/segment.js';
import {REPLAY_STATES} from './replay-host.js';
import type {DiskProcess} from './process.js';
import {LATENCY_ROW, WORD, type Shared} from './shared.js';

/** Builds the answer to `GET /status` out of the shared memory: no file is touched. */
export function buildStatus(disk: DiskProcess): DiskStatus {
  const {options, shared, config, activated, follower} = disk;
  const appended = shared.appended.get();
  const replayed = shared.replayed.get();
  const first = shared.segmentFirst;
  const open = shared.segmentEnd - first;
  const {retained} = disk;
  const count = retained.length + open;
  const firstOpen = open > 0 ? shared.segment(first).start : 0;
  const {retainFrom} = disk.history;
  const number = shared.get(WORD.currentNumber);
  const serving = options.mode === 'serve';
  return {
    schema: 1,
    name: options.name,
    pid: process.pid,
    version: options.version,
    holderPid: disk.holderPid,
    restarts: options.generation - 1,
    startedAt: disk.startedAt,
    phase: disk.phase,
    mode: options.mode,
    driver: serving ? options.driver : null,
    sizeBytes: shared.diskSize.get(),
    epoch: follower?.log?.epoch ?? activated?.epoch ?? null,
    position: formatPosition(appended),
    durable: formatPosition(shared.durable.get()),
    replayed: formatPosition(replayed),
    replayingTo: formatPosition(shared.replayTo.get()),
    replay: {
      state: REPLAY_STATES[shared.get(WORD.replayState)] ?? 'idle',
      backlogBytes: appended - replayed,
      since: disk.startedAt,
    },
    retainFrom: retainFrom === Infinity ? null : formatPosition(retainFrom),
    log: {
      files: count,
      spares: disk.spareCount,
      bytes: count * (config?.resource.segmentBytes ?? 0),
      firstPosition: formatPosition(retained[0]?.start ?? firstOpen),
      segmentBytes: config?.resource.segmentBytes ?? 0,
      currentFile: currentFileOf(disk, number),
    },
    follow: follower?.status() ?? null,
    synchronous: disk.synchronous?.status() ?? null,
    ...(follower?.log === undefined ? {} : {chain: formatChain(follower.log.chain)}),
    space: disk.space && {
      whenFull: disk.space.guard.whenFull,
      slowed: disk.space.guard.slowed ?? null,
      bypassed: disk.space.bypassed ?? null,
    },
    history: disk.history.status(),
    rollback: disk.history.rollback.status(),
    waiting: disk.history.rollback.waiting() ?? disk.notices.waiting(),
    messages: disk.notices.list(),
    counters: Object.fromEntries(
      DISK_COUNTERS.map((name, index) => [name, shared.counters[index] ?? 0]),
    ) as Record<DiskCounter, number>,
    latencies: latenciesOf(shared),
  };
}

/** What the status says beside the shared memory; two that are equal mean the same. */
export function statusMark(disk: DiskProcess): string {
  const {phase, holderPid, spareCount, retained, notices} = disk;
  return `${phase} ${holderPid} ${spareCount} ${retained.length} ${notices.revision}`;
}

/** Others wait for something, or it is in no state that lasts: its status changes by itself. */
export function isBusy({options, phase, shared, space, synchronous}: DiskProcess): boolean {
  const {parked, commitFailed, logDefective, keeperTroubled, bypass, closed} = WORD;
  if (options.mode !== 'serve' || phase !== 'serving') return true;
  if (space?.guard.slowed !== undefined || synchronous?.isAsynchronous === false) return true;
  return [parked, commitFailed, logDefective, keeperTroubled, bypass, closed].some(
    (word) => shared.get(word) !== 0,
  );
}

/** What the threads have counted, by kind. */
export function latenciesOf(shared: Shared): Latencies {
  const {frontWrite, frontFlush, commitWrite, commitFlush, replay} = LATENCY_ROW;
  return {
    write: histogramOf(shared.latencies(frontWrite, commitWrite)),
    flush: histogramOf(shared.latencies(frontFlush, commitFlush)),
    replay: histogramOf(shared.latencies(replay)),
  };
}

function histogramOf(row: readonly number[]): LatencyHistogram {
  const counts = row.slice(0, -1);
  const end = counts.findLastIndex((count) => count > 0) + 1;
  return {counts: counts.slice(0, end), sumSeconds: (row.at(-1) ?? 0) / 1000};
}

function currentFileOf({config, follower}: DiskProcess, number: number): string | null {
  if (follower !== undefined) return follower.log?.currentName ?? null;
  return number === 0 ? null : segmentName(number, config?.node.name ?? '');
}
