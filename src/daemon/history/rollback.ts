/**
 * `history rollback`: the disk becomes what it was at a moment. The daemon finds the moment, closes the disk
 * and says when it is done; the disk process does it (disk/rollback). In this order, so that a death between any two steps
 * leaves what the next look ends (rollback-care):
 *
 *   1. refuse: not primary, open, no room, nothing to undo it with and no --yes
 *   2. rollback.json, `prepared`: the disk process has read it, nobody can open the disk, replay waits
 *   3. the loop device goes; nobody has the disk open
 *   4. a mark: where to go back to. Whoever takes the file away from here on sets another one
 *   5. rollback.json, `running`: THE COMMIT POINT; it goes on by itself from here
 *   6. the file is gone: all is written and durable. The device comes back
 */
import fs from 'node:fs';
import {setTimeout as sleep} from 'node:timers/promises';
import type {
  HistoryRollbackRequest,
  HistoryRollbackResult,
  RollbackStanding,
  RollbackWaitRequest,
} from '../../control/history-api.js';
import {DiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {writeJsonFile} from '../../core/json-file.js';
import {LOG_CAP_BYTES_DEFAULT} from '../../core/limits.js';
import {formatPosition, parsePosition} from '../../core/position.js';
import {beginLabel, readRollback, type RollbackFile} from '../../core/rollback-file.js';
import {formatBytes} from '../../core/units.js';
import {markedBytes, readChangedBlocks} from '../../log/changed-blocks.js';
import type {Moment} from '../../log/moments.js';
import {listSegments} from '../../log/walk.js';
import {ownPidsOf} from '../activate.js';
import type {Context} from '../context.js';
import {busyError, otherLoops, removeDevice, requireUnused, usersOf} from '../device.js';
import {callDisk} from '../disk-call.js';
import {applyDevice} from '../operations.js';
import type {Resource} from '../resource.js';
import {startUnit} from '../role-change.js';
import {hushOfRole} from '../role-messages.js';
import {tellDisk} from './mount.js';
import {findMoment, reachOf, type KnownMarks, type Reach} from './reach.js';
import {cancelPrepared} from './rollback-end.js';
import {availableBytesOf, neededBytesOf} from './rollback-room.js';
import {unfinished} from './rollback-state.js';

const MARK_MS = 30_000;
const LOOK_MS = 50;
/** A daemon that is to end does not wait longer for who waits. */
const WAIT_MS = 1000;

/** Where rollbacks that were turned back were to go: who waits for one is told. */
const turnedBack = new WeakMap<Resource, string>();

/**
 * Begins to roll a disk back, or says what that would do. In the queue of the resource.
 *
 * @throws DiskError RESOURCE_NOT_PRIMARY, RESOURCE_BUSY, HISTORY_GONE, HISTORY_AHEAD, HISTORY_MARK_UNKNOWN,
 *   ROLLBACK_ROOM, ROLLBACK_UNFINISHED, CONFIRM_NEEDED: nothing has then changed
 */
export async function rollBack(
  context: Context,
  resource: Resource,
  request: HistoryRollbackRequest,
  known: KnownMarks,
): Promise<HistoryRollbackResult> {
  await requireReady(resource);
  // In the queue nobody is at one that is prepared: a crash has left it.
  await cancelPrepared(context, resource);
  const running = readRollback(resource.places.paths.rollbackFile);
  const reach = await reachOf(context, resource, true);
  const moment = await findMoment(resource, reach, request.to, known);
  // The same once more waits for what is under way.
  if (running !== undefined && running.position !== formatPosition(moment.position)) {
    throw unfinished(resource.name);
  }

  const plan = await planRollback(resource, request, reach, moment);
  if (request.dryRun) return plan;
  if (running !== undefined) return {...plan, undo: running.from, running: true};
  if (plan.records === 0) return plan;
  refuse(resource, request, plan);
  const undo = await carryOut(context, resource, request, {reach, moment});
  return {...plan, undo, running: true};
}

async function requireReady(resource: Resource): Promise<void> {
  const {name} = resource;
  await resource.poll();
  if (resource.disk?.mode !== 'serve' || resource.file.designatedRole !== 'primary') {
    const text = `${name} is not primary here: a disk is rolled back where it is written, the replicas follow`;
    throw new DiskError('RESOURCE_NOT_PRIMARY', text, {resource: name});
  }

  if (resource.disk.rollback === undefined) {
    const text = `the disk process of ${name} is of an older version: mars daemon upgrade comes first`;
    throw new DiskError('DISK_UNREACHABLE', text, {resource: name});
  }
}

async function planRollback(
  resource: Resource,
  request: HistoryRollbackRequest,
  reach: Reach,
  moment: Moment,
): Promise<HistoryRollbackResult> {
  const {file, name, places, disk} = resource;
  const files = createNodeFiles();
  const {logDirectory} = places.paths;
  const log = {files, segments: listSegments(files, logDirectory, file.id)};
  const sizeBytes = disk?.sizeBytes ?? file.sizeBytes;
  const changed = await readChangedBlocks(log, moment.position, reach.newest, sizeBytes);
  const changedBytes = markedBytes(changed);
  const {segmentBytes} = file;
  return {
    ...{schema: 1, name, dryRun: request.dryRun, asked: request.asked},
    position: formatPosition(moment.position),
    time: timeText(moment.timeMs ?? reach.restorableFromMs),
    records: changed.records,
    firstChange: timeText(changed.firstMs),
    lastChange: timeText(changed.lastMs),
    changedBytes,
    neededBytes: neededBytesOf({
      ...{changedBytes, segmentBytes},
      dataBytes: allocatedBytes(file.imagePath) + moment.position - reach.base,
    }),
    availableBytes: availableBytesOf({
      freeBytes: files.freeBytes(logDirectory),
      spareBytes: (disk?.log.spares ?? 0) * segmentBytes,
      heldBytes: reach.newest - reach.base,
      logCapBytes: file.logCapBytes ?? LOG_CAP_BYTES_DEFAULT,
    }),
    users: [
      ...usersOf(places, disk === undefined ? [] : ownPidsOf(disk)),
      ...otherLoops(places),
    ].map(({text}) => text),
    ...{undo: null, running: false},
    isKept: (file.historySeconds ?? 0) > 0,
  };
}

/** Of an image that is sparse: what it holds; a block device is full. */
function allocatedBytes(imagePath: string): number {
  const stat = fs.statSync(imagePath);
  return stat.isFile() ? stat.blocks * 512 : Infinity;
}

function timeText(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

/** @throws DiskError ROLLBACK_ROOM, CONFIRM_NEEDED */
function refuse(
  {name}: Resource,
  {asked, confirmed}: HistoryRollbackRequest,
  {neededBytes, availableBytes, isKept, lastChange}: HistoryRollbackResult,
): void {
  if (neededBytes > availableBytes) {
    const text =
      `the log of ${name} needs room for up to ${formatBytes(neededBytes)} to roll back to ${asked}, and has ` +
      `${formatBytes(availableBytes)} (free space, log-cap, index): free some, or mars history mount ${name} --at ${asked}`;
    throw new DiskError('ROLLBACK_ROOM', text, {resource: name, neededBytes, availableBytes});
  }

  if (isKept || confirmed) return;
  const text =
    `${name} keeps no history, so nothing brings back what was written after ${asked} (last ` +
    `${lastChange ?? 'at an unknown time'}): say --yes, or first mars resource set ${name} history=24h`;
  throw new DiskError('CONFIRM_NEEDED', text, {resource: name});
}

/** Steps 2 to 5. @returns the position before it */
async function carryOut(
  context: Context,
  resource: Resource,
  {asked}: HistoryRollbackRequest,
  {reach, moment}: {readonly reach: Reach; readonly moment: Moment},
): Promise<string> {
  const {name, places} = resource;
  const {paths} = places;
  const ownPids = resource.disk === undefined ? [] : ownPidsOf(resource.disk);
  await requireClosed(resource, ownPids);
  const position = formatPosition(moment.position);
  const prepared: RollbackFile = {
    ...{schema: 1, phase: 'prepared', asked, position, chain: moment.chain, from: null},
    base: formatPosition(reach.base),
    startedAt: new Date(context.clock.wallMs()).toISOString(),
  };
  let isMarked = false;
  try {
    writeJsonFile(paths.rollbackFile, prepared);
    const oldest = await tellDisk(resource, reach);
    if (oldest === undefined || oldest > moment.position) {
      const text = `replay of ${name} went beyond that moment while it was looked for`;
      throw new DiskError('HISTORY_GONE', text, {resource: name});
    }

    // What the image got meanwhile may not be in the log any more.
    await resource.poll();
    const base = Math.max(parsePosition(resource.disk?.replayed ?? '') ?? 0, reach.base);
    await removeDevice(name, places, ownPids);
    const label = beginLabel(position);
    isMarked = true;
    const mark = await callDisk<{position: string}>(paths.socket, '/mark', MARK_MS, {label});
    // Whoever opened it before it was closed is seen by now.
    await requireClosed(resource, ownPids);
    const running = {
      ...prepared,
      phase: 'running',
      base: formatPosition(base),
      from: mark.position,
    };
    turnedBack.delete(resource);
    writeJsonFile(paths.rollbackFile, running);
    hushOfRole(context, resource, 'ROLLBACK_UNFINISHED');
    const text = `${name} is being rolled back to ${asked}: position ${position}; before it was at ${mark.position}`;
    context.tell('ROLLBACK_BEGUN', 'warning', name, text, {position, from: mark.position});
    await tellDisk(resource, reach).catch((error: unknown) => {
      // The next life of the disk process reads the file; this one is told again (rollback-care).
      context.log.warn({resource: name, err: error}, 'the disk was not told of a rollback');
    });
    return mark.position;
  } catch (error) {
    await cancelPrepared(context, resource, isMarked);
    throw error;
  }
}

/** @throws DiskError RESOURCE_BUSY */
async function requireClosed({name, places}: Resource, ownPids: readonly number[]): Promise<void> {
  await requireUnused(name, places, ownPids);
  const loops = otherLoops(places);
  if (loops.length > 0) throw busyError(name, loops);
}

/** A rollback to `position` does not get there any more. */
export function noteTurnedBack(resource: Resource, position: string): void {
  turnedBack.set(resource, position);
}

/**
 * Waits for a moment until a rollback has ended; then the device is back.
 *
 * @throws DiskError ROLLBACK_UNFINISHED where it was turned back
 */
export async function waitForRollback(
  context: Context,
  resource: Resource,
  {position}: RollbackWaitRequest,
): Promise<RollbackStanding> {
  const {name, places} = resource;
  const untilMs = performance.now() + WAIT_MS;
  for (;;) {
    const file = readRollback(places.paths.rollbackFile);
    if (file?.position !== position) {
      if (file !== undefined || turnedBack.get(resource) === position) {
        const text = `the rollback of ${name} to ${position} was turned back, or given up, meanwhile`;
        throw new DiskError('ROLLBACK_UNFINISHED', text, {resource: name});
      }

      // With what is bound to it: as the supervision does, but now.
      await resource.run('device', async () => {
        await applyDevice(resource);
        if (resource.disk?.mode === 'serve') await startUnit(context, resource);
      });
      return {schema: 1, name, ended: true, doneBytes: 0, totalBytes: null};
    }

    if (performance.now() > untilMs) {
      await resource.poll();
      const {doneBytes = 0, totalBytes = null} = resource.disk?.rollback ?? {};
      return {schema: 1, name, ended: false, doneBytes, totalBytes};
    }

    await sleep(LOOK_MS);
  }
}
