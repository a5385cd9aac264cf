/**
 * Resolves a path without touching anything on a mount of ours: a stat there by a thread of the
 * daemon could hang it for ever (a killed disk process is then never reaped, H6).
 */
import fs from 'node:fs';
import {dirname, isAbsolute, join, normalize} from 'node:path';
import {DiskError, errnoOf, storeError} from '../core/errors.js';
import {isBelow, isOurs, type Mount} from '../core/mounts.js';

const LINKS_MAX = 40;

export interface ForbiddenPlaces {
  readonly mounts: readonly Mount[];
  /** Where this node's images appear. */
  readonly mountsDirectory: string;
  /** Block devices of ours, `/dev/loop3`: file systems on them are no place either. */
  readonly devices: readonly string[];
}

/**
 * The canonical path of `path`; its last component need not exist.
 *
 * @throws DiskError IMAGE_PATH_INVALID where it is relative, leads onto a mount of ours, its
 *   directory is missing, or it has too many links
 */
export function resolveSafely(path: string, places: ForbiddenPlaces): string {
  if (!isAbsolute(path) || path.includes('\0')) throw invalid(path, 'it is not an absolute path');
  let pending = normalize(path).split('/').filter(Boolean);
  let current = '/';
  let links = 0;
  for (;;) {
    const component = pending.shift();
    if (component === undefined) return current;
    const next = component === '..' ? dirname(current) : join(current, component);
    checkPlace(path, next, places);
    const target = readLink(path, next, pending.length === 0);
    if (target === undefined) {
      current = next;
      continue;
    }

    links += 1;
    if (links > LINKS_MAX) throw invalid(path, 'it has too many symbolic links');
    // ".." behind a link means the parent of the target, so it is kept until it is walked.
    pending = [...target.split('/').filter((part) => part !== '' && part !== '.'), ...pending];
    if (target.startsWith('/')) current = '/';
  }
}

function checkPlace(path: string, place: string, places: ForbiddenPlaces): void {
  if (isBelow(place, places.mountsDirectory)) {
    throw invalid(path, `${places.mountsDirectory} is where mars shows its own images`);
  }

  for (const mount of places.mounts) {
    if (!isBelow(place, mount.mountPoint)) continue;
    if (isOurs(mount)) throw invalid(path, `${mount.mountPoint} is a mount of mars itself`);
    if (places.devices.includes(mount.source) && isTop(mount, place, places.mounts)) {
      throw invalid(path, `${mount.mountPoint} lies on ${mount.source}, a device of mars itself`);
    }
  }
}

/** false where a later mount covers `place`: then that one counts. */
function isTop(mount: Mount, place: string, mounts: readonly Mount[]): boolean {
  return !mounts.some(
    (other) =>
      other !== mount &&
      isBelow(place, other.mountPoint) &&
      isBelow(other.mountPoint, mount.mountPoint) &&
      mounts.indexOf(other) > mounts.indexOf(mount),
  );
}

function readLink(path: string, place: string, last: boolean): string | undefined {
  try {
    return fs.readlinkSync(place);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'EINVAL') return undefined;
    if (errno === 'ENOENT' && last) return undefined;
    if (errno === 'ENOENT' || errno === 'ENOTDIR') {
      throw invalid(
        path,
        `the directory ${errno === 'ENOENT' ? place : dirname(place)} does not exist`,
      );
    }

    throw storeError(error, `look up ${place}`);
  }
}

/** An IMAGE_PATH_INVALID that says what was given and why it is refused. */
export function invalid(path: string, reason: string): DiskError {
  return new DiskError('IMAGE_PATH_INVALID', `${path} cannot be used here: ${reason}`, {path});
}
