/** Modes of replication: for what a flush waits beside the fdatasync of this node. */
import type {ResourceFile} from './home.js';

export const REPLICATION_MODES = ['async', 'near-sync', 'sync'] as const;

/** `async`: for nobody else. `near-sync`: replicas have it in memory. `sync`: on stable storage. */
export type ReplicationMode = (typeof REPLICATION_MODES)[number];

export interface ModeSettings {
  readonly mode: ReplicationMode;
  /** How many replicas have to confirm; 1 or more. */
  readonly syncReplicas: number;
  /** So long a flush waits at most before it is answered without them; null: for ever. */
  readonly degradeAfterSeconds: number | null;
}

/** A change of these settings: of two the later one counts on all nodes. */
export interface ModeChange {
  /** Grows with each change, on whatever node it is made (a Lamport clock). */
  readonly count: number;
  /** Id of the node where it was made: decides between two with one count. */
  readonly node: string;
}

/** Settings as they travel between nodes. */
export interface SharedMode extends ModeSettings {
  readonly change: ModeChange;
}

export const SYNC_REPLICAS_MAX = 15;
export const DEGRADE_AFTER_SECONDS_MAX = 3600;
export const MODE_DEFAULT: ModeSettings = {
  mode: 'async',
  syncReplicas: 1,
  degradeAfterSeconds: 5,
};

/** The settings in force of a resource; absent ones have their default. */
export function modeOf(file: Partial<ResourceFile>): ModeSettings {
  return {
    mode: file.mode ?? MODE_DEFAULT.mode,
    syncReplicas: file.syncReplicas ?? MODE_DEFAULT.syncReplicas,
    degradeAfterSeconds:
      file.degradeAfterSeconds === undefined
        ? MODE_DEFAULT.degradeAfterSeconds
        : file.degradeAfterSeconds,
  };
}

/** As it is told to other nodes; undefined where nobody ever changed it. */
export function sharedModeOf(file: ResourceFile): SharedMode | undefined {
  return file.modeChange === undefined ? undefined : {...modeOf(file), change: file.modeChange};
}

/** Whether both make a flush wait for the same. */
export function isSameMode(one: ModeSettings, other: ModeSettings): boolean {
  return (
    one.mode === other.mode &&
    one.syncReplicas === other.syncReplicas &&
    one.degradeAfterSeconds === other.degradeAfterSeconds
  );
}

/** Whether `one` was made after `other`, as far as all nodes agree; undefined: never made. */
export function isLaterChange(one: ModeChange, other: ModeChange | undefined): boolean {
  if (other === undefined || one.count !== other.count) return one.count > (other?.count ?? 0);
  return one.node > other.node;
}
