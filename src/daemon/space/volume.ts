/**
 * One file system with logs on it: how much room there is, for how long, and the ladder that is
 * climbed when a log on it has none. One step a look, each only when the ones before did not help:
 *
 *   1  the reserve is given to the log
 *   2  the others' files that are only to be used again are given back
 *   3  the log that is kept for the replica which lags most is let go, of the resource with the
 *      lowest priority first
 *   -  what is left is up to the resource (`when-full`); replay was forced long before by its disk
 *
 * With the first look without trouble it begins at 1 again.
 */
import type {FileSystemSpace} from '../../control/space-api.js';
import type {DiskStatus} from '../../core/disk-status.js';
import {formatBytes, formatDuration} from '../../core/units.js';
import {Trend, type Forecast} from './forecast.js';
import type {Reserve} from './reserve.js';

/** A resource with its log here. */
export interface Member {
  readonly name: string;
  readonly priority: number;
  readonly segmentBytes: number;
  readonly disk: DiskStatus | undefined;
  /** Its log cannot go on, or could not even begin, for want of room. */
  readonly isTroubled: boolean;
  /** Gives back spare files. */
  readonly trim: () => Promise<void>;
  /** Lets go of the log that is kept for whoever lags most. @returns false where none is kept */
  readonly sacrifice: () => boolean;
}

export interface VolumeLook {
  readonly space: FileSystemSpace;
  readonly members: readonly Member[];
  readonly nowMs: number;
}

/** Trouble that was seen so often in a row is no passing one: replay had time to make room. */
const TROUBLED_LOOKS = 2;
/** So many looks in a row decide whether room is low, or back. */
const LOW_LOOKS = 3;
const FULL_SOON_SECONDS = 3 * 3600;
/** A warning that was given stays until there is so much more. */
const HYSTERESIS = 1.5;

/** What a look came to. */
export interface VolumeNews {
  /** Why room is low, for people; undefined: it is not. */
  readonly low: string | undefined;
  /** What was done just now. */
  readonly reserve: 'freed' | 'taken' | undefined;
}

/** What the daemon knows of one file system; lives as long as a log is there. */
export class Volume {
  /** Another one where the directory that it was in is no log's any more. */
  reserve: Reserve;
  readonly #trend = new Trend();
  #space: FileSystemSpace | undefined;
  #forecast: Forecast | undefined;
  #troubledLooks = 0;
  #hasTrimmed = false;
  #isLow = false;
  #changedLooks = 0;

  constructor(reserve: Reserve) {
    this.reserve = reserve;
  }

  /** For the status; undefined before the first look. */
  get space(): FileSystemSpace | undefined {
    if (this.#space === undefined) return undefined;
    const {growthBytesPerSecond, fullInSeconds} = this.#forecast ?? {};
    return {
      ...this.#space,
      reserveBytes: this.reserve.heldBytes,
      growthBytesPerSecond:
        growthBytesPerSecond === undefined ? null : Math.round(growthBytesPerSecond),
      fullInSeconds: fullInSeconds == null ? null : Math.round(fullInSeconds),
    };
  }

  /** Looks once, and does what is to be done. */
  async look({space, members, nowMs}: VolumeLook, reserveBytes: number): Promise<VolumeNews> {
    const roomBytes = roomOf(space, members) + this.reserve.heldBytes;
    this.#space = space;
    this.#trend.note(nowMs, roomBytes);
    this.#forecast = this.#trend.forecast();
    const troubled = members.filter(({isTroubled}) => isTroubled);
    this.#troubledLooks = troubled.length === 0 ? 0 : this.#troubledLooks + 1;
    if (troubled.length === 0) this.#hasTrimmed = false;
    let reserve: VolumeNews['reserve'];
    if (this.#troubledLooks >= TROUBLED_LOOKS) {
      if (await this.#climb(members, troubled)) reserve = 'freed';
    } else if (troubled.length === 0 && (await this.reserve.keep(nowMs, reserveBytes, space))) {
      reserve = 'taken';
    }

    return {low: this.#lowText(space, members, roomBytes), reserve};
  }

  /** One step up. @returns whether it was the reserve */
  async #climb(members: readonly Member[], troubled: readonly Member[]): Promise<boolean> {
    if (this.reserve.free()) return true;
    const spare = members.filter(
      (member) => !troubled.includes(member) && (member.disk?.log.spares ?? 0) > 0,
    );
    if (!this.#hasTrimmed && spare.length > 0) {
      this.#hasTrimmed = true;
      await Promise.all(spare.map((member) => member.trim()));
      return false;
    }

    const order = [...members].sort((one, other) => one.priority - other.priority);
    for (const member of order) if (member.sacrifice()) break;
    return false;
  }

  #lowText(
    {freeBytes, totalBytes}: FileSystemSpace,
    members: readonly Member[],
    roomBytes: number,
  ): string | undefined {
    const needed = lowBytesOf(totalBytes, members);
    const soon = this.#forecast?.fullInSeconds ?? Infinity;
    const factor = this.#isLow ? HYSTERESIS : 1;
    const isLow = roomBytes < needed * factor || soon < FULL_SOON_SECONDS * factor;
    this.#changedLooks = isLow === this.#isLow ? 0 : this.#changedLooks + 1;
    if (this.#changedLooks >= LOW_LOOKS) {
      this.#isLow = isLow;
      this.#changedLooks = 0;
    }

    if (!this.#isLow) return undefined;
    const room = `${formatBytes(freeBytes)} of ${formatBytes(totalBytes)} are free where the log lies`;
    return soon === Infinity
      ? room
      : `${room}; at the present growth it is full in ${formatDuration(soon)}`;
  }
}

/** Less room than this is told: a twentieth, but two logfiles of each resource are enough. */
function lowBytesOf(totalBytes: number, members: readonly Member[]): number {
  const files = members.reduce((sum, {segmentBytes}) => sum + 2 * segmentBytes, 0);
  return Math.min(totalBytes / 20, files);
}

/** Files that a log uses again are free. */
function roomOf({freeBytes}: FileSystemSpace, members: readonly Member[]): number {
  const spare = members.reduce(
    (sum, {disk, segmentBytes}) => sum + (disk?.log.spares ?? 0) * segmentBytes,
    0,
  );
  return freeBytes + spare;
}
