import fs from 'node:fs';
import {spawn, spawnSync} from 'node:child_process';
import http from 'node:http';
import {join} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import type {
  DaemonStatus,
  DeleteResult,
  ReplayView,
  ResourceList,
  ResourceView,
  StatusDocument,
} from '../../src/control/api.js';
import {openSocket} from '../../src/control/client.js';
import {homePaths} from '../../src/core/home.js';
import {MIB} from '../../src/core/units.js';
import {
  makeHome,
  removeHome,
  writeNode,
  rejectsWith,
  startFakeNode,
  until,
  type FakeNode,
} from './fake-node.js';

const test = suite<{node: FakeNode}>('control API');

test.before.each(async (context) => {
  context.node = await startFakeNode();
});
test.after.each(async (context) => {
  await context.node.close();
});

const size = {sizeBytes: 4 * MIB, settings: {device: 'off'}};

function isMounted(node: FakeNode, name: string): boolean {
  const mounts = fs.readFileSync('/proc/self/mountinfo', 'utf8');
  return mounts.includes(` ${node.home}/mnt/${name} `);
}

test('a created resource is primary and its image is served', async ({node}) => {
  const view = await node.call<ResourceView>('POST', 'resources', {name: 'web01', ...size});
  assert.is(view.role, 'primary');
  assert.is(view.image, join(node.home, 'mnt/web01/disk.img'));
  assert.is(view.device, null);
  assert.is(view.disk?.phase, 'serving');
  assert.is(fs.statSync(join(node.home, 'resources/web01/image')).size, 4 * MIB);
  assert.is(fs.statSync(join(node.home, 'resources/web01/resource.json')).mode & 0o777, 0o600);
  const status = await node.call<StatusDocument>('GET', 'status');
  assert.is(status.resources[0]?.state, 'UpToDate');
  assert.is(status.resources[0]?.health, 'ok');
  assert.is(status.resources[0]?.designatedPrimary, 'alpha');
  assert.is(status.resources[0]?.openCount, 0);
  await rejectsWith('RESOURCE_EXISTS', node.call('POST', 'resources', {name: 'web01', ...size}));
});

test('what a command changes in node.json is not told as an edit by hand', async (context) => {
  await context.node.close();
  const home = makeHome();
  // A key that stands behind the settings, as the address to listen on does.
  writeNode(home, {another: 1});
  const node = await startFakeNode(home);
  context.node = node;
  await node.call('POST', 'resources', {name: 'web01', ...size});
  await node.call('POST', 'sync-limit', {limit: 2});
  const path = join(node.home, 'resources/web01/resource.json');
  const file = JSON.parse(fs.readFileSync(path, 'utf8')) as Record<string, unknown>;
  fs.writeFileSync(path, JSON.stringify({...file, priority: 7}));
  // Both files are looked at together, node.json first.
  const told = () => node.events().filter(({text}) => text.includes('edited by hand'));
  await until(() => told().length > 0, 'the edit of resource.json');
  assert.equal(
    told().map(({resource}) => resource),
    ['web01'],
  );
});

test('secondary ends the disk, primary twice is done, and delete wants to be told', async ({
  node,
}) => {
  await node.call('POST', 'resources', {name: 'web01', ...size});
  await rejectsWith(
    'RESOURCE_PRIMARY',
    node.call('DELETE', 'resources/web01', {confirmed: true, dryRun: false}),
  );
  const refused = await node.call<DeleteResult>('DELETE', 'resources/web01', {dryRun: true});
  assert.match(refused.notes?.[0] ?? '', 'refused while it is primary here');
  const secondary = await node.call<ResourceView>('POST', 'resources/web01/secondary', {});
  assert.is(secondary.role, 'secondary');
  assert.is(secondary.image, null);
  assert.not(isMounted(node, 'web01'));
  const again = await node.call<ResourceView>('POST', 'resources/web01/secondary', {});
  assert.is(again.role, 'secondary');
  const primary = await node.call<ResourceView>('POST', 'resources/web01/primary', {});
  const twice = await node.call<ResourceView>('POST', 'resources/web01/primary', {});
  assert.is(primary.disk?.pid, twice.disk?.pid);
  await node.call('POST', 'resources/web01/secondary', {});
  await rejectsWith('CONFIRM_NEEDED', node.call('DELETE', 'resources/web01', {}));
  const dry = await node.call<DeleteResult>('DELETE', 'resources/web01', {dryRun: true});
  assert.is(dry.removes[0]?.path, join(node.home, 'resources/web01'));
  assert.is(dry.notes, undefined);
  assert.ok(fs.existsSync(join(node.home, 'resources/web01')));
  await node.call('DELETE', 'resources/web01', {confirmed: true});
  assert.equal(fs.readdirSync(join(node.home, 'resources')), []);
  assert.equal(fs.readdirSync(join(node.home, 'run/disks')), []);
  await rejectsWith('RESOURCE_UNKNOWN', node.call('GET', 'resources/web01'));
});

