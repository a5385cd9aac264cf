import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {closingLine, onlyMissedDeadlines, totalsOf} from './totals.js';

const FAILED_WAIT = `
✘   (0 / 1)

   FAIL  "the daemon may be killed at any moment"
    /usr/bin/node bin/run.js primary web01: no end within 60000 ms
web01: waits to become primary, 3.0 s of at most 60 s

    at Timeout._onTimeout (file:///x/run.ts:46:14)
`;
const FAILED_UNTIL = `
   FAIL  "both follow"
    after 20000 ms still no equal positions

    at until (/x/run.ts:90:40)
`;
const FAILED_HASH = `
   FAIL  "images are equal"
    Expected values to be strictly equal:
        ++8f3a    (Expected)
        --77b1    (Actual)

    at assert (/x/index.mjs:30:8)
`;

test('a wait that came to its end may be the fault of a busy machine', () => {
  assert.ok(onlyMissedDeadlines(FAILED_WAIT));
  assert.ok(onlyMissedDeadlines(FAILED_UNTIL + FAILED_WAIT));
});

test('a wrong byte is nobody else’s fault, whatever failed beside it', () => {
  assert.not(onlyMissedDeadlines(FAILED_HASH));
  assert.not(onlyMissedDeadlines(FAILED_WAIT + FAILED_HASH));
  assert.not(onlyMissedDeadlines(FAILED_HASH + FAILED_UNTIL));
});

test('a crash without a summary missed no deadline', () => {
  assert.not(onlyMissedDeadlines('Error: no end within 60000 ms'));
});

test('a run that ended early, or in which nothing ran, is a failure', () => {
  assert.is(totalsOf('Exiting early before testing is finished.', 1, 'x').failed, 1);
  assert.is(totalsOf('', 0, 'x').failed, 1);
  assert.is(totalsOf('', null, 'x').failed, 1);
});

test('what says SKIP inside a test that passed counts as skipped', () => {
  const output = 'SKIP grow: no loop\n  Total:     3\n  Passed:    3\n  Skipped:   0\n';
  assert.is(closingLine(totalsOf(output, 0, 'grow.e2e.ts')), '2 passed, 0 failed, 1 skipped');
});

test.run();
