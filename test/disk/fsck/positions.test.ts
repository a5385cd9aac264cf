/** Which positions `mars log verify --fsck` looks at. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../../src/core/errors.js';
import {CHECKS_DEFAULT, choosePositions} from '../../../src/disk/fsck/positions.js';

const MARKS = [10, 20, 30, 40, 50];

test('the first known state, each flush and the end', () => {
  assert.equal(choosePositions({}, 20, MARKS, 55), [20, 30, 40, 50, 55]);
  assert.equal(choosePositions({every: 1}, 0, MARKS, 50), [0, 10, 20, 30, 40, 50]);
  assert.equal(choosePositions({}, 7, [], 7), [7]);
});

test('each n-th is counted from the end, so that the newest state is one of them', () => {
  assert.equal(choosePositions({every: 2}, 0, MARKS, 50), [10, 30, 50]);
  assert.equal(choosePositions({every: 100}, 0, MARKS, 50), [50]);
  assert.equal(choosePositions({every: 2, from: 30}, 0, MARKS, 55), [40, 55]);
});

test('without a word there are not more than the default', () => {
  const marks = Array.from({length: 10_000}, (_, index) => index + 1);
  const chosen = choosePositions({}, 0, marks, 10_001);
  assert.ok(chosen.length <= CHECKS_DEFAULT);
  assert.ok(chosen.length > CHECKS_DEFAULT / 2);
  assert.is(chosen.at(-1), 10_001);
});

test('one position, inside what is known only', () => {
  assert.equal(choosePositions({at: 33}, 20, MARKS, 55), [33]);
  for (const wish of [{at: 19}, {at: 56}, {from: 19}, {from: 56}]) {
    try {
      choosePositions(wish, 20, MARKS, 55);
      assert.unreachable(JSON.stringify(wish));
    } catch (error) {
      assert.ok(isDiskError(error, 'USAGE'), String(error));
      assert.match((error as Error).message, /0{14}14.*0{14}37/u);
    }
  }
});

test.run();
