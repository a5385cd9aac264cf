import fs from 'node:fs';
import {join} from 'node:path';
import {storeError} from '../core/errors.js';
import {resourcePaths, type NodeFile, type ResourcePaths} from '../core/home.js';
import type {Context} from './context.js';
import {listLoopDevices} from './loop-devices.js';
import {isBelow, isOurs, listMounts} from '../core/mounts.js';
import type {ForbiddenPlaces} from './safe-path.js';

/** Where one resource appears. */
export interface Places {
  readonly paths: ResourcePaths;
  readonly mountPoint: string;
  /** The image file that the disk process serves: nobody of ours opens or stats it. */
  readonly image: string;
  /** The link to the loop device. */
  readonly link: string;
}

/** Where a resource appears, by the node file in force. */
export function placesOf(context: Context, name: string): Places {
  const mountPoint = join(context.node.mounts, name);
  return {
    paths: resourcePaths(context.paths.home, name),
    mountPoint,
    image: join(mountPoint, 'disk.img'),
    link: join(context.node.devices, name),
  };
}

/** Where no image may lie, as of now. */
export function forbiddenPlaces(context: Context): ForbiddenPlaces {
  const mounts = listMounts();
  const ours = mounts.filter(isOurs).map((mount) => mount.mountPoint);
  const devices = listLoopDevices()
    .filter((device) =>
      [context.node.mounts, ...ours].some((place) => isBelow(device.backingFile, place)),
    )
    .map((device) => device.path);
  return {mounts, mountsDirectory: context.node.mounts, devices};
}

/**
 * The kernel names mounts by canonical paths, so ours must be canonical before they are compared.
 *
 * @throws DiskError STORE_* where the directory of mounts cannot be made
 */
export function canonicalNode(node: NodeFile): NodeFile {
  try {
    fs.mkdirSync(node.mounts, {recursive: true, mode: 0o755});
    return {...node, mounts: fs.realpathSync(node.mounts)};
  } catch (error) {
    throw storeError(error, `make the directory of mounts ${node.mounts}`);
  }
}
