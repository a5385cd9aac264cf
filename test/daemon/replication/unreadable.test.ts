/** A node that cannot read the files of its replica: others keep its log, and say so. */
import fs from 'node:fs';
import {dirname} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {checkFacts, FactStore} from '../../../src/cluster/facts.js';
import type {Member} from '../../../src/cluster/members.js';
import type {PeerCaller} from '../../../src/cluster/peer-caller.js';
import {resourcePaths} from '../../../src/core/home.js';
import {DiskError} from '../../../src/core/errors.js';
import {
  mayNeedLog,
  unreadableAt,
  type ClusterPort,
} from '../../../src/daemon/replication/cluster-port.js';
import {noteUnreadable} from '../../../src/daemon/replication/notes.js';
import {Replication} from '../../../src/daemon/replication/replication.js';
import {Resource} from '../../../src/daemon/resource.js';
import {makeHome, removeHome} from '../fake-node.js';
import {roleContext} from './role-context.js';
import {file, idOf} from './samples.js';

interface State {
  home: string;
  replication: Replication;
  context: ReturnType<typeof roleContext>;
}

const test = suite<State>('replicas that cannot be read');
const NAME = 'web01';
const BETA = idOf('b');
const clock = {wallMs: () => 1000, monotonicMs: () => 1000};

function clusterOf(facts: FactStore): ClusterPort {
  const beta = {id: BETA, name: 'beta'} as unknown as Member;
  return {
    selfId: 'a1'.repeat(16),
    members: () => [beta],
    isRemoved: () => false,
    facts,
    caller: {} as PeerCaller,
    touch: () => undefined,
  };
}

test.before.each((state) => {
  state.home = makeHome('mars-unreadable-');
  state.context = roleContext({home: state.home, told: [], roles: {replicas: () => []}});
  state.replication = new Replication(state.context, clusterOf(new FactStore('a1'.repeat(16))));
});
test.after.each(async ({home, replication}) => {
  await replication.close();
  removeHome(home);
});

test('a resource whose slots.json is not valid is told by its name, and by nothing else', ({
  home,
  context,
  replication,
}) => {
  const {slotsFile} = resourcePaths(home, NAME);
  fs.mkdirSync(dirname(slotsFile), {recursive: true});
  fs.writeFileSync(slotsFile, '{"schema": 1, "slots": ');
  replication.add(new Resource(context, NAME, file({name: NAME})));
  assert.equal(replication.facts(), []);
  assert.equal(replication.unreadable(), [NAME]);
});

test('so is one whose resource.json is not valid, until it is corrected', ({
  context,
  replication,
}) => {
  const fault = new DiskError(
    'STATE_UNREADABLE',
    'resource.json is not valid: half of it is there',
  );
  const resource = new Resource(context, NAME, fault);
  replication.add(resource);
  assert.equal(replication.facts(), []);
  assert.equal(replication.unreadable(), [NAME]);
  resource.replace(file({name: NAME}));
  assert.equal(replication.unreadable(), []);
});

test('others keep the log of who says so, show it, and take that back', ({context}) => {
  const store = new FactStore('a1'.repeat(16));
  const cluster = clusterOf(store);
  const hear = (version: number, more: object): void => {
    const facts = {nodeId: BETA, name: 'beta', version, at: '2026-11-22T10:00:00.000Z'};
    store.merge(checkFacts({facts: [{...facts, address: '', resources: [], ...more}]}), 1000);
  };
  const resource = new Resource(context, NAME, file({name: NAME}));
  const look = (): boolean => {
    noteUnreadable(resource, unreadableAt(cluster, NAME));
    return mayNeedLog(cluster, clock, BETA, [], NAME);
  };
  hear(1, {unreadable: [NAME, 'other']});
  assert.ok(look(), 'its log is kept');
  assert.equal(
    resource.messages.map(({code, severity}) => [code, severity]),
    [['REPLICA_UNREADABLE', 'warning']],
  );
  assert.match(resource.messages[0]?.text ?? '', /^beta: /u);
  hear(2, {unreadable: ['other']});
  assert.not.ok(look(), 'it has left this one');
  assert.equal(resource.messages, []);
});

test.run();
