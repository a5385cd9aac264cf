/** Two primaries that have written nothing yet: no fork, and no green status either. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {Context} from '../../../src/daemon/context.js';
import type {Candidate} from '../../../src/daemon/replication/choose-source.js';
import {noteOtherPrimaries} from '../../../src/daemon/replication/other-primaries.js';
import type {Resource} from '../../../src/daemon/resource.js';
import {candidate, disk} from './samples.js';

/** What is shown after `seconds` looks, a second apart. */
function shown(
  others: readonly Candidate[],
  {
    seconds = 10,
    mode = 'serve',
    ageMs = () => 1000,
  }: {seconds?: number; mode?: 'serve' | 'follow'; ageMs?: (second: number) => number} = {},
): string[] {
  const messages: {code: string}[] = [];
  let second = 0;
  const resource = {
    name: 'web',
    disk: disk({mode}),
    messages,
    say: (code: string) => messages.splice(0, 1, {code}),
    hush: () => messages.splice(0),
  };
  const told: string[] = [];
  const context = {
    clock: {monotonicMs: () => second * 1000},
    tell: (code: string) => told.push(code),
  };
  for (; second < seconds; second += 1) {
    const at = [context as unknown as Context, resource as unknown as Resource] as const;
    noteOtherPrimaries(...at, others, () => ageMs(second));
  }

  assert.ok(told.length <= 1, 'told once');
  return messages.map(({code}) => code);
}

const alpha = candidate('alpha', {role: 'primary', designatedRole: 'primary'});

test('another node that is primary as well is shown', () => {
  assert.equal(shown([candidate('beta'), alpha]), ['TWO_PRIMARIES']);
  assert.equal(shown([candidate('beta')]), []);
  assert.equal(shown([alpha], {mode: 'follow'}), [], 'it follows');
});

test('the last word of a node that hands over, or has died, is none', () => {
  const handing = candidate('alpha', {role: 'primary', designatedRole: 'secondary'});
  assert.equal(shown([handing]), []);
  assert.equal(shown([alpha], {seconds: 5}), [], 'it was primary until a moment ago');
  assert.equal(shown([alpha], {ageMs: (second) => second * 1000}), [], 'nothing new is heard');
});

test.run();
