/** Pruning and housekeeping on real files, with and without a daemon. */
import fs from 'node:fs';
import {join} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import type {CareResult, PruneResult} from '../../src/control/care-api.js';
import type {DiskStatus} from '../../src/core/disk-status.js';
import {createNodeFiles} from '../../src/core/files.js';
import {HOME_SCHEMA, homePaths, resourcePaths, type ResourceFile} from '../../src/core/home.js';
import {MIB} from '../../src/core/units.js';
import {formatPosition} from '../../src/core/position.js';
import {TwoSlotFile} from '../../src/core/two-slot.js';
import {isRotationDue, ROTATE_AFTER_MS} from '../../src/daemon/care.js';
import {tryLock} from '../../src/daemon/file-lock.js';
import {careOffline, pruneOffline} from '../../src/daemon/offline-care.js';
import {readResource} from '../../src/daemon/state.js';
import {readyHeader} from '../../src/log/segment-files.js';
import {encodeSegmentHeader, segmentName} from '../../src/log/segment.js';
import {makeHome, rejectsWith, removeHome, startFakeNode} from './fake-node.js';

const SEGMENT_BYTES = 4 * MIB;
const ID = 'ab'.repeat(16);
const REQUEST = {dryRun: false, purge: false, confirmed: false};

const test = suite<{home: string}>('prune');

test.before.each((context) => {
  context.home = makeHome('mars-prune-');
});
test.after.each(({home}) => {
  removeHome(home);
});

/** A resource without a disk process: five segments of 1000 bytes of log each. */
function makeResource(home: string, replayedTo: number): string {
  const paths = resourcePaths(home, 'web');
  fs.mkdirSync(paths.logDirectory, {recursive: true});
  const file: ResourceFile = {
    ...{schema: HOME_SCHEMA, name: 'web', id: ID, sizeBytes: 4 * MIB, createdAt: ''},
    ...{imagePath: paths.image, imageOwned: true, designatedRole: 'secondary', attached: false},
    ...{replayPaused: false, device: false, driver: 'auto', segmentBytes: SEGMENT_BYTES},
    ...{alignmentBytes: 8, durability: 'flush'},
  };
  fs.writeFileSync(paths.resourceFile, JSON.stringify(file));
  const image = {device: 1, inode: 1, birthMs: 0, sizeBytes: 4 * MIB, kind: 'file'} as const;
  const state = {schema: 1, from: replayedTo, to: replayedTo, image};
  TwoSlotFile.create(createNodeFiles(), paths.replayFile, state).close();
  for (let number = 1; number <= 5; number += 1) makeSegment(home, number);
  return paths.logDirectory;
}

function makeSegment(home: string, number: number): void {
  const {logDirectory} = resourcePaths(home, 'web');
  const plan = {
    ...{directory: logDirectory, resourceId: ID, originId: 'a1'.repeat(16)},
    ...{originName: 'alpha', fileBytes: SEGMENT_BYTES},
  };
  const start = (number - 1) * 1000;
  const header = {...readyHeader(plan, number), started: true, start, capacityBytes: 1000};
  const path = join(logDirectory, segmentName(number, 'alpha'));
  fs.writeFileSync(path, encodeSegmentHeader(header));
  fs.truncateSync(path, SEGMENT_BYTES);
}

function writeSlot(home: string, position: number): void {
  const slot = {name: 'beta', position: formatPosition(position), at: '2026-11-22T10:00:00.000Z'};
  const text = JSON.stringify({schema: 1, slots: {['b2'.repeat(16)]: slot}});
  fs.writeFileSync(resourcePaths(home, 'web').slotsFile, text);
}

const logsIn = (directory: string): string[] =>
  fs.readdirSync(directory).filter((name) => name.startsWith('log-'));

