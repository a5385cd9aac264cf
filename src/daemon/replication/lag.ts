/** Remembers when the end of a log was where, so that a replica's position is a time as well. */
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
