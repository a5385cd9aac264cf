/**
 * Looks after the room of the log of a disk that serves: forces replay before the room is gone, and
 * slows writes where the resource says so (`when-full=throttle`). Runs on the main thread in small
 * steps; the daemon only adds what it alone knows, how far the slowest connected replica is.
 *
 *   state      writes                          left when
 *   open       pass                            -
 *   forced     pass; replay merges no longer   the log is a quarter full
 *   throttled  pass at a measured speed        the log is less than 0.4 full
 *
 * Whose log is let go is decided by the daemon. Where writes wait and there is no daemon, it is the
 * oldest, one file at a time: the application never waits for a daemon that is dead.
 */
import type {Clock} from '../core/clock.js';
import {errnoOf} from '../core/errors.js';
import type {Files} from '../core/files.js';
import type {Slowed, WhenFull} from '../core/space.js';
import {formatBytes, KIB} from '../core/units.js';
import {KEEPER_NO_ROOM, WORD, type Shared} from './shared.js';
import {fillOf, isReplayForced, isThrottled, Speed, writeRate, type Drain} from './space-plan.js';

/** Between looks while there is nothing to be done. */
export const SPACE_CALM_MS = 1000;
const BUSY_MS = 100;
/** What the daemon told is no news any more: it is dead, and nobody fetches without it. */
const TOLD_MS = 5000;
/** A replica that got no further for so long does not drain the log: nobody is slowed for it. */
const STALLED_MS = 10_000;
/** Writes wait so long for a daemon that does not run; then what is kept for others is let go. */
const LET_GO_MS = 30_000;
/** Between two files that are let go: the keeper, which has failed, has tried again by then. */
const LET_GO_PAUSE_MS = 1000;

export interface SpaceGuardOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly shared: Shared;
  readonly directory: string;
  readonly segmentBytes: number;
  readonly whenFull: WhenFull;
  /** Files that the log can go on in. */
  readonly spareCount: () => number;
  /** Writes are slowed, or not any more; also each time that the words change. */
  readonly onSlowed: (slowed: Slowed | undefined) => void;
  /** Parked writes are to be looked at. */
  readonly wake: () => void;
  /** For how long nobody asked this process anything: a daemon does every other second. */
  readonly silentMs: () => number;
  /** Lets go of the oldest logfile that is kept for others only, if there is one. */
  readonly letGo: () => void;
}

/** Where the slowest replica that fetches is, and how much log may be kept for it. */
export interface FetchStanding {
  readonly position: number;
  readonly capBytes: number;
}

interface Way {
  readonly name: 'replay' | 'fetch';
  readonly drain: Drain;
}

/** One per disk that serves. */
export class SpaceGuard {
  readonly #options: SpaceGuardOptions;
  #whenFull: WhenFull;
  #told: {readonly standing: FetchStanding; readonly atMs: number} | undefined;
  #lookedMs: number;
  readonly #speeds: Record<Way['name'], Speed>;
  #slowed: Slowed | undefined;
  #stuckMs: number | undefined;
  #letGoMs: number | undefined;
  /** How far the slowest replica was, and when it got there. */
  #fetched = {position: -1, atMs: 0};
  #freeBytes = Number.MAX_SAFE_INTEGER;

  constructor(options: SpaceGuardOptions) {
    this.#options = options;
    this.#whenFull = options.whenFull;
    const {shared, clock} = options;
    this.#lookedMs = clock.monotonicMs();
    this.#speeds = {replay: new Speed(shared.replayed.get()), fetch: new Speed(0)};
  }

  get whenFull(): WhenFull {
    return this.#whenFull;
  }

  /** Writes that are slowed now. */
  get slowed(): Slowed | undefined {
    return this.#slowed;
  }

  configure(whenFull: WhenFull): void {
    this.#whenFull = whenFull;
  }

