/**
 * Where the newest copy of each block is: in the log, or nowhere but in the image.
 *
 * One thread owns it: the one that appends. Replay only publishes one number, `replayed`; an
 * entry below it is void by definition, and a segment that lies below it is dropped whole.
 * Memory grows with the segments that are not replayed yet, not with the disk.
 */
import {assert} from '../core/assert.js';
import {SegmentIndex} from './segment-index.js';

/** The block is not in the log: read the image. */
export const IN_IMAGE = -1;
/** The block was discarded or zeroed. */
export const IS_ZERO = -2;

const POOL_MAX = 4;

/** The index of everything that is in the log and not in the image yet. */
export class BlockIndex {
  readonly #capacityBytes: number;
  /** Oldest first. The last one is appended to. */
  readonly #segments: SegmentIndex[] = [];
  /** Tables of dropped segments, to be used again. */
  readonly #pool: SegmentIndex[] = [];
  #newest = -1;
  #replayed = 0;

  constructor(capacityBytes: number) {
    this.#capacityBytes = capacityBytes;
  }

  /** Begins a segment: entries from here on belong to it. */
  beginSegment(start: number, capacityBytes: number): void {
    const reusable = capacityBytes <= this.#capacityBytes ? this.#pool.pop() : undefined;
    const segment = reusable ?? new SegmentIndex(Math.max(capacityBytes, this.#capacityBytes));
    segment.reset(start);
    this.#segments.push(segment);
  }

  /** Records the newest copy of `count` whole blocks at consecutive positions. */
  put(block: number, count: number, position: number): void {
    const segment = this.#segments.at(-1);
    assert(segment !== undefined, 'a segment was begun');
    for (let index = 0; index < count; index += 1)
      segment.put(block + index, position + index * 4096);
    this.#newest = position;
  }

  putZero(startBlock: number, endBlock: number, position: number): void {
    const segment = this.#segments.at(-1);
    assert(segment !== undefined, 'a segment was begun');
    segment.putZero(startBlock, endBlock, position);
    this.#newest = position;
  }

  /**
   * Enters what an index file says of the segment that was begun last.
   *
   * @param pairs (block, offset / 8) in turn
   * @param extents (first block, end block, position) in turn
   * @param end position behind its last record
   */
  putLoaded(pairs: Uint32Array, extents: Float64Array, end: number): void {
    const segment = this.#segments.at(-1);
    assert(segment !== undefined, 'a segment was begun');
    for (let at = 0; at < pairs.length; at += 2) {
      segment.put(pairs[at] ?? 0, segment.start + (pairs[at + 1] ?? 0) * 8);
    }

    for (let at = 0; at < extents.length; at += 3) {
      segment.putZero(extents[at] ?? 0, extents[at + 1] ?? 0, extents[at + 2] ?? 0);
    }

    if (pairs.length + extents.length > 0) this.#newest = Math.max(this.#newest, end - 1);
  }

  /** Extents in the segment that is appended to: the log rotates at EXTENTS_MAX. */
  get openExtents(): number {
    return this.#segments.at(-1)?.extents.count ?? 0;
  }

  get segmentCount(): number {
    return this.#segments.length;
  }

  /** Bytes of memory in tables, also in those kept for later. */
  get memoryBytes(): number {
    let bytes = 0;
    for (const segment of this.#segments) bytes += segment.slots * 8 + segment.extents.count * 24;
    for (const segment of this.#pool) bytes += segment.slots * 8;
    return bytes;
  }

  /** True where every block is in the image: reads need no look at the index. */
  get isVoid(): boolean {
    return this.#newest < this.#replayed;
  }

  /** Takes note that everything below `replayed` is in the image, and drops what that makes void. */
  setReplayed(replayed: number): void {
    assert(replayed >= this.#replayed, 'replayed does not go back');
    this.#replayed = replayed;
    let void_ = 0;
    while (void_ + 1 < this.#segments.length) {
      const next = this.#segments[void_ + 1];
      if (next === undefined || next.start > replayed) break;
      void_ += 1;
    }

    if (void_ === 0) return;
    for (const segment of this.#segments.splice(0, void_)) {
      if (this.#pool.length < POOL_MAX) this.#pool.push(segment);
    }
  }

  /**
   * Finds the newest copy of `block`.
   *
   * @returns stream position of its bytes in the log, IN_IMAGE or IS_ZERO
   */
  find(block: number): number {
    for (let index = this.#segments.length - 1; index >= 0; index -= 1) {
      const segment = this.#segments[index];
      if (segment === undefined) break;
      const data = segment.findData(block);
      const zero = segment.findZero(block);
      if (data < 0 && zero < 0) continue;
      if (Math.max(data, zero) < this.#replayed) return IN_IMAGE;
      return data > zero ? data : IS_ZERO;
    }

    return IN_IMAGE;
  }

  /** The table of the segment that begins at `start`, for its index file. */
  segmentAt(start: number): SegmentIndex | undefined {
    return this.#segments.find((segment) => segment.start === start);
  }
}
