/** What users ask of one resource. Each runs in the queue of the resource. */
import type {
  PrimaryRequest,
  ResizeRequest,
  ResourceView,
  RoleRequest,
  SetRequest,
} from '../control/api.js';
import {CODES} from '../core/codes.js';
import {passCrashPoint} from '../core/crash-points.js';
import {DiskError, isDiskError} from '../core/errors.js';
import {createNodeFiles} from '../core/files.js';
import type {ResourceFile} from '../core/home.js';
import {BLOCK_BYTES, DISK_BYTES_MAX, DISK_BYTES_MIN} from '../core/limits.js';
import {formatBytes} from '../core/units.js';
import {
  activate,
  deactivate,
  findDisk,
  ownPidsOf,
  startReplay,
  stopReplay,
  type ActivateOptions,
  type Activated,
} from './activate.js';
import type {Context} from './context.js';
import {ensureDevice, removeDevice} from './device.js';
import {callDisk} from './disk-call.js';
import {noteCutRollback} from './history/rollback-notes.js';
import {isRollingBack, refuseWhileRollingBack} from './history/rollback-state.js';
import {growLoop, loopOf} from './loop-devices.js';
import {ASK_PEERS_MS, mayServeAgain, takePrimary} from './replication/roles.js';
import {withMendedLog} from './replication/mend-log.js';
import {tellMode, withModeChange} from './replication/shared-mode.js';
import type {Resource} from './resource.js';
import {
  afterPrimary,
  afterSecondary,
  beforePrimary,
  beforeSecondary,
  startUnit,
} from './role-change.js';
import {refuseBypassWish} from './replication/bypass-rules.js';
import {deferredKeys, parseSettings} from './settings.js';
import {resourceView} from './views.js';
import fs from 'node:fs';

const COMMAND_TIMEOUT_MS = 30_000;

/** The deadline of a request on the clock of performance.now(). */
export function deadlineOf(request: RoleRequest): number {
  return performance.now() + request.timeoutSeconds * 1000;
}

/**
 * Makes the resource primary here; done already counts, and a missing device is made again.
 *
 * @throws DiskError RESOURCE_DETACHED, and what `takePrimary` and `activate` throw; the role is then
 *   as before, and a grant of another node waits to be asked for again
 */
export async function becomePrimary(
  context: Context,
  resource: Resource,
  request: PrimaryRequest,
): Promise<ResourceView> {
  const {name, attached} = resource.file;
  if (!attached) {
    const text = `${name} is detached: mars attach ${name} comes first`;
    throw new DiskError('RESOURCE_DETACHED', text, {resource: name});
  }

  const wasServing = (await findDisk(resource.places)).kind === 'serving';
  if (!wasServing) await beforePrimary(context, resource, deadlineOf(request));
  const {before, notes} = await takeRoleIfNeeded(context, resource, request);
  const file = resource.save({designatedRole: 'primary', withoutDevice: !request.device});
  try {
    const driver = request.driver ?? file.driver;
    const deadlineMs = deadlineOf(request);
    await bringUp(context, resource, {driver, acceptImage: request.force, deadlineMs});
    // What did not start with the role is asked for again.
    if (wasServing) await startUnit(context, resource);
    if (request.force) void noteCutRollback(context, resource);
  } catch (error) {
    // A disk that only needs longer goes on, and is primary when it is ready.
    if (!isDiskError(error, 'TIMEOUT')) resource.save({...before, forcedAt: before.forcedAt});
    // Damage stays to be seen in the status, not only by who asked.
    if (isDiskError(error) && CODES[error.code].exit === 'damage') {
      resource.sayFailure(error.code, error.message);
    }

    throw error;
  }

  return resourceView(resource, notes);
}

/**
 * Who was not primary asks the last primary first, unless that was this node itself.
 *
 * @returns the wishes to go back to where the activation fails, and what the user should know
 */
async function takeRoleIfNeeded(
  context: Context,
  resource: Resource,
  request: PrimaryRequest,
): Promise<{before: ResourceFile; notes: readonly string[]}> {
  const isServing = (await findDisk(resource.places)).kind === 'serving';
  if (isServing) return {before: resource.file, notes: []};
  if (resource.file.designatedRole === 'primary' && !request.force) {
    const mayServe = await mayServeAgain(context, resource, ASK_PEERS_MS);
    if (mayServe) return {before: resource.file, notes: []};
  }

  const before = resource.file;
  return {before, notes: await takePrimary(context, resource, request)};
}

