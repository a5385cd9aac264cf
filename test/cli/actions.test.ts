/** What the commands ask the daemon for, and what they make of its answers. */
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {DiskError} from '../../src/core/errors.js';
import {disk} from '../daemon/replication/samples.js';
import {
  fakeLog,
  fakeReplay,
  fakeStatus,
  fakeStatusDocument,
  fakeView,
} from '../helpers/fake-daemon.js';
import {startFakeNode, type FakeNode} from '../helpers/fake-node.js';

const test = suite<{node: FakeNode}>('actions');

test.before.each(async (context) => {
  context.node = await startFakeNode();
});

test.after.each(async ({node}) => {
  await node.dispose();
});

test('create sends whole bytes, an absolute path and settings', async ({node}) => {
  node.daemon.answers.set('POST /v1/resources', fakeView('web'));
  const options = ['--size', '1.5G', '--image', 'x/../web.img', '--set', 'durability=write'];
  const {exit, stdout} = await node.run('resource create', 'web', ...options, '--driver', 'kernel');
  assert.is(exit, 0);
  assert.match(stdout, /next: mars primary web/u);
  await node.run('resource create', 'web', '--size', '1G', '--secondary');
  assert.is((node.daemon.requests[1]?.body as {activate?: boolean}).activate, false);
  assert.equal(node.daemon.requests[0]?.body, {
    name: 'web',
    sizeBytes: 1_610_612_736,
    force: false,
    preallocate: false,
    settings: {durability: 'write'},
    image: `${process.cwd()}/web.img`,
    driver: 'kernel',
  });
});

test('primary passes its wishes, and says where the disk can be used', async ({node}) => {
  const view = fakeView('web', {role: 'primary', image: '/m/web/disk.img', device: '/d/web'});
  node.daemon.answers.set('POST /v1/resources/web/primary', view);
  const first = await node.run('primary', 'web');
  assert.match(first.stdout, /web: primary, use it at \/d\/web/u);
  await node.run('primary', 'web', '--no-device', '--force', '--driver=auto', '--timeout', '7');
  assert.equal(
    node.daemon.requests.map(({body}) => body),
    [
      {device: true, force: false, timeoutSeconds: 60},
      {device: false, force: true, timeoutSeconds: 7, driver: 'auto'},
    ],
  );
});

test('the document under --json is the answer of the daemon', async ({node}) => {
  const view = fakeView('web');
  const cases: [string, string, string[]][] = [
    ['secondary', 'POST /v1/resources/web/secondary', ['web']],
    ['attach', 'POST /v1/resources/web/attach', ['web']],
    ['detach', 'POST /v1/resources/web/detach', ['web']],
    ['resource show', 'GET /v1/resources/web', ['web']],
    ['resource set', 'POST /v1/resources/web/set', ['web', 'durability=flush']],
    ['resource resize', 'POST /v1/resources/web/resize', ['web', '20G']],
  ];
  for (const [words, line, argv] of cases) {
    node.daemon.answers.set(line, view);
    const {document, exit, stderr} = await node.json(words, ...argv);
    assert.is(exit, 0, words);
    assert.equal(document, view, words);
    assert.is(stderr, '', words);
    assert.is(node.daemon.lines.at(-1), line);
  }
});

