/** Where mounted moments are on this node, and who uses them. */
import fs from 'node:fs';
import {basename, dirname, join} from 'node:path';
import type {MountedMoment} from '../../control/history-api.js';
import {historyPath, type FoundMount, type HistoryMount} from '../../core/history-mounts.js';
import type {Context} from '../context.js';
import {tryLock} from '../file-lock.js';
import {loopOf} from '../loop-devices.js';
import type {Resource} from '../resource.js';

/** No name of a resource begins with a dot. */
const DIRECTORY = '.history';

/** Where a moment is mounted, unless somebody wanted another place. */
export function momentMountPoint(context: Context, name: string, id: string): string {
  return join(context.node.mounts, DIRECTORY, name, id);
}

/** The link to its loop device. */
export function momentLink(context: Context, name: string, id: string): string {
  return join(context.node.devices, DIRECTORY, name, id);
}

/** The image: nobody of ours opens or stats it. */
export function momentImage({mountPoint}: HistoryMount): string {
  return join(mountPoint, 'disk.img');
}

/** true while the processes that serve the moment live. Asks the kernel for their lock. */
export async function isServed(resource: Resource, id: string): Promise<boolean> {
  const lock = historyPath(resource.places.paths.historyDirectory, id, 'lock');
  if (!fs.existsSync(lock)) return false;
  const fd = await tryLock(lock);
  if (fd === undefined) return true;
  fs.closeSync(fd);
  return false;
}

/** Removes the directories that were made for it, where nothing else is in them. */
export function removeMountPoint(context: Context, mount: HistoryMount): void {
  if (!mount.mountPoint.startsWith(join(context.node.mounts, DIRECTORY))) return;
  for (const directory of [mount.mountPoint, dirname(mount.mountPoint)]) {
    try {
      fs.rmdirSync(directory);
    } catch {
      return; // another moment of the resource is there
    }
  }
}

/** A mounted moment as it is shown. */
export function showMoment(
  context: Context,
  name: string,
  {mount, isLost}: FoundMount,
  notes: readonly string[] = [],
): MountedMoment {
  const loop = loopOf(momentImage(mount))?.path;
  const link = momentLink(context, name, mount.id);
  return {
    ...{schema: 1, name, moment: mount.id, asked: mount.asked, position: mount.position},
    time: mount.timeMs === null ? null : new Date(mount.timeMs).toISOString(),
    writable: mount.writable,
    image: momentImage(mount),
    device: loop === undefined ? null : isLinkTo(link, loop) ? link : loop,
    state: isLost ? 'lost' : 'mounted',
    mountedAt: mount.mountedAt,
    notes,
  };
}

function isLinkTo(link: string, target: string): boolean {
  try {
    return basename(fs.readlinkSync(link)) === basename(target);
  } catch {
    return false;
  }
}
