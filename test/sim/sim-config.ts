import {resourcePaths} from '../../src/core/home.js';
import type {DiskConfig} from '../../src/disk/config.js';
import type {Script} from './script.js';
import type {SimDisk} from './sim-disk.js';

export const SIM_HOME = '/home';
export const SIM_NAME = 'vol0';
const CREATED = '2026-11-22T00:00:00.000Z';

/** What node.json and resource.json of the simulated node say. */
export function diskConfig({config}: Script): DiskConfig {
  const {sizeBytes, segmentBytes, alignmentBytes, durability} = config;
  return {
    home: SIM_HOME,
    node: {
      schema: 1,
      name: 'alpha',
      id: 'a'.repeat(32),
      mounts: '/run/mars',
      devices: '/dev/mars',
      createdAt: CREATED,
    },
    resource: {
      schema: 1,
      name: SIM_NAME,
      id: 'b'.repeat(32),
      sizeBytes,
      createdAt: CREATED,
      imagePath: resourcePaths(SIM_HOME, SIM_NAME).image,
      imageOwned: true,
      designatedRole: 'primary',
      attached: true,
      replayPaused: false,
      device: true,
      driver: 'auto',
      segmentBytes,
      alignmentBytes,
      durability,
    },
  };
}

/** What `mars resource create` leaves: a durable directory with a sparse image in it. */
export function prepareDisk(disk: SimDisk, sizeBytes: number): void {
  const {directory, image} = resourcePaths(SIM_HOME, SIM_NAME);
  disk.makeDirectory(directory);
  const fd = disk.open(image, 'exclusive');
  disk.truncate(fd, sizeBytes);
  disk.sync(fd);
  disk.close(fd);
  for (const path of ['/', SIM_HOME, `${SIM_HOME}/resources`, directory]) disk.syncDirectory(path);
}
