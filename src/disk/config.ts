/** What a disk process knows before it reads the log: from node.json and resource.json. */
import {DiskError} from '../core/errors.js';
import {homePaths, resourcePaths, type NodeFile, type ResourceFile} from '../core/home.js';
import {isObject, readJsonFile} from '../core/json-file.js';
import type {SegmentPlan} from '../log/segment-files.js';

export interface DiskConfig {
  readonly home: string;
  readonly node: NodeFile;
  readonly resource: ResourceFile;
}

/**
 * Reads both files.
 *
 * @throws DiskError NOT_INITIALISED, RESOURCE_UNKNOWN, STATE_UNREADABLE, HOME_NEWER
 */
export function readDiskConfig(home: string, name: string): DiskConfig {
  const node = readJsonFile(homePaths(home).nodeFile, checkNode);
  if (node === undefined) throw new DiskError('NOT_INITIALISED', `there is no node at ${home}`);
  const resource = readJsonFile(resourcePaths(home, name).resourceFile, checkResource);
  if (resource === undefined) {
    throw new DiskError('RESOURCE_UNKNOWN', `there is no resource ${name} at ${home}`);
  }

  return {home, node, resource};
}

/** What every new logfile of the resource has in common. */
export function segmentPlan(config: DiskConfig): SegmentPlan {
  return {
    directory: resourcePaths(config.home, config.resource.name).logDirectory,
    resourceId: config.resource.id,
    originId: config.node.id,
    originName: config.node.name,
    fileBytes: config.resource.segmentBytes,
  };
}

function checkNode(value: unknown): NodeFile {
  requireKeys(value, {name: 'string', id: 'string'});
  return value as NodeFile;
}

function checkResource(value: unknown): ResourceFile {
  requireKeys(value, {
    name: 'string',
    id: 'string',
    sizeBytes: 'number',
    imagePath: 'string',
    segmentBytes: 'number',
    alignmentBytes: 'number',
    durability: 'string',
    replayPaused: 'boolean',
  });
  return value as ResourceFile;
}

function requireKeys(value: unknown, types: Readonly<Record<string, string>>): void {
  if (!isObject(value)) throw new Error('it is not an object');
  for (const [key, type] of Object.entries(types)) {
    if (typeof value[key] !== type) throw new Error(`"${key}" is not a ${type}`);
  }
}
