/** The documents of the control API, from what is known of a resource. Nothing here changes it. */
import type {
  ReplayView,
  ResourceState,
  ResourceStatus,
  ResourceView,
  Role,
  SynchronousStatus,
} from '../control/api.js';
import type {FileSystemSpace} from '../control/space-api.js';
import type {DiskStatus, Message} from '../core/disk-status.js';
import type {ResourceFile} from '../core/home.js';
import {LOG_CAP_BYTES_DEFAULT} from '../core/limits.js';
import {modeOf} from '../core/mode.js';
import {inOneMoment} from '../core/moment.js';
import {spacePolicyOf} from '../core/space.js';
import {deviceOf} from './device.js';
import {listMounts, mountAt} from '../core/mounts.js';
import type {Resource} from './resource.js';
import {showSettings} from './settings.js';

/** `resource show`. @throws DiskError STATE_UNREADABLE where resource.json is not valid */
export function resourceView(resource: Resource, notes: readonly string[] = []): ResourceView {
  const {file, places} = resource;
  const served = isServed(resource);
  return {
    schema: 1,
    name: file.name,
    id: file.id,
    sizeBytes: file.sizeBytes,
    createdAt: file.createdAt,
    imagePath: file.imagePath,
    role: roleOf(file, served, resource.operation),
    attached: file.attached,
    image: served ? places.image : null,
    device: served ? deviceOf(places) : null,
    settings: showSettings(file),
    disk: resource.disk ?? null,
    ...(resource.verify === undefined ? {} : {verify: resource.verify.report ?? null}),
    ...(notes.length === 0 ? {} : {notes}),
  };
}

const mountsNow = inOneMoment(listMounts);

/** Mounted, and somebody answers for it or will again (a restart takes less than a second). */
export function isServed(resource: Resource): boolean {
  const mounted = mountAt(mountsNow(), resource.places.mountPoint) !== undefined;
  return mounted && (resource.disk?.mode === 'serve' || resource.silentSince !== undefined);
}

/** Wish and fact make the role: primary is only who was told so and is served. */
export function roleOf(file: ResourceFile, served: boolean, operation?: string): Role {
  // Told to be primary, and on the way: the role is not here yet, or leaves just now.
  if (operation === 'primary' && !served) return 'notYetPrimary';
  if (operation === 'handover' && served) return 'remainsPrimary';
  if (file.designatedRole === 'primary') {
    if (!served) return 'notYetPrimary';
    return file.forcedAt === undefined ? 'primary' : 'forcedPrimary';
  }

  return served ? 'remainsPrimary' : 'secondary';
}

/** One resource of `mars status --json`. */
export function resourceStatus(
  resource: Resource,
  node: string,
  fileSystem: FileSystemSpace | null,
): ResourceStatus {
  if (resource.fault !== undefined) return unreadableStatus(resource, resource.fault.message);
  const {file, disk, lastDisk, places} = resource;
  const served = isServed(resource);
  const role = roleOf(file, served, resource.operation);
  const messages = [...resource.messages, ...(disk?.messages ?? [])];
  const state = stateOf(file, disk, lastDisk, messages);
  const waitingFor = resource.waiting ?? disk?.waiting ?? null;
  return {
    name: file.name,
    sizeBytes: file.sizeBytes,
    role,
    designatedPrimary: file.designatedRole === 'primary' ? node : null,
    state,
    health: healthOf(role, state, messages, resource.silentSince !== undefined),
    mode: modeOf(file).mode,
    synchronous: synchronousOf(file, disk),
    image: served ? places.image : null,
    device: served ? deviceOf(places) : null,
    openCount: served ? resource.openCount() : 0,
    epoch: lastDisk?.epoch ?? null,
    position: lastDisk?.position ?? null,
    durable: lastDisk?.durable ?? null,
    replayed: lastDisk?.replayed ?? null,
    log: {
      files: lastDisk?.log.files ?? 0,
      bytes: lastDisk?.log.bytes ?? 0,
      capBytes: file.logCapBytes ?? LOG_CAP_BYTES_DEFAULT,
      firstPosition: lastDisk?.log.firstPosition ?? null,
      fileSystem,
      ...spacePolicyOf(file),
      slowed: disk?.space?.slowed ?? null,
      bypassed: disk?.space?.bypassed ?? null,
    },
    restorableFrom: lastDisk?.history?.restorableFrom ?? null,
    replicas: [],
    wishes: {
      connected: file.connected ?? true,
      fetchPaused: file.fetchPaused ?? false,
      syncPaused: file.syncPaused ?? false,
      replayPaused: file.replayPaused,
    },
    waitingFor,
    messages,
  };
}