/** Activates as the file says, and notes and tells the outcome. Also used by the supervision. */
export async function bringUp(
  context: Context,
  resource: Resource,
  options: Omit<ActivateOptions, 'device'>,
): Promise<Activated> {
  const {file} = resource;
  const device = wantsDevice(resource);
  resource.forgetEnd();
  const activated = await withMendedLog(context, resource, () =>
    activate(context, file, {...options, device}),
  ).catch((error: unknown) => {
    // It goes on: what belongs to its begin is done when it serves.
    if (isDiskError(error, 'TIMEOUT')) resource.isBeginning = true;
    throw error;
  });
  resource.noteStatus(activated.status);
  resource.hushFailure();
  resource.hush('DISK_UNREACHABLE');
  noteDevice(resource, activated.deviceFault);
  if (!device) await removeDevice(file.name, resource.places, ownPidsOf(activated.status));
  takeSize(resource);
  const begins = activated.started || resource.isBeginning;
  resource.isBeginning = false;
  if (begins) {
    const text = `${file.name} is primary here: ${resource.places.image}`;
    context.tell('ROLE_PRIMARY', 'info', file.name, text);
    context.roles?.touch();
    await afterPrimary(context, resource);
  }

  return activated;
}

/** Shows why a device that is wanted is not there, or that all is well. */
export function noteDevice(resource: Resource, fault: DiskError | undefined): void {
  resource.hush('LOOP_MISSING');
  resource.hush('LOOP_FAILED');
  if (fault === undefined) return;
  const code = fault.code === 'LOOP_MISSING' ? 'LOOP_MISSING' : 'LOOP_FAILED';
  resource.say(code, 'warning', `no block device: ${fault.message}; the image file can be used`);
}

/** A resize that the log has and resource.json has not (a crash between the two). */
export function takeSize(resource: Resource): void {
  const sizeBytes = resource.disk?.sizeBytes ?? 0;
  if (sizeBytes > resource.file.sizeBytes) resource.save({sizeBytes});
}

/**
 * Ends the primary role: device and image go, the rest of the log is written back.
 *
 * @throws DiskError RESOURCE_BUSY and what else `deactivate` throws; the role is then as before
 */
export async function becomeSecondary(
  context: Context,
  resource: Resource,
  request: RoleRequest,
): Promise<ResourceView> {
  const {file} = resource;
  const found = await findDisk(resource.places);
  const serving = found.kind === 'serving' || found.kind === 'silent';
  if (serving || file.designatedRole === 'primary') {
    await endServing(context, resource, deadlineOf(request));
    passCrashPoint('secondary-deactivated');
    resource.save({designatedRole: 'secondary', withoutDevice: false, forcedAt: undefined});
    noteDevice(resource, undefined);
    context.tell('ROLE_SECONDARY', 'info', file.name, `${file.name} is secondary here`);
    await afterSecondary(context, resource);
  }

  await writeBack(context, resource);
  return resourceView(resource);
}

/**
 * What is bound to the role is ended, then device and image go; the wish stays.
 *
 * @throws DiskError ROLLBACK_UNFINISHED, HOOK_FAILED, SERVICE_FAILED, and what `deactivate` throws; what was bound runs again
 */
export async function endServing(
  context: Context,
  resource: Resource,
  deadlineMs: number,
): Promise<void> {
  refuseWhileRollingBack(resource);
  const back = await beforeSecondary(context, resource, deadlineMs);
  const last = await deactivate(context, resource.name, deadlineMs).catch(
    async (error: unknown) => {
      await back();
      throw error;
    },
  );
  if (last === undefined) resource.noteLost();
  else resource.noteEnd(last);
}

/** Starts the write-back where a secondary may have records that are not in its image. */
export async function writeBack(context: Context, resource: Resource): Promise<void> {
  const {file} = resource;
  if (file.designatedRole === 'primary' || !file.attached || file.replayPaused) return;
  if (resource.follow?.isWanted === true) {
    // Its disk process writes back as well, and goes on with what comes from others.
    resource.follow.poke();
    return;
  }

  if (resource.isWrittenBack) return;
  resource.writeBack = await startReplay(context, file);
}