test('secondary is refused while the image is open, and says by whom', async ({node}) => {
  const view = await node.call<ResourceView>('POST', 'resources', {name: 'web01', ...size});
  const fd = fs.openSync(view.image ?? '', 'r');
  // The daemon runs in this process, whose pid does not count: a mount that is busy does.
  const error = await rejectsWith(
    'RESOURCE_BUSY',
    node.call('POST', 'resources/web01/secondary', {}),
  );
  assert.match(error.message, 'web01 is in use');
  const status = await node.call<StatusDocument>('GET', 'status?resource=web01');
  assert.is(status.resources[0]?.role, 'primary');
  fs.closeSync(fd);
  await node.call('POST', 'resources/web01/secondary', {});
});

test('a fatal error of the disk process fails the creation and leaves nothing', async ({node}) => {
  const fatal = {code: 'LOG_SPACE', message: 'no room for the first logfile', details: {bytes: 1}};
  node.steer('fatal', JSON.stringify({fatal}));
  const image = join(node.home, 'elsewhere.img');
  const request = {name: 'web01', image, ...size};
  const error = await rejectsWith('LOG_SPACE', node.call('POST', 'resources', request));
  assert.is(error.message, 'no room for the first logfile');
  assert.equal(fs.readdirSync(join(node.home, 'resources')), []);
  assert.equal(fs.readdirSync(join(node.home, 'run/disks')), []);
  assert.equal(fs.readdirSync(join(node.home, 'mnt')), []);
  assert.not(fs.existsSync(image));
  node.steer('fatal', undefined);
  const view = await node.call<ResourceView>('POST', 'resources', request);
  assert.is(view.imagePath, image);
});

test('bad names, sizes, settings and bodies are refused and change nothing', async ({node}) => {
  const create = (body: unknown): Promise<unknown> => node.call('POST', 'resources', body);
  for (const name of ['', 'all', '../x', '.x', 'a/b', 'x'.repeat(64), 'ä']) {
    await rejectsWith('NAME_INVALID', create({name, ...size}));
  }

  for (const sizeBytes of [0, 4096, MIB + 1, 16 * 2 ** 40, -MIB, 1.5]) {
    await rejectsWith('SIZE_INVALID', create({name: 'x', sizeBytes}));
  }

  await rejectsWith('KEY_UNKNOWN', create({name: 'x', sizeBytes: MIB, settings: {colour: 'red'}}));
  await rejectsWith('KEY_UNKNOWN', create({name: 'x', sizeBytes: MIB, settings: {driver: 'red'}}));
  await rejectsWith('USAGE', create({name: 'x', sizeBytes: MIB, colour: 'red'}));
  await rejectsWith('USAGE', create({name: 'x', sizeBytes: '1M'}));
  await rejectsWith('USAGE', create([]));
  await rejectsWith('USAGE', create({name: 'x'.repeat(100_000), sizeBytes: MIB}));
  await rejectsWith('USAGE', node.call('GET', 'nothing'));
  await rejectsWith('USAGE', node.call('POST', 'status'));
  await rejectsWith('IMAGE_PATH_INVALID', create({name: 'x', sizeBytes: MIB, image: 'x.img'}));
  assert.equal(fs.readdirSync(join(node.home, 'resources')), []);
  assert.equal((await node.call<ResourceList>('GET', 'resources')).resources, []);
});

test('what is no JSON, or no HTTP, does not end the daemon', async ({node}) => {
  const socketPath = homePaths(node.home).daemonSocket;
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const request = http.request(
      {socketPath, method: 'POST', path: '/v1/resources'},
      (response) => {
        response.resume();
        resolve(response.statusCode);
      },
    );
    request.once('error', reject).end('{half');
  });
  assert.is(status, 400);
  await rejectsWith('USAGE', node.call('GET', 'resources/%ff'));
  await rejectsWith('RESOURCE_UNKNOWN', node.call('GET', 'resources/..%2f..'));
  assert.is((await node.call<DaemonStatus>('GET', 'daemon')).pid, process.pid);
  assert.is(fs.statSync(socketPath).mode & 0o777, 0o600);
});

