/** What is kept of the last comparison, as a daemon finds it. */
import fs from 'node:fs';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {VerifyReport} from '../../../src/control/verify-api.js';
import {CrashNode} from '../crash/crash-rig.js';

const REPORT: VerifyReport = {
  ...{id: 'run', node: 'alpha', with: 'beta', state: 'different'},
  ...{startedAt: '2026-11-28T10:00:00.000Z', endedAt: '2026-11-28T10:00:01.000Z'},
  ...{verifiedAt: '2026-11-28T10:00:01.000Z'},
  ...{fromPosition: '0000000000000000', position: '0000000000001000'},
  ...{doneBytes: 8192, totalBytes: 8192, differentBytes: 4096},
  ...{rangeCount: 1, ranges: [{offset: 4096, length: 4096}], repairedBytes: null, error: null},
};

/** A node that starts with this in its verify.json. */
async function startWith(document: unknown) {
  const node = new CrashNode('alpha');
  node.begin(1, {position: 0, chain: {low: 0, high: 0}});
  fs.writeFileSync(node.paths.verifyFile, JSON.stringify(document));
  const replica = node.replica();
  const {report} = replica.verify;
  const codes = replica.resource.messages.map(({code}) => code);
  await replica.verify.close();
  return {report, codes};
}

test('what differed still does after a restart', async () => {
  const {report, codes} = await startWith({schema: 1, report: REPORT});
  assert.equal(report, REPORT);
  assert.equal(codes, ['VERIFY_DIFFERENT']);
});

test('a run that a daemon did not end is told as stopped', async () => {
  const {report} = await startWith({schema: 1, report: {...REPORT, state: 'checking'}});
  assert.is(report?.state, 'stopped');
  assert.is(report?.error?.code, 'VERIFY_STOPPED');
  assert.is(report?.differentBytes, 4096);
});

test('what is no report is none: nothing is told from it', async () => {
  const without = {...REPORT, ranges: undefined};
  for (const value of [{}, {report: {state: 'different'}}, {report: without}, {report: null}]) {
    const {report, codes} = await startWith({schema: 1, ...value});
    assert.is(report, undefined, JSON.stringify(value));
    assert.equal(codes, [], JSON.stringify(value));
  }
});

test.run();
