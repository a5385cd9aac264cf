/**
 * A disk process is ended and started again with the program of this daemon, while it is used.
 *
 *   serves        NAME.program for its holder, POST /renew, and wait for the next generation: the mount
 *                 stays, applications wait a moment
 *   follows       ended in order, and started again: nobody waits but a flush in a synchronous mode
 *   writes back   the same
 *
 * Runs in the queue of the resource, so that neither supervision nor a role change comes between.
 */
import fs from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import type {RenewRequest, RenewResult, RenewedProcess} from '../control/daemon-api.js';
import type {DiskStatus} from '../core/disk-status.js';
import {DiskError, storeError} from '../core/errors.js';
import {diskStatus} from '../control/disk-client.js';
import {findDisk, startFollow, stopReplay} from './activate.js';
import type {Context} from './context.js';
import {callDisk} from './disk-call.js';
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
 *   next one did not come up
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

  writeProgram(context, socket);
  const outputStart = outputSize(places.paths);
  const restMs = Math.max(1000, Math.min(REST_MS_MAX, deadlineMs - performance.now()));
  await callDisk(socket, '/renew', 2 * restMs, {timeoutMs: restMs});
  for (;;) {
    const status = await diskStatus(socket, STATUS_TIMEOUT_MS).catch(() => undefined);
    if (status !== undefined && status.pid !== before.pid && status.phase === 'serving') {
      resource.noteRenewed(status);
      return status;
    }

    if (performance.now() > deadlineMs) {
      const fatal = lastFatal(places.paths, outputStart);
      const words = fatal === undefined ? (status?.phase ?? 'no answer') : fatal.message;
      const text = `${name}: the next disk process does not serve in time (${words}); its holder goes on trying: ${places.paths.output}`;
      throw new DiskError(fatal === undefined ? 'TIMEOUT' : 'UPGRADE_FAILED', text, {
        resource: name,
      });
    }

    await sleep(LOOK_MS);
  }
}

/** What the holder is to run next; it was started with the paths of its time. */
function writeProgram({programs}: Context, socket: string): void {
  const file = socket.replace(/sock$/u, 'program');
  try {
    fs.writeFileSync(`${file}.new`, `${process.execPath}\n${programs.main}\n`, {mode: 0o600});
    fs.renameSync(`${file}.new`, file);
  } catch (error) {
    throw storeError(error, `write ${file}`);
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
