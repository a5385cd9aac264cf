/**
 * When a file system will be full, from how its free space went: the straight line that fits the
 * last half hour best. A guess for people, nothing decides by it.
 */
import {MIB} from '../../core/units.js';

/** What a forecast says. */
export interface Forecast {
  /** Above 0: there is less every second. */
  readonly growthBytesPerSecond: number;
  /** null: it does not fill up, as far as can be told. */
  readonly fullInSeconds: number | null;
}

interface Sample {
  readonly atMs: number;
  readonly roomBytes: number;
}

const SAMPLE_MS = 10_000;
const WINDOW_MS = 30 * 60_000;
/** With less to look back on, a burst of a minute would be a trend. */
const SPAN_MS = 2 * 60_000;
/** Less than this within the window is noise: files of the log come and go. */
const NOISE_BYTES = 16 * MIB;
/** Further away than this nobody plans. */
const FULL_SECONDS_MAX = 90 * 86_400;

/** Samples of one file system. */
export class Trend {
  #samples: Sample[] = [];

  /** Notes how much room there is; called as often as one likes. */
  note(atMs: number, roomBytes: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && atMs - last.atMs < SAMPLE_MS) return;
    this.#samples.push({atMs, roomBytes});
    while ((this.#samples[0]?.atMs ?? atMs) < atMs - WINDOW_MS) this.#samples.shift();
  }

  /** @returns undefined where there is too little to look back on */
  forecast(): Forecast | undefined {
    const samples = this.#samples;
    const first = samples[0];
    const last = samples.at(-1);
    if (first === undefined || last === undefined) return undefined;
    const spanMs = last.atMs - first.atMs;
    if (spanMs < SPAN_MS) return undefined;
    const growth = -slopeOf(samples) * 1000;
    const isNoise = (growth * spanMs) / 1000 < NOISE_BYTES;
    const seconds = last.roomBytes / growth;
    const isFar = growth <= 0 || isNoise || seconds > FULL_SECONDS_MAX;
    return {growthBytesPerSecond: growth, fullInSeconds: isFar ? null : seconds};
  }
}

/** Bytes a millisecond, by least squares. */
function slopeOf(samples: readonly Sample[]): number {
  const count = samples.length;
  const meanMs = samples.reduce((sum, {atMs}) => sum + atMs, 0) / count;
  const meanBytes = samples.reduce((sum, {roomBytes}) => sum + roomBytes, 0) / count;
  let products = 0;
  let squares = 0;
  for (const {atMs, roomBytes} of samples) {
    products += (atMs - meanMs) * (roomBytes - meanBytes);
    squares += (atMs - meanMs) ** 2;
  }

  return squares === 0 ? 0 : products / squares;
}
