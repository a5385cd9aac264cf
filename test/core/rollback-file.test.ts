/** The file of a rollback, and what the marks around one say. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {
  beginLabel,
  checkRollback,
  endLabel,
  GIVEN_UP_LABEL,
  isRollbackLabel,
  unfinishedRollback,
  type RollbackFile,
} from '../../src/core/rollback-file.js';
import {isLabel} from '../../src/log/mark-label.js';

const P = '00000000000a0000';
const FILE: RollbackFile = {
  ...{schema: 1, phase: 'running', asked: '-10min', position: P, chain: 'c'.repeat(16)},
  ...{base: '0000000000000000', from: '00000000000b0000', startedAt: '2026-11-28T10:00:00Z'},
};

test('what is written is read; what does not fit together is refused with its fault', () => {
  assert.equal(checkRollback(JSON.parse(JSON.stringify(FILE))), FILE);
  assert.equal(checkRollback({...FILE, from: null}).from, null);
  const faults: readonly [object, RegExp][] = [
    [{phase: 'done'}, /phase/u],
    [{position: 'now'}, /positions/u],
    [{from: undefined}, /positions/u],
    [{asked: 1}, /asked/u],
    [{base: '00000000000a0001'}, /behind/u],
    [{from: '0000000000090000'}, /before/u],
  ];
  for (const [fault, expected] of faults) {
    assert.throws(() => checkRollback({...FILE, ...fault}), expected, JSON.stringify(fault));
  }

  assert.throws(() => checkRollback([]), /object/u);
});

test('the marks of a rollback are marks as others, with names that nobody else may give', () => {
  for (const label of [beginLabel(P), endLabel(P), GIVEN_UP_LABEL]) {
    assert.ok(isLabel(label), label);
    assert.ok(isRollbackLabel(label), label);
  }

  assert.not(isRollbackLabel('before-upgrade'));
});

test('a log ends in a rollback where its last mark of one is that of a begin', () => {
  const marks = (...labels: string[]) => labels.map((label, position) => ({label, position}));
  assert.is(unfinishedRollback(marks('a', 'b')), undefined);
  assert.is(unfinishedRollback(marks(beginLabel(P), 'a', endLabel(P))), undefined);
  assert.is(unfinishedRollback(marks(beginLabel(P), GIVEN_UP_LABEL)), undefined);
  const cut = unfinishedRollback(marks(endLabel(P), beginLabel(P), 'a'));
  assert.equal(cut, {begin: {label: beginLabel(P), position: 1}, to: P});
});

test.run();
