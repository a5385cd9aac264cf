/**
 * From nothing to a served image with its device, and back.
 *
 *   found      lock   socket             activate                    deactivate
 *   serving    held   mode serve         repair device and link      device, commit, umount
 *   replaying  held   mode replay        stop it, then as absent     stop it
 *   silent     held   no answer          wait, then RESOURCE_LOCKED  wait, then evict it
 *   absent     free   none, or stale     clean up, start             clean up
 *
 * All of it runs in the queue of the resource: one at a time.
 */
import {setTimeout as sleep} from 'node:timers/promises';
import type {DiskStatus} from '../core/disk-status.js';
import {DiskError, isDiskError, storeError} from '../core/errors.js';
import type {FuseDriverWish, ResourceFile} from '../core/home.js';
import {requireFuse} from '../core/machine.js';
import {diskStatus} from '../control/disk-client.js';
import fs from 'node:fs';
import type {Context} from './context.js';
import {busyError, deviceOf, ensureDevice, removeDevice, requireUnused, usersOf} from './device.js';
import {callDisk} from './disk-call.js';
import {
  isLocked,
  lastFatal,
  lockedError,
  notReady,
  outputSize,
  startHolder,
  waitForDisk,
  waitUnlocked,
  type HolderStart,
  type StartedHolder,
} from './holder.js';
import {cleanLeftovers} from './leftovers.js';
import {detachLoop, loopOf} from './loop-devices.js';
import {listMounts, mountAt} from '../core/mounts.js';
import {holdersOfFile} from './openers.js';
import type {Places} from './places.js';
import {placesOf} from './places.js';
import {programWords, runProgram} from '../core/run-program.js';

const STATUS_TIMEOUT_MS = 2000;
const UMOUNT_TIMEOUT_MS = 30_000;
const UMOUNT_TRIES = 5;
const UMOUNT_PAUSE_MS = 100;
const REST_MS = 30_000;
const SILENT_PAUSE_MS = 50;
const FOUND_PAUSE_MS = 10;
/** So long a disk may be silent, restarting or recovering, before a deactivation ends it. */
const SILENT_MS_MAX = 10_000;
const EVICT_MS_MAX = 10_000;
/** A disk process whose mount is gone ends within so long, if it runs. */
const UNMOUNTED_MS_MAX = 3000;

export type Found =
  | {readonly kind: 'serving' | 'replaying'; readonly status: DiskStatus}
  | {readonly kind: 'silent' | 'absent'; readonly status?: undefined};

/** Looks what runs for a resource. */
export async function findDisk(places: Pick<Places, 'paths'>): Promise<Found> {
  const status = await diskStatus(places.paths.socket, STATUS_TIMEOUT_MS).catch(() => undefined);
  if (status !== undefined) {
    return {kind: status.mode === 'serve' ? 'serving' : 'replaying', status};
  }

  return {kind: (await isLocked(places.paths)) ? 'silent' : 'absent'};
}

export interface ActivateOptions {
  readonly device: boolean;
  readonly driver: FuseDriverWish;
  /** Take the image although it is not the one that was recorded (IMAGE_CHANGED). */
  readonly acceptImage: boolean;
  /** On the clock of performance.now(). */
  readonly deadlineMs: number;
}

export interface Activated {
  readonly status: DiskStatus;
  /** The disk was started now, not found running. */
  readonly started: boolean;
  /** Why there is no device although it was wanted; the image is served all the same. */
  readonly deviceFault: DiskError | undefined;
}

/**
 * Brings image and device up; does nothing that is done already.
 *
 * @throws DiskError NOT_ROOT, FUSE_MISSING, FUSE_TIMEOUT_SET, RESOURCE_LOCKED, TIMEOUT, or the
 *   fatal error of the disk process (LOG_*, IMAGE_*, STORE_*, MOUNT_FAILED)
 */
