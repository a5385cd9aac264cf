/**
 * Keeps segments ready ahead of the writer: used files again where there are some, new ones else.
 * It never touches a segment that holds anything which is not in the image yet. One that is in the
 * image, but that somebody still fetches (retainFrom), leaves the ring of open segments and is kept
 * by name only, until the retained position has passed it.
 *
 * Runs on the main thread in small steps; nothing on the write path waits for it while at least
 * one segment is ready. Without room for another it says so and tries again.
 */
import {join} from 'node:path';
import type {Clock} from '../core/clock.js';
import {errnoOf, isNoRoom} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {makeReady, makeSpare, type SegmentPlan} from '../log/segment-files.js';
import {indexPathOf} from '../log/index-file.js';
import {segmentName} from '../log/segment.js';
import type {RetainedSegment} from './retained.js';
import {Sealer} from './sealer.js';
import {KEEPER_FAILED, KEEPER_NO_ROOM, WORD, type Shared} from './shared.js';

/** Segments ready beyond the current one. */
const READY_AHEAD = 4;
/** Spares kept beyond that: what a burst used and replay gave back is used by the next one. */
const SPARES_MAX = 40;
/** ... and kept when the log has been calm for so long. */
const SPARES_CALM = 4;
const CALM_MS = 30_000;
const RETRY_MS = 500;
/** Spares are not kept for so long after others needed the room. */
const TRIM_MS = 10_000;
/** The log is busy while its last rotation is younger. */
const BUSY_MS = 2000;

export interface KeeperOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly shared: Shared;
  readonly plan: SegmentPlan;
  /** Replayed segments that recovery kept for others, oldest first. */
  readonly retained?: readonly RetainedSegment[];
  /** Names of the segments that recovery found; all others are named after this node. */
  readonly names?: readonly (readonly [number, string])[];
  readonly onTrouble: (errno: string | undefined) => void;
  /** A segment is ready while writes are parked: the front has to be woken. */
  readonly onReady: () => void;
}

/** Supplies the front with ready segments and takes back what replay has passed. */
export class Keeper {
  readonly #files: Files;
  readonly #clock: Clock;
  readonly #shared: Shared;
  readonly #plan: SegmentPlan;
  readonly #onTrouble: (errno: string | undefined) => void;
  readonly #onReady: () => void;
  readonly #spares: string[] = [];
  readonly #retained: RetainedSegment[];
  readonly #names: Map<number, string>;
  readonly #sealer: Sealer;
  #making: Generator<void, void> | undefined;
  #makingPath = '';
  #made = 0;
  #numberSeen = -1;
  #rotatedAt = -Infinity;
  #retryAt = 0;
  #trimUntil = -Infinity;
  #troubled = false;

  constructor(options: KeeperOptions) {
    this.#files = options.files;
    this.#clock = options.clock;
    this.#shared = options.shared;
    this.#plan = options.plan;
    this.#onTrouble = options.onTrouble;
    this.#onReady = options.onReady;
    this.#retained = [...(options.retained ?? [])];
    this.#names = new Map(options.names);
    const pathOf = (number: number): string => this.#pathOf(number);
    this.#sealer = new Sealer({...options, pathOf});
    for (const name of this.#files.list(this.#plan.directory)) {
      if (name.startsWith('spare-')) this.#adopt(join(this.#plan.directory, name));
    }
  }

  get spareCount(): number {
    return this.#spares.length + this.#readyAhead();
  }

  /** Segments that are kept for others only. */
  get retained(): readonly RetainedSegment[] {
    return this.#retained;
  }

  /**
   * Does one small piece of work.
   *
   * @returns milliseconds until there may be more; 0: at once; Infinity: after the next rotation
   */
  step(): number {
    const now = this.#clock.monotonicMs();
    if (now < this.#retryAt) return this.#retryAt - now;
    this.#noteRotation(now);
    try {
      const worked =
        this.#release() ||
        this.#recycle() ||
        this.#prepare() ||
        this.#trim() ||
        this.#sealer.step();
      if (this.#troubled && this.#readyAhead() >= Math.max(1, this.#shared.get(WORD.readyWanted))) {
        this.#troubled = false;
        this.#shared.set(WORD.keeperTroubled, 0);
        this.#onTrouble(undefined);
      }

      if (worked) return 0;
      if (this.#spares.length > SPARES_CALM) return RETRY_MS;
      return this.#shared.segmentEnd - this.#shared.segmentFirst > 1 ? RETRY_MS : Infinity;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === undefined) throw error;
      this.#retryAt = now + RETRY_MS;
      this.#troubled = true;
      this.#shared.set(WORD.keeperTroubled, isNoRoom(errno) ? KEEPER_NO_ROOM : KEEPER_FAILED);
      this.#onTrouble(errno);
      return RETRY_MS;
    }
  }

  #noteRotation(now: number): void {
    const number = this.#shared.get(WORD.currentNumber);
    if (number === this.#numberSeen) return;
    this.#rotatedAt = this.#numberSeen < 0 ? -Infinity : now;
    this.#numberSeen = number;
  }

  /** A log that rotates every other second has no use for zeros: they cost what it lacks. */
  #isBusy(): boolean {
    const now = this.#clock.monotonicMs();
    this.#noteRotation(now);
    return now - this.#rotatedAt < BUSY_MS;
  }

  #readyAhead(): number {
    return this.#shared.get(WORD.readyUpTo) - this.#shared.get(WORD.currentNumber);
  }

