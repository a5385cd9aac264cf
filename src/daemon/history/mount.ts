/**
 * Mounts moments of a disk beside it, and takes them away. In this order, so that a death between any two
 * steps leaves what the next look takes away:
 *
 *   1. ID.json, durably: it holds log and replay where they are (core/history-mounts)
 *   2. the disk process, where one runs, has read it, and says that replay has not passed the moment
 *   3. the processes that serve it (disk/moment), which have its lock, and the mount
 *   4. a loop device on it, and the link to that
 *
 * and backwards. Who finds a file without processes removes what is left (care.ts).
 */
import fs from 'node:fs';
import {dirname, join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import type {HistoryMountRequest, MountedMoment} from '../../control/history-api.js';
import {DiskError, isDiskError, storeError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {
  historyPath,
  positionOf,
  readHistoryMounts,
  type FoundMount,
  type HistoryMount,
} from '../../core/history-mounts.js';
import {writeJsonFile} from '../../core/json-file.js';
import {requireFuse} from '../../core/machine.js';
import {listMounts, mountAt} from '../../core/mounts.js';
import {formatPosition, parsePosition} from '../../core/position.js';
import {programWords, runProgram} from '../../core/run-program.js';
import type {Moment} from '../../log/moments.js';
import type {Context} from '../context.js';
import {setDeviceLink} from '../device.js';
import {callDisk} from '../disk-call.js';
import {fatalInFile, spawnScript} from '../holder.js';
import {removeDeviceLink} from '../leftovers.js';
import {attachLoop, detachLoop, loopOf} from '../loop-devices.js';
import {findOpeners, type Opener} from '../openers.js';
import {forbiddenPlaces} from '../places.js';
import {refuseWhileBypassed} from '../replication/bypass-rules.js';
import type {Resource} from '../resource.js';
import {resolveSafely} from '../safe-path.js';
import {
  isServed,
  momentImage,
  momentLink,
  momentMountPoint,
  removeMountPoint,
  showMoment,
} from './moment-places.js';
import {findMoment, reachOf, type KnownMarks, type Reach} from './reach.js';

/** Each costs a process and memory for its index. */
const MOUNTS_MAX = 16;
const HOLD_MS = 70_000;
const UMOUNT_MS = 30_000;
const END_MS = 10_000;
const LOOK_MS = 20;
const OPENER_TRIES = 10;
const OPENER_PAUSE_MS = 100;

/**
 * Mounts the disk as of a moment.
 *
 * @throws DiskError HISTORY_GONE, HISTORY_AHEAD, HISTORY_MARK_UNKNOWN, HISTORY_BUSY, FUSE_MISSING,
 *   MOUNT_FAILED, STORE_FULL, TIMEOUT, BYPASS, BYPASS_NOT_LEFT; nothing is then left
 */
export async function mountMoment(
  context: Context,
  resource: Resource,
  request: HistoryMountRequest,
  known: KnownMarks,
): Promise<MountedMoment> {
  requireFuse();
  // The disk process says so as well, of one that begins meanwhile.
  refuseWhileBypassed(resource);
  const deadlineMs = performance.now() + request.timeoutSeconds * 1000;
  const directory = resource.places.paths.historyDirectory;
  const others = readHistoryMounts(createNodeFiles(), directory);
  if (others.length >= MOUNTS_MAX) {
    const text = `${others.length} moments of ${resource.name} are mounted, more cannot be: mars history unmount ${resource.name}`;
    throw new DiskError('HISTORY_BUSY', text, {resource: resource.name});
  }

  const reach = await reachOf(context, resource, true);
  const moment = await findMoment(resource, reach, request.at, known);
  const id = freeId(idOf(request, moment), others);
  const mount = planMount(context, resource, request, {reach, moment, id});
  try {
    const held = await hold(resource, mount, reach);
    await serve(context, resource, held, deadlineMs);
    const notes = request.device ? await addDevice(context, resource.name, held) : [];
    const text = `${resource.name} as of ${mount.position} (${mount.asked}) is mounted at ${mount.mountPoint}`;
    context.tell('HISTORY_MOUNTED', 'info', resource.name, text, {moment: id});
    return showMoment(context, resource.name, {mount: held, isLost: false}, notes);
  } catch (error) {
    await removeMoment(context, resource, mount).catch((second: unknown) => {
      context.log.warn({resource: resource.name, moment: id, err: second}, 'remains of a moment');
    });
    throw storeError(error, `mount a moment of ${resource.name}`);
  }
}

function idOf({at}: HistoryMountRequest, moment: Moment): string {
  if (at.kind === 'mark') return at.label;
  if (at.kind === 'position') return at.position;
  const timeMs = Math.min(at.timeMs, Math.max(moment.timeMs ?? at.timeMs, at.timeMs));
  return new Date(timeMs)
    .toISOString()
    .replaceAll(/[-:]/gu, '')
    .replace(/\.\d+Z$/u, 'Z');
}

function freeId(wanted: string, others: readonly FoundMount[]): string {
  const taken = new Set(others.map(({mount}) => mount.id));
  let id = wanted;
  for (let count = 2; taken.has(id); count += 1) id = `${wanted}-${count}`;
  return id;
}

function planMount(
  context: Context,
  {name, places}: Resource,
  request: HistoryMountRequest,
  {reach, moment, id}: {readonly reach: Reach; readonly moment: Moment; readonly id: string},
): HistoryMount {
  const mountPoint =
    request.to === undefined
      ? momentMountPoint(context, name, id)
      : emptyDirectory(request.to, context);
  const freeBytes = createNodeFiles().freeBytes(places.paths.directory);
  return {
    ...{schema: 1, id, asked: request.asked},
    position: formatPosition(moment.position),
    chain: moment.chain,
    base: formatPosition(reach.base),
    timeMs: moment.timeMs ?? reach.restorableFromMs,
    sizeBytes: moment.sizeBytes,
    writable: request.writable,
    // The log lies on that file system, too.
    overlayBytesMax: request.writable ? Math.trunc(freeBytes / 2) : 0,
    mountPoint,
    mountedAt: new Date(context.clock.wallMs()).toISOString(),
  };
}

function emptyDirectory(path: string, context: Context): string {
  const directory = resolveSafely(path, forbiddenPlaces(context));
  const found = fs.statSync(directory, {throwIfNoEntry: false});
  if (found?.isDirectory() !== true || fs.readdirSync(directory).length > 0) {
    const text = `${path} is no empty directory: a moment is mounted over one`;
    throw new DiskError('USAGE', text, {path});
  }

  return directory;
}

/** Steps 1 and 2. @returns what it stands on, as it is held */
async function hold(resource: Resource, mount: HistoryMount, reach: Reach): Promise<HistoryMount> {
  const {paths} = resource.places;
  fs.mkdirSync(paths.historyDirectory, {recursive: true, mode: 0o700});
  const path = historyPath(paths.historyDirectory, mount.id, 'json');
  writeJsonFile(path, mount);
  const oldest = await tellDisk(resource, reach);
  if (oldest !== undefined && oldest > positionOf(mount.position)) {
    const text = `replay of ${resource.name} went beyond that moment while it was looked for`;
    throw new DiskError('HISTORY_GONE', text, {resource: resource.name});
  }

  // What the image got meanwhile need not be looked up in the log, and may not be there any more.
  const now = await resourceBase(resource, reach);
  const held = {...mount, base: formatPosition(Math.max(now, positionOf(mount.base)))};
  writeJsonFile(path, held);
  // Let go in between: the second file is read by nobody, and holds nothing.
  if (fs.existsSync(historyPath(paths.historyDirectory, mount.id, 'lost'))) {
    const text =
      `the log of ${resource.name} has no room for what a mounted moment holds: free space on ` +
      paths.logDirectory;
    throw new DiskError('STORE_FULL', text, {resource: resource.name});
  }

  return held;
}

async function resourceBase(resource: Resource, reach: Reach): Promise<number> {
  if (reach.disk === undefined) return reach.base;
  await resource.poll();
  return parsePosition(resource.disk?.replayed ?? '') ?? reach.base;
}

/**
 * The disk process reads anew which moments are mounted.
 *
 * @returns no position below can be mounted; undefined where none runs
 */
export async function tellDisk(
  resource: Resource,
  reach: Pick<Reach, 'disk'>,
): Promise<number | undefined> {
  if (reach.disk === undefined) return undefined;
  const {socket} = resource.places.paths;
  const {oldest} = await callDisk<{oldest: string}>(socket, '/history', HOLD_MS);
  return parsePosition(oldest);
}

/** Step 3. */
async function serve(
  context: Context,
  resource: Resource,
  mount: HistoryMount,
  deadlineMs: number,
): Promise<void> {
  const directory = resource.places.paths.historyDirectory;
  const output = historyPath(directory, mount.id, 'log');
  fs.mkdirSync(mount.mountPoint, {recursive: true, mode: 0o755});
  if (mountAt(listMounts(), mount.mountPoint) !== undefined) {
    const text = `${mount.mountPoint} is a mount point already`;
    throw new DiskError('MOUNT_FAILED', text, {mount: mount.mountPoint});
  }

  const programs = join(dirname(context.programs.main), 'moment');
  const outputFd = fs.openSync(output, 'w', 0o600);
  let ended: number | null | undefined;
  try {
    const access = mount.writable ? 'rw' : 'ro';
    spawnScript({
      words: [
        ...[join(programs, 'moment.sh'), context.paths.home, resource.name, mount.id],
        ...[mount.mountPoint, access],
      ],
      variables: {MARS_MOMENT_MAIN: join(programs, 'main.js')},
      outputFd,
      noteEnd: (status) => {
        ended = status;
      },
    });
  } finally {
    fs.closeSync(outputFd);
  }

  // Written before the kernel's first question is answered.
  const ready = historyPath(directory, mount.id, 'fuse');
  while (!fs.existsSync(ready) || mountAt(listMounts(), mount.mountPoint) === undefined) {
    const fatal = fatalInFile(output);
    if (fatal !== undefined) throw fatal;
    if (ended !== undefined) {
      const text = `what serves the moment ended with ${ended ?? 'a signal'}: ${output}`;
      throw new DiskError('DISK_UNREACHABLE', text, {resource: resource.name});
    }

    if (performance.now() > deadlineMs) {
      const text = `the log of ${resource.name} up to that moment was not read in time: say --timeout`;
      throw new DiskError('TIMEOUT', text, {resource: resource.name});
    }

    await sleep(LOOK_MS);
  }
}

/** Step 4. @returns why there is none */
async function addDevice(context: Context, name: string, mount: HistoryMount): Promise<string[]> {
  try {
    const loop = await attachLoop(momentImage(mount), !mount.writable);
    setDeviceLink(momentLink(context, name, mount.id), loop);
    return [];
  } catch (error) {
    if (!isDiskError(error)) throw error;
    return [`no block device: ${error.message}; the image file can be used`];
  }
}

/**
 * Takes a moment away.
 *
 * @throws DiskError HISTORY_BUSY where somebody uses it: it is then as before; MOUNT_FAILED, LOOP_FAILED
 */
export async function unmountMoment(
  context: Context,
  resource: Resource,
  mount: HistoryMount,
): Promise<void> {
  await requireUnused(resource.name, mount);
  const loop = loopOf(momentImage(mount));
  if (loop !== undefined && !(await detachLoop(loop)))
    throw busy(resource.name, mount, users(mount));
  const result = await runProgram('umount', ['-i', '-c', mount.mountPoint], UMOUNT_MS);
  if (
    mountAt(listMounts(), mount.mountPoint) !== undefined &&
    (await isServed(resource, mount.id))
  ) {
    if (loop !== undefined) await addDevice(context, resource.name, mount);
    const words = programWords(result);
    if (/busy/iu.test(words)) throw busy(resource.name, mount, users(mount));
    throw new DiskError('MOUNT_FAILED', `umount ${mount.mountPoint}: ${words}`, {
      resource: resource.name,
    });
  }

  await removeMoment(context, resource, mount);
  const text = `the moment ${mount.id} of ${resource.name} is not mounted any more`;
  context.tell('HISTORY_UNMOUNTED', 'info', resource.name, text, {moment: mount.id});
}

async function requireUnused(name: string, mount: HistoryMount): Promise<void> {
  let found = users(mount);
  // Programs that look at a device for a moment (udev, blkid) are waited for.
  for (let count = 0; count < OPENER_TRIES && found.length > 0; count += 1) {
    if (found.some(({kind}) => kind !== 'process')) break;
    await sleep(OPENER_PAUSE_MS);
    found = users(mount);
  }

  if (found.length > 0) throw busy(name, mount, found);
}

function users(mount: HistoryMount): Opener[] {
  const image = momentImage(mount);
  const loop = loopOf(image)?.path;
  return findOpeners([image, ...(loop === undefined ? [] : [loop])], [process.pid]);
}

function busy(name: string, {id}: HistoryMount, found: readonly Opener[]): DiskError {
  const who = found.map(({text}) => text).join('; ') || 'by a process that cannot be seen here';
  return new DiskError('HISTORY_BUSY', `the moment ${id} of ${name} is in use: ${who}`, {
    resource: name,
    users: who,
  });
}

/**
 * Removes whatever there is of a moment, by force: loop device, mount, processes, files. Then log and replay
 * are not held any more.
 *
 * @throws DiskError TIMEOUT where its processes do not end
 */
export async function removeMoment(
  context: Context,
  resource: Resource,
  mount: HistoryMount,
): Promise<void> {
  const directory = resource.places.paths.historyDirectory;
  if (mount.mountPoint !== '') await removeMount(context, resource.name, mount);
  const deadlineMs = performance.now() + END_MS;
  while (await isServed(resource, mount.id)) {
    if (performance.now() > deadlineMs) {
      const text = `what serves the moment ${mount.id} of ${resource.name} does not end`;
      throw new DiskError('TIMEOUT', text, {resource: resource.name});
    }

    await sleep(LOOK_MS);
  }

  for (const suffix of ['json', 'lost', 'overlay', 'map', 'fuse', 'log', 'lock']) {
    fs.rmSync(historyPath(directory, mount.id, suffix), {force: true});
  }

  if (fs.existsSync(directory)) createNodeFiles().syncDirectory(directory);
  await resource.poll();
  if (resource.disk?.history === undefined) return;
  await tellDisk(resource, {disk: resource.disk}).catch((error: unknown) => {
    // It looks for the file by itself, every second.
    context.log.warn({resource: resource.name, err: error}, 'the disk was not told');
  });
}

async function removeMount(context: Context, name: string, mount: HistoryMount): Promise<void> {
  const loop = loopOf(momentImage(mount));
  if (loop !== undefined) await runProgram('losetup', ['-d', loop.path], UMOUNT_MS);
  removeDeviceLink(momentLink(context, name, mount.id));
  if (mountAt(listMounts(), mount.mountPoint) !== undefined) {
    // -f aborts what waits for a dead server, -l takes it away though it is open.
    await runProgram('umount', ['-f', '-l', '-i', '-c', mount.mountPoint], UMOUNT_MS);
  }

  removeMountPoint(context, mount);
}