export async function activate(
  context: Context,
  file: ResourceFile,
  options: ActivateOptions,
): Promise<Activated> {
  const places = placesOf(context, file.name);
  requireFuse();
  let found = await settle(places, options.deadlineMs);
  if (found.kind === 'silent')
    throw lastFatal(places.paths) ?? lockedError(file.name, places.paths);
  if (found.kind === 'replaying') {
    await stopReplay(places, file.name, options.deadlineMs);
    found = {kind: 'absent'};
  }

  const start = {
    ...holderStart(context, file, places, options.driver, 'serve'),
    acceptImage: options.acceptImage,
  };
  const running =
    found.kind === 'absent' ? undefined : await waitForFound(places, file.name, options.deadlineMs);
  const started = running === undefined;
  const status =
    running ??
    (await waitForDisk(
      start,
      await startServing(context, start, places),
      options.deadlineMs,
      (answer) => isServing(answer, places),
    ));
  const deviceFault = options.device ? await tryDevice(places) : undefined;
  return {status, started, deviceFault};
}

/**
 * Waits for a disk that was found running.
 *
 * @returns undefined where it was on its way out, as its mount was taken away, and is gone
 * @throws DiskError the fatal error that it prints meanwhile, or TIMEOUT
 */
async function waitForFound(
  places: Places,
  name: string,
  deadlineMs: number,
): Promise<DiskStatus | undefined> {
  const outputStart = outputSize(places.paths);
  for (;;) {
    const found = await findDisk(places);
    if (found.kind === 'absent') return undefined;
    if (found.status !== undefined && isServing(found.status, places)) return found.status;
    const fatal = lastFatal(places.paths, outputStart);
    if (fatal !== undefined) throw fatal;
    if (performance.now() > deadlineMs) throw notReady(name, found.status?.phase);
    await sleep(FOUND_PAUSE_MS);
  }
}

function isServing(status: DiskStatus, places: Places): boolean {
  const mounted = mountAt(listMounts(), places.mountPoint) !== undefined;
  return status.phase === 'serving' && status.mode === 'serve' && mounted;
}

/**
 * Waits while the lock is held and nobody answers, or while a disk is on its way out; not for one that
 * says meanwhile that it cannot start.
 */
async function settle(places: Places, deadlineMs: number): Promise<Found> {
  const outputStart = outputSize(places.paths);
  for (;;) {
    const found = await findDisk(places);
    const leaving = found.status?.phase === 'stopping';
    if (found.kind !== 'silent' && !leaving) return found;
    if (performance.now() > deadlineMs) return found;
    if (found.kind === 'silent') {
      const isMounted = mountAt(listMounts(), places.mountPoint) !== undefined;
      if (!isMounted) endPaused(places, ['replay', 'follow']);
      else if (lastFatal(places.paths, outputStart) !== undefined) return found;
    }

    await sleep(SILENT_PAUSE_MS);
  }
}

/**
 * Ends holders without a mount, which serve nobody: one whose disk process dies again and again pauses longer and
 * longer, and would keep the resource from becoming primary, or from being secondary. A disk process that
 * is only starting ignores the signal.
 */
function endPaused(places: Places, modes: readonly HolderStart['mode'][]): void {
  for (const {pid} of holdersOfFile(places.paths.lock)) {
    if (pid !== null && isHolder(pid, modes)) kill(pid, 'SIGTERM');
  }
}

function isHolder(pid: number, modes: readonly string[]): boolean {
  try {
    const words = fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return words[0] === 'sh' && modes.some((mode) => words.includes(mode));
  } catch {
    return false;
  }
}

function holderStart(
  context: Context,
  file: ResourceFile,
  places: Places,
  driver: FuseDriverWish,
  mode: HolderStart['mode'],
): HolderStart {
  const {home} = context.paths;
  const {programs} = context;
  const {paths, mountPoint} = places;
  return {home, name: file.name, mountPoint, driver, mode, paths, programs, acceptImage: false};
}

async function startServing(context: Context, start: HolderStart, places: Places) {
  await cleanLeftovers(context, start.name, places);
  if (mountAt(listMounts(), places.mountPoint) !== undefined) {
    throw new DiskError('MOUNT_FAILED', `${places.mountPoint} is a mount point already`, {
      mount: places.mountPoint,
    });
  }

  try {
    // Safe here: nothing is mounted at it, and only this queue mounts.
    fs.mkdirSync(places.mountPoint, {recursive: true, mode: 0o755});
  } catch (error) {
    throw storeError(error, `make the mount point ${places.mountPoint}`);
  }

  return startHolder(start);
}