/** How flushes wait for replicas; null where they wait for none, by the mode. */
function synchronousOf(file: ResourceFile, disk: DiskStatus | undefined): SynchronousStatus | null {
  const {mode, syncReplicas, degradeAfterSeconds} = modeOf(file);
  if (mode === 'async') return null;
  const says = disk?.synchronous ?? null;
  return {
    syncReplicas,
    degradeAfterSeconds,
    degraded: says?.degraded ?? null,
    confirmed: says?.confirmed ?? null,
    flushesWaiting: says?.flushesWaiting ?? null,
  };
}

function unreadableStatus(resource: Resource, text: string): ResourceStatus {
  const {disk} = resource;
  const since = resource.messages.find(({code}) => code === 'STATE_UNREADABLE')?.since;
  return {
    name: resource.name,
    sizeBytes: disk?.sizeBytes ?? 0,
    role: 'none',
    designatedPrimary: null,
    state: 'NotJoined',
    health: 'critical',
    mode: 'async',
    synchronous: null,
    image: null,
    device: null,
    openCount: resource.openCount(),
    epoch: disk?.epoch ?? null,
    position: disk?.position ?? null,
    durable: disk?.durable ?? null,
    replayed: disk?.replayed ?? null,
    log: {files: 0, bytes: 0, capBytes: null, firstPosition: null},
    restorableFrom: null,
    replicas: [],
    waitingFor: null,
    messages: [
      ...resource.messages.filter(({code}) => code !== 'STATE_UNREADABLE'),
      {
        code: 'STATE_UNREADABLE',
        severity: 'critical',
        text,
        since: since ?? new Date().toISOString(),
      },
    ],
  };
}

/** Which state each message of a disk process, or of its end, stands for; the first one counts. */
const STATE_OF_MESSAGE: readonly (readonly [Message['code'], ResourceState])[] = [
  ['IMAGE_CHANGED', 'InConsistent'],
  ['LOG_CORRUPT', 'DefectiveLog'],
  ['LOG_IO', 'DefectiveLog'],
  ['LOG_FORMAT', 'DefectiveLog'],
  ['IMAGE_IO', 'DefectiveImage'],
  ['BYPASS_NOT_LEFT', 'EmergencyMode'],
  ['BYPASS', 'EmergencyMode'],
  ['LOG_SPACE', 'EmergencyMode'],
];

/** The one word for how a resource is; see core/states for what each means. */
export function stateOf(
  file: ResourceFile,
  disk: DiskStatus | undefined,
  lastDisk: DiskStatus | undefined,
  messages: readonly Message[],
): ResourceState {
  if (!file.attached) return 'Detached';
  for (const [code, state] of STATE_OF_MESSAGE) {
    if (messages.some((message) => message.code === code && message.severity !== 'info')) {
      return state;
    }
  }

  if (disk?.phase === 'starting' || disk?.phase === 'recovering') return 'Recovery';
  if (disk?.mode === 'serve') return 'UpToDate';
  if (file.designatedRole === 'primary') return 'Recovery';
  // What waits for the history to be older is not to be written back now.
  if ((file.historySeconds ?? 0) > 0) return 'UpToDate';
  return disk?.mode === 'replay' || backlogBytes(lastDisk) > 0 ? 'WriteBack' : 'UpToDate';
}

/** Bytes of log that are not in the image yet, as far as is known. */
export function backlogBytes(status: DiskStatus | undefined): number {
  if (status === undefined) return 0;
  return Number.parseInt(status.position, 16) - Number.parseInt(status.replayed, 16);
}

const DEFECTIVE: readonly ResourceState[] = ['DefectiveLog', 'DefectiveImage', 'InConsistent'];

function healthOf(
  role: Role,
  state: ResourceState,
  messages: readonly Message[],
  silent: boolean,
): ResourceStatus['health'] {
  if (DEFECTIVE.includes(state)) return 'critical';
  if (messages.some((message) => message.severity === 'critical')) return 'critical';
  if (messages.some((message) => message.severity === 'warning') || silent) return 'warning';
  if (role === 'notYetPrimary' || role === 'remainsPrimary') return 'warning';
  return 'ok';
}

/** `replay status`. @throws DiskError STATE_UNREADABLE */
export function replayView(resource: Resource): ReplayView {
  const {file, disk, lastDisk} = resource;
  return {
    schema: 1,
    name: file.name,
    paused: file.replayPaused,
    state: disk?.replay.state ?? 'stopped',
    position: lastDisk?.position ?? null,
    replayed: lastDisk?.replayed ?? null,
    backlogBytes:
      disk?.replay.backlogBytes ?? (lastDisk === undefined ? null : backlogBytes(lastDisk)),
  };
}
