/** What a daemon does with what a crash has left of a rollback, and what is given up by force. */
import fs from 'node:fs';
import {join} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import type {HistoryAbortResult} from '../../src/control/history-api.js';
import type {RollbackFile} from '../../src/core/rollback-file.js';
import {MIB} from '../../src/core/units.js';
import type {FollowAnswer} from '../../src/core/disk-status.js';
import {resourcePaths} from '../../src/core/home.js';
import type {Context} from '../../src/daemon/context.js';
import {lookAfterRollback} from '../../src/daemon/history/rollback-care.js';
import {waitForRollback} from '../../src/daemon/history/rollback.js';
import type {Resource} from '../../src/daemon/resource.js';
import {followsOthers} from '../../src/daemon/history/rollback-state.js';
import {loopsOn} from '../../src/daemon/loop-devices.js';
import {rejectsWith, startFakeNode, until, type FakeNode} from './fake-node.js';
import {disk} from './replication/samples.js';

const RUNNING: RollbackFile = {
  ...{schema: 1, phase: 'running', asked: 'then', position: '0000000000000100'},
  ...{chain: 'c'.repeat(16), base: '0000000000000000', from: '0000000000000200'},
  startedAt: '2026-11-28T10:00:00.000Z',
};

const test = suite<{node: FakeNode}>('what is left of a rollback');

test.before.each(async (context) => {
  context.node = await startFakeNode();
  const settings = {device: 'off'};
  await context.node.call('POST', 'resources', {name: 'web', sizeBytes: 4 * MIB, settings});
});
test.after.each(async ({node}) => {
  await node.close();
});

const fileOf = ({home}: FakeNode): string => join(home, 'resources', 'web', 'rollback.json');

function leave(node: FakeNode, text: string): void {
  fs.writeFileSync(fileOf(node), text);
}

/** What the disk was told, each with the phase that rollback.json had then. */
function told({home}: FakeNode): string[] {
  const path = join(home, 'fake', 'told');
  return fs.existsSync(path) ? fs.readFileSync(path, 'utf8').trim().split('\n') : [];
}

function abort(node: FakeNode, force: boolean): Promise<HistoryAbortResult> {
  return node.call('POST', 'resources/web/history/rollback/abort', {force});
}

function dropped(node: FakeNode): string[] {
  return node
    .events()
    .filter(({code}) => code === 'ROLLBACK_DROPPED')
    .map(({text}) => text);
}

test('one that was prepared is taken away, behind a mark that ends what the log says of it', async ({
  node,
}) => {
  leave(node, JSON.stringify({...RUNNING, phase: 'prepared', from: null}, null, 2));
  await until(() => dropped(node).length > 0, 'it to be taken away');
  assert.not(fs.existsSync(fileOf(node)));
  assert.equal(told(node), ['/mark rollback-given-up prepared', '/history none']);
});

test('a disk that goes on with one whose file is gone is told', async ({node}) => {
  node.steer('rollback', JSON.stringify({to: RUNNING.position, phase: 'running'}));
  await until(() => told(node).includes('/history none'), 'the disk to be told');
});

test('by force it is given up: the disk rests, the log has its mark, then the file goes', async ({
  node,
}) => {
  leave(node, JSON.stringify(RUNNING, null, 2));
  assert.equal(await abort(node, true), {schema: 1, name: 'web', outcome: 'left', position: null});
  assert.not(fs.existsSync(fileOf(node)));
  assert.equal(
    told(node).filter((line) => line !== '/history running'),
    ['/rollback/rest running', '/mark rollback-given-up running', '/history none'],
  );
});

test('a file that cannot be read names what takes it away, and that does', async ({node}) => {
  leave(node, '{"schema": 1, "pha');
  const error = await rejectsWith('STATE_UNREADABLE', abort(node, false));
  assert.match(error.message, 'mars history rollback web --abort --force');
  assert.is((await abort(node, true)).outcome, 'left');
  assert.not(fs.existsSync(fileOf(node)));
  assert.match(dropped(node)[0] ?? '', /could not be read/u);
});

test('a replica keeps one until the log of another primary is what it follows', () => {
  assert.ok(followsOthers(disk()));
  assert.ok(followsOthers(disk({}, {answer: {kind: 'cut'}})));
  assert.ok(followsOthers(disk({}, {answer: null, phase: 'syncing'})));
  for (const kind of ['forked', 'gone', 'behind', 'refused'] as const) {
    assert.not(followsOthers(disk({}, {answer: {kind}})), kind);
  }

  assert.not(followsOthers(disk({}, {answer: null})), 'not known yet');
  assert.not(followsOthers(disk({mode: 'serve'})));
  assert.not(followsOthers(undefined));
});

test('where the histories have parted it is kept; who follows drops it, and who waits is told', async ({
  node,
}) => {
  leave(node, JSON.stringify(RUNNING, null, 2));
  const text: string[] = [];
  const context = {
    tell: (...words: string[]) => text.push(words.at(-1) ?? ''),
  } as unknown as Context;
  const {home} = node;
  const replica = (answer: FollowAnswer['kind']): Resource =>
    ({
      ...{name: 'web', file: {designatedRole: 'secondary'}, poll: () => Promise.resolve()},
      ...{places: {paths: resourcePaths(home, 'web')}, disk: disk({}, {answer: {kind: answer}})},
      run: (_name: string, work: () => Promise<unknown>) => work(),
    }) as unknown as Resource;
  await lookAfterRollback(context, replica('forked'));
  assert.ok(fs.existsSync(fileOf(node)), 'kept');
  const follower = replica('follow');
  await lookAfterRollback(context, follower);
  assert.not(fs.existsSync(fileOf(node)));
  assert.match(text.join(), /is not primary here any more/u);
  const {position} = RUNNING;
  await rejectsWith('ROLLBACK_UNFINISHED', waitForRollback(context, follower, {position}));
});

test('every loop device on an image is seen, also one that goes with its last opener', ({node}) => {
  const block = join(node.home, 'block');
  for (const [loop, file, autoclear] of [
    ['loop1', '/mnt/disk.img', '0'],
    ['loop2', '/mnt/other.img', '0'],
    ['loop3', '/mnt/disk.img', '1'],
  ] as const) {
    fs.mkdirSync(join(block, loop, 'loop'), {recursive: true});
    fs.writeFileSync(join(block, loop, 'loop/backing_file'), `${file}\n`);
    fs.writeFileSync(join(block, loop, 'loop/autoclear'), `${autoclear}\n`);
  }

  assert.equal(
    loopsOn('/mnt/disk.img', block).map(({path}) => path),
    ['/dev/loop1', '/dev/loop3'],
  );
});

test.run();