/** `attach` and `detach`: whether image and log are touched at all. */
export async function setAttached(
  context: Context,
  resource: Resource,
  attached: boolean,
  request: RoleRequest,
): Promise<ResourceView> {
  const {file} = resource;
  if (attached === file.attached) return resourceView(resource);
  if (!attached) await leave(resource, deadlineOf(request));
  resource.save({attached});
  context.tell(
    'RESOURCE_CHANGED',
    'info',
    file.name,
    `${file.name} is ${attached ? 'attached' : 'detached'}`,
  );
  await writeBack(context, resource);
  return resourceView(resource);
}

/**
 * Ends the write-back of a secondary.
 *
 * @throws DiskError RESOURCE_PRIMARY, TIMEOUT
 */
export async function leave(resource: Resource, deadlineMs: number): Promise<void> {
  const {name, places} = resource;
  const found = await findDisk(places);
  if (resource.file.designatedRole === 'primary' || found.kind === 'serving') {
    const text = `${name} is primary here: mars secondary ${name} comes first`;
    throw new DiskError('RESOURCE_PRIMARY', text, {resource: name});
  }

  if (found.kind !== 'absent') {
    const until = new Date(Date.now() + deadlineMs - performance.now()).toISOString();
    resource.wait(`the disk process of ${name} to end`, until);
    await stopReplay(places, name, deadlineMs);
    resource.waitIsOver();
  }

  resource.noteEnd(found.status);
}

/**
 * Changes settings.
 *
 * @throws DiskError KEY_UNKNOWN, BYPASS_REPLICAS, RESOURCE_BUSY (device=off while it is open), LOOP_*
 */
export async function changeSettings(
  context: Context,
  resource: Resource,
  request: SetRequest,
): Promise<ResourceView> {
  const before = resource.file;
  const change = withModeChange(before, parseSettings(request.settings), context.node.id);
  if (change.whenFull === 'bypass') refuseBypassWish(context, before);
  const file = resource.save(change);
  try {
    if (file.device !== before.device) await applyDevice(resource);
    if (file.modeChange !== before.modeChange) await applyMode(context, resource);
    if (file.historySeconds !== before.historySeconds) await applyHistory(resource);
    if (file.systemdUnit !== before.systemdUnit) await applyUnit(context, resource);
  } catch (error) {
    resource.save(before);
    throw error;
  }

  const deferred = resource.disk === undefined ? [] : deferredKeys(request.settings);
  const notes = deferred.map((key) => `${key} counts from the next activation on`);
  if (file.modeChange !== before.modeChange && resource.disk?.mode !== 'serve') {
    notes.push('the primary waits as it says when it hears of it, within seconds');
  }

  const words = Object.entries(request.settings).map(([key, value]) => `${key}=${value}`);
  const text = [`${file.name}: ${words.join(', ')}`, ...notes].join('; ');
  context.tell('RESOURCE_CHANGED', 'info', file.name, text);
  return resourceView(resource, notes);
}

/** Replay trails behind as the file says from here on; without a disk process from its start on. */
async function applyHistory(resource: Resource): Promise<void> {
  await resource.poll();
  const {disk, places} = resource;
  if (disk?.history === undefined) return;
  await callDisk(places.paths.socket, '/history', COMMAND_TIMEOUT_MS);
  await resource.poll();
}

/** From here on flushes wait as the file says, on the primary: here now, elsewhere soon. */
async function applyMode(context: Context, resource: Resource): Promise<void> {
  context.roles?.touch();
  await resource.poll();
  await tellMode(resource);
  await resource.poll();
}

/** What is bound now is started where the resource is primary; what was bound is not touched. */
async function applyUnit(context: Context, resource: Resource): Promise<void> {
  await resource.poll();
  if (resource.disk?.mode === 'serve') await startUnit(context, resource);
}

function wantsDevice(resource: Resource): boolean {
  const {device, withoutDevice} = resource.file;
  return device && withoutDevice !== true && !isRollingBack(resource);
}

/** Brings the device in line with the wish, where the image is served. */
export async function applyDevice(resource: Resource): Promise<void> {
  await resource.poll();
  const status = resource.disk;
  if (status?.mode !== 'serve') return;
  const {name, places} = resource;
  if (wantsDevice(resource)) {
    await ensureDevice(places);
    noteDevice(resource, undefined);
  } else {
    await removeDevice(name, places, ownPidsOf(status));
  }
}

/**
 * Grows a resource that is primary here: log and image first, then the loop device.
 *
 * @throws DiskError SIZE_INVALID, RESOURCE_NOT_PRIMARY, ROLLBACK_UNFINISHED, IMAGE_TOO_SMALL, STORE_*,
 *   LOOP_FAILED
 */