  /** A file left by an earlier life: used if its size is right, else its space is given back. */
  #adopt(path: string): void {
    const fd = this.#files.open(path, 'read');
    const size = this.#files.sizeOf(fd);
    this.#files.close(fd);
    if (size === this.#plan.fileBytes) this.#spares.push(path);
    else this.#files.unlink(path);
  }

  /** Takes the oldest segment that was kept for others once nobody fetches it any more. */
  #release(): boolean {
    const oldest = this.#retained[0];
    if (oldest === undefined || oldest.end > this.#shared.retainFrom) return false;
    // First the list: a file that cannot be renamed is found again by the next life.
    this.#retained.shift();
    this.#setAside(oldest);
    return true;
  }

  /** Takes the oldest segment out of the ring once everything in it is in the image. */
  #recycle(): boolean {
    const shared = this.#shared;
    const first = shared.segmentFirst;
    if (shared.segmentEnd - first < 2) return false;
    const {number, start, end} = shared.segment(first);
    if (end > shared.replayed.get()) return false;
    // The header of the next segment is durable only together with a record behind it: until
    // then this one is what proves where the log ends.
    if (end >= shared.durable.get()) return false;
    shared.set(WORD.segmentFirst, first + 1);
    const failed = number >= shared.get(WORD.badFrom) && number <= shared.get(WORD.badUpTo);
    const segment = {name: this.#nameOf(number), start, end, failed};
    this.#names.delete(number);
    if (end > shared.retainFrom) this.#retained.push(segment);
    else this.#setAside(segment);
    return true;
  }

  #setAside({name, failed = false}: RetainedSegment): void {
    const path = join(this.#plan.directory, name);
    if (!this.#files.exists(path)) return;
    const target = join(this.#plan.directory, `${failed ? 'bad' : 'spare'}-${name}`);
    this.#files.rename(path, target);
    if (!failed) this.#adopt(target);
    if (this.#files.exists(indexPathOf(path))) this.#files.unlink(indexPathOf(path));
  }

  #prepare(): boolean {
    const making = this.#making;
    if (making !== undefined) {
      // One that throws has closed and removed its file, and is not asked again.
      this.#making = undefined;
      if (making.next().done === true) this.#spares.push(this.#makingPath);
      else this.#making = making;
      return true;
    }

    const wanted = Math.max(READY_AHEAD, this.#shared.get(WORD.readyWanted));
    if (this.#readyAhead() >= wanted) return false;
    const spare = this.#spares.pop();
    if (spare === undefined) {
      this.#made += 1;
      const name = `spare-new-${this.#shared.get(WORD.readyUpTo) + 1}-${this.#made}`;
      this.#makingPath = join(this.#plan.directory, name);
      this.#making = makeSpare(this.#files, this.#plan, this.#makingPath, () => {
        return this.#readyAhead() < 1 || this.#isBusy();
      });
      return true;
    }

    const number = this.#shared.get(WORD.readyUpTo) + 1;
    try {
      makeReady(this.#files, this.#plan, spare, number);
    } catch (error) {
      // It may or may not have its new name: the next life of the process will see.
      if (this.#files.exists(spare)) this.#spares.push(spare);
      throw error;
    }

    this.#shared.set(WORD.readyUpTo, number);
    const awaited = this.#shared.get(WORD.parked) !== 0 || this.#shared.get(WORD.readyWanted) > 0;
    this.#shared.signal(WORD.frontSignal);
    if (awaited) this.#onReady();
    return true;
  }

  /** Others need the room: spares are given back, now and for a while. */
  trim(): void {
    this.#trimUntil = this.#clock.monotonicMs() + TRIM_MS;
  }

  #sparesMax(): number {
    const now = this.#clock.monotonicMs();
    if (now < this.#trimUntil) return 0;
    return now - this.#rotatedAt >= CALM_MS ? SPARES_CALM : SPARES_MAX;
  }

  #trim(): boolean {
    const most = this.#sparesMax();
    if (this.#spares.length <= most) return false;
    const spare = this.#spares.pop();
    if (spare !== undefined) this.#files.unlink(spare);
    // The front may have them open still: their space comes back when it looks and closes them.
    if (this.#spares.length <= most) this.#onReady();
    return true;
  }

  #pathOf(number: number): string {
    return join(this.#plan.directory, this.#nameOf(number));
  }

  #nameOf(number: number): string {
    return this.#names.get(number) ?? segmentName(number, this.#plan.originName);
  }
}