test('a dry run changes nothing and names who needs what', async ({home}) => {
  const directory = makeResource(home, 3500);
  writeSlot(home, 1200);
  const before = fs.readdirSync(directory);
  const result = await pruneOffline(home, 'web', {...REQUEST, dryRun: true});
  assert.equal(fs.readdirSync(directory), before);
  assert.equal(
    result.files.map(({action}) => action),
    ['spare', 'keep', 'keep', 'keep', 'keep'],
  );
  assert.match(result.files[1]?.reason ?? '', /^beta has replayed up to 00000000000004b0/u);
  assert.is(result.files[1]?.neededBy[0]?.node, 'beta');
  assert.is(result.neededFrom, formatPosition(1200));
});

test('what nobody needs becomes a spare, and what is too many is deleted', async ({home}) => {
  const directory = makeResource(home, 3500);
  for (const name of ['a', 'b', 'c']) {
    fs.writeFileSync(join(directory, `spare-${name}`), Buffer.alloc(SEGMENT_BYTES));
  }

  fs.writeFileSync(join(directory, 'spare-small'), 'x');
  fs.writeFileSync(join(directory, `${segmentName(1, 'alpha')}.idx`), 'x');
  const result = await pruneOffline(home, 'web', REQUEST);
  assert.equal(logsIn(directory), [segmentName(4, 'alpha'), segmentName(5, 'alpha')]);
  const spares = fs.readdirSync(directory).filter((name) => name.startsWith('spare-'));
  assert.is(spares.length, 4);
  assert.is(result.deletedBytes, 2 * SEGMENT_BYTES + 1);
  assert.is(result.freeBytes, 4 * SEGMENT_BYTES);
});

test('the image, a slot and a copy under way each keep what they need', async ({home}) => {
  const directory = makeResource(home, 900);
  await pruneOffline(home, 'web', REQUEST);
  assert.is(logsIn(directory).length, 5, 'the image lacks the first segment');
  removeHome(join(home, 'resources'));
  makeResource(home, 5000);
  writeSlot(home, 0);
  await pruneOffline(home, 'web', REQUEST);
  assert.is(logsIn(directory).length, 5, 'beta needs the first segment');
  fs.writeFileSync(resourcePaths(home, 'web').slotsFile, '{"schema": 1');
  await rejectsWith('STATE_UNREADABLE', pruneOffline(home, 'web', REQUEST));
  fs.rmSync(resourcePaths(home, 'web').slotsFile);
  fs.rmSync(resourcePaths(home, 'web').replayFile);
  await pruneOffline(home, 'web', REQUEST);
  assert.is(logsIn(directory).length, 5, 'nobody knows what the image has');
});

test('a generation of the disk process that starts just now is left alone', async ({home}) => {
  const directory = makeResource(home, 5000);
  const lock = await tryLock(resourcePaths(home, 'web').generationLock);
  assert.type(lock, 'number');
  await pruneOffline(home, 'web', REQUEST);
  assert.is(logsIn(directory).length, 5);
  fs.closeSync(lock ?? -1);
  await pruneOffline(home, 'web', REQUEST);
  assert.is(logsIn(directory).length, 2);
});

test('branches and failed files go only by --purge --yes', async ({home}) => {
  const directory = makeResource(home, 0);
  const fork = join(directory, '..', 'forks', 'abcd-0000');
  fs.mkdirSync(fork, {recursive: true});
  fs.writeFileSync(join(fork, 'log'), 'xyz');
  fs.writeFileSync(join(directory, 'bad-log-7'), 'x');
  await pruneOffline(home, 'web', REQUEST);
  await rejectsWith('CONFIRM_NEEDED', pruneOffline(home, 'web', {...REQUEST, purge: true}));
  assert.ok(fs.existsSync(fork));
  const result = await pruneOffline(home, 'web', {...REQUEST, purge: true, confirmed: true});
  assert.is(result.deletedBytes, 4);
  assert.not(fs.existsSync(fork));
  assert.equal(logsIn(directory).length, 5);
});

test('two crons at once: one works, the other does nothing; both are well', async ({home}) => {
  const directory = makeResource(home, 5000);
  const results = await Promise.all([1, 2, 3].map(() => careOffline(home, {dryRun: false})));
  assert.is(results.filter(({by}) => by === 'cron').length >= 1, true);
  assert.equal(
    results.flatMap(({resources}) => resources.flatMap(({error}) => error ?? [])),
    [],
  );
  assert.is(logsIn(directory).length, 2);
});

