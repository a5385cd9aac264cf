/** The block device of a primary: a loop device on its image, and the link to it. */
import fs from 'node:fs';
import {dirname} from 'node:path';
import {DiskError, errnoOf, storeError} from '../core/errors.js';
import {attachLoop, detachLoop, isLoopOn, loopOf, loopsOn} from './loop-devices.js';
import {removeDeviceLink} from './leftovers.js';
import {findOpeners, OpenersCache, type Opener} from './openers.js';
import type {Places} from './places.js';
import {setTimeout as sleep} from 'node:timers/promises';

const OPENER_TRIES = 5;
const OPENER_PAUSE_MS = 100;

/**
 * Makes sure that loop device and link are there.
 *
 * @returns true where something had to be made
 * @throws DiskError LOOP_MISSING, LOOP_FAILED, STORE_*
 */
export async function ensureDevice(places: Places): Promise<boolean> {
  const found = loopOf(places.image)?.path;
  const path = found ?? (await attachLoop(places.image));
  return setDeviceLink(places.link, path) || found === undefined;
}

/** Makes a link to a device. @returns true where it was changed @throws DiskError STORE_* */
export function setDeviceLink(link: string, target: string): boolean {
  try {
    if (readLink(link) === target) return false;
    fs.mkdirSync(dirname(link), {recursive: true, mode: 0o755});
    const temporary = `${link}.tmp`;
    fs.rmSync(temporary, {force: true});
    fs.symlinkSync(target, temporary);
    fs.renameSync(temporary, link);
    return true;
  } catch (error) {
    throw storeError(error, `make the link ${link}`);
  }
}

function readLink(link: string): string | undefined {
  try {
    return fs.readlinkSync(link);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The device as users see it: the link, else the loop device, else null. */
export function deviceOf(places: Places): string | null {
  const path = loopOf(places.image)?.path;
  if (path === undefined) return null;
  try {
    return fs.readlinkSync(places.link) === path ? places.link : path;
  } catch {
    return path;
  }
}

/** Whether the link names the loop device on the image, without a look at all the others. */
export function hasDevice({link, image}: Places): boolean {
  try {
    const device = fs.readlinkSync(link);
    return isLoopOn(device, image);
  } catch {
    return false;
  }
}

/** Who uses device or image, other than our own loop device and processes. */
export function usersOf(places: Places, ownPids: readonly number[]): Opener[] {
  return findOpeners(usedPaths(places), ownPids);
}

/** Loop devices on the image that somebody else has made: no process has the image open for them. */
export function otherLoops({image, link}: Places): Opener[] {
  const own = readLink(link);
  return loopsOn(image)
    .filter(({path}) => path !== own)
    .map(({path}) => ({kind: 'holder', pid: null, text: `${image} is used by ${path}`}));
}

const shown = new OpenersCache((path) => /^\/dev\/|\/disk\.img$/u.test(path));

/** The same for what is only shown, from one look at all processes for all disks; as of `sinceMs` or later. */
export function usersShown(
  places: Places,
  ownPids: readonly number[],
  sinceMs: number,
  nowMs: number,
): Opener[] {
  return shown.find(usedPaths(places), ownPids, sinceMs, nowMs);
}

function usedPaths(places: Places): string[] {
  const loop = loopOf(places.image)?.path;
  return [places.image, places.link, ...(loop === undefined ? [] : [loop])];
}

/**
 * Refuses while somebody uses device or image. Programs that look at a new device for a moment
 * (udev, blkid) are waited for.
 *
 * @throws DiskError RESOURCE_BUSY naming pid, command or mount point
 */
export async function requireUnused(
  name: string,
  places: Places,
  ownPids: readonly number[],
): Promise<void> {
  let users = usersOf(places, ownPids);
  for (let count = 0; count < OPENER_TRIES; count += 1) {
    if (!users.some((user) => user.kind === 'process')) break;
    await sleep(OPENER_PAUSE_MS);
    users = usersOf(places, ownPids);
  }

  if (users.length > 0) throw busyError(name, users);
}

/** A RESOURCE_BUSY with the users that are known. */
export function busyError(name: string, users: readonly Opener[]): DiskError {
  const who = users.map((user) => user.text).join('; ') || 'by a process that cannot be seen here';
  const pid = users.find((user) => user.pid !== null)?.pid;
  return new DiskError('RESOURCE_BUSY', `${name} is in use: ${who}`, {
    resource: name,
    users: who,
    ...(pid == null ? {} : {pid}),
  });
}

/**
 * Removes link and loop device.
 *
 * @throws DiskError RESOURCE_BUSY where somebody has it open: both are then as before
 */
export async function removeDevice(
  name: string,
  places: Places,
  ownPids: readonly number[],
): Promise<void> {
  const loop = loopOf(places.image);
  if (loop !== undefined && !(await detachLoop(loop))) {
    throw busyError(name, usersOf(places, ownPids));
  }

  removeDeviceLink(places.link);
}
