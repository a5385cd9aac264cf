/** Which files of a log go: every need keeps its file and all behind it, and the end always stays. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {SegmentFile, SpareFile} from '../../src/log/directory.js';
import {lowestNeed, planPrune, type LogNeed, type PruneInput} from '../../src/log/prune-plan.js';
import {readyHeader} from '../../src/log/segment-files.js';

const FILE_BYTES = 1000;
const plan = {
  ...{directory: '/log', resourceId: 'a'.repeat(32), originId: 'b'.repeat(32)},
  ...{originName: 'alpha', fileBytes: FILE_BYTES},
};

/** Five segments: 0 to 100, ... 400 to the end. */
const segments = [0, 100, 200, 300, 400].map((start, index) => segment(index + 1, start));

function segment(number: number, start: number): SegmentFile {
  const header = {...readyHeader(plan, number), started: true, start};
  const name = `log-${number}-alpha`;
  return {name, path: `/log/${name}`, header, fileBytes: FILE_BYTES};
}

function spare(name: string, isUnreadable = false): SpareFile {
  return {name, path: `/log/${name}`, isUnreadable};
}

function need(position: number, by: LogNeed['by'] = 'replay'): LogNeed {
  return {by, node: null, position, text: `${by} at ${position}`};
}

function planOf(change: Partial<PruneInput>, spares: readonly SpareFile[] = []) {
  return planPrune({
    listing: {segments, spares, numberMax: 5},
    needs: [],
    hasDisk: false,
    fileBytes: FILE_BYTES,
    sparesKept: 2,
    sizeOf: () => FILE_BYTES,
    ...change,
  });
}

const actions = (planned: ReturnType<typeof planOf>): string =>
  planned.map(({action}) => action[0]).join('');

for (const [position, expected] of [
  [0, 'kkkkk'],
  [99, 'kkkkk'],
  [100, 'skkkk'],
  [199, 'skkkk'],
  [200, 'sskkk'],
  [300, 'ssskk'],
  [400, 'ssskk'],
  [5000, 'ssskk'],
] as const) {
  test(`needed from ${position} on: ${expected}`, () => {
    assert.is(actions(planOf({needs: [need(position)]})), expected);
    // Whoever needs less does not matter.
    assert.is(actions(planOf({needs: [need(900), need(position, 'slot')]})), expected);
  });
}

test('a file that stays says who needs it', () => {
  const planned = planOf({needs: [need(150, 'slot'), need(250)]});
  assert.is(planned[1]?.reason, 'slot at 150');
  assert.is(planned[2]?.reason, 'slot at 150; replay at 250');
  assert.equal(
    planned[2]?.neededBy.map(({by}) => by),
    ['slot', 'replay'],
  );
  assert.is(lowestNeed([need(150), need(250)]), 150);
  assert.is(lowestNeed([]), Infinity);
});

test('a segment whose place another has taken is not judged', () => {
  const replaced = segment(2, 100);
  const taken = segment(3, 100);
  const listing = {segments: [segment(1, 0), replaced, taken, segment(4, 200)], spares: []};
  const planned = planOf({listing: {...listing, numberMax: 4}, needs: [need(900)]});
  assert.equal(
    planned.map(({file, action}) => [file, action]),
    [
      ['log-1-alpha', 'spare'],
      ['log-3-alpha', 'keep'],
      ['log-4-alpha', 'keep'],
      ['log-2-alpha', 'keep'],
    ],
  );
});

test('without a disk process some spares stay, the others are deleted', () => {
  const spares = ['a', 'b', 'c'].map((name) => spare(`spare-${name}`));
  const needs = [need(0)];
  assert.is(actions(planOf({needs}, spares).slice(5)), 'kkd');
  assert.is(actions(planOf({needs: [need(100)]}, spares).slice(5)), 'kdd', 'one was given up');
  assert.is(actions(planOf({needs, hasDisk: true}, spares).slice(5)), 'kkk', 'it is not for us');
  assert.is(actions(planOf({needs, sizeOf: () => 1}, spares).slice(5)), 'ddd', 'of no use');
});

test('what may still prove where the log ends stays, and so does what was made ready', () => {
  const spares = [spare('log-6-alpha', true), spare('log-7-alpha')];
  const planned = planOf({needs: [need(900)], sparesKept: 0}, spares).slice(5);
  assert.is(actions(planned), 'kk');
  assert.is(planned[0]?.kind, 'torn');
});

test.run();
