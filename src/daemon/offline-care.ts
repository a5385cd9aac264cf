/**
 * Housekeeping where no daemon runs: `mars cron` and `mars log prune` load this program then. It
 * does nothing unless it has `care.lock`, which a daemon that starts waits for, and unless nobody
 * holds `daemon.lock`: two crons, or cron and a daemon, never work on one home at once.
 */
import fs from 'node:fs';
import {join} from 'node:path';
import type {CareRequest, CareResult, PruneRequest, PruneResult} from '../control/care-api.js';
import {systemClock} from '../core/clock.js';
import {DiskError, isDiskError} from '../core/errors.js';
import {homePaths, resourcePaths} from '../core/home.js';
import {findDisk} from './activate.js';
import {careForResource, diskOf, requireKnown} from './care.js';
import {tryLock} from './file-lock.js';
import {removeLeftoverFiles} from './leftover-files.js';
import {holdersOfFile} from './openers.js';
import {pruneLog, type PruneSubject} from './prune.js';
import {readNode, readResource} from './state.js';

/**
 * Rotates, prunes and removes leftovers of a home without a daemon.
 *
 * @returns with `by` `none` where somebody else is at it: nothing was done then
 * @throws DiskError NOT_INITIALISED, HOME_NEWER, STATE_UNREADABLE, TOOL_MISSING, STORE_*
 */
export async function careOffline(home: string, request: CareRequest): Promise<CareResult> {
  readNode(home);
  const done = await withCareLock(home, async (): Promise<CareResult> => {
    const resources: CareResult['resources'][number][] = [];
    for (const name of resourceNames(home)) {
      try {
        const subject = await subjectOf(home, name);
        resources.push(await careForResource(subject, systemClock.wallMs(), request));
      } catch (error) {
        if (!isDiskError(error)) throw error;
        const {code, message, details} = error;
        resources.push({name, rotatedTo: null, prune: null, error: {code, message, details}});
      }
    }

    const removed = removeLeftoverFiles(home, systemClock.wallMs(), request.dryRun);
    return {schema: 1, dryRun: request.dryRun, by: 'cron', resources, removed};
  });
  return done ?? {schema: 1, dryRun: request.dryRun, by: 'none', resources: [], removed: []};
}

/**
 * Prunes the log of one resource, or of all of a home, without a daemon.
 *
 * @throws DiskError DAEMON_RUNNING where somebody else is at it, RESOURCE_UNKNOWN, or as pruneLog
 */
export async function pruneOffline(
  home: string,
  name: string,
  request: PruneRequest,
): Promise<PruneResult> {
  readNode(home);
  requireKnown(resourceNames(home), name, home);
  const done = await withCareLock(home, async () => pruneLog(await subjectOf(home, name), request));
  if (done !== undefined) return done;
  const text = `a daemon or another mars cron is at work at ${home}, and does not answer`;
  throw new DiskError('DAEMON_RUNNING', text, {home});
}

/** Names of the resources of a home, in their order. */
export function resourceNames(home: string): string[] {
  const {resourcesDirectory} = homePaths(home);
  if (!fs.existsSync(resourcesDirectory)) return [];
  return fs
    .readdirSync(resourcesDirectory)
    .filter((name) => fs.existsSync(join(resourcesDirectory, name, 'resource.json')))
    .filter((name) => !name.startsWith('.'))
    .sort();
}

async function withCareLock<T>(home: string, work: () => Promise<T>): Promise<T | undefined> {
  const {careLock, daemonLock} = homePaths(home);
  const lock = await tryLock(careLock);
  if (lock === undefined) return undefined;
  try {
    // Looked at, not taken: a daemon that starts now would find it taken, and give up.
    if (fs.existsSync(daemonLock) && holdersOfFile(fs.realpathSync(daemonLock)).length > 0) return;
    return await work();
  } finally {
    fs.closeSync(lock);
  }
}

async function subjectOf(home: string, name: string): Promise<PruneSubject> {
  const file = readResource(home, name);
  const paths = resourcePaths(home, name);
  if (file === undefined) {
    const path = paths.resourceFile;
    throw new DiskError('STATE_UNREADABLE', `${path} is missing`, {file: path});
  }

  return {home, file, disk: diskOf(await findDisk({paths}))};
}
