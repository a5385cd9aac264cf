import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fc from 'fast-check';
import {ExtentMap} from '../../src/image/extent-map.js';

const BLOCKS = 64;

interface Put {
  readonly start: number;
  readonly length: number;
}

const put = fc.record<Put>({
  start: fc.integer({min: 0, max: BLOCKS - 1}),
  length: fc.integer({min: 1, max: BLOCKS}),
});

test('every block has the number of the last interval that was put over it', () => {
  fc.assert(
    fc.property(fc.array(put, {maxLength: 200}), (puts) => {
      const map = new ExtentMap();
      const model = new Array<number>(2 * BLOCKS).fill(-1);
      for (const [value, {start, length}] of puts.entries()) {
        map.put(start, start + length, value);
        model.fill(value, start, start + length);
        map.checkInvariants();
      }

      for (const [block, value] of model.entries()) assert.is(map.find(block), value);
      for (let index = 0; index < map.count; index += 1) {
        assert.is(map.find(map.startAt(index)), map.valueAt(index));
        assert.is(map.find(map.endAt(index) - 1), map.valueAt(index));
      }
    }),
  );
});

test('intervals of terabytes cost what small ones cost', () => {
  const map = new ExtentMap();
  map.put(0, 2 ** 32, 1);
  for (let at = 0; at < 1000; at += 1) map.put(at * 2 ** 20, at * 2 ** 20 + 1, 2 + at);
  map.checkInvariants();
  assert.is(map.count, 2000);
  assert.is(map.find(2 ** 20 - 1), 1);
  assert.is(map.find(2 ** 20), 3);
  assert.is(map.find(2 ** 32 - 1), 1);
  assert.is(map.find(2 ** 32), -1);
});

test('a cleared map is empty', () => {
  const map = new ExtentMap();
  map.put(1, 5, 7);
  map.clear();
  assert.is(map.count, 0);
  assert.is(map.find(2), -1);
});

test('an empty interval is a bug of the caller', () => {
  assert.throws(() => {
    new ExtentMap().put(3, 3, 1);
  }, /not empty/u);
});

test.run();