test('settings change, are noted where they count later, and bad ones are refused', async ({
  node,
}) => {
  await node.call('POST', 'resources', {name: 'web01', ...size});
  const set = (settings: Record<string, string>): Promise<ResourceView> =>
    node.call<ResourceView>('POST', 'resources/web01/set', {settings});
  const view = await set({durability: 'write', 'segment-bytes': '16M'});
  assert.is(view.settings['segment-bytes'], String(16 * MIB));
  assert.is(view.notes?.length, 2);
  await rejectsWith('KEY_UNKNOWN', set({durability: 'maybe'}));
  await rejectsWith('KEY_UNKNOWN', set({'segment-bytes': '1M'}));
  const stored = fs.readFileSync(join(node.home, 'resources/web01/resource.json'), 'utf8');
  assert.match(stored, '"durability": "write"');
});

test('resize grows a primary, and refuses less', async ({node}) => {
  await node.call('POST', 'resources', {name: 'web01', ...size});
  const resize = (sizeBytes: number): Promise<ResourceView> =>
    node.call<ResourceView>('POST', 'resources/web01/resize', {sizeBytes});
  assert.is((await resize(8 * MIB)).sizeBytes, 8 * MIB);
  await rejectsWith('SIZE_INVALID', resize(4 * MIB));
  await rejectsWith('SIZE_INVALID', resize(8 * MIB + 512));
  await node.call('POST', 'resources/web01/secondary', {});
  await rejectsWith('RESOURCE_NOT_PRIMARY', resize(16 * MIB));
});

test('detach is for secondaries, and a detached resource cannot be primary', async ({node}) => {
  await node.call('POST', 'resources', {name: 'web01', ...size});
  await rejectsWith('RESOURCE_PRIMARY', node.call('POST', 'resources/web01/detach', {}));
  await node.call('POST', 'resources/web01/secondary', {});
  const detached = await node.call<ResourceView>('POST', 'resources/web01/detach', {});
  assert.not(detached.attached);
  const status = await node.call<StatusDocument>('GET', 'status');
  assert.is(status.resources[0]?.state, 'Detached');
  await rejectsWith('RESOURCE_DETACHED', node.call('POST', 'resources/web01/primary', {}));
  await node.call('POST', 'resources/web01/attach', {});
  const primary = await node.call<ResourceView>('POST', 'resources/web01/primary', {});
  assert.is(primary.role, 'primary');
});

test('a disk that is found on its way out, and says nothing of it, is started again', async ({
  node,
}) => {
  await node.call('POST', 'resources', {name: 'web01', ...size});
  const before = (await node.call<StatusDocument>('GET', 'status')).resources[0];
  assert.is(before?.role, 'primary');
  // As umount(8) of a daemon that was killed does, when the next daemon is there already.
  node.steer('lingers', '3');
  assert.is(spawnSync('umount', [join(node.home, 'mnt', 'web01')]).status, 0);
  const view = await node.call<ResourceView>('POST', 'resources/web01/primary', {});
  assert.is(view.role, 'primary');
  assert.is(fs.statSync(join(node.home, 'mnt', 'web01', 'disk.img')).size, view.sizeBytes);
});

test('a secondary writes its backlog back, pauses, and is stopped by primary', async ({node}) => {
  await node.call('POST', 'resources', {name: 'web01', ...size});
  node.steer('backlog', '4096');
  await node.call('POST', 'resources/web01/secondary', {});
  const state = async (): Promise<string | undefined> =>
    (await node.call<StatusDocument>('GET', 'status')).resources[0]?.state;
  await until(async () => (await state()) === 'WriteBack', 'write-back');
  const replay = await node.call<ReplayView>('GET', 'resources/web01/replay');
  assert.is(replay.backlogBytes, 4096);
  const paused = await node.call<ReplayView>('POST', 'resources/web01/replay/pause');
  assert.ok(paused.paused);
  assert.is(paused.state, 'stopped');
  await node.call('POST', 'resources/web01/replay/resume');
  await node.call<ResourceView>('POST', 'resources/web01/primary', {});
  assert.is(await state(), 'UpToDate');
  await node.call('POST', 'resources/web01/secondary', {});
  node.steer('backlog', undefined);
  await until(async () => (await state()) === 'UpToDate', 'all in the image');
});