export async function resize(
  context: Context,
  resource: Resource,
  request: ResizeRequest,
): Promise<ResourceView> {
  const {file, name, places} = resource;
  const {sizeBytes} = request;
  refuseWhileRollingBack(resource);
  checkSize(sizeBytes);
  if (sizeBytes < file.sizeBytes) {
    const text = `${name} has ${formatBytes(file.sizeBytes)} and cannot shrink to ${formatBytes(sizeBytes)}`;
    throw new DiskError('SIZE_INVALID', text, {sizeBytes, currentBytes: file.sizeBytes});
  }

  await resource.poll();
  if (resource.disk?.mode !== 'serve') throw notPrimary(name);
  if (sizeBytes > file.sizeBytes) {
    checkImageCapacity(file, sizeBytes);
    await callDisk(places.paths.socket, '/resize', COMMAND_TIMEOUT_MS, {sizeBytes});
    passCrashPoint('resize-done');
    resource.save({sizeBytes});
    const text = `${name} has grown to ${formatBytes(sizeBytes)}`;
    context.tell('RESOURCE_RESIZED', 'info', name, text, {sizeBytes});
  }

  const loop = loopOf(places.image);
  if (loop !== undefined) await growLoop(loop.path);
  await resource.poll();
  return resourceView(resource);
}

/** @throws DiskError SIZE_INVALID */
export function checkSize(sizeBytes: number): void {
  const valid =
    Number.isSafeInteger(sizeBytes) &&
    sizeBytes >= DISK_BYTES_MIN &&
    sizeBytes <= DISK_BYTES_MAX &&
    sizeBytes % BLOCK_BYTES === 0;
  if (valid) return;
  throw new DiskError(
    'SIZE_INVALID',
    `expected a multiple of ${BLOCK_BYTES} bytes from ${formatBytes(DISK_BYTES_MIN)} to ` +
      `${formatBytes(DISK_BYTES_MAX)}, got ${sizeBytes}`,
    {sizeBytes},
  );
}

function checkImageCapacity(file: ResourceFile, sizeBytes: number): void {
  if (!fs.statSync(file.imagePath).isBlockDevice()) return;
  const files = createNodeFiles();
  const fd = files.open(file.imagePath, 'read');
  const capacityBytes = files.sizeOf(fd);
  files.close(fd);
  if (capacityBytes >= sizeBytes) return;
  const text = `${file.imagePath} has ${formatBytes(capacityBytes)}: grow it first`;
  throw new DiskError('IMAGE_TOO_SMALL', text, {capacityBytes, sizeBytes});
}

function notPrimary(name: string): DiskError {
  const text = `${name} is not primary here: mars primary ${name} comes first`;
  return new DiskError('RESOURCE_NOT_PRIMARY', text, {resource: name});
}

/** Goes on in a new logfile. @throws DiskError RESOURCE_NOT_PRIMARY, LOG_IO, LOG_SPACE */
export async function rotateLog(resource: Resource): Promise<{file: string; position: string}> {
  await resource.poll();
  if (resource.disk?.mode !== 'serve') throw notPrimary(resource.name);
  return callDisk(resource.places.paths.socket, '/log/rotate', COMMAND_TIMEOUT_MS);
}

/** Pauses or resumes the write-back; a wish that outlives the disk process. */
export async function setReplayPaused(
  context: Context,
  resource: Resource,
  paused: boolean,
): Promise<void> {
  const {file, places} = resource;
  await resource.poll();
  if (paused && resource.disk?.mode === 'replay') {
    // Paused for good it would only wait: it ends, and the log keeps the rest.
    await leave(resource, performance.now() + COMMAND_TIMEOUT_MS);
  } else if (resource.disk !== undefined) {
    await callDisk(
      places.paths.socket,
      paused ? '/replay/pause' : '/replay/resume',
      COMMAND_TIMEOUT_MS,
    );
  }

  if (file.replayPaused !== paused) {
    resource.save({replayPaused: paused});
    const code = paused ? 'REPLAY_PAUSED' : 'REPLAY_RESUMED';
    const text = `replay of ${file.name} was ${paused ? 'paused' : 'resumed'}`;
    context.tell(code, 'info', file.name, text);
  }

  if (!paused) await writeBack(context, resource);
  await resource.poll();
}
