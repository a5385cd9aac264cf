/** When a grant was taken, as lineages tell it. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isTaken} from '../../../src/daemon/replication/grant.js';
import type {LineageEntry} from '../../../src/log/lineage.js';

const [ALPHA, BETA] = ['a'.repeat(32), 'b'.repeat(32)];
const START = '0000000000000000';
const END = '0000000000001000';

function entry(digit: string, node: string, start: string): LineageEntry {
  const epoch = digit.repeat(32);
  return {epoch, node, nodeName: node.slice(0, 1), start, chain: START};
}

const first = entry('1', ALPHA, START);
const empty = entry('2', ALPHA, END);
const taken = entry('3', BETA, END);

test('a grant is taken where the lineage goes beyond its epoch', () => {
  const grant = {epoch: first.epoch, position: END, known: []};
  assert.not(isTaken(grant, []));
  assert.not(isTaken(grant, [first]));
  assert.ok(isTaken(grant, [first, taken]));
});

test('a grant from an epoch in which nothing was written is taken by another that begins there', () => {
  const grant = {epoch: empty.epoch, position: END, known: [empty.epoch]};
  assert.not(isTaken(grant, [first]));
  assert.not(isTaken(grant, [first, empty]));
  assert.ok(isTaken(grant, [first, taken]));
  assert.not(isTaken({...grant, known: [empty.epoch, taken.epoch]}, [first, taken]));
});

test('a grant of an earlier version is judged by its epoch alone', () => {
  assert.not(isTaken({epoch: empty.epoch, position: END, known: undefined}, [first, taken]));
});

test.run();
