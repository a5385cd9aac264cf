/** The sockets of the disk processes: what runs at a home, with or without a daemon. */
import fs from 'node:fs';
import {homePaths} from '../core/home.js';
import type {DiskStatus} from '../core/disk-status.js';
import {isDiskError} from '../core/errors.js';
import {join} from 'node:path';
import {callSocket} from './client.js';
import type {DaemonStatus} from './api.js';

/** A disk process answers within a few milliseconds; one that recovers answers as well. */
const STATUS_TIMEOUT_MS = 2000;

/**
 * Asks one disk process for its status.
 *
 * @returns undefined where no process listens on the socket
 * @throws DiskError TIMEOUT, or the code that it answered
 */
export async function diskStatus(
  socket: string,
  timeoutMs = STATUS_TIMEOUT_MS,
): Promise<DiskStatus | undefined> {
  try {
    return await callSocket<DiskStatus>({
      socket,
      method: 'GET',
      path: '/status',
      timeoutMs,
      unreachable: 'DISK_UNREACHABLE',
    });
  } catch (error) {
    if (isDiskError(error, 'DISK_UNREACHABLE')) return undefined;
    throw error;
  }
}

/** The names of all resources that have a disk socket at this home, whether it is served or not. */
export function diskSocketNames(home: string): string[] {
  try {
    return fs
      .readdirSync(homePaths(home).disksDirectory)
      .filter((name) => name.endsWith('.sock'))
      .map((name) => name.slice(0, -'.sock'.length))
      .sort();
  } catch {
    return [];
  }
}

/**
 * The running disk processes of a home, asked one by one; one that does not answer in time is
 * left out.
 */
export async function listDisks(home: string): Promise<DiskStatus[]> {
  const directory = homePaths(home).disksDirectory;
  const statuses = await Promise.all(
    diskSocketNames(home).map((name) =>
      diskStatus(join(directory, `${name}.sock`)).catch(() => undefined),
    ),
  );
  return statuses.filter((status) => status !== undefined);
}

/** The `disks` of DaemonStatus, from what the disk processes say. */
export function describeDisks(statuses: readonly DiskStatus[]): DaemonStatus['disks'] {
  return statuses.map((status) => ({
    name: status.name,
    version: status.version ?? null,
    holderPid: status.holderPid,
    pid: status.pid,
    restarts: status.restarts,
    since: status.startedAt,
  }));
}
