import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {inOneMoment} from '../../src/core/moment.js';

test('looks once while nobody gives way, and again afterwards', async () => {
  let looks = 0;
  const look = inOneMoment(() => (looks += 1));
  assert.equal([look(), look(), look()], [1, 1, 1]);
  await Promise.resolve();
  assert.equal([look(), look()], [2, 2]);
  await new Promise((resolve) => setImmediate(resolve));
  assert.is(look(), 3);
});

test('what fails is looked at again', () => {
  let looks = 0;
  const look = inOneMoment(() => {
    looks += 1;
    if (looks === 1) throw new Error('not now');
    return looks;
  });
  assert.throws(look, 'not now');
  assert.is(look(), 2);
});

test.run();