  /** What the daemon knows; undefined: no replica fetches. */
  tell(standing: FetchStanding | undefined): void {
    const atMs = this.#options.clock.monotonicMs();
    if (this.#told === undefined) this.#speeds.fetch = new Speed(standing?.position ?? 0);
    this.#told = standing && {standing, atMs};
  }

  /** Looks once. @returns milliseconds until the next look */
  step(): number {
    const {shared, clock, wake} = this.#options;
    const now = clock.monotonicMs();
    const elapsedSeconds = (now - this.#lookedMs) / 1000;
    this.#lookedMs = now;
    const ways = this.#ways(now);
    for (const {name, drain} of ways) this.#speeds[name].note(drain.position, elapsedSeconds);
    this.#force(ways);
    this.#throttle(ways);
    this.#letGo(now);
    if (this.#slowed === undefined)
      return shared.get(WORD.spaceShort) === 0 ? SPACE_CALM_MS : BUSY_MS;
    if (shared.get(WORD.parked) !== 0) wake();
    return BUSY_MS;
  }

  /** Nothing was written or replayed since the last look: that is no speed that anything has. */
  skip(): void {
    this.#lookedMs = this.#options.clock.monotonicMs();
  }

  #ways(now: number): Way[] {
    const {shared, segmentBytes, spareCount} = this.#options;
    const end = shared.appended.get();
    const replayed = shared.replayed.get();
    const waitingBytes = end - replayed;
    const freeBytes = this.#free() + spareCount() * segmentBytes;
    const replay: Drain = {waitingBytes, roomBytes: waitingBytes + freeBytes, position: replayed};
    const ways: Way[] = [{name: 'replay', drain: replay}];
    const told = this.#told;
    if (told === undefined || now - told.atMs > TOLD_MS) return ways;
    const {position, capBytes} = told.standing;
    const fetch: Drain = {waitingBytes: end - position, roomBytes: capBytes, position};
    if (!this.#isStalled(fetch, now)) ways.push({name: 'fetch', drain: fetch});
    return ways;
  }

  #isStalled({position, waitingBytes}: Drain, now: number): boolean {
    if (position !== this.#fetched.position || waitingBytes <= 0) {
      this.#fetched = {position, atMs: now};
    }

    return now - this.#fetched.atMs > STALLED_MS;
  }

  /** Where it cannot be asked it is what it was. */
  #free(): number {
    const {files, directory} = this.#options;
    try {
      this.#freeBytes = files.freeBytes(directory);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
    }

    return this.#freeBytes;
  }

  #force(ways: readonly Way[]): void {
    const {shared} = this.#options;
    const fill = Math.max(0, ...ways.filter(({name}) => name === 'replay').map(fillOfWay));
    const before = shared.get(WORD.spaceShort) !== 0;
    const forced = isReplayForced(fill, before);
    if (forced !== before) shared.set(WORD.spaceShort, forced ? 1 : 0);
    if (!forced) return;
    // Only what is durable is replayed: it must not wait for the interval of the commits.
    shared.set(WORD.commitWanted, 1);
    shared.signal(WORD.commitSignal);
    shared.signal(WORD.replaySignal);
  }

  #throttle(ways: readonly Way[]): void {
    const {shared} = this.#options;
    const before = this.#slowed !== undefined;
    const fill = Math.max(0, ...ways.map(fillOfWay));
    if (this.#whenFull !== 'throttle' || !isThrottled(fill, before)) {
      if (before) this.#pass();
      return;
    }

    // A way that is open holds nobody up, however little goes there.
    const narrow = ways.filter((way) => isThrottled(fillOfWay(way), true));
    const rates = narrow.map((way) => ({
      way,
      rate: writeRate(way.drain, this.#speeds[way.name].bytesPerSecond),
    }));
    const slowest = rates.reduce((one, other) => (other.rate < one.rate ? other : one));
    shared.set(WORD.writeLimitKib, Math.trunc(slowest.rate / KIB));
    this.#slowed = {
      bytesPerSecond: Math.trunc(slowest.rate),
      since: this.#slowed?.since ?? new Date(this.#options.clock.wallMs()).toISOString(),
      reason: reasonOf(slowest.way),
    };
    this.#options.onSlowed(this.#slowed);
  }

  #letGo(now: number): void {
    const {shared, silentMs, letGo} = this.#options;
    // Room is no remedy for a file system that fails in another way.
    const isStuck =
      shared.get(WORD.parked) !== 0 && shared.get(WORD.keeperTroubled) === KEEPER_NO_ROOM;
    if (!isStuck) this.#stuckMs = undefined;
    else this.#stuckMs ??= now;
    const isSilent = silentMs() >= LET_GO_MS;
    if (!isSilent) this.#letGoMs = undefined;
    if (this.#stuckMs === undefined || !isSilent) return;
    // The first file is waited for, the next ones of the same silence are not.
    if (this.#letGoMs === undefined && now - this.#stuckMs < LET_GO_MS) return;
    if (this.#letGoMs !== undefined && now - this.#letGoMs < LET_GO_PAUSE_MS) return;
    this.#letGoMs = now;
    letGo();
  }

  #pass(): void {
    const {shared, onSlowed, wake} = this.#options;
    shared.set(WORD.writeLimitKib, 0);
    this.#slowed = undefined;
    onSlowed(undefined);
    if (shared.get(WORD.parked) !== 0) wake();
  }
}

function fillOfWay({drain}: Way): number {
  return fillOf(drain);
}

function reasonOf({name, drain}: Way): string {
  const percent = Math.round(fillOf(drain) * 100);
  return name === 'replay'
    ? `the log has filled ${percent} % of its room (${formatBytes(drain.roomBytes)}) before replay`
    : `the slowest replica lags ${percent} % of what may be kept for it (${formatBytes(drain.roomBytes)})`;
}
