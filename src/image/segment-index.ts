import {assert} from '../core/assert.js';
import {BLOCK_BYTES} from '../core/limits.js';
import {ExtentMap} from './extent-map.js';

/** Most zero extents of one segment; then the log rotates, so that memory stays bounded. */
export const EXTENTS_MAX = 32_768;

/**
 * Where the newest copy of each block lies within one segment: an open-addressing table of 8
 * bytes a slot at half load, so 16 bytes a block, and extents for discards. It is sized for the
 * segment once and never grows: a write costs no allocation.
 */
export class SegmentIndex {
  /** Stream position of the segment's first record. */
  start = 0;
  readonly extents = new ExtentMap();
  /** Block number + 1; 0 is a free slot. */
  readonly #keys: Uint32Array;
  /** Payload position - start, in units of 8 bytes. */
  readonly #values: Uint32Array;
  readonly #mask: number;
  readonly #shift: number;
  #count = 0;

  /** @param capacityBytes bytes of records that the segment holds */
  constructor(capacityBytes: number) {
    const slots = slotsFor(capacityBytes);
    this.#keys = new Uint32Array(slots);
    this.#values = new Uint32Array(slots);
    this.#mask = slots - 1;
    this.#shift = 32 - Math.log2(slots);
  }

  get count(): number {
    return this.#count;
  }

  get slots(): number {
    return this.#keys.length;
  }

  /** Makes the table empty, for the segment that begins at `start`. */
  reset(start: number): void {
    if (this.#count > 0) this.#keys.fill(0);
    this.#count = 0;
    this.start = start;
    this.extents.clear();
  }

  /** Records that the newest copy of `block` begins at stream position `position`. */
  put(block: number, position: number): void {
    const key = block + 1;
    let slot = Math.imul(block, 0x9e3779b1) >>> this.#shift;
    for (;;) {
      const found = this.#keys[slot];
      if (found === key) break;
      if (found === 0) {
        this.#keys[slot] = key;
        this.#count += 1;
        break;
      }

      slot = (slot + 1) & this.#mask;
    }

    this.#values[slot] = (position - this.start) / 8;
  }

  /** Records that blocks [startBlock, endBlock) are zeros as of `position`. */
  putZero(startBlock: number, endBlock: number, position: number): void {
    this.extents.put(startBlock, endBlock, position);
  }

  /** @returns stream position of the newest data of `block` in this segment, or -1 */
  findData(block: number): number {
    if (this.#count === 0) return -1;
    const key = block + 1;
    let slot = Math.imul(block, 0x9e3779b1) >>> this.#shift;
    for (;;) {
      const found = this.#keys[slot];
      if (found === key) return this.start + (this.#values[slot] ?? 0) * 8;
      if (found === 0) return -1;
      slot = (slot + 1) & this.#mask;
    }
  }

  /** @returns position of the newest discard or zeroing of `block` in this segment, or -1 */
  findZero(block: number): number {
    return this.extents.count === 0 ? -1 : this.extents.find(block);
  }

  /** Zero extents as (first block, end block, position) in turn, for the index file. */
  toExtents(): Float64Array {
    const values = new Float64Array(this.extents.count * 3);
    for (let index = 0; index < this.extents.count; index += 1) {
      values[index * 3] = this.extents.startAt(index);
      values[index * 3 + 1] = this.extents.endAt(index);
      values[index * 3 + 2] = this.extents.valueAt(index);
    }

    return values;
  }

  /** Entries as (block, offset / 8) pairs sorted by block, for the index file. */
  toSortedPairs(): Uint32Array {
    const keys = new Float64Array(this.#count);
    let count = 0;
    for (let slot = 0; slot < this.#keys.length; slot += 1) {
      const key = this.#keys[slot] ?? 0;
      // Block and value in one double would not fit; slot numbers do (32 + 20 bits).
      if (key !== 0) keys[count++] = (key - 1) * 2 ** 20 + slot;
    }

    assert(count === this.#count, 'every entry was visited');
    keys.sort();
    const pairs = new Uint32Array(count * 2);
    keys.forEach((value, index) => {
      pairs[index * 2] = Math.floor(value / 2 ** 20);
      pairs[index * 2 + 1] = this.#values[value % 2 ** 20] ?? 0;
    });
    return pairs;
  }
}

function slotsFor(capacityBytes: number): number {
  // Every block in a record costs at least its own bytes, so at most this many can be in it.
  const blocks = Math.ceil(capacityBytes / BLOCK_BYTES);
  const slots = 2 ** Math.ceil(Math.log2(blocks * 2));
  assert(slots <= 2 ** 20, 'slots fit the sort key');
  return slots;
}
