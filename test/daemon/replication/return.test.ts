/** What a node finds out before it serves again, on the files of a real home. */
import fs from 'node:fs';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import type {ResourceFacts} from '../../../src/cluster/facts.js';
import {isDiskError} from '../../../src/core/errors.js';
import {createNodeFiles} from '../../../src/core/files.js';
import {resourcePaths} from '../../../src/core/home.js';
import {writeJsonFile} from '../../../src/core/json-file.js';
import {formatPosition} from '../../../src/core/position.js';
import type {Context} from '../../../src/daemon/context.js';
import {readGrant, writeGrant} from '../../../src/daemon/replication/grant.js';
import type {KnownReplica} from '../../../src/daemon/replication/role-services.js';
import {noteGrant} from '../../../src/daemon/replication/role-notes.js';
import {mayServeAgain} from '../../../src/daemon/replication/roles.js';
import {grantInForce} from '../../../src/daemon/replication/standing.js';
import {Resource} from '../../../src/daemon/resource.js';
import {readResource} from '../../../src/daemon/state.js';
import {roleOf} from '../../../src/daemon/views.js';
import type {LineageEntry} from '../../../src/log/lineage.js';
import {flipBit, LogBuilder, planFor} from '../../log/log-builder.js';
import {makeHome, removeHome} from '../fake-node.js';
import {roleContext} from './role-context.js';
import {idOf} from './role-world.js';
import {file as resourceFile} from './samples.js';

interface State {
  home: string;
  context: Context;
  resource: Resource;
  told: string[];
  asked: number[];
  replicas: KnownReplica[];
}

const test = suite<State>('return of a primary');
const CHAIN = '0'.repeat(16);

function entry(epoch: number, node: string, start: number): LineageEntry {
  return {
    epoch: epoch.toString(16).padStart(32, '0'),
    node: node === 'alpha' ? 'a1'.repeat(16) : idOf(node),
    nodeName: node,
    start: formatPosition(start),
    chain: CHAIN,
  };
}

function replica(name: string, lineage: LineageEntry[], more: object = {}): KnownReplica {
  const facts = {
    role: 'secondary',
    designatedRole: 'secondary',
    lineage,
    position: formatPosition(9000),
    granted: null,
    forked: null,
    ...more,
  } as unknown as ResourceFacts;
  return {nodeId: idOf(name), name, linkUp: true, heardAt: '2026-11-22T10:00:00.000Z', facts};
}

function lineageIs(state: State, ...entries: LineageEntry[]): void {
  writeJsonFile(resourcePaths(state.home, 'web01').lineageFile, {schema: 1, entries});
}

function grantTo(state: State, to: string, epoch: number): void {
  writeGrant(resourcePaths(state.home, 'web01').grantFile, {
    schema: 1,
    to: idOf(to),
    toName: to,
    epoch: epoch.toString(16).padStart(32, '0'),
    position: formatPosition(0),
    chain: CHAIN,
    at: '2026-11-22T10:00:00.000Z',
  });
}

function wish(state: State): string | undefined {
  return readResource(state.home, 'web01')?.designatedRole;
}

test.before.each((state) => {
  state.home = makeHome('mars-return-');
  state.told = [];
  state.asked = [];
  state.replicas = [];
  const paths = resourcePaths(state.home, 'web01');
  fs.mkdirSync(paths.logDirectory, {recursive: true});
  const file = resourceFile({
    ...{name: 'web01', id: 'b'.repeat(32), imagePath: paths.image},
    ...{designatedRole: 'primary', device: false, segmentBytes: 2 ** 24},
  });
  writeJsonFile(paths.resourceFile, file);
  state.context = roleContext({
    home: state.home,
    told: state.told,
    roles: {
      replicas: () => state.replicas,
      open: () => Promise.reject(new Error('nobody is followed')),
      askPeers: (timeoutMs) => {
        state.asked.push(timeoutMs);
        return Promise.resolve();
      },
    },
  });
  state.resource = new Resource(state.context, 'web01', file);
});
test.after.each(({home}) => {
  removeHome(home);
});

test('peers are asked, and where none has gone on the resource is served again', async (state) => {
  lineageIs(state, entry(1, 'alpha', 0));
  const none = {position: formatPosition(0)};
  state.replicas = [replica('beta', [entry(1, 'alpha', 0)], none)];
  assert.ok(await mayServeAgain(state.context, state.resource, 5000));
  assert.equal(state.asked, [5000]);
  assert.is(wish(state), 'primary');
  assert.equal(state.told, []);
});

test('a peer has more of our own epoch, and it cannot be had: served again, with an event', async (state) => {
  lineageIs(state, entry(1, 'alpha', 0));
  state.replicas = [replica('beta', [entry(1, 'alpha', 0)])];
  assert.ok(await mayServeAgain(state.context, state.resource, 5000));
  assert.is(wish(state), 'primary');
  assert.equal(state.told, ['TAIL_TAKEN']);
});

test('a peer that has gone on from our end: secondary, with an event', async (state) => {
  lineageIs(state, entry(1, 'alpha', 0));
  state.replicas = [replica('beta', [entry(1, 'alpha', 0), entry(2, 'beta', 0)])];
  assert.not(await mayServeAgain(state.context, state.resource, 0));
  assert.is(wish(state), 'secondary');
  assert.equal(state.told, ['SUPERSEDED']);
  assert.equal(state.asked, []);
});

