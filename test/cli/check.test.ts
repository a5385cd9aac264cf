/** `mars check`: one line, an exit status, whatever happens. */
import fs from 'node:fs';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {DiskError} from '../../src/core/errors.js';
import {fakeReplica, fakeStatus, fakeStatusDocument} from '../helpers/fake-daemon.js';
import {makeTempDirectory, startFakeNode, type FakeNode} from '../helpers/fake-node.js';
import {runCommand} from '../helpers/run-command.js';

const test = suite<{node: FakeNode}>('check');

const ALL = 'GET /v1/status';
const VALUES =
  'web/beta/lag=0.2s;60;300;0 web/beta/lag_bytes=4096B;;;0 web/log=805306368B;;;0 ' +
  'web/log_free=500000B;100000:;50000:;0;1000000';

test.before.each(async (context) => {
  context.node = await startFakeNode();
});

test.after.each(async ({node}) => {
  await node.dispose();
});

const well = fakeStatus('web', {replicas: [fakeReplica('beta')]});

test('one line with the verdict and the numbers', async ({node}) => {
  node.daemon.answers.set(ALL, fakeStatusDocument(well));
  for (const argv of [[], ['all']]) {
    const {stdout, stderr, exit} = await node.run('check', ...argv);
    assert.is(stdout, `MARS OK - 1 resource | ${VALUES}\n`);
    assert.is(stderr, '');
    assert.is(exit, 0);
  }
});

test('the exit status is that of a monitoring plugin, with and without --json', async ({node}) => {
  const cases = [
    [{}, 'OK', 0],
    [{lagSeconds: 70}, 'WARNING', 1],
    [{state: 'Orphan'}, 'CRITICAL', 2],
    [{lagSeconds: null}, 'UNKNOWN', 3],
  ] as const;
  for (const [changes, word, status] of cases) {
    const replicas = [fakeReplica('beta', changes)];
    node.daemon.answers.set(ALL, fakeStatusDocument(fakeStatus('web', {replicas})));
    const {stdout, exit} = await node.run('check');
    assert.is(exit, status);
    assert.match(stdout, new RegExp(`^MARS ${word} - [^\n]*\n$`, 'u'));
    const {document, ...json} = await node.json('check');
    assert.is(json.exit, status);
    assert.is(document['status'], word);
    assert.is(document['exit'], status);
    assert.is(document['node'], 'alpha');
    assert.is((document['values'] as object[]).length, 4);
    assert.is((document['problems'] as object[]).length, status === 0 ? 0 : 1);
  }
});

test('limits are flags', async ({node}) => {
  const replicas = [fakeReplica('beta', {lagSeconds: 30, lagBytes: 2 ** 20})];
  node.daemon.answers.set(ALL, fakeStatusDocument(fakeStatus('web', {replicas})));
  const exitOf = async (...argv: string[]): Promise<number> =>
    (await node.run('check', ...argv)).exit;
  assert.is(await exitOf(), 0);
  assert.is(await exitOf('--warn-lag', '30'), 0);
  assert.is(await exitOf('--warn-lag', '29.5'), 1);
  assert.is(await exitOf('--crit-lag', '29'), 2);
  assert.is(await exitOf('--warn-lag-bytes', '1M'), 0);
  assert.is(await exitOf('--warn-lag-bytes', '1023K'), 1);
  assert.is(await exitOf('--crit-lag-bytes', '1023K'), 2);
  assert.is(await exitOf('--warn-space', '50'), 0);
  assert.is(await exitOf('--warn-space', '51%'), 1);
  assert.is(await exitOf('--crit-space', '50.1'), 2);
});

test('text of others neither ends the line nor begins the numbers', async ({node}) => {
  const said = {code: 'LOG_SPACE', severity: 'critical', since: '2026-11-22T10:00:00Z'} as const;
  const message = {
    ...said,
    text: `a|b\nc ${'x'.repeat(300)}`,
  };
  node.daemon.answers.set(ALL, fakeStatusDocument({...well, messages: [message]}));
  const {stdout, exit} = await node.run('check');
  assert.is(exit, 2);
  assert.match(stdout, /^MARS CRITICAL - web: LOG_SPACE: a\/b c x+… \| web\/beta\/lag=[^\n|]*\n$/u);
});

test('the worst four are shown, and how many more there are', async ({node}) => {
  const bad = (name: string): ReturnType<typeof fakeStatus> =>
    fakeStatus(name, {health: 'warning', state: 'Detached'});
  node.daemon.answers.set(ALL, fakeStatusDocument(...['a', 'b', 'c', 'd', 'e', 'f'].map(bad)));
  const {stdout} = await node.run('check');
  assert.match(stdout, /a: Detached, role primary; .*d: Detached.*; and 2 more \|/u);
});

test('one resource is asked for by name; one that is not there is UNKNOWN', async ({node}) => {
  node.daemon.answers.set(`${ALL}?resource=web`, fakeStatusDocument(well));
  assert.is((await node.run('check', 'web')).exit, 0);
  const {stdout, stderr, exit} = await node.run('check', 'db');
  assert.is(exit, 3);
  assert.match(stdout, /^MARS UNKNOWN - RESOURCE_UNKNOWN: [^\n]*\n$/u);
  assert.is(stderr, '');
});

test('nobody answers, or not what was asked for: UNKNOWN', async ({node}) => {
  for (const answer of ['{}', '[]', 'null', 'no json', '{"schema": 1, "resources": [{}]}']) {
    node.daemon.answers.set(ALL, () => answer);
    const {stdout, exit} = await node.run('check');
    assert.is(exit, 3, answer);
    assert.match(stdout, /^MARS UNKNOWN - [^\n]*\n$/u);
  }

  node.daemon.answers.set(ALL, () => {
    throw new DiskError('STORE_IO', 'the home cannot be read');
  });
  assert.match((await node.run('check')).stdout, /^MARS UNKNOWN - STORE_IO: /u);
  await node.daemon.stop();
  const {stdout, exit} = await node.run('check');
  assert.is(exit, 3);
  assert.match(stdout, /^MARS UNKNOWN - DAEMON_UNREACHABLE: [^\n]*\n$/u);
  const json = await node.json('check');
  assert.is(json.exit, 3);
  assert.is(json.document['status'], 'UNKNOWN');
  assert.is((json.document['error'] as {code: string}).code, 'DAEMON_UNREACHABLE');
});

test('a place without a node is UNKNOWN', async () => {
  const home = makeTempDirectory();
  try {
    const {stdout, exit} = await runCommand('check', '--home', home);
    assert.is(exit, 3);
    assert.match(stdout, /^MARS UNKNOWN - NOT_INITIALISED: /u);
  } finally {
    fs.rmSync(home, {recursive: true, force: true});
  }
});

test('a wrong word is refused as everywhere, before anything is asked', async ({node}) => {
  const wrong = [
    ['--no-such-flag'],
    ['a', 'b'],
    ['../x'],
    ['--warn-lag', 'x'],
    ['--warn-lag', '61'],
    ['--crit-lag=-1'],
    ['--crit-lag', ''],
    ['--crit-lag', '1e400'],
    ['--warn-lag-bytes', '0'],
    ['--crit-space', '101'],
    ['--warn-space', 'NaN'],
  ];
  for (const argv of wrong) {
    const {stdout, exit} = await node.run('check', ...argv);
    assert.is(exit, 2, argv.join(' '));
    assert.is(stdout, '');
  }

  assert.equal(node.daemon.lines, []);
});

test.run();
