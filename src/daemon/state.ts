/**
 * The state files that the daemon writes: `node.json` and one `resource.json` per resource.
 * Validated whenever they are read; a fault is named with its place in the file.
 */
import {check} from '../core/check.js';
import {readJsonFile, writeJsonFile} from '../core/json-file.js';
import {
  BLOCK_BYTES,
  DISK_BYTES_MAX,
  HISTORY_SECONDS_MAX,
  LOG_AGE_SECONDS_MAX,
  LOG_AGE_SECONDS_MIN,
  LOG_CAP_BYTES_MIN,
  SEGMENT_BYTES_MAX,
  SEGMENT_BYTES_MIN,
  SYNC_LIMIT_MAX,
} from '../core/limits.js';
import {
  degradeAfterSchema,
  modeChangeSchema,
  modeSchema,
  syncReplicasSchema,
} from '../cluster/shared-mode.js';
import {HOME_SCHEMA, homePaths, resourcePaths} from '../core/home.js';
import type {NodeFile, ResourceFile} from '../core/home.js';
import {UNIT_PATTERN} from '../core/names.js';
import {DiskError} from '../core/errors.js';
import {REMOTE_CONTROLS} from '../core/remote-control.js';
import {PRIORITY_MAX, WHEN_FULL} from '../core/space.js';
import * as v from 'valibot';

const ID = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/u, 'is not 32 hex digits'));
const ABSOLUTE = v.pipe(v.string(), v.startsWith('/', 'is not an absolute path'));

/** Unknown keys stay: `init --listen` and later versions keep settings of theirs there. */
const NODE_FILE = v.looseObject({
  schema: v.literal(HOME_SCHEMA),
  name: v.string(),
  id: ID,
  mounts: ABSOLUTE,
  devices: ABSOLUTE,
  createdAt: v.string(),
  metricsListen: v.exactOptional(v.string()),
  remoteControl: v.exactOptional(v.picklist(REMOTE_CONTROLS)),
  syncLimit: v.exactOptional(
    v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(SYNC_LIMIT_MAX)),
  ),
});

const DRIVER = v.picklist(['auto', 'kernel', 'fuse-native']);
const DURABILITY = v.picklist(['flush', 'write']);

const RESOURCE_FILE = v.strictObject({
  schema: v.literal(HOME_SCHEMA),
  name: v.string(),
  id: ID,
  sizeBytes: v.pipe(
    v.number(),
    v.safeInteger(),
    v.minValue(BLOCK_BYTES),
    v.maxValue(DISK_BYTES_MAX),
    v.multipleOf(BLOCK_BYTES),
  ),
  createdAt: v.string(),
  imagePath: ABSOLUTE,
  imageOwned: v.boolean(),
  designatedRole: v.picklist(['primary', 'secondary']),
  attached: v.boolean(),
  replayPaused: v.boolean(),
  device: v.boolean(),
  withoutDevice: v.exactOptional(v.boolean()),
  driver: DRIVER,
  segmentBytes: v.pipe(
    v.number(),
    v.minValue(SEGMENT_BYTES_MIN),
    v.maxValue(SEGMENT_BYTES_MAX),
    v.multipleOf(BLOCK_BYTES),
  ),
  alignmentBytes: v.picklist([8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]),
  durability: DURABILITY,
  forcedAt: v.exactOptional(v.string()),
  fetchPaused: v.exactOptional(v.boolean()),
  syncPaused: v.exactOptional(v.boolean()),
  connected: v.exactOptional(v.boolean()),
  logCapBytes: v.exactOptional(v.pipe(v.number(), v.safeInteger(), v.minValue(LOG_CAP_BYTES_MIN))),
  systemdUnit: v.exactOptional(v.nullable(v.pipe(v.string(), v.regex(UNIT_PATTERN)))),
  logAgeSeconds: v.exactOptional(
    v.pipe(
      v.number(),
      v.safeInteger(),
      v.maxValue(LOG_AGE_SECONDS_MAX),
      v.check((seconds) => seconds === 0 || seconds >= LOG_AGE_SECONDS_MIN, 'is too short'),
    ),
  ),
  historySeconds: v.exactOptional(
    v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(HISTORY_SECONDS_MAX)),
  ),
  whenFull: v.exactOptional(v.picklist(WHEN_FULL)),
  priority: v.exactOptional(
    v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(PRIORITY_MAX)),
  ),
  mode: v.exactOptional(modeSchema),
  syncReplicas: v.exactOptional(syncReplicasSchema),
  degradeAfterSeconds: v.exactOptional(degradeAfterSchema),
  modeChange: v.exactOptional(modeChangeSchema),
  followFolder: v.exactOptional(ABSOLUTE),
});

/**
 * @throws DiskError NOT_INITIALISED where there is no node, HOME_NEWER, STATE_UNREADABLE
 */
export function readNode(home: string): NodeFile {
  const file = homePaths(home).nodeFile;
  const node = readJsonFile(file, (value) => check(NODE_FILE, value));
  if (node === undefined) {
    throw new DiskError('NOT_INITIALISED', `there is no node at ${home}: mars init makes one`, {
      home,
    });
  }

  return node;
}

/**
 * Changes settings of the node in its file; the rest of it stays as it is.
 *
 * @throws DiskError as readNode, and STORE_*; the old file is then in force
 */
export function changeNode(
  home: string,
  change: Pick<NodeFile, 'syncLimit' | 'remoteControl'> & {readonly metricsListen?: string | null},
): NodeFile {
  const {metricsListen, ...rest} = {...readNode(home), ...change};
  const node: NodeFile = metricsListen == null ? rest : {...rest, metricsListen};
  writeJsonFile(homePaths(home).nodeFile, node);
  return node;
}

/** The id of the cluster, or null where `cluster.json` is missing or not valid. */
export function readClusterId(home: string): string | null {
  try {
    const schema = v.looseObject({id: v.string()});
    return readJsonFile(homePaths(home).clusterFile, (value) => check(schema, value))?.id ?? null;
  } catch {
    return null;
  }
}

/**
 * @returns undefined where the file does not exist
 * @throws DiskError HOME_NEWER, STATE_UNREADABLE with file and fault
 */
export function readResource(home: string, name: string): ResourceFile | undefined {
  return readJsonFile(resourcePaths(home, name).resourceFile, (value) => {
    const file = check(RESOURCE_FILE, value);
    if (file.name !== name) throw new Error(`"name" is '${file.name}', the directory is '${name}'`);
    return file;
  });
}

/** @throws DiskError STORE_FULL, STORE_READ_ONLY, STORE_IO; the old file is then in force */
export function writeResource(home: string, file: ResourceFile): void {
  writeJsonFile(resourcePaths(home, file.name).resourceFile, file);
}

// What the files hold and what the types promise must not drift apart.
type Same<A, B> = A extends B ? (B extends A ? true : never) : never;
export const RESOURCE_FILE_MATCHES: Same<
  v.InferOutput<typeof RESOURCE_FILE>,
  {-readonly [K in keyof ResourceFile]: ResourceFile[K]}
> extends true
  ? true
  : never = true;
