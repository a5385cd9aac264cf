/**
 * A replica as the disk that it is at one position, read beside the process that writes to it: its image
 * with the log laid over what the image lacks (H20). Both ends of a comparison look through one.
 *
 *   1. `read`: how far the image is at least (`from`), then the image, then how far it may be (`to`)
 *   2. somebody chooses a position at or above `to`, here and at the other end
 *   3. `asOf`: what the log has written in [from, position) is laid over what was read
 *
 * Why 3 is the disk as of the position: a block that no record of [from, to) is about was not written to
 * while it was read, and holds what it held at `from`. Any other is covered by the log, torn or not.
 * Nothing is held back for it, neither writes nor replay.
 *
 * Where the image had no data when it was scanned, and no record since then is about it, it is zeros.
 */
import {setImmediate as pause} from 'node:timers/promises';
import {assert} from '../core/assert.js';
import type {Clock} from '../core/clock.js';
import {DiskError, storeError} from '../core/errors.js';
import {ChunkMap} from '../core/extents.js';
import {formatPosition} from '../core/position.js';
import {SYNC_CHUNK_BYTES} from '../log/frame-schemas.js';
import type {LogEnd, LogPlace} from './log-source.js';
import {LogTail} from './log-tail.js';
import type {SourceImage} from './source-image.js';

/** How far a replica is, as its disk process says. */
export interface ViewPositions extends LogEnd {
  /** Everything below is in the image. */
  readonly from: number;
  /** Nothing at or above is. */
  readonly to: number;
  /** Chain value where the log ends, as text; undefined: not told. */
  readonly endChain: string | undefined;
}

export interface ViewPorts {
  readonly place: LogPlace;
  readonly sizeBytes: number;
  readonly clock: Clock;
  /** Opened for each look: a repair may have put another one in its place. */
  readonly openImage: () => Promise<SourceImage>;
  /**
   * The disk process itself, asked after the call.
   *
   * @throws DiskError where image and log are no state of the disk
   */
  readonly positions: () => Promise<ViewPositions>;
  /** How long the log is waited for to get to a position. */
  readonly waitMs?: number;
}

/** Content of an image, of no single position yet. */
export interface Reading {
  readonly first: number;
  readonly from: number;
  readonly to: number;
  /** One for each chunk; the last one of the disk may be shorter. */
  readonly chunks: readonly Buffer[];
}

export const VIEW_CHUNK_BYTES = SYNC_CHUNK_BYTES;

const WAIT_MS = 30_000;
const LOOK_MS = 50;

/** One for each run of a comparison, at each end of it. */
export class ImageView {
  readonly sizeBytes: number;
  readonly #ports: ViewPorts;
  readonly #tail: LogTail;
  readonly #map: ChunkMap;
  #from = 0;

  private constructor(ports: ViewPorts) {
    this.#ports = ports;
    this.sizeBytes = ports.sizeBytes;
    this.#map = new ChunkMap(ports.sizeBytes, VIEW_CHUNK_BYTES);
    this.#tail = new LogTail(ports.place, (start, end) => {
      if (start < end) this.#map.mark(start, end);
    });
  }

  /** @throws DiskError LOG_GONE, STORE_IO, and what `positions` throws */
  static async begin(ports: ViewPorts): Promise<ImageView> {
    const view = new ImageView(ports);
    try {
      await view.#begin();
      return view;
    } catch (error) {
      view.close();
      throw error;
    }
  }

  get chunkCount(): number {
    return this.#map.count;
  }

  /** Chain value at the position that was looked at last, as text. */
  get chain(): string {
    return this.#tail.chain;
  }

  /** Everything of the log below is known; no position below can be looked at. */
  get position(): number {
    return this.#tail.position;
  }

  /** Whether there may be data in the chunk, as of the position that was looked at last. */
  hasData(chunk: number): boolean {
    return this.#map.has(chunk);
  }

  /** The first chunk behind `chunk`, at most `limit`, that is not like it. */
  runEnd(chunk: number, limit: number): number {
    return this.#map.runEnd(chunk, limit);
  }

  /** How far the image may be now. @throws DiskError what `positions` throws */
  async imageEnd(): Promise<number> {
    return (await this.#ports.positions()).to;
  }

  /** @throws DiskError STORE_IO, LOG_BRANCHED, and what `positions` throws */
  async read(first: number, count: number): Promise<Reading> {
    assert(first + count <= this.chunkCount, 'the chunks are in the disk');
    const {from} = await this.#ports.positions();
    if (from < this.#from) throw moved(from, this.#from);
    this.#tail.prune(this.#from);
    this.#from = from;
    const image = await this.#ports.openImage();
    const chunks: Buffer[] = [];
    try {
      for (let chunk = first; chunk < first + count; chunk += 1) {
        const offset = chunk * VIEW_CHUNK_BYTES;
        const bytes = Buffer.alloc(Math.min(VIEW_CHUNK_BYTES, this.sizeBytes - offset));
        await image.read(offset, bytes);
        chunks.push(bytes);
      }
    } catch (error) {
      throw storeError(error, 'read the image for a comparison');
    } finally {
      await image.close();
    }

    const {to} = await this.#ports.positions();
    return {first, from, to, chunks};
  }

  /**
   * Makes it known what the log has written up to a position; waits until the log is there.
   *
   * @throws DiskError VERIFY_BEHIND, and as LogTail.extend
   */
  async extend(position: number): Promise<void> {
    const {clock, positions} = this.#ports;
    const deadline = clock.monotonicMs() + (this.#ports.waitMs ?? WAIT_MS);
    for (;;) {
      const {appended} = await positions();
      if (appended >= position) break;
      if (clock.monotonicMs() > deadline) throw behind(appended, position);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }

    await this.#tail.extend(position, positions);
  }

  /**
   * Makes of what was read the disk as of the position that `extend` was called with last.
   *
   * @throws DiskError LOG_GONE, STORE_IO
   */
  async asOf(reading: Reading, position: number): Promise<void> {
    assert(position >= reading.to, 'nothing of the image is newer');
    assert(position === this.#tail.position, 'the log is known up to there, and no further');
    for (const [index, bytes] of reading.chunks.entries()) {
      this.#tail.overlay(bytes, (reading.first + index) * VIEW_CHUNK_BYTES, reading.from);
      await pause();
    }
  }

  close(): void {
    this.#tail.close();
  }

  async #begin(): Promise<void> {
    const {openImage, positions} = this.#ports;
    const {from, appended, endChain} = await positions();
    this.#from = from;
    await this.#tail.begin(from, appended === from ? endChain : undefined);
    const image = await openImage();
    try {
      await image.scan(this.sizeBytes, (start, end) => {
        this.#map.mark(start, end);
      });
    } finally {
      await image.close();
    }
  }
}

function behind(appended: number, position: number): DiskError {
  const [is, wanted] = [formatPosition(appended), formatPosition(position)];
  const text = `the log ends at ${is}, and the image of the other replica is at ${wanted} already`;
  return new DiskError('VERIFY_BEHIND', text, {position: is});
}

function moved(from: number, before: number): DiskError {
  const [is, was] = [formatPosition(from), formatPosition(before)];
  return new DiskError('LOG_BRANCHED', `the image was at ${was}, and is at ${is} now`, {
    position: is,
  });
}