test('a refusal of the daemon keeps its code, details and exit status', async ({node}) => {
  node.daemon.answers.set('POST /v1/resources/web/secondary', () => {
    throw new DiskError('RESOURCE_BUSY', '/dev/mars/web is mounted at /srv', {pid: 12});
  });
  const {document, exit} = await node.json('secondary', 'web');
  assert.is(exit, 3);
  assert.equal(document, {
    schema: 1,
    error: {
      code: 'RESOURCE_BUSY',
      message: '/dev/mars/web is mounted at /srv',
      details: {pid: 12},
      remedy: 'Unmount the file system or stop the program that the message names, then try again.',
    },
  });
  const {stdout, stderr, code} = await node.run('secondary', 'web');
  assert.is(code, 'RESOURCE_BUSY');
  assert.is(stdout, '');
  assert.match(stderr, /mounted at \/srv[\s\S]*next: Unmount[\s\S]*code: RESOURCE_BUSY \(exit 3/u);
});

test('an unknown resource is refused with 3', async ({node}) => {
  for (const words of ['primary', 'resource show', 'log list', 'replay status', 'log rotate']) {
    const {exit, code} = await node.run(words, 'nobody');
    assert.is(exit, 3, words);
    assert.is(code, 'RESOURCE_UNKNOWN', words);
  }
});

test('all stands for each resource; one that fails stops no other', async ({node}) => {
  node.daemon.answers.set('GET /v1/resources', {
    schema: 1,
    resources: [fakeView('a'), fakeView('b'), fakeView('c')],
  });
  node.daemon.answers.set('POST /v1/resources/a/detach', fakeView('a', {attached: false}));
  node.daemon.answers.set('POST /v1/resources/b/detach', () => {
    throw new DiskError('RESOURCE_PRIMARY', 'b is primary');
  });
  node.daemon.answers.set('POST /v1/resources/c/detach', fakeView('c', {attached: false}));
  const {document, exit} = await node.json('detach', 'all');
  assert.is(exit, 3);
  const {resources, errors} = document as {
    resources: {name: string}[];
    errors: {name: string; error: {code: string}}[];
  };
  assert.equal(
    resources.map(({name}) => name),
    ['a', 'c'],
  );
  assert.equal(
    errors.map(({name, error}) => [name, error.code]),
    [['b', 'RESOURCE_PRIMARY']],
  );
  const shown = await node.run('detach', 'all');
  assert.match(shown.stdout, /a: secondary, detached\nc: secondary, detached/u);
  assert.match(shown.stderr, /b:\nmars: b is primary/u);
});

test('verify of all names what is missing: replicas, not resources', async ({node}) => {
  node.daemon.answers.set('GET /v1/status', fakeStatusDocument(fakeStatus('a', {replicas: []})));
  const {stderr, exit} = await node.run('verify', 'all');
  assert.is(exit, 0);
  assert.match(stderr, 'no resource of this node is known to have a replica elsewhere');
});

test('all of no resources is done already', async ({node}) => {
  node.daemon.answers.set('GET /v1/resources', {schema: 1, resources: []});
  const {document, exit} = await node.json('secondary', 'all');
  assert.is(exit, 0);
  assert.equal(document, {schema: 1, resources: [], errors: []});
});

test('delete passes the confirmation, and lists what goes and what stays', async ({node}) => {
  node.daemon.answers.set('DELETE /v1/resources/web', ({body}: {body: unknown}) => {
    const {dryRun, confirmed} = body as {dryRun: boolean; confirmed: boolean};
    if (!dryRun && !confirmed) throw new DiskError('CONFIRM_NEEDED', 'web has 1 GiB of data');
    const removes = [{path: '/h/resources/web', bytes: 4096}];
    return {schema: 1, name: 'web', dryRun, removes, keeps: ['/dev/sdb']};
  });
  const refused = await node.run('resource delete', 'web');
  assert.is(refused.exit, 3);
  assert.is(refused.code, 'CONFIRM_NEEDED');
  const looked = await node.run('resource delete', 'web', '--dry-run');
  assert.is(looked.stdout, 'would remove /h/resources/web (4 KiB)\nwould keep /dev/sdb\n');
  const {document} = await node.json('delete-resource', 'web', '--yes');
  assert.is(document['dryRun'], false);
});

test('log list, log rotate and replay print what the daemon answers', async ({node}) => {
  const {answers} = node.daemon;
  answers.set('GET /v1/resources/web/log', fakeLog('web'));
  answers.set('POST /v1/resources/web/log/rotate', {file: 'log-000000003-alpha', position: 'f0'});
  answers.set('GET /v1/resources/web/replay', fakeReplay('web'));
  answers.set('POST /v1/resources/web/replay/pause', fakeReplay('web', {state: 'paused'}));
  answers.set('POST /v1/resources/web/replay/resume', fakeReplay('web'));
  const list = (await node.run('log list', 'web')).stdout;
  assert.match(list, /log-000000001-alpha .* sealed\n/u);
  assert.match(list, /^128 MiB of log; free for it: 256 MiB in 4 spare files$/mu);
  assert.equal((await node.json('log list', 'web')).document, fakeLog('web'));
  assert.equal((await node.json('log rotate', 'web')).document, {
    ...{schema: 1, name: 'web', file: 'log-000000003-alpha', position: 'f0'},
  });
  assert.match((await node.run('replay status', 'web')).stdout, /running, 4 KiB to replay/u);
  assert.is((await node.json('pause-replay', 'web')).document['state'], 'paused');
  assert.is((await node.json('resume-replay', 'web')).document['state'], 'running');
});

test('resource list shows a line each', async ({node}) => {
  node.daemon.answers.set('GET /v1/resources', {schema: 1, resources: []});
  assert.match((await node.run('resource list')).stdout, /no resources yet/u);
  node.daemon.answers.set('GET /v1/resources', {schema: 1, resources: [fakeView('web')]});
  assert.match((await node.run('resource list')).stdout, /web +10 GiB +secondary +attached/u);
  node.daemon.answers.set('GET /v1/resources/web', fakeView('web'));
  assert.match((await node.run('resource show', 'web')).stdout, /set durability +flush/u);
  const none = {counts: [], sumSeconds: 0};
  const latencies = {write: {counts: [98, 0, 2], sumSeconds: 0.01}, flush: none, replay: none};
  node.daemon.answers.set('GET /v1/resources/web', fakeView('web', {disk: disk({latencies})}));
  const {stdout} = await node.run('resource show', 'web');
  assert.match(stdout, /write latency +p50 2 µs, p99 12 µs, 100 timed/u);
  assert.not.match(stdout, /flush latency/u);
});

test('create-resource takes the size of the disk, as its ancestor did', async ({node}) => {
  node.daemon.answers.set('POST /v1/resources', fakeView('web'));
  const {document, exit} = await node.json('create-resource', 'web', '/nonexistent/disk');
  assert.is(exit, 6);
  assert.match(JSON.stringify(document), /STORE_IO/u);
  await node.run('create-resource', 'web', '/dev/null', '1G');
  const [request] = node.daemon.requests;
  assert.equal(request?.body, {
    ...{name: 'web', sizeBytes: 1_073_741_824, image: '/dev/null', force: false},
  });
});

test.run();