test('a peer with an epoch beside ours: nothing is served, and it is shown', async (state) => {
  state.resource.save({forcedAt: '2026-11-22T10:00:00.000Z'});
  lineageIs(state, entry(1, 'alpha', 0), entry(3, 'alpha', 8192));
  const beta = replica('beta', [entry(1, 'alpha', 0), entry(2, 'beta', 4096)]);
  state.replicas = [replica('gamma', [entry(1, 'alpha', 0)]), beta];
  assert.not(await mayServeAgain(state.context, state.resource, 0));
  assert.is(wish(state), 'secondary');
  assert.equal(state.told, ['SPLIT_BRAIN']);
  const [message] = state.resource.messages;
  assert.is(message?.code, 'SPLIT_BRAIN');
  assert.match(message?.text ?? '', formatPosition(4096));
  assert.is(state.resource.file.forcedAt, undefined);
});

test('a damaged log has what its records say was durable: nobody has superseded that', async (state) => {
  const {paths} = state.resource.places;
  const plan = {...planFor(64 * 1024, paths.logDirectory), resourceId: state.resource.file.id};
  const files = createNodeFiles();
  const log = new LogBuilder({files, plan});
  log.beginEpoch(1, 1);
  for (let count = 1; count <= 4; count += 1) {
    log.small(400, count);
    log.flush();
  }

  const [, second, , fourth] = log.records;
  assert.ok(second !== undefined && fourth !== undefined);
  flipBit(files, second.file, (second.offset + 200) * 8);
  lineageIs(state, entry(1, 'alpha', 0));
  const beta = [entry(1, 'alpha', 0), entry(2, 'beta', second.end)];
  state.replicas = [replica('beta', beta)];
  assert.not(await mayServeAgain(state.context, state.resource, 0));
  assert.equal(state.told, ['SPLIT_BRAIN']);
  state.resource.save({designatedRole: 'primary'});
  state.replicas = [replica('beta', [entry(1, 'alpha', 0), entry(2, 'beta', fourth.position)])];
  assert.not(await mayServeAgain(state.context, state.resource, 0));
  assert.equal(state.told, ['SPLIT_BRAIN', 'SUPERSEDED']);
});

test('a history that nobody can compare counts only where it is primary', async (state) => {
  lineageIs(state, entry(1, 'alpha', 0));
  state.replicas = [replica('beta', [entry(7, 'beta', 0)])];
  assert.ok(await mayServeAgain(state.context, state.resource, 0));
  state.replicas = [replica('beta', [entry(7, 'beta', 0)], {role: 'primary'})];
  assert.not(await mayServeAgain(state.context, state.resource, 0));
});

test('a grant: the wish is corrected, and it is shown until it is known to be taken', async (state) => {
  lineageIs(state, entry(1, 'alpha', 0));
  grantTo(state, 'beta', 1);
  assert.not(await mayServeAgain(state.context, state.resource, 5000));
  assert.equal(state.asked, [], 'nobody has to be asked');
  assert.is(wish(state), 'secondary');
  assert.is(state.resource.messages[0]?.code, 'GRANT_UNCONFIRMED');
  assert.match(state.resource.messages[0]?.text ?? '', /granted to beta, unconfirmed since 2026/u);
  state.replicas = [replica('beta', [entry(1, 'alpha', 0), entry(2, 'beta', 0)])];
  noteGrant(state.context, state.resource);
  assert.equal(state.resource.messages, []);
  const {grantFile} = state.resource.places.paths;
  assert.ok(readGrant(grantFile), 'it stays until our own log goes beyond it');
  lineageIs(state, entry(1, 'alpha', 0), entry(2, 'beta', 0));
  assert.is(grantInForce(state.resource), undefined);
  noteGrant(state.context, state.resource);
  assert.is(readGrant(grantFile), undefined);
});

test('a grant and force: it does not count', async (state) => {
  lineageIs(state, entry(1, 'alpha', 0));
  grantTo(state, 'beta', 1);
  state.resource.save({forcedAt: '2026-11-22T11:00:00.000Z'});
  assert.ok(await mayServeAgain(state.context, state.resource, 0));
  assert.is(roleOf(state.resource.file, true), 'forcedPrimary');
});

test('a grant that cannot be read: nothing is served', async (state) => {
  lineageIs(state, entry(1, 'alpha', 0));
  fs.writeFileSync(state.resource.places.paths.grantFile, '{"schema": 1}');
  await mayServeAgain(state.context, state.resource, 0).then(
    () => {
      assert.unreachable('it is refused');
    },
    (error: unknown) => {
      assert.ok(isDiskError(error, 'STATE_UNREADABLE'));
    },
  );
  assert.is(wish(state), 'primary');
  noteGrant(state.context, state.resource);
  assert.is(state.resource.messages[0]?.code, 'STATE_UNREADABLE');
});

test('roles in words: wish, fact and what is under way', ({resource}) => {
  const primary = resource.file;
  const secondary = resource.save({designatedRole: 'secondary'});
  assert.is(roleOf(primary, true), 'primary');
  assert.is(roleOf(primary, false), 'notYetPrimary');
  assert.is(roleOf(secondary, true), 'remainsPrimary');
  assert.is(roleOf(secondary, false), 'secondary');
  assert.is(roleOf(secondary, false, 'primary'), 'notYetPrimary');
  assert.is(roleOf(primary, true, 'handover'), 'remainsPrimary');
});

test.run();
