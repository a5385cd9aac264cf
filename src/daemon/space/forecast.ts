/**
 * When a file system will be full, from how its free space went. A guess for people, nothing decides
 * by it; but a person is woken by it, so it claims no more than it has seen: growth that was watched
 * for a time says something about eight times that time, and only where it went on in both halves of it.
 * So a burst, or a large file of somebody else, is no trend, and what fills up within minutes is
 * told within minutes.
 */
import {MIB} from '../../core/units.js';

/** What a forecast says. */
export interface Forecast {
  /** Above 0: there is less every second. Of the last half hour, or of what `fullInSeconds` goes by. */
  readonly growthBytesPerSecond: number;
  /** null: it does not fill up, as far as can be told. */
  readonly fullInSeconds: number | null;
}

interface Sample {
  readonly atMs: number;
  readonly roomBytes: number;
}

const MINUTE_MS = 60_000;
const SAMPLE_MS = 10_000;
/** Samples of the last half hour are all kept, and of the time before that one for so long. */
const COARSE_MS = 5 * MINUTE_MS;
const FINE_SPAN_MS = 32 * MINUTE_MS;
/** What is looked back on, the youngest growth first. */
const SPANS_MS = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024].map((minutes) => minutes * MINUTE_MS);
/** A span speaks of at most so many times its own length. */
const HORIZON = 8;
/** The line through a span is fitted to about so many samples. */
const POINTS = 64;
/** Less than this within the span is noise: files of the log come and go. */
const NOISE_BYTES = 16 * MIB;

/** Samples of one file system. */
export class Trend {
  #samples: Sample[] = [];
  #forecast: Forecast | undefined;

  /** Notes how much room there is; called as often as one likes. */
  note(atMs: number, roomBytes: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && atMs - last.atMs < SAMPLE_MS) return;
    this.#samples.push({atMs, roomBytes});
    this.#samples = thinned(this.#samples, atMs);
    this.#forecast = forecastOf(this.#samples, atMs);
  }

  /** @returns undefined where there is too little to look back on */
  forecast(): Forecast | undefined {
    return this.#forecast;
  }
}

function thinned(samples: readonly Sample[], nowMs: number): Sample[] {
  let keptMs = -Infinity;
  return samples.filter(({atMs}) => {
    const ageMs = nowMs - atMs;
    const isKept = ageMs <= FINE_SPAN_MS || atMs - keptMs >= COARSE_MS;
    if (isKept) keptMs = atMs;
    return isKept && ageMs <= (SPANS_MS.at(-1) ?? 0) + COARSE_MS;
  });
}

function forecastOf(samples: readonly Sample[], nowMs: number): Forecast | undefined {
  const last = samples.at(-1);
  let growth: number | undefined;
  for (const spanMs of SPANS_MS) {
    if (last === undefined || nowMs - (samples[0]?.atMs ?? nowMs) < spanMs) break;
    const span = samples.filter(({atMs}) => atMs >= nowMs - spanMs);
    const lasting = lastingGrowth(span, nowMs, spanMs);
    const seconds = last.roomBytes / lasting;
    const isNoise = (lasting * spanMs) / 1000 < NOISE_BYTES;
    if (lasting > 0 && !isNoise && seconds * 1000 <= HORIZON * spanMs) {
      return {growthBytesPerSecond: lasting, fullInSeconds: seconds};
    }

    if (spanMs <= FINE_SPAN_MS) growth = growthOf(span, spanMs);
  }

  return growth === undefined ? undefined : {growthBytesPerSecond: growth, fullInSeconds: null};
}

/** What grew in one half of the span only has begun just now, has ended, or was one file. */
function lastingGrowth(span: readonly Sample[], nowMs: number, spanMs: number): number {
  const middleMs = nowMs - spanMs / 2;
  const before = span.filter(({atMs}) => atMs <= middleMs);
  const after = span.filter(({atMs}) => atMs >= middleMs);
  return Math.min(...[span, before, after].map((part) => growthOf(part, spanMs)));
}

/** Bytes a second, by least squares: above 0 where room goes. */
function growthOf(samples: readonly Sample[], spanMs: number): number {
  let keptMs = -Infinity;
  const points = samples.filter(({atMs}) => {
    const isKept = atMs - keptMs >= spanMs / POINTS;
    if (isKept) keptMs = atMs;
    return isKept;
  });
  const count = points.length;
  const meanMs = points.reduce((sum, {atMs}) => sum + atMs, 0) / count;
  const meanBytes = points.reduce((sum, {roomBytes}) => sum + roomBytes, 0) / count;
  let products = 0;
  let squares = 0;
  for (const {atMs, roomBytes} of points) {
    products += (atMs - meanMs) * (roomBytes - meanBytes);
    squares += (atMs - meanMs) ** 2;
  }

  return squares === 0 ? 0 : (-1000 * products) / squares;
}