async function tryDevice(places: Places): Promise<DiskError | undefined> {
  try {
    await ensureDevice(places);
    return undefined;
  } catch (error) {
    if (isDiskError(error)) return error;
    throw error;
  }
}

/**
 * Takes device and image away. Refused while somebody uses them: everything is then as before.
 *
 * @returns the last status of the disk process before its end, undefined where none ran
 * @throws DiskError RESOURCE_BUSY, RESOURCE_LOCKED, LOG_IO, TIMEOUT
 */
export async function deactivate(
  context: Context,
  name: string,
  deadlineMs: number,
): Promise<DiskStatus | undefined> {
  const places = placesOf(context, name);
  const found = await settle(places, Math.min(deadlineMs, performance.now() + SILENT_MS_MAX));
  if (found.kind === 'silent') await evict(context, name, places);
  if (found.status === undefined) {
    await cleanLeftovers(context, name, places);
    return undefined;
  }

  if (found.kind === 'replaying') {
    await stopReplay(places, name, deadlineMs);
    return found.status;
  }

  const ownPids = ownPidsOf(found.status);
  await requireUnused(name, places, ownPids);
  const hadDevice = deviceOf(places) !== null;
  await removeDevice(name, places, ownPids);
  const last = await commitAndUnmount(name, places, found.status, deadlineMs).catch(
    async (error: unknown) => {
      const mounted = mountAt(listMounts(), places.mountPoint) !== undefined;
      if (mounted && hadDevice) await tryDevice(places);
      throw error;
    },
  );
  const soonMs = Math.min(deadlineMs, performance.now() + UNMOUNTED_MS_MAX);
  if (!(await waitUnlocked(places.paths, soonMs))) endPaused(places, ['serve']);
  if (!(await waitUnlocked(places.paths, deadlineMs))) {
    throw new DiskError('TIMEOUT', `the disk process of ${name} does not end`, {resource: name});
  }

  return last;
}

/**
 * Ends a disk that does not answer, such as one that cannot start again. Nothing that was
 * acknowledged is lost by it: that is in the log. Whoever still waits for the disk would get an
 * I/O error, so it is refused while it is used.
 *
 * @throws DiskError RESOURCE_BUSY, RESOURCE_LOCKED
 */
async function evict(context: Context, name: string, places: Places): Promise<void> {
  const holders = holdersOfFile(places.paths.lock);
  const ownPids = holders.flatMap(({pid}) => (pid === null ? [] : [pid]));
  await requireUnused(name, places, [process.pid, ...ownPids]);
  const loop = loopOf(places.image);
  if (loop !== undefined) await detachLoop(loop);
  // -f aborts the connection: threads that wait in it can end.
  await runProgram('umount', ['-f', '-l', '-i', '-c', places.mountPoint], UMOUNT_TIMEOUT_MS);
  for (const pid of ownPids) {
    context.log.warn({resource: name, pid}, 'a disk that does not answer is ended');
    kill(pid, 'SIGKILL');
  }

  const deadlineMs = performance.now() + EVICT_MS_MAX;
  if (!(await waitUnlocked(places.paths, deadlineMs))) throw lockedError(name, places.paths);
}

function kill(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It ended by itself meanwhile.
  }
}

/** Holder and disk process have their own image open at times: they are no users. */
export function ownPidsOf(status: DiskStatus): number[] {
  return [process.pid, status.pid, ...(status.holderPid === null ? [] : [status.holderPid])];
}

async function commitAndUnmount(
  name: string,
  places: Places,
  status: DiskStatus,
  deadlineMs: number,
): Promise<DiskStatus> {
  // While image and device can still be brought back: an error here must not be found out later.
  await callDisk(places.paths.socket, '/commit', Math.max(1000, deadlineMs - performance.now()));
  const last = await diskStatus(places.paths.socket).catch(() => undefined);
  // Whoever hands the front its work has the mount in use for moments.
  if (last?.rollback?.phase === 'running')
    await callDisk(places.paths.socket, '/rollback/rest', REST_MS);
  await unmount(name, places, status);
  return last ?? status;
}

