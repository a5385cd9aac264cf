import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fc from 'fast-check';
import {Batch, BATCH_BLOCKS_MAX, BATCH_EXTENTS_MAX} from '../../src/image/batch.js';

const BLOCKS = 40;

interface Step {
  readonly zero: boolean;
  readonly block: number;
  readonly count: number;
}

const step = fc.record<Step>({
  zero: fc.boolean(),
  block: fc.integer({min: 0, max: BLOCKS - 1}),
  count: fc.integer({min: 1, max: 12}),
});

/** What each block is to become: a position, 'zero', or nothing. */
function apply(batch: Batch): Map<number, number | 'zero'> {
  const {blocks, positions, count, zeros} = batch.finish();
  const result = new Map<number, number | 'zero'>();
  for (let at = 0; at < zeros.length; at += 2) {
    const start = (zeros[at] ?? 0) / 4096;
    const end = start + (zeros[at + 1] ?? 0) / 4096;
    for (let block = start; block < end; block += 1) {
      assert.not(result.has(block), 'no block is zeroed twice');
      result.set(block, 'zero');
    }
  }

  for (let at = 0; at < count; at += 1) {
    const block = blocks[at] ?? 0;
    assert.ok(at === 0 || block > (blocks[at - 1] ?? 0), 'each block once, in order of the disk');
    assert.not(result.has(block), 'what is written is not zeroed as well');
    result.set(block, positions[at] ?? 0);
  }

  return result;
}

test('a batch ends as its records one after the other would, whatever their order', () => {
  const batch = new Batch();
  fc.assert(
    fc.property(fc.array(step, {maxLength: 80}), (steps) => {
      batch.reset();
      const model = new Map<number, number | 'zero'>();
      for (const [at, {zero, block, count}] of steps.entries()) {
        if (zero) batch.addZero(block, block + count);
        else batch.addData(block, count, at * 1_000_000);
        for (let index = 0; index < count; index += 1) {
          model.set(block + index, zero ? 'zero' : at * 1_000_000 + index * 4096);
        }
      }

      const sorted = (map: Map<number, unknown>): unknown[] => [...map].sort(([a], [b]) => a - b);
      assert.equal(sorted(apply(batch)), sorted(model));
    }),
  );
});

test('a batch may hold the last block of the largest disk and its newest copy wins', () => {
  const batch = new Batch();
  const last = 15 * 2 ** 28 - 1;
  for (let at = 0; at < 100; at += 1) batch.addData(last, 1, at * 8);
  batch.addZero(last - 3, last);
  const result = apply(batch);
  assert.is(result.get(last), 99 * 8);
  assert.is(result.get(last - 1), 'zero');
});

test('a batch that is not full keeps every position, however many zeros are between the data', () => {
  const batch = new Batch();
  let added = 0;
  // The same place is discarded again and again: one extent, but many records.
  while (!batch.isFull) {
    for (let at = 0; at < 64; at += 1) batch.addZero(0, 1);
    batch.addData(1 + added * 256, 256, 2 ** 40 + added * 2 ** 21);
    added += 1;
  }

  const {blocks, positions, count} = batch.finish();
  assert.is(count, added * 256);
  for (let at = 0; at < count; at += 1) {
    const block = (blocks[at] ?? 0) - 1;
    const expected = 2 ** 40 + Math.floor(block / 256) * 2 ** 21 + (block % 256) * 4096;
    assert.is(positions[at], expected, `block ${block}`);
  }
});

test('a batch is full before its tables are', () => {
  const data = new Batch();
  let blocks = 0;
  while (!data.isFull) {
    data.addData(blocks, 258, blocks);
    blocks += 258;
  }

  assert.ok(blocks <= BATCH_BLOCKS_MAX);
  const zeros = new Batch();
  let extents = 0;
  while (!zeros.isFull) {
    zeros.addZero(extents * 2, extents * 2 + 1);
    extents += 1;
  }

  assert.ok(extents <= BATCH_EXTENTS_MAX);
  assert.is(zeros.finish().zeros.length, extents * 2);
});

test.run();
