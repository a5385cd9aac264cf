/** How a moment is named: times in all forms, how long ago, positions, marks. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {parseWhen} from '../../src/core/when.js';
import {isLabel} from '../../src/log/mark-label.js';

/** In whatever zone this runs. */
const NOW = new Date(2026, 10, 22, 10, 15, 30).getTime();

function timeOf(text: string): string {
  const when = parseWhen(text, NOW);
  if (when.kind !== 'time') throw new Error(`${text} is a ${when.kind}`);
  return new Date(when.timeMs).toISOString();
}

test('RFC 3339, with any zone', () => {
  assert.is(timeOf('2026-11-22T10:15:00Z'), '2026-11-22T10:15:00.000Z');
  assert.is(timeOf('2026-11-22t10:15:00.250z'), '2026-11-22T10:15:00.250Z');
  assert.is(timeOf('2026-11-22T10:15:00+02:00'), '2026-11-22T08:15:00.000Z');
  assert.is(timeOf('2026-11-22 10:15Z'), '2026-11-22T10:15:00.000Z');
});

test('local times, with and without seconds; a day is its begin', () => {
  const at = (...parts: [number, number, number, number?, number?, number?]): string =>
    new Date(
      parts[0],
      parts[1],
      parts[2],
      parts[3] ?? 0,
      parts[4] ?? 0,
      parts[5] ?? 0,
    ).toISOString();
  assert.is(timeOf('2026-11-22 10:15'), at(2026, 10, 22, 10, 15));
  assert.is(timeOf('2026-11-22T10:15:07'), at(2026, 10, 22, 10, 15, 7));
  assert.is(timeOf('2026-11-22'), at(2026, 10, 22));
  assert.is(timeOf('10:15'), at(2026, 10, 22, 10, 15));
  assert.is(timeOf('10:16'), at(2026, 10, 21, 10, 16), 'the last time that has passed');
});

test('how long ago', () => {
  const ago = (ms: number): string => new Date(NOW - ms).toISOString();
  assert.is(timeOf('-10min'), ago(600_000));
  assert.is(timeOf('-10m'), ago(600_000));
  assert.is(timeOf('-90s'), ago(90_000));
  assert.is(timeOf('-1.5h'), ago(5_400_000));
  assert.is(timeOf('-2d'), ago(172_800_000));
  assert.is(timeOf('now'), ago(0));
});

test('a position, or the label of a mark', () => {
  const position = '00000001a2f3c410';
  assert.equal(parseWhen(position, NOW), {kind: 'position', position});
  assert.equal(parseWhen('before-upgrade', NOW), {kind: 'mark', label: 'before-upgrade'});
});

test('what is no moment is refused with what would be one', () => {
  const wrong = [
    '',
    '-10',
    '-10x',
    '2026-13-01',
    '2026-02-30',
    '25:00',
    '10:60',
    '12',
    '1a',
    '-',
    'ä',
    'a b',
  ];
  for (const text of wrong) {
    assert.throws(
      () => parseWhen(text, NOW),
      (error: unknown) => isDiskError(error, 'USAGE'),
      text,
    );
  }
});

test('whatever can be a label is read as one', () => {
  for (const label of ['a', 'before-upgrade', 'v1.2:done', 'x'.repeat(63)]) {
    assert.ok(isLabel(label));
    assert.equal(parseWhen(label, NOW), {kind: 'mark', label});
  }

  for (const text of ['', 'now', '1st', '-a', 'a/b', 'x'.repeat(64), 'abcdefabcdefabcd', 'a b']) {
    assert.not.ok(isLabel(text), text);
  }
});

test.run();