test('a write-back that takes long to start is no failure', async ({node}) => {
  await node.call('POST', 'resources', {name: 'web01', ...size});
  node.steer('backlog', '4096');
  await node.call('POST', 'resources/web01/replay/pause');
  await node.call('POST', 'resources/web01/secondary', {});
  node.steer('slow', '3');
  await node.call('POST', 'resources/web01/replay/resume');
  const seen = new Set<string>();
  const resource = async () => (await node.call<StatusDocument>('GET', 'status')).resources[0];
  await until(async () => {
    const view = await resource();
    for (const {code} of view?.messages ?? []) seen.add(code);
    return view?.state === 'WriteBack' && (await diskIsThere(node.home));
  }, 'write-back');
  node.steer('backlog', undefined);
  await until(async () => (await resource())?.state === 'UpToDate', 'all in the image');
  assert.equal([...seen], []);
});

test('a write-back that was killed is told as such, until one has come to its end', async ({
  node,
}) => {
  await node.call('POST', 'resources', {name: 'web01', ...size});
  node.steer('backlog', '4096');
  await node.call('POST', 'resources/web01/replay/pause');
  await node.call('POST', 'resources/web01/secondary', {});
  node.steer('dies', '');
  await node.call('POST', 'resources/web01/replay/resume');
  const resource = async () => (await node.call<StatusDocument>('GET', 'status')).resources[0];
  await until(async () => (await resource())?.messages[0]?.code === 'DISK_FAILING', 'its failure');
  assert.is((await resource())?.health, 'critical');
  node.steer('dies', undefined);
  node.steer('backlog', undefined);
  await until(async () => (await resource())?.health === 'ok', 'a write-back that ends');
  assert.equal((await resource())?.messages, []);
});

async function diskIsThere(home: string): Promise<boolean> {
  return fs.promises.access(join(home, 'run/disks/web01.sock')).then(
    () => true,
    () => false,
  );
}

test('a stopped daemon leaves disks running, the next one adopts them', async (context) => {
  const {node} = context;
  const view = await node.call<ResourceView>('POST', 'resources', {name: 'web01', ...size});
  context.node = await node.restart();
  const status = await context.node.call<DaemonStatus>('GET', 'daemon');
  assert.is(status.disks[0]?.pid, view.disk?.pid);
  await until(() => context.node.events().some((line) => line.code === 'DISK_ADOPTED'), 'adoption');
  await context.node.call('POST', 'daemon/stop', {disks: true});
  await context.node.daemon.ended;
  assert.not(isMounted(node, 'web01'));
  context.node = await startFakeNode(node.home);
  await until(() => isMounted(node, 'web01'), 'the designated primary is brought back');
});

test('holder and disk that died together are cleaned up and started again', async ({node}) => {
  const view = await node.call<ResourceView>('POST', 'resources', {name: 'web01', ...size});
  const pid = view.disk?.pid ?? 0;
  process.kill(pid, 'SIGKILL');
  await until(async () => {
    const now = await node.call<ResourceView>('GET', 'resources/web01');
    return now.disk !== null && now.disk.pid !== pid && now.role === 'primary';
  }, 'a new disk process');
  assert.ok(node.events().some((line) => line.code === 'CRASH_CLEANED'));
  await node.call('POST', 'resources/web01/secondary', {});
  assert.not(isMounted(node, 'web01'));
});

test('a disk that cannot start again is shown with its reason and state', async ({node}) => {
  const view = await node.call<ResourceView>('POST', 'resources', {name: 'web01', ...size});
  const fatal = {code: 'LOG_CORRUPT', message: 'record at 00001000 is damaged', details: {}};
  node.steer('fatal', JSON.stringify({fatal}));
  process.kill(view.disk?.pid ?? 0, 'SIGKILL');
  await until(async () => {
    const {resources} = await node.call<StatusDocument>('GET', 'status');
    const now = resources[0];
    return now?.state === 'DefectiveLog' && now.health === 'critical' && now.role !== 'primary';
  }, 'state DefectiveLog');
  node.steer('fatal', undefined);
  const primary = await node.call<ResourceView>('POST', 'resources/web01/primary', {});
  assert.is(primary.role, 'primary');
  const {resources} = await node.call<StatusDocument>('GET', 'status');
  assert.is(resources[0]?.state, 'UpToDate');
});

