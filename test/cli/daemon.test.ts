/** The daemon commands, with and without a daemon, and events. */
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {CRASH_POINTS} from '../../src/core/crash-points.js';
import type {EventLine} from '../../src/core/disk-status.js';
import {DiskError} from '../../src/core/errors.js';
import {homePaths} from '../../src/core/home.js';
import {startFakeNode, type FakeNode} from '../helpers/fake-node.js';
import {runCommand} from '../helpers/run-command.js';

const test = suite<{node: FakeNode}>('daemon');

const STARTED = '2026-11-22T10:00:00.000Z';
const DISK = {name: 'web', version: '0.1.0', holderPid: 50, pid: 51, restarts: 2, since: STARTED};
const DAEMON = {schema: 1, pid: 41, version: '0.1.0', startedAt: STARTED, disks: [DISK]};

test.before.each(async (context) => {
  context.node = await startFakeNode();
});

test.after.each(async ({node}) => {
  await node.dispose();
});

test('status shows daemon and disks', async ({node}) => {
  node.daemon.answers.set('GET /v1/daemon', DAEMON);
  assert.equal((await node.json('daemon status')).document, DAEMON);
  const {stdout} = await node.run('daemon status');
  assert.match(stdout, /pid 41, since 2026-11-22[\s\S]*web +0\.1\.0 +50 +51 +2 /u);
});

test('status without a daemon is 4, with pid null and the disks that run all the same', async ({
  node,
}) => {
  await node.daemon.stop();
  const {disksDirectory} = homePaths(node.home);
  const answer = {name: 'web', holderPid: 50, pid: 51, restarts: 2, startedAt: STARTED};
  const disk = http.createServer((_request, response) => response.end(JSON.stringify(answer)));
  await new Promise<void>((resolve) => disk.listen(path.join(disksDirectory, 'web.sock'), resolve));
  try {
    const {document, exit} = await node.json('daemon status');
    assert.is(exit, 4);
    assert.is(document['pid'], null);
    assert.is(document['startedAt'], null);
    assert.equal(document['disks'], [{...DISK, version: null}]);
    const shown = await node.run('daemon status');
    assert.is(shown.exit, 4);
    assert.match(shown.stdout, /no daemon runs at .*mars daemon run[\s\S]*web +- +50 +51/u);
    const stopped = await node.json('daemon stop', '--disks');
    assert.is(stopped.exit, 4);
    assert.match(JSON.stringify(stopped.document), /DAEMON_UNREACHABLE.*disks run \(web\)/u);
  } finally {
    await new Promise((resolve) => {
      disk.close(resolve);
      disk.closeAllConnections();
    });
  }
});

test('status at a home that is none is 4 as well', async () => {
  const {stdout, exit} = await runCommand('daemon status', '--home', '/nonexistent', '--json');
  assert.is(exit, 4);
  assert.is((JSON.parse(stdout) as {pid: unknown}).pid, null);
});

test('commands say whether there is no node, or only no daemon', async ({node}) => {
  await node.daemon.stop();
  for (const words of ['status', 'resource list', 'events', 'primary all']) {
    const [command = '', ...rest] = words === 'primary all' ? ['primary', 'all'] : [words];
    const here = await node.run(command, ...rest);
    assert.is(here.exit, 4, words);
    assert.is(here.code, 'DAEMON_UNREACHABLE', words);
    const nowhere = await runCommand(command, ...rest, '--home', '/nonexistent');
    assert.is(nowhere.exit, 3, words);
    assert.is(nowhere.code, 'NOT_INITIALISED', words);
  }
});

test('stop waits until nobody answers any more', async ({node}) => {
  node.daemon.answers.set('GET /v1/daemon', DAEMON);
  let asked = 0;
  node.daemon.answers.set('POST /v1/daemon/stop', () => {
    // The first questions after the stop still get an answer.
    node.daemon.answers.set('GET /v1/daemon', () => {
      asked += 1;
      return asked < 3 ? DAEMON : {...DAEMON, pid: 99};
    });
    return {};
  });
  const {document, exit} = await node.json('daemon stop', '--disks', '--timeout', '9');
  assert.is(exit, 0);
  assert.equal(document, {schema: 1, stopped: 41});
  assert.is(asked, 3);
  const stop = node.daemon.requests.find(({line}) => line.endsWith('/stop'));
  assert.equal(stop?.body, {disks: true, timeoutSeconds: 9});
});

test('stop without a daemon is done already', async ({node}) => {
  await node.daemon.stop();
  const {document, exit} = await node.json('daemon stop', '--disks');
  assert.is(exit, 0);
  assert.equal(document, {schema: 1, stopped: null});
});

