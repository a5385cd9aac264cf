/**
 * The disk while its writes go past the log (`when-full=bypass`), as the front uses it. Entered with
 * everything in the image that the log holds, so the image alone is the disk:
 *
 *   write, zero  the region's bit durable (image/bypass-map), then the image, then the answer
 *   flush        fdatasync of the image, on the front's own thread
 *   read         as ever: nothing is in the index
 *
 * Left by the next life of the process only (disk/bypass-leave).
 */
import {errnoOf, isNoRoom} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {ERRNO} from '../fuse/handler.js';
import {punchOrZero} from '../image/punch.js';
import type {BypassMap} from '../image/bypass-map.js';
import {COUNTER} from './counters.js';
import {NO_ROOM} from './parking.js';
import {WORD, type Shared} from './shared.js';

export interface BypassOptions {
  readonly files: Files;
  /** The same files for a punch: the replay thread, whose helper does it, rests meanwhile. */
  readonly punchFiles: Files;
  readonly shared: Shared;
  readonly map: BypassMap;
  readonly imageFd: number;
  /** Every write is durable before it is acknowledged. */
  readonly durableWrites: boolean;
}

/** Writes to the image; the front's thread only. */
export class Bypass {
  readonly #files: Files;
  readonly #punchFiles: Files;
  readonly #shared: Shared;
  readonly #map: BypassMap;
  readonly #imageFd: number;
  readonly #durableWrites: boolean;
  /** fdatasync failed: what it was for is lost, and the next one would say 0. */
  #isFailed = false;
  #isDirty = false;

  constructor(options: BypassOptions) {
    this.#files = options.files;
    this.#punchFiles = options.punchFiles;
    this.#shared = options.shared;
    this.#map = options.map;
    this.#imageFd = options.imageFd;
    this.#durableWrites = options.durableWrites;
    this.#publish();
  }

  /** @returns 0, an errno, or NO_ROOM */
  write(offset: number, length: number, bytes: Buffer, payloadOffset: number): number {
    const result = this.#change(offset, length, () => {
      this.#files.write(this.#imageFd, bytes, payloadOffset, length, offset);
    });
    if (result !== 0) return result;
    this.#count(COUNTER.writes, 1);
    this.#count(COUNTER.writtenBytes, length);
    return this.#durableWrites ? this.flush() : 0;
  }

  /** Zeros and discards alike. @returns 0, an errno, or NO_ROOM */
  zero(offset: number, end: number): number {
    const result = this.#change(offset, end - offset, () => {
      punchOrZero(this.#punchFiles, this.#imageFd, [offset, end - offset]);
    });
    if (result !== 0) return result;
    this.#count(COUNTER.discards, 1);
    return this.#durableWrites ? this.flush() : 0;
  }

  /** @returns 0 or an errno */
  flush(): number {
    if (this.#isFailed) return ERRNO.EIO;
    if (!this.#isDirty) return 0;
    try {
      this.#files.syncData(this.#imageFd);
      this.#isDirty = false;
      return 0;
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      return this.fail();
    }
  }

  /** A sync of the image has failed. The next life shall know. @returns what is answered from now on */
  fail(): number {
    this.#isFailed = true;
    try {
      this.#map.suspect();
    } catch (error) {
      // All that follows is refused by this life all the same.
      if (errnoOf(error) === undefined) throw error;
    }

    return ERRNO.EIO;
  }

  #change(offset: number, length: number, change: () => void): number {
    if (this.#isFailed) return ERRNO.EIO;
    try {
      this.#map.mark(offset, length);
      this.#publish();
      this.#isDirty = true;
      change();
      return 0;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === undefined) throw error;
      const isLater = isNoRoom(errno) || errno === 'EAGAIN' || errno === 'ENOMEM';
      return isLater ? NO_ROOM : ERRNO.EIO;
    }
  }

  #count(counter: number, amount: number): void {
    const {counters} = this.#shared;
    counters[counter] = (counters[counter] ?? 0) + amount;
  }

  #publish(): void {
    this.#shared.set(WORD.bypass, 1 + this.#map.regionCount);
  }
}
