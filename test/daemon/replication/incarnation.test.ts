/** F25: what has the name of a resource now, and what a peer that comes late is told. */
import fs from 'node:fs';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {FactStore, type DeletedResource, type ResourceFacts} from '../../../src/cluster/facts.js';
import type {Member} from '../../../src/cluster/members.js';
import {noteDeleted, readDeleted} from '../../../src/daemon/deleted-resources.js';
import {resourcesElsewhere} from '../../../src/daemon/replication/cluster-port.js';
import {
  describeSuccessor,
  findSuccessor,
  type Successor,
} from '../../../src/daemon/replication/incarnation.js';
import {homePaths} from '../../../src/core/home.js';
import {makeHome, removeHome} from '../fake-node.js';

const OLD = '1'.repeat(32);
const NEW = '2'.repeat(32);
const [FIRST, SECOND, THIRD] = ['a'.repeat(32), 'b'.repeat(32), 'c'.repeat(32)];
const EARLY = '2026-11-20T10:00:00.000Z';
const LATE = '2026-11-22T10:00:00.000Z';

interface Told {
  readonly resources?: readonly Partial<ResourceFacts>[];
  readonly deleted?: readonly DeletedResource[];
}

/** Facts of nodes, as the one that comes late hears them. */
function heard(nodes: Readonly<Record<string, Told>>) {
  const idOf = (name: string): string => Buffer.from(name.padEnd(16, '-')).toString('hex');
  const facts = new FactStore(idOf('late'));
  for (const [name, {resources = [], deleted}] of Object.entries(nodes)) {
    facts.merge(
      [
        {
          ...{nodeId: idOf(name), name, version: 1, at: LATE, address: ''},
          resources: resources.map((each) => ({
            ...{name: 'web', role: 'secondary', designatedRole: 'secondary', lineage: []},
            ...each,
          })) as unknown as ResourceFacts[],
          ...(deleted === undefined ? {} : {deleted: [...deleted]}),
        },
      ],
      0,
    );
  }

  const members = Object.keys(nodes).map((name) => ({id: idOf(name), name}) as Member);
  return {facts, members: () => members};
}

const tombstone = {id: OLD, name: 'web', at: LATE, epoch: SECOND};
const renewed = {id: NEW, createdAt: LATE, role: 'primary', designatedRole: 'primary'} as const;

function late(
  cluster: ReturnType<typeof heard>,
  epochs: readonly string[] = [FIRST],
  isPrimary = false,
): Successor | undefined {
  const lineage = () => epochs.map((epoch) => ({epoch}));
  return findSuccessor(cluster, {id: OLD, name: 'web', createdAt: EARLY, isPrimary, lineage});
}

test('F25: deleted and made anew while it was away: it is told by whom, when, and what to type', () => {
  const found = late(heard({alpha: {resources: [renewed], deleted: [tombstone]}}));
  assert.is(found?.facts?.id, NEW);
  const text = found === undefined ? '' : describeSuccessor('web', found);
  assert.match(text, `web was deleted on alpha at ${LATE}`);
  assert.match(text, 'mars resource join web --replace --dry-run');
});

test('F25: deleted and not made anew: there is nothing to join', () => {
  const found = late(heard({alpha: {deleted: [tombstone]}}), [FIRST, SECOND]);
  assert.ok(found !== undefined && found.facts === undefined);
  assert.match(describeSuccessor('web', found), 'mars resource delete web --dry-run');
});

test('F25: a node that deleted before this was told: the younger one has the name', () => {
  const found = late(heard({alpha: {resources: [renewed]}}));
  assert.ok(found !== undefined && found.deleted === undefined);
  assert.match(describeSuccessor('web', found), 'the one on alpha is another resource');
  const older = {...renewed, createdAt: '2026-11-01T10:00:00.000Z'};
  assert.is(late(heard({alpha: {resources: [older]}})), undefined);
});

test('a replica that somebody is primary of, or that is primary itself, is what others have', () => {
  const beta = {resources: [{id: OLD, designatedRole: 'primary'} as const]};
  const alpha = {resources: [renewed], deleted: [tombstone]};
  assert.is(late(heard({alpha, beta})), undefined);
  assert.is(late(heard({alpha}), [FIRST], true), undefined);
});

test('one that was made primary by force after it was deleted elsewhere lives on', () => {
  const alpha = {deleted: [tombstone]};
  assert.is(late(heard({alpha}), [FIRST, SECOND, THIRD]), undefined);
  assert.ok(late(heard({alpha}), [FIRST, SECOND]));
  assert.ok(late(heard({alpha}), [FIRST]));
});

test('one that the node which deleted it has again is not deleted', () => {
  const alpha = {resources: [{id: OLD}], deleted: [tombstone]};
  assert.is(late(heard({alpha})), undefined);
});

test('F25: who joins by name gets the new one, whoever still has a replica of the old one', () => {
  const alpha = {resources: [renewed], deleted: [tombstone]};
  const beta = {resources: [{id: OLD, lineage: [{epoch: FIRST}]} as unknown as ResourceFacts]};
  for (const nodes of [
    {alpha, beta},
    {beta, alpha},
  ]) {
    const found = resourcesElsewhere(heard(nodes) as never, new Set());
    assert.equal(
      found.map(({facts}) => facts.id),
      [NEW],
    );
  }
});

test('what was deleted is noted once, survives a restart, and its number is bounded', () => {
  const home = makeHome('mars-deleted-');
  try {
    assert.equal(readDeleted(home), []);
    for (let count = 0; count < 300; count += 1) {
      noteDeleted(home, {...tombstone, id: count.toString(16).padStart(32, '0')});
    }

    noteDeleted(home, {...tombstone, id: (299).toString(16).padStart(32, '0'), at: EARLY});
    const kept = readDeleted(home);
    assert.is(kept.length, 256);
    assert.is(kept.at(-1)?.at, EARLY);
    fs.writeFileSync(homePaths(home).deletedFile, '{');
    assert.throws(() => readDeleted(home), /deleted.json is not valid/u);
  } finally {
    removeHome(home);
  }
});

test.run();
