/** What `invalidate` wants before it gives a replica up. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError, type DiskError} from '../../../src/core/errors.js';
import type {Candidate} from '../../../src/daemon/replication/choose-source.js';
import {invalidate, type InvalidReplica} from '../../../src/daemon/replication/invalidate.js';
import {candidate} from './samples.js';

function replica(
  candidates: readonly Candidate[],
  designatedRole: 'primary' | 'secondary' = 'secondary',
): InvalidReplica & {readonly copies: DiskError[]} {
  const copies: DiskError[] = [];
  return {
    resource: {name: 'web', file: {designatedRole}},
    candidates: () => candidates,
    copyAgain: (reason) => {
      copies.push(reason);
      return Promise.resolve();
    },
    copies,
  };
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (isDiskError(error)) return error.code;
    throw error;
  }

  return 'nothing was thrown';
}

const YES = {dryRun: false, confirmed: true};
const PRIMARY = {role: 'primary', designatedRole: 'primary'} as const;

test('a confirmed one is copied from the primary', async () => {
  const one = replica([candidate('gamma'), candidate('beta', PRIMARY)]);
  assert.equal(await invalidate(one, YES), {
    ...{schema: 1, name: 'web', dryRun: false, source: 'beta'},
  });
  assert.is(one.copies.length, 1);
});

test('a dry run and a want of confirmation change nothing', async () => {
  const one = replica([candidate('beta', PRIMARY)]);
  assert.is((await invalidate(one, {dryRun: true, confirmed: false})).source, 'beta');
  assert.is(await codeOf(invalidate(one, {dryRun: false, confirmed: false})), 'CONFIRM_NEEDED');
  assert.equal(one.copies, []);
});

test('nothing is given up on a primary, or without a node that has a whole replica', async () => {
  const cases: [InvalidReplica & {readonly copies: DiskError[]}, string][] = [
    [replica([candidate('beta')], 'primary'), 'RESOURCE_PRIMARY'],
    [replica([]), 'NO_SOURCE'],
    [replica([candidate('beta', PRIMARY, false)]), 'NO_SOURCE'],
    [replica([candidate('beta', {state: 'InConsistent'})]), 'NO_SOURCE'],
    [replica([candidate('beta', {attached: false})]), 'NO_SOURCE'],
  ];
  for (const [one, code] of cases) {
    assert.is(await codeOf(invalidate(one, YES)), code);
    assert.equal(one.copies, []);
  }
});

test.run();
