/**
 * The mode of a resource is one for all its replicas, so that it stays the same when another node
 * becomes primary. It may be changed on any node; of two changes the later one counts everywhere
 * (core/mode). It travels in facts, and with the grant of a handover.
 */
import type {ResourceFile} from '../../core/home.js';
import {
  isLaterChange,
  isSameMode,
  modeOf,
  sharedModeOf,
  type ModeSettings,
  type SharedMode,
} from '../../core/mode.js';
import type {Context} from '../context.js';
import {callDisk} from '../disk-call.js';
import type {Resource} from '../resource.js';

const TELL_TIMEOUT_MS = 5000;
const MODE_KEYS = ['mode', 'syncReplicas', 'degradeAfterSeconds'] as const;

/** Completes changed settings of a mode with the change that they are; others stay as they are. */
export function withModeChange<T extends Partial<ResourceFile>>(
  before: Partial<ResourceFile>,
  change: T,
  nodeId: string,
): T {
  if (!MODE_KEYS.some((key) => key in change)) return change;
  const count = (before.modeChange?.count ?? 0) + 1;
  return {...change, modeChange: {count, node: nodeId}};
}

/** Takes a mode that another node has told, where it was changed later than ours. */
export function adoptMode(context: Context, resource: Resource, told: SharedMode): void {
  const {file, name} = resource;
  if (!isLaterChange(told.change, file.modeChange)) return;
  const {mode, syncReplicas, degradeAfterSeconds, change} = told;
  const isSame = isSameMode(modeOf(file), told);
  resource.save({mode, syncReplicas, degradeAfterSeconds, modeChange: change});
  if (isSame) return;
  context.tell('RESOURCE_CHANGED', 'info', name, `${name}: ${wordsOf(told)}, as another node told`);
}

/** The mode for another node; absent where it was never changed. */
export function modeForPeer(file: ResourceFile): {readonly modeSettings?: SharedMode} {
  const shared = sharedModeOf(file);
  return shared === undefined ? {} : {modeSettings: shared};
}

/**
 * Brings a disk process that serves in line with the file. It reads the file itself when it starts.
 *
 * @throws DiskError DISK_UNREACHABLE, TIMEOUT; it is to be tried again
 */
export async function tellMode({file, disk, places}: Resource): Promise<void> {
  if (disk?.mode !== 'serve') return;
  const wanted = modeOf(file);
  const known = disk.synchronous ?? null;
  const isKnown = known === null ? wanted.mode === 'async' : isSameMode(known, wanted);
  if (!isKnown) await setMode(places.paths.socket, wanted);
}

/** Counts for each flush that comes when this has resolved. @throws DiskError */
export async function setMode(socket: string, wanted: ModeSettings): Promise<void> {
  await callDisk(socket, '/mode', TELL_TIMEOUT_MS, wanted);
}

function wordsOf({mode, syncReplicas, degradeAfterSeconds}: ModeSettings): string {
  const degrade = degradeAfterSeconds === null ? 'never' : String(degradeAfterSeconds);
  return `mode=${mode}, sync-replicas=${syncReplicas}, degrade-after=${degrade}`;
}