test('a daemon that does not answer keeps cron from doing anything', async ({home}) => {
  const directory = makeResource(home, 5000);
  const lock = await tryLock(homePaths(home).daemonLock);
  const {by} = await careOffline(home, {dryRun: false});
  assert.is(by, 'none');
  await rejectsWith('DAEMON_RUNNING', pruneOffline(home, 'web', REQUEST));
  assert.is(logsIn(directory).length, 5);
  fs.closeSync(lock ?? -1);
});

test('a daemon that starts waits for a cron that is at work', async ({home}) => {
  const lock = await tryLock(homePaths(home).careLock);
  let isStarted = false;
  const starting = startFakeNode(home).then((node) => {
    isStarted = true;
    return node;
  });
  // Its lock is taken when it waits: from then on nobody else begins.
  while (!fs.existsSync(homePaths(home).daemonLock)) await new Promise(setImmediate);
  assert.is((await careOffline(home, {dryRun: false})).by, 'none');
  assert.not(isStarted);
  fs.closeSync(lock ?? -1);
  const node = await starting;
  node.daemon.stop();
  await node.daemon.ended;
});

test('the daemon prunes and cares by its queue', async ({home}) => {
  const directory = makeResource(home, 5000);
  const node = await startFakeNode(home);
  try {
    const dry = await node.call<PruneResult>('POST', 'resources/web/log/prune', {dryRun: true});
    assert.is(dry.files.filter(({action}) => action === 'spare').length, 3);
    const care = await node.call<CareResult>('POST', 'care', {});
    assert.is(care.by, 'daemon');
    assert.is(care.resources[0]?.error, null);
    assert.is(logsIn(directory).length, 2);
    const list = await node.call<{spares: object}>('GET', 'resources/web/log');
    assert.equal(list.spares, {files: 3, bytes: 3 * SEGMENT_BYTES});
  } finally {
    node.daemon.stop();
    await node.daemon.ended;
  }
});

test('the file that a primary writes to is ended when it is a day old and holds anything', ({
  home,
}) => {
  makeResource(home, 0);
  const file = readResource(home, 'web');
  if (file === undefined) throw new Error('it was made');
  // The last of five begins at 4000; it was made at the begin of 1970.
  const due = (position: number, nowMs: number, change: object = {}): boolean => {
    const status = {mode: 'serve', phase: 'serving', position: formatPosition(position), ...change};
    return isRotationDue({home, file, disk: status as DiskStatus}, nowMs);
  };
  assert.ok(due(4001, ROTATE_AFTER_MS));
  assert.not(due(4001, ROTATE_AFTER_MS - 1));
  assert.not(due(4000, ROTATE_AFTER_MS), 'an empty file is not ended');
  assert.not(due(4001, ROTATE_AFTER_MS, {mode: 'follow'}));
  assert.not(due(4001, ROTATE_AFTER_MS, {phase: 'recovering'}));
  assert.not(isRotationDue({home, file, disk: undefined}, ROTATE_AFTER_MS));
});

test('old leftovers go, young ones and those of resources that are here stay', async ({home}) => {
  makeResource(home, 0);
  const old = ['cluster.json.tmp', 'resources/web/replay.new', 'run/disks/gone.log'];
  const young = ['node.json.tmp', 'run/disks/web.log', 'run/disks/away.log'];
  for (const path of [...old, ...young]) fs.writeFileSync(join(home, path), 'x');
  for (const path of [...old, 'run/disks/web.log']) fs.utimesSync(join(home, path), 1e9, 1e9);
  const dry = await careOffline(home, {dryRun: true});
  assert.is(dry.removed.length, 3);
  const {removed} = await careOffline(home, {dryRun: false});
  assert.equal(removed.map(({path}) => path).sort(), old.map((path) => join(home, path)).sort());
  for (const path of young) assert.ok(fs.existsSync(join(home, path)), path);
  assert.equal((await careOffline(home, {dryRun: false})).removed, []);
});

test.run();
