/**
 * How far replay may go where it trails behind on purpose (history): up to what is older than the window.
 * Room goes before history: where log or index run short it goes on all the same, and says so.
 */
import type {Clock} from '../core/clock.js';
import {errnoOf, isDiskError} from '../core/errors.js';
import {HistoryWindow} from '../image/history-window.js';
import type {ReplayHost} from '../image/replay.js';
import {WORD, type Shared} from './shared.js';

/** The room has to be so much smaller than the window again before it counts as kept. */
const KEPT_SHARE = 0.9;
/** Writes that wait so long wait for room. */
const PARKED_MS = 1000;

/** One for the life of a replay thread, which is the only one that asks. */
export class ReplayLimit {
  readonly #shared: Shared;
  readonly #clock: Clock;
  readonly #window = new HistoryWindow();
  #parkedMs: number | undefined;

  constructor(shared: Shared, clock: Clock) {
    this.#shared = shared;
    this.#clock = clock;
  }

  /**
   * What was written before this process began: a segment begins where all before it was written.
   *
   * @param createdMs wall clock of a segment's begin, by the clock of whoever wrote it
   */
  seed(segments: readonly SegmentBegun[]): void {
    const windowMs = this.#windowMs;
    const now = this.#clock.monotonicMs();
    const wallMs = this.#clock.wallMs();
    for (const {start, createdMs} of segments) {
      this.#window.note(start, now - Math.max(0, wallMs - createdMs), windowMs);
    }
  }

  /** Infinity: as far as it likes. */
  position(): number {
    const shared = this.#shared;
    const windowMs = this.#windowMs;
    const appended = shared.appended.get();
    const now = this.#clock.monotonicMs();
    this.#window.cut(appended);
    this.#window.note(appended, now, windowMs);
    if (windowMs === 0) {
      this.#window.position(now);
      shared.set(WORD.historyShort, 0);
      return Infinity;
    }

    const floor = Math.max(shared.historyFloor.get(), shared.replayTo.get());
    const old = Math.max(this.#window.position(now - windowMs), floor);
    if (this.#isForced(now)) {
      shared.set(WORD.historyShort, 1);
      return Infinity;
    }

    // Before the main thread has looked nothing is known of the room.
    const roomBytes = shared.historyRoom.get() || Infinity;
    const isShort = shared.get(WORD.historyShort) !== 0;
    const kept = isShort ? roomBytes * KEPT_SHARE : roomBytes;
    shared.set(WORD.historyShort, appended - kept > old ? 1 : 0);
    return Math.max(old, appended - roomBytes);
  }

  /** Writes that only wait for the next file, which is being made, are no want of room. */
  #isForced(now: number): boolean {
    const shared = this.#shared;
    const isParked = shared.get(WORD.parked) !== 0;
    if (isParked) this.#parkedMs ??= now;
    else this.#parkedMs = undefined;
    const waitsLong = this.#parkedMs !== undefined && now - this.#parkedMs >= PARKED_MS;
    return waitsLong || shared.get(WORD.spaceShort) !== 0 || this.#hasNoFile(isParked);
  }

  #hasNoFile(isParked: boolean): boolean {
    return isParked && this.#shared.get(WORD.keeperTroubled) !== 0;
  }

  get #windowMs(): number {
    return this.#shared.get(WORD.historySeconds) * 1000;
  }
}

/** When a segment was begun, by the wall clock of whoever wrote it. */
export interface SegmentBegun {
  readonly start: number;
  readonly createdMs: number;
}

/**
 * When the segments of the log were begun; a log that is received may have none yet. Only of those that
 * replay has still to read: the descriptors of others may be closed by now, or be other files. What
 * cannot be read is left out: the window then knows less of the time before this process.
 *
 * @param from replay position
 */
export function segmentsBegun(
  shared: Shared,
  host: Pick<ReplayHost, 'readHeader'>,
  from: number,
): SegmentBegun[] {
  const begun: SegmentBegun[] = [];
  let end = Infinity;
  for (let at = shared.segmentEnd - 1; at >= shared.segmentFirst && end > from; at -= 1) {
    const {fd, start} = shared.segment(at);
    if (start >= end) continue;
    try {
      begun.unshift({start, createdMs: host.readHeader({fd, start, end}).createdMs});
    } catch (error) {
      if (!isDiskError(error) && errnoOf(error) === undefined) throw error;
    }

    end = start;
  }

  return begun;
}