async function unmount(name: string, places: Places, status: DiskStatus): Promise<void> {
  let words = '';
  for (let tries = 1; tries <= UMOUNT_TRIES; tries += 1) {
    const result = await runProgram('umount', ['-i', '-c', places.mountPoint], UMOUNT_TIMEOUT_MS);
    if (mountAt(listMounts(), places.mountPoint) === undefined) return;
    words = programWords(result);
    if (!/busy/iu.test(words)) break;
    const users = usersOf(places, ownPidsOf(status));
    // A bell of the disk process (disk/bell) is in the mount for a moment, and is no user.
    if (users.length > 0 || tries === UMOUNT_TRIES) throw busyError(name, users);
    await sleep(UMOUNT_PAUSE_MS);
  }

  throw new DiskError('MOUNT_FAILED', `umount ${places.mountPoint}: ${words}`, {resource: name});
}

/**
 * Starts the write-back of a resource that is not primary; it ends by itself, with 0, when all is
 * in the image.
 *
 * @returns undefined where something runs already
 */
export async function startReplay(
  context: Context,
  file: ResourceFile,
): Promise<StartedHolder | undefined> {
  const places = placesOf(context, file.name);
  if ((await findDisk(places)).kind !== 'absent') return undefined;
  await cleanLeftovers(context, file.name, places);
  // Nothing is mounted, so any driver will do; it wants one by its name.
  return startHolder(holderStart(context, file, places, 'kernel', 'replay'));
}

/**
 * Starts the disk process of a secondary that follows others, or finds it; a write-back that runs
 * is ended for it.
 *
 * @throws DiskError RESOURCE_PRIMARY, RESOURCE_LOCKED, TIMEOUT, or the fatal error of the disk process
 */
export async function startFollow(
  context: Context,
  file: ResourceFile,
  deadlineMs: number,
): Promise<DiskStatus> {
  const {name} = file;
  const places = placesOf(context, name);
  const found = await settle(places, deadlineMs);
  if (found.kind === 'silent') throw lastFatal(places.paths) ?? lockedError(name, places.paths);
  if (found.kind === 'serving') {
    const text = `${name} is still served here: mars secondary ${name} comes first`;
    throw new DiskError('RESOURCE_PRIMARY', text, {resource: name});
  }

  if (found.kind === 'replaying') {
    if (found.status.mode === 'follow') return found.status;
    await stopReplay(places, name, deadlineMs);
  }

  await cleanLeftovers(context, name, places);
  const start = holderStart(context, file, places, 'kernel', 'follow');
  const holder = await startHolder(start);
  return waitForDisk(start, holder, deadlineMs, ({mode}) => mode === 'follow');
}

/**
 * Ends the write-back before its time; what is not in the image stays in the log.
 *
 * @throws DiskError TIMEOUT
 */
export async function stopReplay(places: Places, name: string, deadlineMs: number): Promise<void> {
  const {paths} = places;
  for (;;) {
    const isTold = await tellStop(paths.socket, deadlineMs);
    // One that does not listen yet was not told: it would go on, and be waited for in vain.
    const untilMs = isTold ? deadlineMs : Math.min(deadlineMs, performance.now() + SILENT_PAUSE_MS);
    if (await waitUnlocked(paths, untilMs)) return;
    if (performance.now() <= deadlineMs) continue;
    const why = isTold ? 'was told to end and does not' : 'does not answer';
    const text = `the disk process of ${name} ${why}: mars status ${name}`;
    throw new DiskError('TIMEOUT', text, {resource: name});
  }
}

/** @returns false where nobody listens: it has ended, or has only begun */
async function tellStop(socket: string, deadlineMs: number): Promise<boolean> {
  try {
    await callDisk(socket, '/stop', Math.max(1000, deadlineMs - performance.now()));
    return true;
  } catch (error) {
    if (isDiskError(error, 'DISK_UNREACHABLE')) return false;
    throw error;
  }
}
