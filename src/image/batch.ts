/**
 * A batch of replay: which bytes of the log go where in the image. Records are collected in
 * stream order; what comes out is each block's newest copy, in order of the disk.
 */
import {assert} from '../core/assert.js';
import {BLOCK_BYTES} from '../core/limits.js';
import {ExtentMap} from './extent-map.js';

/** Blocks of one batch at most: 2 GiB of data; two arrays of 8 bytes each. */
export const BATCH_BLOCKS_MAX = 2 ** 19;
/** Zero extents of one batch at most. */
export const BATCH_EXTENTS_MAX = 2 ** 16;
/** Blocks of the largest record, and some. */
const RECORD_BLOCKS_MAX = 260;
const ORDINALS = 2 ** 20;

assert(BATCH_BLOCKS_MAX <= ORDINALS, 'an ordinal fits its part of the key');

/** Collects records in stream order; used again for every batch. */
export class Batch {
  /** block * ORDINALS + ordinal: sorting puts each block's newest copy last among its own. */
  readonly #keys: Float64Array;
  readonly #positions: Float64Array;
  readonly #zeros = new ExtentMap();
  readonly #blocksMax: number;
  #count = 0;
  #ordinal = 0;

  /** @param logBytes most log that a batch takes, but for its last record */
  constructor(logBytes = Infinity) {
    const blocks = Math.ceil(logBytes / BLOCK_BYTES) + 2 * RECORD_BLOCKS_MAX;
    this.#blocksMax = Math.min(BATCH_BLOCKS_MAX, blocks);
    this.#keys = new Float64Array(this.#blocksMax);
    this.#positions = new Float64Array(this.#blocksMax);
  }

  reset(): void {
    this.#count = 0;
    this.#ordinal = 0;
    this.#zeros.clear();
  }

  /** Room for one more record of the largest size? */
  get isFull(): boolean {
    return (
      this.#count + RECORD_BLOCKS_MAX > this.#blocksMax ||
      // Zeros take ordinals as well, and positions are found by ordinal.
      this.#ordinal + RECORD_BLOCKS_MAX > this.#blocksMax ||
      this.#zeros.count + 2 > BATCH_EXTENTS_MAX
    );
  }

  /** `count` whole blocks whose bytes lie in the log from `position` on. */
  addData(block: number, count: number, position: number): void {
    assert(this.#ordinal + count <= this.#blocksMax, 'the batch has room');
    for (let index = 0; index < count; index += 1) {
      this.#keys[this.#count] = (block + index) * ORDINALS + this.#ordinal;
      this.#positions[this.#ordinal] = position + index * BLOCK_BYTES;
      this.#count += 1;
      this.#ordinal += 1;
    }
  }

  addZero(startBlock: number, endBlock: number): void {
    this.#zeros.put(startBlock, endBlock, this.#ordinal);
    this.#ordinal += 1;
  }

  /**
   * Sorts, drops what was overwritten or discarded later, and takes later data out of the zeros.
   *
   * @returns blocks and positions of what is to be written, in order of the disk, valid until
   *   `reset`; and ranges to be zeroed as offset and length in bytes, in turn
   */
  finish(): {blocks: Float64Array; positions: Float64Array; count: number; zeros: number[]} {
    const keys = this.#keys.subarray(0, this.#count).sort();
    const blocks = keys;
    const positions = new Float64Array(this.#count);
    let count = 0;
    for (let index = 0; index < keys.length; index += 1) {
      const key = keys[index] ?? 0;
      const block = Math.floor(key / ORDINALS);
      const next = keys[index + 1];
      if (next !== undefined && Math.floor(next / ORDINALS) === block) continue;
      const ordinal = key - block * ORDINALS;
      if (this.#zeros.count > 0 && this.#zeros.find(block) > ordinal) continue;
      // In place: the output never overtakes the input.
      blocks[count] = block;
      positions[count] = this.#positions[ordinal] ?? 0;
      count += 1;
    }

    return {blocks, positions, count, zeros: this.#zeroRanges(blocks, count)};
  }

  /** Zero extents without the blocks that are written after them in this batch. */
  #zeroRanges(blocks: Float64Array, count: number): number[] {
    const ranges: number[] = [];
    const zeros = this.#zeros;
    let at = 0;
    for (let index = 0; index < zeros.count; index += 1) {
      let start = zeros.startAt(index);
      const end = zeros.endAt(index);
      while (at < count && (blocks[at] ?? 0) < start) at += 1;
      while (at < count && (blocks[at] ?? 0) < end) {
        const block = blocks[at] ?? 0;
        if (block > start) ranges.push(start * BLOCK_BYTES, (block - start) * BLOCK_BYTES);
        start = block + 1;
        at += 1;
      }

      if (start < end) ranges.push(start * BLOCK_BYTES, (end - start) * BLOCK_BYTES);
    }

    return ranges;
  }
}
