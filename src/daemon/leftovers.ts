/**
 * What a crash or a reboot leaves behind: a mount without a server, a loop device on it, a link to
 * a device that is gone, a socket that nobody serves. Removed only where the resource's lock is
 * free, which proves that no holder and no disk process is alive.
 */
import fs from 'node:fs';
import type {Context} from './context.js';
import {isLocked} from './holder.js';
import {listLoopDevices} from './loop-devices.js';
import {listMounts, mountAt} from '../core/mounts.js';
import type {Places} from './places.js';
import {programWords, runProgram} from '../core/run-program.js';

const PROGRAM_TIMEOUT_MS = 20_000;
/** Mounts upon mounts, from a daemon that crashed again and again. */
const MOUNTS_MAX = 16;

/**
 * Cleans up after a dead disk; does nothing where the lock is held.
 *
 * @returns what was removed
 */
export async function cleanLeftovers(
  context: Context,
  name: string,
  places: Places,
): Promise<string[]> {
  if (await isLocked(places.paths)) return [];
  const removed = [
    ...(await removeLoops(places)),
    ...(await removeMounts(context, places)),
    ...(removeDeviceLink(places.link) ? [places.link] : []),
  ];
  // A socket and the like are left by an orderly end as well: no event.
  const {socket, fifo, fuseFile} = places.paths;
  for (const path of [socket, fifo, fuseFile]) fs.rmSync(path, {force: true});
  if (removed.length > 0) {
    const text = `remains of a crash or reboot were removed: ${removed.join(', ')}`;
    context.tell('CRASH_CLEANED', 'warning', name, text);
  }

  return removed;
}

async function removeLoops(places: Places): Promise<string[]> {
  const removed: string[] = [];
  for (const device of listLoopDevices()) {
    if (device.autoclear || !isOn(device.backingFile, places.image)) continue;
    // One that is still mounted goes with its last user; the kernel answers it with I/O errors.
    await runProgram('losetup', ['-d', device.path], PROGRAM_TIMEOUT_MS);
    removed.push(device.path);
  }

  return removed;
}

function isOn(backingFile: string, image: string): boolean {
  return backingFile === image || backingFile === `${image} (deleted)`;
}

async function removeMounts(context: Context, places: Places): Promise<string[]> {
  const removed: string[] = [];
  for (let count = 0; count < MOUNTS_MAX; count += 1) {
    if (mountAt(listMounts(), places.mountPoint) === undefined) return removed;
    // -f aborts what still waits for the dead server, -l takes it away though it is open, -i and
    // -c keep the program from looking at the path.
    const args = ['-f', '-l', '-i', '-c', places.mountPoint];
    const result = await runProgram('umount', args, PROGRAM_TIMEOUT_MS);
    if (result.status !== 0) {
      context.log.warn({mount: places.mountPoint, words: programWords(result)}, 'umount failed');
      return removed;
    }

    removed.push(places.mountPoint);
  }

  return removed;
}

/** Removes the link to a device, and nothing that is not a link. @returns true where it was there */
export function removeDeviceLink(link: string): boolean {
  try {
    if (!fs.lstatSync(link).isSymbolicLink()) return false;
    fs.unlinkSync(link);
    return true;
  } catch {
    return false;
  }
}
