/**
 * A disk process is ended and started again with the program of this daemon, while it is used.
 *
 *   serves        NAME.program for its holder, POST /renew, and wait for the next generation: the mount
 *                 stays, applications wait a moment; where it cannot start, the former program is put back
 *   follows       ended in order, and started again: nobody waits but a flush in a synchronous mode
 *   writes back   the same
 *
 * Runs in the queue of the resource, so that neither supervision nor a role change comes between.
 */
import {setTimeout as sleep} from 'node:timers/promises';
import type {RenewRequest, RenewResult, RenewedProcess} from '../control/daemon-api.js';
import type {DiskStatus} from '../core/disk-status.js';
import {DiskError} from '../core/errors.js';
import {diskStatus} from '../control/disk-client.js';
import {findDisk, startFollow, stopReplay} from './activate.js';
import type {Context} from './context.js';
import {callDisk} from './disk-call.js';
import {programOf, writeProgram} from './disk-program.js';
import {lastFatal, lockedError, outputSize} from './holder.js';
import {deadlineOf, writeBack} from './operations.js';
import type {Resource} from './resource.js';

const LOOK_MS = 20;
const STATUS_TIMEOUT_MS = 1000;
/** So long applications may wait for the old process to come to rest. */
const REST_MS_MAX = 10_000;
/** A follower that was connected is given so long to be so again before the next one is renewed. */
const CONNECT_MS_MAX = 10_000;

/**
 * Renews the disk process of a resource.
 *
 * @throws DiskError RENEW_REFUSED, RESOURCE_LOCKED: it goes on as it was; UPGRADE_FAILED, TIMEOUT: the
 *   next one did not come up, and the holder is to run the former program again
 */
export async function renewDisk(
  context: Context,
  resource: Resource,
  request: RenewRequest,
): Promise<RenewResult> {
  const {name, places} = resource;
  const {kind, status} = await findDisk(places);
  if (kind === 'silent') throw lockedError(name, places.paths);
  if (status === undefined) return {schema: 1, name, mode: null, before: null, after: null};
  const startMs = performance.now();
  const deadlineMs = deadlineOf(request);
  const after =
    kind === 'serving'
      ? await renewServing(context, resource, status, deadlineMs)
      : await renewSecondary(context, resource, status, deadlineMs);
  const ms = Math.round(performance.now() - startMs);
  const text = `the disk process of ${name} was renewed within ${ms} ms: ${versions(status, after)}`;
  const details = after === undefined ? {} : {pid: after.pid};
  context.tell('DISK_RENEWED', 'info', name, text, details);
  const {mode} = status;
  return {
    schema: 1,
    name,
    mode,
    before: processOf(status),
    after: after === undefined ? null : processOf(after),
  };
}

function processOf({pid, version}: DiskStatus): RenewedProcess {
  return {pid, version: version ?? null};
}

function versions(before: DiskStatus, after: DiskStatus | undefined): string {
  const from = before.version ?? 'an unknown version';
  return after === undefined ? `${from} ended` : `${from} to ${after.version ?? 'unknown'}`;
}

async function renewServing(
  context: Context,
  resource: Resource,
  before: DiskStatus,
  deadlineMs: number,
): Promise<DiskStatus> {
  const {name, places} = resource;
  const {socket} = places.paths;
  if (before.driver === 'fuse-native') {
    const text = `${name} is served by fuse-native, whose mount ends with its process: unmount, mars secondary ${name}, mars primary ${name}`;
    throw new DiskError('RENEW_REFUSED', text, {resource: name});
  }

  const next = {node: process.execPath, main: context.programs.main};
  const running = programOf(before.pid);
  const former = running?.main === next.main ? undefined : running;
  writeProgram(socket, next);
  const outputStart = outputSize(places.paths);
  const restMs = Math.max(1000, Math.min(REST_MS_MAX, deadlineMs - performance.now()));
  await callDisk(socket, '/renew', 2 * restMs, {timeoutMs: restMs});
  let fatal: DiskError | undefined;
  for (;;) {
    const status = await diskStatus(socket, STATUS_TIMEOUT_MS).catch(() => undefined);
    if (status !== undefined && status.pid !== before.pid && status.phase === 'serving') {
      resource.noteRenewed(status);
      if (fatal === undefined) return status;
      if (former === undefined || programOf(status.pid)?.main !== former.main) {
        // It came up after all: what could not start was a try before.
        writeProgram(socket, next);
        return status;
      }

      const text = `${name}: the new disk process cannot start (${fatal.message}); the former one serves again`;
      throw new DiskError('UPGRADE_FAILED', text, {resource: name});
    }

    const isLate = performance.now() > deadlineMs;
    const found = fatal ?? lastFatal(places.paths, outputStart);
    // One that answers but does not serve yet has only not enough time.
    const isBroken =
      fatal === undefined && (found !== undefined || (isLate && status === undefined));
    if (isBroken && former !== undefined) writeProgram(socket, former);
    fatal = found;
    if (isLate) {
      const words = fatal?.message ?? status?.phase ?? 'no answer';
      const what = former === undefined ? 'goes on trying' : 'goes on with the former program';
      const holder = fatal === undefined && status !== undefined ? 'goes on trying' : what;
      const text = `${name}: the next disk process does not serve in time (${words}); its holder ${holder}: ${places.paths.output}`;
      throw new DiskError(fatal === undefined ? 'TIMEOUT' : 'UPGRADE_FAILED', text, {
        resource: name,
      });
    }

    await sleep(LOOK_MS);
  }
}

async function renewSecondary(
  context: Context,
  resource: Resource,
  before: DiskStatus,
  deadlineMs: number,
): Promise<DiskStatus | undefined> {
  const {name, places, file, follow} = resource;
  const wasConnected = before.follow?.connected === true;
  await stopReplay(places, name, deadlineMs);
  resource.noteEnd(before);
  if (before.mode !== 'follow' || follow?.isWanted !== true) {
    await writeBack(context, resource);
    return undefined;
  }

  let status = await startFollow(context, file, deadlineMs);
  follow.poke();
  const connectMs = Math.min(deadlineMs, performance.now() + CONNECT_MS_MAX);
  while (wasConnected && status.follow?.connected !== true && performance.now() < connectMs) {
    await sleep(LOOK_MS);
    const next = await diskStatus(places.paths.socket, STATUS_TIMEOUT_MS).catch(() => undefined);
    status = next ?? status;
  }

  resource.noteStatus(status);
  return status;
}
