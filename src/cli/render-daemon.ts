import type {DaemonStatus} from '../control/api.js';
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
    String(disk.holderPid ?? '-'),
    String(disk.pid ?? '-'),
    String(disk.restarts),
    formatSince(disk.since, nowMs),
  ]);
  return [head, '', ...renderTable(['DISK', 'HOLDER', 'PID', 'RESTARTS', 'SINCE'], rows)].join(
    '\n',
  );
}
