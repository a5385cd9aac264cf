/**
 * What a follower knows of its source, for the status. It outlives streams.
 *
 * `lagSeconds` is how old the oldest change is that the origin has and our image has not, by the
 * clock of the source when it last spoke; while no stream is open the time since then is added,
 * as nobody knows what the origin has done meanwhile. 0: everything that is known is in the image.
 */
import type {Clock} from '../core/clock.js';
import type {FollowAnswer} from '../core/disk-status.js';
import type {Answer, Mark} from '../log/frames.js';

/** A record that begins at `position` is of that time. */
export interface TimeSample {
  readonly position: number;
  readonly timeMs: number;
}

/** More are thinned out: a backlog of days is told to the minute then. */
const SAMPLES_MAX = 4096;

/** Facts of the source as the last frames told them. */
export class FollowView {
  readonly #clock: Clock;
  #samples: TimeSample[];
  #mark: Mark | undefined;
  /** Clock of the source when it had nothing that we had not. */
  #caughtUpMs: number | undefined;
  #contactMs = 0;
  #recordMs = 0;
  connected = false;
  answer: FollowAnswer | null = null;

  /** @param samples times of records in the log that are not in the image yet */
  constructor(clock: Clock, samples: readonly TimeSample[] = []) {
    this.#clock = clock;
    this.#samples = [...samples];
  }

  /** Where the log of the source ends. */
  get originEnd(): number | null {
    return this.#mark?.end ?? null;
  }

  /** What the origin has durable, as the source told it. */
  get originDurable(): number | null {
    return this.#mark?.durable ?? null;
  }

  /** Time of the newest record that is known of. */
  get originTimeMs(): number | null {
    const timeMs = Math.max(this.#recordMs, this.#mark?.recordMs ?? 0);
    return timeMs > 0 ? timeMs : null;
  }

  noteContact(): void {
    this.#contactMs = this.#clock.monotonicMs();
  }

  noteAnswer(answer: Answer): void {
    const {kind, position, oldest, code, text} = answer;
    this.answer = {
      kind,
      ...(position === undefined ? {} : {position}),
      ...(oldest === undefined ? {} : {oldest}),
      ...(code === undefined ? {} : {code}),
      ...(text === undefined ? {} : {text}),
    };
  }

  noteRecords(position: number, firstMs: number, lastMs: number): void {
    this.#recordMs = Math.max(this.#recordMs, lastMs);
    this.#samples.push({position, timeMs: firstMs});
    if (this.#samples.length <= SAMPLES_MAX) return;
    this.#samples = this.#samples.filter((_, index) => index % 2 === 0);
  }

  /** @param received end of what is here */
  noteMark(mark: Mark, received: number): void {
    this.#mark = mark;
    if (mark.end <= received || this.#caughtUpMs === undefined) this.#caughtUpMs = mark.timeMs;
  }

  /** Another source goes on from here: what the one before had durable beyond may be no more. */
  limitDurable(position: number): void {
    const mark = this.#mark;
    if (mark === undefined || mark.durable <= position) return;
    this.#mark = {...mark, durable: position};
  }

  /** The log was cut there. */
  noteCut(position: number): void {
    this.#samples = this.#samples.filter((sample) => sample.position < position);
  }

  /** @returns null before the source has said anything */
  lagSeconds(received: number, replayed: number): number | null {
    const mark = this.#mark;
    if (mark === undefined) return null;
    const silentMs = this.connected ? 0 : this.#clock.monotonicMs() - this.#contactMs;
    const lagMs = this.#knownLagMs(mark, received, replayed) + silentMs;
    return Math.round(lagMs) / 1000;
  }

  #knownLagMs(mark: Mark, received: number, replayed: number): number {
    if (replayed >= Math.max(received, mark.end)) return 0;
    const samples = this.#samples;
    // A sample is done with when the one after it begins at or below what is replayed.
    const next = samples.findIndex(({position}) => position > replayed);
    const passed = next < 0 ? samples.length - 1 : next - 1;
    if (passed > 0) samples.splice(0, passed);
    const oldest = received > replayed ? samples[0]?.timeMs : this.#caughtUpMs;
    return Math.max(0, mark.timeMs - (oldest ?? mark.timeMs));
  }
}
