/** What `mars verify` prints, and its exit status: pure. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {describeVerified, renderVerify} from '../../src/cli/render-verify.js';
import {verifyExit} from '../../src/cli/run-verify.js';
import type {VerifyReport} from '../../src/control/verify-api.js';
import type {ErrorCode} from '../../src/core/codes.js';
import {fakeVerify} from '../helpers/fake-daemon.js';

const NOW_MS = Date.parse('2026-11-22T11:00:00Z');
const WISH = {repair: false, dryRun: false};

function report(changes: Partial<VerifyReport> = {}): VerifyReport {
  return {
    ...fakeVerify(),
    ...{id: 'run', node: 'beta', endedAt: '2026-11-22T10:00:00Z', fromPosition: '0', rangeCount: 0},
    ...{ranges: [], repairedBytes: null, error: null},
    ...changes,
  };
}

function different(count = 1): VerifyReport {
  const ranges = Array.from({length: count}, (_, index) => ({offset: index * 8192, length: 4096}));
  const found = {differentBytes: count * 4096, rangeCount: count, ranges};
  return report({state: 'different', ...found});
}

function failed(code: ErrorCode): VerifyReport {
  return report({state: 'failed', error: {code, message: 'why', details: {}}});
}

function render(replicas: readonly VerifyReport[], wish = WISH): string {
  return renderVerify({schema: 1, name: 'web01', reference: 'alpha', replicas}, wish);
}

for (const [title, replicas, exit] of [
  ['all equal', [report(), report()], 0],
  ['one differs', [report(), different()], 6],
  ['one differs, another is away', [failed('PEER_UNREACHABLE'), different()], 6],
  ['one is away', [report(), failed('PEER_UNREACHABLE')], 4],
  ['it did not get there', [failed('VERIFY_BEHIND')], 5],
  ['it was stopped', [failed('VERIFY_STOPPED')], 3],
  ['a code of a later version', [failed('LATER' as ErrorCode)], 3],
  ['it goes on, by wish', [report({state: 'running'})], 0],
] as const) {
  test(`exit status ${exit}: ${title}`, () => {
    assert.is(verifyExit(replicas), exit);
  });
}

test('each replica has a line, ranges are listed up to a limit, and the next command is named', () => {
  const text = render([report({node: 'gamma'}), different(10)]);
  assert.match(text, /gamma: equal, 1 KiB, at 0000000000001000/u);
  assert.match(text, /beta: DIFFERENT in 40 KiB \(10 ranges\)/u);
  assert.match(text, /offset 57344, 4096 bytes\n {4}and 2 more ranges/u);
  assert.match(text, /do: mars explain VERIFY_DIFFERENT/u);
  assert.ok(text.split('\n').every((line) => line.length <= 80));
  assert.not.match(render([report()]), /do:/u);
});

test('a dry run says how it is really done; a repair says what was copied', () => {
  const dry = render([different()], {repair: true, dryRun: true});
  assert.match(dry, /do: mars verify web01 --repair --yes/u);
  const done = render([report({repairedBytes: 8192})], {repair: true, dryRun: false});
  assert.match(done, /equal, 1 KiB.*; 8 KiB were\s+copied to it/su);
});

test('what did not come to its end says why, and what it had found', () => {
  const text = render([{...different(), state: 'failed', error: failed('LOG_GONE').error}]);
  assert.match(text.replaceAll(/\s+/gu, ' '), /failed, .*DIFFERENT in 4 KiB .*: LOG_GONE: why/u);
});

for (const [title, words, summary] of [
  ['never', /^never compared$/u, null],
  ['equal', /^equal to alpha, 2026-11-22 10:00:00Z \(60 min\)$/u, fakeVerify()],
  [
    'different',
    /^4 KiB DIFFER from alpha, /u,
    fakeVerify({state: 'different', differentBytes: 4096}),
  ],
  [
    'running',
    /^running against alpha, 50 %; before: /u,
    fakeVerify({state: 'running', doneBytes: 512}),
  ],
  ['broken off', /never to the end$/u, fakeVerify({state: 'stopped', verifiedAt: null})],
] as const) {
  test(`a status says of a replica: ${title}`, () => {
    assert.match(describeVerified(summary, NOW_MS), words);
  });
}

test.run();
