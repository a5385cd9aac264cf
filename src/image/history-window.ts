/**
 * Where the log was at which time, so that replay can trail behind by a time: samples of (position,
 * when nothing was behind it yet), few enough for any length of window. Pure; the clock is the caller's.
 */

/** Samples that a window has at most, about: replay trails by up to 1/SAMPLES longer than asked for. */
const SAMPLES = 256;
const INTERVAL_MS_MIN = 250;
/** Windows of a minute and more need no finer steps: each step is a batch, with a sync of the image. */
const INTERVAL_MS_LONG = 1000;

interface Sample {
  readonly position: number;
  readonly atMs: number;
}

/** Pairs of position and time, oldest first. */
export class HistoryWindow {
  #samples: Sample[] = [];

  /** Everything below `position` was written at `atMs` or before. Out of order it is left out. */
  note(position: number, atMs: number, windowMs: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined) {
      if (atMs < last.atMs + intervalOf(windowMs) || position < last.position) return;
      // Nothing was written since: the older sample says more.
      if (position === last.position) return;
    }

    this.#samples.push({position, atMs});
  }

  /** The log was cut: what was noted behind its end is of no use. */
  cut(position: number): void {
    while ((this.#samples.at(-1)?.position ?? 0) > position) this.#samples.pop();
  }

  /**
   * The furthest position of which it is known that everything below was written at `beforeMs` or before;
   * 0: of none. Older samples are forgotten.
   */
  position(beforeMs: number): number {
    const found = this.#samples.findLastIndex(({atMs}) => atMs <= beforeMs);
    if (found < 0) return 0;
    this.#samples.splice(0, found);
    return this.#samples[0]?.position ?? 0;
  }

  get count(): number {
    return this.#samples.length;
  }
}

function intervalOf(windowMs: number): number {
  if (windowMs < 60_000) return INTERVAL_MS_MIN;
  return Math.max(INTERVAL_MS_LONG, windowMs / SAMPLES);
}
