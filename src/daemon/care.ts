/**
 * Housekeeping of a node: the log goes on in a new file when it is due, what nobody needs goes, and
 * leftovers are removed. The daemon does it every hour; `mars cron` asks the daemon to do it now, or
 * does it by itself where none runs (offline-care).
 */
import {setTimeout as sleep} from 'node:timers/promises';
import type {CaredResource, CareRequest, CareResult} from '../control/care-api.js';
import {DiskError, isDiskError, storeError} from '../core/errors.js';
import {createNodeFiles} from '../core/files.js';
import {resourcePaths} from '../core/home.js';
import {parsePosition} from '../core/position.js';
import {readLogDirectory} from '../log/directory.js';
import {findDisk} from './activate.js';
import {callDisk} from './disk-call.js';
import {removeLeftoverFiles} from './leftover-files.js';
import type {MarsNode} from './node.js';
import {pruneLog, type PruneSubject} from './prune.js';
import type {Resource} from './resource.js';

const INTERVAL_MS = 3_600_000;
/** A file of log that is so old is ended, so that what is in it can go one day. */
export const ROTATE_AFTER_MS = 24 * 3_600_000;
const ROTATE_TIMEOUT_MS = 30_000;

/** Rotates and prunes one resource; what goes wrong is in the answer. */
export async function careForResource(
  subject: PruneSubject,
  nowMs: number,
  {dryRun}: CareRequest,
): Promise<CaredResource> {
  const {name} = subject.file;
  let rotatedTo: string | null = null;
  try {
    if (isRotationDue(subject, nowMs)) {
      const {socket} = resourcePaths(subject.home, name);
      const rotate = () => callDisk<{file: string}>(socket, '/log/rotate', ROTATE_TIMEOUT_MS);
      rotatedTo = dryRun ? 'the next file' : (await rotate()).file;
    }

    const prune = await pruneLog(subject, {dryRun, purge: false, confirmed: false});
    return {name, rotatedTo, prune, error: null};
  } catch (error) {
    return {name, rotatedTo, prune: null, error: errorBody(error, name)};
  }
}

/** true where the file that a primary writes to is old and holds anything. */
export function isRotationDue({home, file, disk}: PruneSubject, nowMs: number): boolean {
  if (typeof disk !== 'object' || disk.mode !== 'serve' || disk.phase !== 'serving') return false;
  const {logDirectory} = resourcePaths(home, file.name);
  const {segments} = readLogDirectory(createNodeFiles(), logDirectory, file.id);
  const header = segments.at(-1)?.header;
  if (header === undefined || nowMs - header.createdMs < ROTATE_AFTER_MS) return false;
  return (parsePosition(disk.position) ?? 0) > header.start;
}

function errorBody(error: unknown, name: string): NonNullable<CaredResource['error']> {
  const known = storeError(error, `look after ${name}`);
  if (!isDiskError(known)) throw known;
  return {code: known.code, message: known.message, details: known.details};
}

/** What the daemon does for its node; one run at a time. */
export class Housekeeping {
  readonly #node: MarsNode;
  readonly #abort = new AbortController();
  #loop: Promise<void> | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(node: MarsNode) {
    this.#node = node;
  }

  /** Begins to look every hour. */
  start(): void {
    this.#loop ??= this.#run();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#loop;
    await this.#last;
  }

  /** Does it now, after a run that is under way. */
  care(request: CareRequest): Promise<CareResult> {
    const result = this.#last.then(() => this.#careOnce(request));
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** `log prune` of one resource. @throws DiskError as pruneLog */
  prune(resource: Resource, request: Parameters<typeof pruneLog>[1]): ReturnType<typeof pruneLog> {
    return resource.run('prune', async () => pruneLog(await this.#subject(resource), request));
  }

  async #run(): Promise<void> {
    const {signal} = this.#abort;
    for (;;) {
      await sleep(INTERVAL_MS, undefined, {signal}).catch(() => undefined);
      if (signal.aborted) return;
      try {
        const {resources} = await this.care({dryRun: false});
        for (const {name, error} of resources) {
          if (error !== null) this.#node.context.log.warn({resource: name, err: error}, 'care');
        }
      } catch (error) {
        this.#node.context.log.error({err: error}, 'housekeeping failed');
      }
    }
  }

  async #careOnce(request: CareRequest): Promise<CareResult> {
    const {clock, paths} = this.#node.context;
    const resources: CaredResource[] = [];
    for (const resource of this.#node.resources()) {
      const {name, fault} = resource;
      if (fault !== undefined) {
        resources.push({name, rotatedTo: null, prune: null, error: errorBody(fault, name)});
        continue;
      }

      try {
        const cared = await resource.run('care', async () =>
          careForResource(await this.#subject(resource), clock.wallMs(), request),
        );
        resources.push(cared);
      } catch (error) {
        // Deleted while it waited in the queue.
        if (!isDiskError(error, 'RESOURCE_UNKNOWN')) throw error;
      }
    }

    const removed = removeLeftoverFiles(paths.home, clock.wallMs(), request.dryRun);
    return {schema: 1, dryRun: request.dryRun, by: 'daemon', resources, removed};
  }

  async #subject(resource: Resource): Promise<PruneSubject> {
    const {home} = this.#node.context.paths;
    if (resource.fault !== undefined) throw resource.fault;
    const found = await findDisk(resource.places);
    return {home, file: resource.file, disk: diskOf(found)};
  }
}

/** What was found of a disk process, as a prune wants it. */
export function diskOf(found: Awaited<ReturnType<typeof findDisk>>): PruneSubject['disk'] {
  if (found.kind === 'absent') return undefined;
  return found.status ?? 'silent';
}

/** @throws DiskError RESOURCE_UNKNOWN */
export function requireKnown(names: readonly string[], name: string, home: string): void {
  if (names.includes(name)) return;
  throw new DiskError('RESOURCE_UNKNOWN', `there is no resource ${name} at ${home}`, {name});
}
