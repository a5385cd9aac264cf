/** What a node tells of its replicas. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {resourceFacts} from '../../../src/daemon/replication/facts.js';
import type {GivenUp} from '../../../src/daemon/replication/next-view.js';
import type {DiskFollow} from '../../../src/core/disk-status.js';
import type {LineageEntry} from '../../../src/log/lineage.js';
import {disk, file} from './samples.js';

const [ALPHA, BETA] = ['a'.repeat(32), 'b'.repeat(32)];

function entry(digit: string, node: string): LineageEntry {
  const zeros = '0'.repeat(16);
  return {epoch: digit.repeat(32), node, nodeName: node.slice(0, 1), start: zeros, chain: zeros};
}

const LINEAGE = [entry('1', BETA), entry('2', ALPHA), entry('3', BETA), entry('4', BETA)];

function factsOf(follow: Partial<DiskFollow>, givenUp?: GivenUp | null) {
  return resourceFacts({
    nodeId: BETA,
    file: file(),
    role: 'secondary',
    state: 'Syncing',
    disk: disk({}, follow),
    lineage: LINEAGE,
    ...(givenUp === undefined ? {} : {givenUp}),
    openCount: null,
    grant: undefined,
    forked: null,
    sync: null,
    messages: [],
    replication: null,
    since: null,
    verify: undefined,
    waiting: null,
  });
}

function told(phase: DiskFollow['phase']): string[] {
  return factsOf({phase}).lineage.map(({epoch}) => epoch.slice(0, 1));
}

test('a replica tells the epochs that its log has', () => {
  assert.equal(told('following'), ['1', '2', '3', '4']);
});

test('one that is copied anew does not tell the branch that it gave up, but what others began', () => {
  assert.equal(told('empty'), ['1', '2']);
  assert.equal(told('syncing'), ['1', '2']);
});

test('one that is repaired beside tells only what stays of its history, and one that fell behind all of it', () => {
  const next = {kind: 'repair', phase: 'copying', received: '1'.repeat(16)} as const;
  const progress = {doneBytes: 0, totalBytes: 1};
  const at = '0'.repeat(15) + '1';
  const givenUp = factsOf({phase: 'stopped', next: {...next, ...progress, at}});
  assert.equal(
    givenUp.lineage.map(({epoch}) => epoch.slice(0, 1)),
    ['1', '2'],
  );
  assert.equal([givenUp.position, givenUp.replayed, givenUp.chain], [at, at, null]);
  assert.is(givenUp.epoch, '2'.repeat(32));
  const behind = factsOf({phase: 'stopped', next: {...next, ...progress, at: null}});
  assert.is(behind.lineage.length, 4);
  assert.is(behind.position, disk().position);
});

test('while no disk process runs its files count, not the last word of the one before', () => {
  const at = '0'.repeat(15) + '1';
  const repaired = factsOf({phase: 'following'}, {at});
  assert.equal(
    repaired.lineage.map(({epoch}) => epoch.slice(0, 1)),
    ['1', '2'],
  );
  assert.equal([repaired.position, repaired.replayed, repaired.chain], [at, at, null]);
  assert.is(repaired.epoch, '2'.repeat(32));
  assert.is(factsOf({phase: 'following'}, {at: null}).lineage.length, 2);
  const next = {
    kind: 'repair',
    phase: 'copying',
    received: at,
    doneBytes: 0,
    totalBytes: 1,
  } as const;
  const broughtBack = factsOf({phase: 'stopped', next: {...next, at}}, null);
  assert.is(broughtBack.lineage.length, 4);
  assert.is(broughtBack.position, disk().position);
});

test.run();
