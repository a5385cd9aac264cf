import type {DaemonStatus} from '../control/api.js';
import type {RenewResult} from '../control/daemon-api.js';
import {renderTable} from './table.js';
import {formatSince} from './times.js';

/** The daemon and the disk processes of a home, for people. */
export function renderDaemon(status: DaemonStatus, home: string, nowMs: number): string {
  const since = status.startedAt === null ? '' : ` since ${formatSince(status.startedAt, nowMs)}`;
  const head =
    status.pid === null
      ? `no daemon runs at ${home}: start it with mars daemon run`
      : `daemon ${status.version} runs at ${home}, pid ${status.pid},${since}`;
  if (status.disks.length === 0) return `${head}\nno disk process runs`;
  const rows = status.disks.map((disk) => [
    disk.name,
    disk.version ?? '-',
    String(disk.holderPid ?? '-'),
    String(disk.pid ?? '-'),
    String(disk.restarts),
    formatSince(disk.since, nowMs),
  ]);
  return [
    head,
    '',
    ...renderTable(['DISK', 'VERSION', 'HOLDER', 'PID', 'RESTARTS', 'SINCE'], rows),
  ].join('\n');
}

/** What became of one disk process, in a line. */
export function renderRenewed({name, before, after}: RenewResult): string {
  if (before === null) return `${name}: no disk process runs`;
  const from = `${before.version ?? 'an unknown version'}, pid ${before.pid}`;
  if (after === null) return `${name}: its write-back (${from}) begins again`;
  return `${name}: renewed, from ${from} to ${after.version ?? 'an unknown version'}, pid ${after.pid}`;
}