test('a disk that does not answer is ended by secondary, unless it is used', async ({node}) => {
  const view = await node.call<ResourceView>('POST', 'resources', {name: 'web01', ...size});
  const fd = fs.openSync(view.image ?? '', 'r');
  const child = spawn('sleep', ['100'], {stdio: [fd]});
  fs.closeSync(fd);
  await new Promise((resolve) => child.once('spawn', resolve));
  process.kill(view.disk?.pid ?? 0, 'SIGSTOP');
  const secondary = (): Promise<ResourceView> =>
    node.call<ResourceView>('POST', 'resources/web01/secondary', {timeoutSeconds: 1});
  try {
    const error = await rejectsWith('RESOURCE_BUSY', secondary());
    assert.match(error.message, `pid ${child.pid ?? 0} (sleep)`);
    assert.ok(isMounted(node, 'web01'));
  } finally {
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  assert.is((await secondary()).role, 'secondary');
  assert.not(isMounted(node, 'web01'));
  const primary = await node.call<ResourceView>('POST', 'resources/web01/primary', {});
  assert.is(primary.role, 'primary');
});

test('restarts of a disk process become events, many of them a message', async ({node}) => {
  await node.call('POST', 'resources', {name: 'web01', ...size});
  await until(() => node.events().some((line) => line.code === 'RESOURCE_CREATED'), 'creation');
  node.steer('restarts', '3');
  await until(
    () => node.events().filter((line) => line.code === 'DISK_RESTARTED').length === 1,
    'event',
  );
  const {resources} = await node.call<StatusDocument>('GET', 'status');
  assert.ok(resources[0]?.messages.some((message) => message.code === 'DISK_FAILING'));
  assert.is(resources[0]?.health, 'warning');
});

test('an edited file is applied or refused, and the old value stays', async ({node}) => {
  await node.call('POST', 'resources', {name: 'web01', ...size});
  const path = join(node.home, 'resources/web01/resource.json');
  const text = fs.readFileSync(path, 'utf8');
  fs.writeFileSync(path, text.replace('"durability": "flush"', '"durability": "write"'));
  const setting = async (): Promise<string | undefined> =>
    (await node.call<ResourceView>('GET', 'resources/web01')).settings['durability'];
  await until(async () => (await setting()) === 'write', 'the edit is applied');
  fs.writeFileSync(path, text.slice(0, 40));
  await until(() => node.events().some((line) => line.code === 'SETTING_REFUSED'), 'refusal');
  assert.is(await setting(), 'write');
  const {resources} = await node.call<StatusDocument>('GET', 'status');
  assert.match(resources[0]?.messages[0]?.text ?? '', path);
  fs.writeFileSync(path, text.replace('"attached": true', '"attached": false'));
  await until(
    () => node.events().filter((line) => line.code === 'SETTING_REFUSED').length === 2,
    'the second refusal',
  );
  assert.ok((await node.call<ResourceView>('GET', 'resources/web01')).attached);
  fs.writeFileSync(path, text);
  await until(async () => (await setting()) === 'flush', 'the mended file counts');
});

test('one unreadable resource.json costs only its own resource', async (context) => {
  await context.node.call('POST', 'resources', {name: 'good', ...size});
  const broken = join(context.node.home, 'resources/broken');
  fs.mkdirSync(broken);
  fs.writeFileSync(join(broken, 'resource.json'), '{"schema": 1, "name": "bro');
  context.node = await context.node.restart();
  const {node} = context;
  const {resources} = await node.call<StatusDocument>('GET', 'status');
  assert.equal(
    resources.map((resource) => [resource.name, resource.health]),
    [
      ['broken', 'critical'],
      ['good', 'ok'],
    ],
  );
  assert.is(resources[0]?.messages[0]?.code, 'STATE_UNREADABLE');
  await rejectsWith('STATE_UNREADABLE', node.call('POST', 'resources/broken/primary', {}));
  assert.is((await node.call<ResourceList>('GET', 'resources')).resources.length, 1);
});

test('events are followed as they come', async ({node}) => {
  const response = await openSocket({
    socket: homePaths(node.home).daemonSocket,
    method: 'GET',
    path: '/v1/events?follow=1&resource=web01',
    timeoutMs: 5000,
    stream: true,
    unreachable: 'DAEMON_UNREACHABLE',
  });
  let text = '';
  response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  await node.call('POST', 'resources', {name: 'web01', ...size});
  await until(() => text.includes('RESOURCE_CREATED'), 'the event');
  assert.not.match(text, 'DAEMON_STARTED');
  response.destroy();
});

test('a home deeper than a socket path may be long works all the same', async () => {
  const base = makeHome();
  const deep = join(base, 'd'.repeat(100));
  fs.mkdirSync(deep);
  writeNode(deep, {});
  const node = await startFakeNode(deep);
  try {
    assert.is((await node.call<DaemonStatus>('GET', 'daemon')).version, '0.0.0');
  } finally {
    await node.close();
    removeHome(base);
  }
});

test.run();
