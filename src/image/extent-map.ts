import {assert} from '../core/assert.js';

const CAPACITY_FIRST = 64;

/**
 * Ordered intervals of blocks that do not overlap, each with the number (position or ordinal) of
 * what put it there; a later one cuts the earlier ones under it. For discards and write-zeroes,
 * which may cover terabytes: never one entry per block.
 */
export class ExtentMap {
  #starts = new Float64Array(CAPACITY_FIRST);
  #ends = new Float64Array(CAPACITY_FIRST);
  #values = new Float64Array(CAPACITY_FIRST);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  clear(): void {
    this.#count = 0;
  }

  startAt(index: number): number {
    return this.#starts[index] ?? 0;
  }

  endAt(index: number): number {
    return this.#ends[index] ?? 0;
  }

  valueAt(index: number): number {
    return this.#values[index] ?? 0;
  }

  /** @returns index of the first interval that ends behind `block`; `count` if there is none */
  firstEndingAfter(block: number): number {
    let low = 0;
    let high = this.#count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ends[middle] ?? 0) > block) high = middle;
      else low = middle + 1;
    }

    return low;
  }

  /** @returns the number of the interval that holds `block`, or -1 */
  find(block: number): number {
    const index = this.firstEndingAfter(block);
    if (index === this.#count || (this.#starts[index] ?? 0) > block) return -1;
    return this.#values[index] ?? -1;
  }

  /** Puts [start, end) over whatever was there. */
  put(start: number, end: number, value: number): void {
    assert(start < end, 'an interval is not empty');
    const first = this.firstEndingAfter(start);
    let last = first;
    while (last < this.#count && (this.#starts[last] ?? 0) < end) last += 1;
    // What sticks out of the replaced ones, left and right, stays.
    const leftStart = this.#starts[first] ?? 0;
    const leftValue = this.#values[first] ?? 0;
    const rightEnd = this.#ends[last - 1] ?? 0;
    const rightValue = this.#values[last - 1] ?? 0;
    const keepsLeft = last > first && leftStart < start;
    const keepsRight = last > first && rightEnd > end;
    let index = first;
    this.#resize(first, last, 1 + (keepsLeft ? 1 : 0) + (keepsRight ? 1 : 0));
    if (keepsLeft) this.#set(index++, leftStart, start, leftValue);
    this.#set(index++, start, end, value);
    if (keepsRight) this.#set(index, end, rightEnd, rightValue);
  }

  checkInvariants(): void {
    for (let index = 0; index < this.#count; index += 1) {
      assert(this.startAt(index) < this.endAt(index), 'an interval is not empty');
      assert(index === 0 || this.endAt(index - 1) <= this.startAt(index), 'intervals are in order');
    }
  }

  #set(index: number, start: number, end: number, value: number): void {
    this.#starts[index] = start;
    this.#ends[index] = end;
    this.#values[index] = value;
  }

  /** Makes room for `wanted` intervals in place of those in [first, last). */
  #resize(first: number, last: number, wanted: number): void {
    const count = this.#count - (last - first) + wanted;
    while (count > this.#starts.length) this.#grow();
    for (const array of [this.#starts, this.#ends, this.#values]) {
      array.copyWithin(first + wanted, last, this.#count);
    }

    this.#count = count;
  }

  #grow(): void {
    const grown = [this.#starts, this.#ends, this.#values].map((array) => {
      const bigger = new Float64Array(array.length * 2);
      bigger.set(array);
      return bigger;
    });
    [this.#starts = this.#starts, this.#ends = this.#ends, this.#values = this.#values] = grown;
  }
}
