import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {formatPosition} from '../../../src/core/position.js';
import {chooseSource} from '../../../src/daemon/replication/choose-source.js';
import {candidate, entry, idOf} from './samples.js';

const own = {lineage: [entry('e', 0)], position: formatPosition(1000), copying: false};
const copying = {...own, copying: true};

test('the primary is the source, wherever it stands', () => {
  const others = [
    candidate('beta', {position: formatPosition(2000)}),
    candidate('alpha', {role: 'primary'}),
  ];
  assert.is(chooseSource(own, others).source?.name, 'alpha');
});

test('without a primary: the replica that is furthest ahead on our history', () => {
  const others = [
    candidate('beta', {position: formatPosition(1500)}),
    candidate('gamma', {position: formatPosition(2000)}),
    candidate('delta', {position: formatPosition(9000), lineage: [entry('f', 0)]}),
  ];
  assert.is(chooseSource(own, others).source?.name, 'gamma');
});

test('one that has begun an epoch after ours is ahead, though its position is not', () => {
  const next = [entry('e', 0), entry('d', 900, 'b')];
  const others = [candidate('beta', {position: formatPosition(900), lineage: next})];
  assert.is(chooseSource(own, others).source?.name, 'beta');
});

test('nobody is ahead: none, and the reason says so', () => {
  const {source, reason} = chooseSource(own, [candidate('beta')]);
  assert.is(source, undefined);
  assert.match(reason, 'no node is primary');
  assert.match(chooseSource(own, []).reason, 'no other node');
});

test('a copy is taken from a whole replica only', () => {
  const others = [
    candidate('beta', {state: 'Syncing', sync: {doneBytes: 1, totalBytes: 2}}),
    candidate('gamma', {state: 'InConsistent'}),
  ];
  assert.is(chooseSource(copying, others).source, undefined);
  assert.is(chooseSource(copying, [...others, candidate('delta')]).source?.name, 'delta');
});

test('who has just refused is the last resort', () => {
  const others = [
    candidate('alpha', {role: 'primary'}),
    candidate('beta', {position: formatPosition(2000)}),
  ];
  assert.is(chooseSource(own, others, new Set([idOf('a')])).source?.name, 'beta');
  assert.is(chooseSource(own, others.slice(0, 1), new Set([idOf('a')])).source?.name, 'alpha');
});

test('a silent primary is tried: facts may be late', () => {
  assert.is(
    chooseSource(own, [candidate('alpha', {role: 'primary'}, false)]).source?.name,
    'alpha',
  );
});

test('of two primaries the one that goes on from our history', () => {
  const others = [
    candidate('alpha', {role: 'primary', lineage: [entry('f', 0)], position: formatPosition(5000)}),
    candidate('beta', {role: 'primary', position: formatPosition(1001)}),
  ];
  assert.is(chooseSource(own, others).source?.name, 'beta');
});

test('a branch that is here is not given up for another primary while its own is heard of', () => {
  const forced = [entry('e', 0), entry('d', 900, 'a')];
  const alpha = candidate('alpha', {
    ...{role: 'primary', lineage: forced, position: formatPosition(3000)},
  });
  const beta = candidate('beta', {role: 'primary'});
  const chosen = (link: boolean, avoided = new Set<string>()): string | undefined =>
    chooseSource(own, [alpha, {...beta, linkUp: link}], avoided).source?.name;
  assert.is(chosen(true), 'beta');
  assert.is(chosen(true, new Set([idOf('b')])), 'beta');
  assert.is(chosen(false), 'alpha');
  // Who stands where the other one began has nothing to give up, and may follow either.
  const short = {...own, position: formatPosition(900)};
  assert.is(chooseSource(short, [alpha, beta]).source?.name, 'alpha');
  // Back from the other branch: the same holds there.
  const followed = {...own, lineage: forced, position: formatPosition(3000)};
  assert.is(chooseSource(followed, [alpha, beta], new Set([idOf('a')])).source?.name, 'alpha');
});

test.run();
