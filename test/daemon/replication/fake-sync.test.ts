/** `fake-sync`: an image that somebody knows to be equal is not copied, and follows from there. */
import fs from 'node:fs';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../../src/core/errors.js';
import {createNodeFiles} from '../../../src/core/files.js';
import {formatPosition} from '../../../src/core/position.js';
import {fakeSync} from '../../../src/daemon/replication/fake-sync.js';
import {describeEnd, type PeerEnd} from '../../../src/daemon/replication/peer-end.js';
import type {KnownReplica} from '../../../src/daemon/replication/role-services.js';
import {emptySyncState, readSyncState, writeSyncState} from '../../../src/disk/sync-state.js';
import {SYNC_CHUNK_BYTES} from '../../../src/log/frame-schemas.js';
import {ForkNode, NAME, SIZE_BYTES} from './fork-rig.js';
import {disk} from './samples.js';

interface State {
  alpha: ForkNode;
  beta: ForkNode;
}

const test = suite<State>('sync fake');
const YES = {dryRun: false, confirmed: true};

/** As alpha tells of itself: a primary tells no chain value. */
function told(alpha: ForkNode): KnownReplica {
  const replica = alpha.asReplica();
  const isPrimary = {role: 'primary', designatedRole: 'primary', sync: null} as const;
  const facts = {...replica.facts, ...isPrimary, ...positionsOf(alpha), chain: null};
  return {...replica, facts: {...facts, sizeBytes: SIZE_BYTES}};
}

function positionsOf(alpha: ForkNode): {position: string; replayed: string; replayTo: string} {
  const {from, to} = alpha.replayed();
  const position = formatPosition(alpha.position);
  return {position, replayed: formatPosition(from), replayTo: formatPosition(to)};
}

/** As alpha answers `POST resources/ID/end`. */
function asked(alpha: ForkNode): Promise<PeerEnd> {
  const {position, replayed, replayTo} = positionsOf(alpha);
  const {places, file} = alpha.resource;
  const directory = places.paths.logDirectory;
  const place = {files: createNodeFiles(), directory, resourceId: file.id};
  const status = disk({position, replayed, replayingTo: replayTo, sizeBytes: SIZE_BYTES});
  const epoch = alpha.lineage.at(-1)?.epoch ?? null;
  return describeEnd(place, {...status, epoch}, alpha.lineage);
}

test.before.each(async (state) => {
  const [alpha, beta] = [new ForkNode('alpha'), new ForkNode('beta')];
  Object.assign(state, {alpha, beta});
  alpha.begin(1, {position: 0, chain: {low: 0, high: 0}});
  alpha.write(1, 2);
  alpha.begin(2, alpha.common);
  alpha.write(3);
  await alpha.replay(alpha.position);
  // A backup that both were restored from.
  fs.writeFileSync(beta.paths.image, alpha.image());
  const empty = emptySyncState(SIZE_BYTES, SYNC_CHUNK_BYTES);
  writeSyncState(createNodeFiles(), beta.home, NAME, empty);
  const {roles} = beta.context;
  assert.ok(roles);
  beta.context.roles = {
    ...roles,
    replicas: () => [told(alpha)],
    call: (_node, path) => {
      assert.match(path, /^resources\/[0-9a-f]{32}\/end$/u);
      return asked(alpha);
    },
  };
});
test.after.each(({alpha, beta}) => {
  alpha.dispose();
  beta.dispose();
});

async function refused({beta}: State, request = YES): Promise<string> {
  const before = fs.readFileSync(beta.paths.syncFile);
  const error: unknown = await fakeSync(beta.context, beta, request).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert.ok(isDiskError(error), String(error));
  assert.ok(fs.readFileSync(beta.paths.syncFile).equals(before), 'nothing has changed');
  return error.code;
}

test('nothing is copied, and what alpha writes afterwards arrives', async ({alpha, beta}) => {
  const result = await fakeSync(beta.context, beta, YES);
  assert.equal([result.needed, result.source], [true, 'alpha']);
  assert.equal(beta.told, ['SYNC_FAKED']);
  alpha.write(4, 5);
  await alpha.replay(alpha.position);
  await beta.follow(alpha);
  assert.is(beta.copiedBytes, 0);
  assert.ok(beta.image().equals(alpha.model));
});

test('who says so of another image has that one: nothing is compared', async ({alpha, beta}) => {
  fs.writeFileSync(beta.paths.image, Buffer.alloc(SIZE_BYTES, 7));
  await fakeSync(beta.context, beta, YES);
  await beta.follow(alpha);
  assert.is(beta.copiedBytes, 0);
  assert.not(beta.image().equals(alpha.model));
});

test('another image than the one it was said of is copied', async ({alpha, beta}) => {
  await fakeSync(beta.context, beta, YES);
  fs.writeFileSync(`${beta.paths.image}.other`, Buffer.alloc(SIZE_BYTES, 7));
  fs.renameSync(`${beta.paths.image}.other`, beta.paths.image);
  await beta.follow(alpha);
  assert.ok((beta.copiedBytes ?? 0) > 0);
  assert.ok(beta.image().equals(alpha.model));
});

test('refused without --yes, while alpha has log that is not in its image, and where nobody is heard of', async (state) => {
  const {alpha, beta} = state;
  assert.is(await refused(state, {dryRun: false, confirmed: false}), 'CONFIRM_NEEDED');
  alpha.write(4);
  assert.is(await refused(state), 'SOURCE_MOVES');
  const {roles} = beta.context;
  if (roles !== undefined) beta.context.roles = {...roles, replicas: () => []};
  assert.is(await refused(state), 'NO_SOURCE');
});

test('refused on the primary; where nothing is to be copied there is nothing to do', async (state) => {
  const {beta} = state;
  beta.resource.save({designatedRole: 'primary'});
  assert.is(await refused(state), 'RESOURCE_PRIMARY');
  beta.resource.save({designatedRole: 'secondary'});
  fs.rmSync(beta.paths.syncFile);
  assert.not((await fakeSync(beta.context, beta, YES)).needed);
  assert.is(readSyncState(createNodeFiles(), beta.home, NAME), undefined);
});

test('a dry run names the node, and changes nothing', async ({beta}) => {
  const before = fs.readFileSync(beta.paths.syncFile);
  const {source, dryRun} = await fakeSync(beta.context, beta, {dryRun: true, confirmed: false});
  assert.equal([source, dryRun], ['alpha', true]);
  assert.ok(fs.readFileSync(beta.paths.syncFile).equals(before));
});

test.run();
