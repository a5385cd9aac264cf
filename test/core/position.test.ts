import {test} from 'uvu';
import * as assert from 'uvu/assert';
import * as fc from 'fast-check';
import {formatPosition, parsePosition} from '../../src/core/position.js';

const positions = fc.integer({min: 0, max: Number.MAX_SAFE_INTEGER});

test('a position survives its text', () => {
  fc.assert(
    fc.property(positions, (position) => {
      assert.is(parsePosition(formatPosition(position)), position);
      assert.is(formatPosition(position).length, 16);
    }),
  );
});

test('text order is number order', () => {
  fc.assert(
    fc.property(positions, positions, (a, b) => {
      assert.is(formatPosition(a) < formatPosition(b), a < b);
    }),
  );
});

for (const text of [
  '',
  'g',
  '0x1',
  '-1',
  '1.5',
  ' 1',
  'A',
  '0'.repeat(17),
  'f'.repeat(16),
  '20000000000000',
]) {
  test(`'${text}' is no position`, () => {
    assert.is(parsePosition(text), undefined);
  });
}

test('a number that is no position is a bug', () => {
  for (const bad of [-1, 0.5, NaN, 2 ** 53]) assert.throws(() => formatPosition(bad), /position/u);
});

test.run();
