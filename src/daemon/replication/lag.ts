/**
 * How late replicas are, in time. Remembers when the end of a log was where, so that a replica's position is a
 * time as well.
 */
import type {DiskStatus} from '../../core/disk-status.js';
import type {Candidate} from './choose-source.js';

const SAMPLE_INTERVAL_MS = 200;
const SAMPLES_MAX = 4096;
const PRECISION = 0.03;

/** Positions of one log over time; old ones are thinned out when there are too many. */
export class LagClock {
  /** Pairs of a time and the position that the log had passed then, both growing. */
  #samples: {readonly atMs: number; readonly position: number}[] = [];

  /** Notes where the log ends now. */
  note(position: number, nowMs: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && position < last.position) this.#samples = [];
    if (last !== undefined && position === last.position) return;
    if (last !== undefined && nowMs - last.atMs < SAMPLE_INTERVAL_MS && this.#samples.length > 1) {
      this.#samples.pop();
    }

    this.#samples.push({atMs: nowMs, position});
    if (this.#samples.length > SAMPLES_MAX) this.#thin(nowMs);
  }

  /** The older a sample, the farther from its neighbours: what it tells is right to some percent. */
  #thin(nowMs: number): void {
    let keptMs = -Infinity;
    this.#samples = this.#samples.filter(({atMs}, at, all) => {
      const nextMs = all[at + 1]?.atMs ?? Infinity;
      if (nextMs - keptMs < (nowMs - atMs) * PRECISION) return false;
      keptMs = atMs;
      return true;
    });
  }

  /** For how long the log has been beyond `position`; 0 where it is not. */
  lagMs(position: number, nowMs: number): number {
    const first = this.#samples.find((sample) => sample.position > position);
    return first === undefined ? 0 : Math.max(0, nowMs - first.atMs);
  }
}

/**
 * Remembers since when replicas have been without the epoch that the primary writes in: positions of
 * two epochs may be equal and tell nothing of each other.
 */
export class EpochClock {
  readonly #sinceMs = new Map<string, number>();

  /**
   * @param epoch of the primary; null: not known
   * @param epochs of the replicas, by node; null: not known
   */
  note(epoch: string | null, epochs: ReadonlyMap<string, string | null>, nowMs: number): void {
    for (const nodeId of this.#sinceMs.keys()) {
      if (!epochs.has(nodeId)) this.#sinceMs.delete(nodeId);
    }

    for (const [nodeId, other] of epochs) {
      const isOther = epoch !== null && other !== null && other !== epoch;
      if (!isOther) this.#sinceMs.delete(nodeId);
      else if (!this.#sinceMs.has(nodeId)) this.#sinceMs.set(nodeId, nowMs);
    }
  }

  /** As `note`, from what is known of all replicas. @param disk what runs on this node */
  noteReplicas(
    selfId: string,
    disk: DiskStatus | undefined,
    others: readonly Candidate[],
    nowMs: number,
  ): void {
    const primary = others.find(({facts}) => facts.role === 'primary');
    const epochs = new Map(others.map(({nodeId, facts}) => [nodeId, facts.epoch]));
    epochs.set(selfId, disk?.epoch ?? null);
    this.note(disk?.mode === 'serve' ? disk.epoch : (primary?.facts.epoch ?? null), epochs, nowMs);
  }

  /** For how long a replica has been without it; 0 where it is not. */
  otherMs(nodeId: string, nowMs: number): number {
    const sinceMs = this.#sinceMs.get(nodeId);
    return sinceMs === undefined ? 0 : Math.max(0, nowMs - sinceMs);
  }
}