test('a daemon that does not end in time is told', async ({node}) => {
  node.daemon.answers.set('GET /v1/daemon', DAEMON);
  node.daemon.answers.set('POST /v1/daemon/stop', {});
  const {exit, code} = await node.run('daemon stop', '--timeout', '1');
  assert.is(exit, 5);
  assert.is(code, 'TIMEOUT');
});

test('install --dry-run prints units and writes nothing', async ({node}) => {
  const {document, exit} = await node.json('daemon install', '--dry-run');
  assert.is(exit, 0);
  const files = document['files'] as {path: string; text: string}[];
  const unit = files.find((file) => file.path.endsWith('/mars.service'));
  assert.match(unit?.text ?? '', new RegExp(`--home ${node.home}`, 'u'));
  assert.match((await node.run('daemon install', '--dry-run')).stdout, /^# \/etc\/systemd/u);
});

test('run tells of a daemon that runs already', async ({node}) => {
  node.daemon.answers.set('GET /v1/daemon', DAEMON);
  const {exit, code, stderr} = await node.run('daemon run');
  assert.is(exit, 3);
  assert.is(code, 'DAEMON_RUNNING');
  assert.match(stderr, /pid 41/u);
});

test('crash points are listed with their numbers, kept out of the help, and a wrong one is refused', async ({
  node,
}) => {
  const {stdout} = await node.run('daemon run', '--error-injection-phase', 'list');
  const lines = stdout.trim().split('\n');
  assert.is(lines.length, Object.keys(CRASH_POINTS).length);
  assert.match(lines[0] ?? '', /^ *1 file-written +a state file/u);
  const {code, stderr} = await node.run('daemon run', '--error-injection-phase', 'nowhere:2');
  assert.is(code, 'USAGE');
  assert.match(stderr, /'nowhere:2'/u);
  assert.not.match((await node.run('daemon run', '--help')).stdout, /injection/u);
});

test('run wants a node', async ({node}) => {
  fs.rmSync(path.join(node.home, 'node.json'));
  const {exit, code} = await node.run('daemon run');
  assert.is(exit, 3);
  assert.is(code, 'NOT_INITIALISED');
});

test('events are a line each, for people and as JSON', async ({node}) => {
  const event: EventLine = {
    ...{schema: 1, time: STARTED, node: 'alpha', resource: 'web', severity: 'info'},
    ...{code: 'ROLE_PRIMARY', text: 'web is primary'},
  };
  const lines = `${JSON.stringify(event)}\n${JSON.stringify({...event, resource: null})}\n`;
  node.daemon.answers.set('GET /v1/events', () => lines);
  node.daemon.answers.set('GET /v1/events?follow=1&resource=web', () => lines);
  const {stdout} = await node.run('events');
  assert.match(stdout, /^2026-11-22 10:00:00Z info +web ROLE_PRIMARY web is primary\n/u);
  const json = await node.run('events', 'web', '--follow', '--json');
  assert.is(json.stdout, lines);
});

test('a name without any event is told, as it may be a wrong one', async ({node}) => {
  node.daemon.answers.set('GET /v1/events?resource=wbe', () => []);
  const {stdout, stderr, exit} = await node.run('events', 'wbe');
  assert.equal([stdout, exit], ['', 0]);
  assert.match(stderr, 'no events of wbe on this node');
});

test('a refusal in place of events is an error', async ({node}) => {
  node.daemon.answers.set('GET /v1/events?resource=web', () => {
    throw new DiskError('RESOURCE_UNKNOWN', 'there is no resource web');
  });
  const {document, exit} = await node.json('events', 'web');
  assert.is(exit, 3);
  assert.match(JSON.stringify(document), /RESOURCE_UNKNOWN/u);
});

test('events that end in the middle end with 4, after the whole lines', async ({node}) => {
  const server = http.createServer((_request, response) => {
    response.write('{"schema": 1, "text": "whole"}\n{"schema": 1, "te', () => {
      response.destroy();
    });
  });
  const socket = homePaths(node.home).daemonSocket;
  await node.daemon.stop();
  fs.rmSync(socket, {force: true});
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  try {
    const {stdout, exit} = await node.run('events', '--follow', '--json');
    assert.is(exit, 4);
    assert.match(stdout, /^\{"schema":1,"text":"whole"\}\n\{"schema":1,"error":.*\}\n$/u);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
});

test('doctor lists each check; what is missing comes first', async ({node}) => {
  const {document, exit} = await node.json('doctor');
  const checks = document['checks'] as {ok: boolean; name: string; remedy: string}[];
  assert.is(exit, document['ok'] === true ? 0 : 3);
  assert.ok(checks.some(({name}) => name === 'kernel'));
  for (const check of checks) assert.ok(check.ok || check.remedy !== '', check.name);
  const oks = checks.map(({ok}) => ok);
  assert.equal(oks, [...oks].sort());
});

test.run();
