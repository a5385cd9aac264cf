/** The schedule of a torture run is data that its seed makes. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {describeStep, makeSchedule} from './schedule.js';

const OPTIONS = {seed: 7, minutes: 30, nodes: 3, judgeMs: 60_000};

test('a seed makes the same schedule again, another one another', () => {
  assert.equal(makeSchedule(OPTIONS), makeSchedule(OPTIONS));
  assert.not.equal(makeSchedule(OPTIONS), makeSchedule({...OPTIONS, seed: 8}));
});

test('every kind of deed comes, in order, judged once a minute and at the end', () => {
  const steps = makeSchedule(OPTIONS);
  const kinds = new Set(steps.map(({kind}) => kind));
  assert.is(kinds.size, 12, [...kinds].join());
  assert.ok(steps.every(({atMs}, index) => atMs >= (steps[index - 1]?.atMs ?? 0)));
  const judged = steps.filter(({kind}) => kind === 'judge').map(({atMs}) => atMs);
  assert.ok(judged.every((atMs, index) => atMs - (judged[index - 1] ?? 0) <= 65_000));
  assert.is(steps.at(-1)?.kind, 'judge');
});

test('a step is one line, with all that it does', () => {
  const step = {atMs: 1500, kind: 'link', how: 'cut', pair: 0, forMs: 20} as const;
  assert.is(describeStep(step), '1.5 s link how=cut pair=0 forMs=20');
});

test.run();
