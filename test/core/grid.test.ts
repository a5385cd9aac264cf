import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {untilNext} from '../../src/core/grid.js';

test('all who look once a period wake up at the same times', () => {
  for (const wallMs of [0, 1, 500, 899]) assert.is((wallMs + untilNext(1000, wallMs)) % 1000, 0);
  assert.is(untilNext(1000, 1_700_000_000_250), 750);
});

test('a timer that came a little early is not set again for the rest', () => {
  assert.is(untilNext(1000, 1999), 1001);
  assert.is(untilNext(2000, 2000), 2000);
});

test.run();
