/** Housekeeping by the daemon where one answers, else by the program that works without it. */
import type {CareRequest, CareResult, PruneRequest, PruneResult} from '../control/care-api.js';
import {isDiskError} from '../core/errors.js';
import {resourcePath, type Daemon} from './daemon.js';

const CARE_TIMEOUT_SECONDS = 600;
const PRUNE_TIMEOUT_SECONDS = 60;

/** What daemon/offline-care exports: loaded by a computed name, as other commands never need it. */
interface OfflineCare {
  careOffline(home: string, request: CareRequest): Promise<CareResult>;
  pruneOffline(home: string, name: string, request: PruneRequest): Promise<PruneResult>;
  resourceNames(home: string): string[];
}

/** @throws DiskError as the daemon answers, or as careOffline */
export function careFor(daemon: Daemon, request: CareRequest): Promise<CareResult> {
  return withOrWithoutDaemon(
    () => daemon.post('/v1/care', request, CARE_TIMEOUT_SECONDS),
    (offline) => offline.careOffline(daemon.home, request),
  );
}

/** @throws DiskError as the daemon answers, or as pruneOffline */
export function pruneLogOf(
  daemon: Daemon,
  name: string,
  request: PruneRequest,
): Promise<PruneResult> {
  return withOrWithoutDaemon(
    () => daemon.post(resourcePath(name, '/log/prune'), request, PRUNE_TIMEOUT_SECONDS),
    (offline) => offline.pruneOffline(daemon.home, name, request),
  );
}

/** Names of the resources of a home where no daemon can be asked. */
export async function offlineNames(home: string): Promise<string[]> {
  return (await loadOfflineCare()).resourceNames(home);
}

async function withOrWithoutDaemon<T>(
  ask: () => Promise<T>,
  without: (offline: OfflineCare) => Promise<T>,
): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!isDiskError(error, 'DAEMON_UNREACHABLE')) throw error;
    return without(await loadOfflineCare());
  }
}

function loadOfflineCare(): Promise<OfflineCare> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
  const program = new URL(`../daemon/offline-care.${extension}`, import.meta.url);
  return import(program.href) as Promise<OfflineCare>;
}
