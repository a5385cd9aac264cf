/** Whom to ask for the role, and what other histories mean for ours. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {ResourceFacts} from '../../../src/cluster/facts.js';
import {formatPosition} from '../../../src/core/position.js';
import type {Candidate} from '../../../src/daemon/replication/choose-source.js';
import type {Grant} from '../../../src/daemon/replication/grant.js';
import {findRight, judge, judgeAll, partingPoint} from '../../../src/daemon/replication/right.js';
import type {LineageEntry} from '../../../src/log/lineage.js';
import {idOf} from './role-world.js';

function epoch(count: number): string {
  return count.toString(16).padStart(32, '0');
}

function entry(count: number, node: string, start: number): LineageEntry {
  return {
    epoch: epoch(count),
    node: idOf(node),
    nodeName: node,
    start: formatPosition(start),
    chain: start.toString(16).padStart(16, '0'),
  };
}

function replica(
  name: string,
  position: number,
  lineage: LineageEntry[],
  more: object = {},
): Candidate {
  const facts = {
    role: 'secondary',
    designatedRole: 'secondary',
    lineage,
    position: formatPosition(position),
    granted: null,
    ...more,
  } as unknown as ResourceFacts;
  return {nodeId: idOf(name), name, linkUp: true, facts};
}

function standing(name: string, position: number, lineage: LineageEntry[]) {
  return {nodeId: idOf(name), lineage, position: formatPosition(position)};
}

function grant(to: string, count: number): Grant {
  const zeros = '0'.repeat(16);
  const at = '2026-11-22T10:00:00.000Z';
  const what = {epoch: epoch(count), position: zeros, chain: zeros};
  return {schema: 1, to: idOf(to), toName: to, at, ...what};
}

const E1 = entry(1, 'alpha', 0);
const E2 = entry(2, 'beta', 900);
const E3 = entry(3, 'alpha', 900);

test('whom to ask: a grant for us, then a primary, then who was primary last', () => {
  const own = {nodeId: idOf('alpha'), lineage: [E1], grant: undefined};
  assert.equal(findRight(own, []), {kind: 'own'});
  assert.equal(findRight({...own, lineage: []}, []), {kind: 'own'});
  const beta = {kind: 'ask', nodeId: idOf('beta'), name: 'beta'};
  assert.equal(findRight(own, [replica('beta', 0, [E1], {designatedRole: 'primary'})]), beta);
  assert.equal(findRight(own, [replica('beta', 950, [E1, E2])]), beta, 'its epoch is newer');
  assert.equal(findRight({...own, lineage: [E1, E2]}, []), beta);
  const granted = {to: idOf('alpha'), epoch: E2.epoch, position: E2.start};
  const gamma = replica('gamma', 0, [E1], {role: 'primary'});
  assert.equal(findRight(own, [gamma, replica('beta', 0, [E1, E2], {granted})]), beta);
  const taken = {...own, lineage: [E1, E2, entry(4, 'alpha', 950)]};
  assert.equal(findRight(taken, [replica('beta', 950, [E1, E2], {granted})]), {kind: 'own'});
});

test('an own grant counts until it is seen to be taken', () => {
  const own = {nodeId: idOf('alpha'), lineage: [E1], grant: grant('beta', 1)};
  assert.is(findRight(own, []).kind, 'granted');
  assert.is(findRight(own, [replica('beta', 900, [E1])]).kind, 'granted');
  assert.is(findRight(own, [replica('beta', 900, [E1, E2])]).kind, 'ask');
});

test('a replica that has less, or more of the same, takes nothing from a primary', () => {
  const own = standing('alpha', 900, [E1]);
  assert.is(judge(own, replica('beta', 500, [E1])).kind, 'newest');
  assert.is(judge(own, replica('beta', 900, [E1])).kind, 'newest');
  assert.is(judge(own, replica('beta', 1000, [E1])).kind, 'newest', 'a tail that we have lost');
  assert.is(judge(own, replica('beta', 0, [])).kind, 'newest');
});

test('one that has gone on from our end, or behind it, comes after us', () => {
  const after = {kind: 'superseded', by: idOf('beta'), byName: 'beta', at: E2.start};
  assert.equal(judge(standing('alpha', 900, [E1]), replica('beta', 950, [E1, E2])), after);
  assert.equal(judge(standing('alpha', 500, [E1]), replica('beta', 950, [E1, E2])), after);
  const starting = replica('beta', 0, [E1, E2], {position: null});
  assert.equal(judge(standing('alpha', 900, [E1]), starting), after, 'its epoch has just begun');
  const empty = standing('alpha', 900, [E1, E3]);
  assert.equal(judge(empty, replica('beta', 950, [E1, E2])), after, 'our epoch has no record');
});

test('records of our own beyond it make a fork, with or without a new epoch', () => {
  const forked = {kind: 'forked', by: idOf('beta'), byName: 'beta', at: E2.start};
  const beta = replica('beta', 950, [E1, E2]);
  assert.equal(judge(standing('alpha', 901, [E1]), beta), forked);
  assert.equal(judge(standing('alpha', 1000, [E1, E3]), beta), forked);
  const starting = replica('beta', 0, [E1, E2], {position: null});
  assert.equal(judge(standing('alpha', 901, [E1]), starting), forked);
  assert.is(
    judgeAll(standing('alpha', 901, [E1]), [replica('gamma', 1, [E1]), beta]).kind,
    'forked',
  );
  assert.is(judge(standing('alpha', 5, [E1]), replica('beta', 5, [E2])).kind, 'unrelated');
});

test('both sides of a fork see where it is', () => {
  for (const lineage of [[E1], [E1, E3]]) {
    const alpha = standing('alpha', 1000, lineage);
    const beta = standing('beta', 950, [E1, E2]);
    assert.is(partingPoint(alpha, replica('beta', 950, [E1, E2])), 900);
    assert.is(partingPoint(beta, replica('alpha', 1000, lineage)), 900);
    assert.is(partingPoint(alpha, replica('beta', 900, lineage)), undefined);
  }
});

test('hazard 8: a tail that its origin lost is no fork', () => {
  const primary = standing('alpha', 950, [E1, E3]);
  assert.is(partingPoint(primary, replica('beta', 1000, [E1])), undefined);
  assert.is(partingPoint(standing('beta', 1000, [E1]), replica('alpha', 950, [E1, E3])), undefined);
});

test.run();
