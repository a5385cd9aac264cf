/** The OCF agent: what Pacemaker says to it, in its order, and ocf-tester where that is installed. */
import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {resourcePaths, type ResourceFile} from '../../src/core/home.js';
import {tryRun, until} from '../helpers/run.js';
import {skip} from '../helpers/skip.js';
import {TempHome} from '../helpers/temp-home.js';

const ROOT = path.join(import.meta.dirname, '..', '..');
const AGENT = path.join(ROOT, 'bin/ocf/mars');
const NAME = 'web';
/** Of the OCF resource agent API. */
const STATUS = {success: 0, generic: 1, unimplemented: 3, installed: 5, configured: 6};
const NOT_RUNNING = 7;
const PROMOTED = 8;

let node: TempHome;
let program: string;

test.before(async () => {
  node = await TempHome.create();
  await node.mars('resource', 'create', NAME, '--size', '16M');
  await node.mars('secondary', NAME);
  program = path.join(node.directory, 'mars');
  const text = `#!/bin/sh\nexec '${process.execPath}' '${path.join(ROOT, 'bin/run.js')}' "$@"\n`;
  fs.writeFileSync(program, text, {mode: 0o755});
});
test.after(() => node.dispose());

/** An action that ends within some ten seconds, also where it waits for the daemon to the end. */
const SHORT = {OCF_RESKEY_CRM_meta_timeout: '10000'};

async function agent(action: string, more: NodeJS.ProcessEnv = {}): Promise<number | null> {
  const parameters = {
    OCF_RESKEY_resource: NAME,
    OCF_RESKEY_home: node.home,
    OCF_RESKEY_program: program,
  };
  const env = {...process.env, ...parameters, ...more};
  return (await tryRun(AGENT, [action], {env, timeoutMs: 90_000})).status;
}

test('the agent is plain sh, and its metadata are XML that names every action', async () => {
  execFileSync('sh', ['-n', AGENT]);
  const {stdout, status} = await tryRun(AGENT, ['meta-data']);
  assert.is(status, 0);
  for (const action of ['start', 'stop', 'promote', 'demote', 'notify', 'monitor']) {
    assert.match(stdout, `<action name="${action}"`);
  }
});

test('what is not configured, not installed or not known has its own status', async () => {
  assert.is(await agent('validate-all'), STATUS.success);
  assert.is(await agent('validate-all', {OCF_RESKEY_resource: ''}), STATUS.configured);
  const nowhere = {OCF_RESKEY_home: path.join(node.directory, 'nowhere')};
  assert.is(await agent('start', nowhere), STATUS.installed);
  assert.is(await agent('monitor', nowhere), NOT_RUNNING);
  assert.is(await agent('stop', nowhere), STATUS.success);
  assert.is(await agent('dance'), STATUS.unimplemented);
});

test('start, promote, demote, stop: each does it, and does nothing when it is done', async () => {
  await node.mars('detach', NAME);
  assert.is(await agent('monitor'), NOT_RUNNING);
  for (const [action, status] of [
    ['start', STATUS.success],
    ['promote', PROMOTED],
    ['demote', STATUS.success],
    ['stop', NOT_RUNNING],
  ] as const) {
    for (let round = 0; round < 2; round += 1) assert.is(await agent(action), 0, action);
    assert.is(await agent('monitor'), status, action);
    const {mode} = (await node.diskStatus(NAME)) ?? {};
    assert.is(mode === 'serve', action === 'promote', action);
  }
});

test('a disk that is open cannot be demoted or stopped, and is promoted still', async () => {
  await agent('start');
  await agent('promote');
  const fd = fs.openSync(node.device(NAME), 'r');
  try {
    assert.is(await agent('demote', SHORT), STATUS.generic);
    assert.is(await agent('stop', SHORT), STATUS.generic);
    assert.is(await agent('monitor'), PROMOTED);
  } finally {
    fs.closeSync(fd);
  }

  assert.is(await agent('stop'), STATUS.success);
});

test('a daemon that hangs or is gone while the primary serves: never "not running", never stopped', async () => {
  await agent('start');
  await agent('promote');
  const before = await node.diskProcesses(NAME);
  process.kill(node.daemonPid ?? 0, 'SIGSTOP');
  assert.is(await agent('monitor', SHORT), PROMOTED);
  assert.is(await agent('stop', SHORT), STATUS.generic);
  // Not continued: what it was asked for meanwhile is forgotten with it.
  await node.killDaemon();
  const nodeFile = path.join(node.home, 'node.json');
  fs.renameSync(nodeFile, `${nodeFile}.away`);
  try {
    assert.is(await agent('monitor', SHORT), PROMOTED);
    assert.is(await agent('stop', SHORT), STATUS.generic);
  } finally {
    fs.renameSync(`${nodeFile}.away`, nodeFile);
  }

  const monitor = agent('monitor');
  await node.startDaemon();
  assert.is(await monitor, PROMOTED, 'it has waited for the daemon');
  assert.is((await node.status(NAME)).role, 'primary');
  assert.is((await node.diskProcesses(NAME)).holderPid, before.holderPid);
});

test('a replica that the daemon cannot read is not gone while its disk process serves', async () => {
  const file = resourcePaths(node.home, NAME).resourceFile;
  const text = fs.readFileSync(file);
  await node.killDaemon();
  fs.writeFileSync(file, '{');
  await node.startDaemon();
  const statuses = [await agent('monitor', SHORT), await agent('stop', SHORT)];
  await node.killDaemon();
  fs.writeFileSync(file, text);
  await node.startDaemon();
  assert.equal(statuses, [STATUS.generic, STATUS.generic]);
  assert.is(await agent('monitor'), PROMOTED);
  assert.is(await agent('stop'), STATUS.success);
});

test('what is not primary yet is demoted as well: it does not become primary later', async () => {
  const {resourceFile, image} = resourcePaths(node.home, NAME);
  const wish = () =>
    (JSON.parse(fs.readFileSync(resourceFile, 'utf8')) as ResourceFile).designatedRole;
  await agent('start');
  await agent('promote');
  await node.mars('daemon', 'stop', '--disks');
  fs.renameSync(image, `${image}.away`);
  try {
    await node.startDaemon();
    await until(async () => (await node.status(NAME)).role === 'notYetPrimary', 20_000, 'role');
    assert.is(wish(), 'primary');
    assert.is(await agent('demote'), STATUS.success);
    assert.is(wish(), 'secondary');
  } finally {
    fs.renameSync(`${image}.away`, image);
  }

  assert.is(await agent('promote'), STATUS.success);
  assert.is(await agent('stop'), STATUS.success);
});

test('ocf-tester finds no fault', async (context) => {
  const there = await tryRun('sh', ['-c', 'command -v ocf-tester && command -v xmllint']);
  if (there.status !== 0) {
    skip(context, 'not installed: apt-get install resource-agents libxml2-utils');
    return;
  }

  const words = ['-o', `resource=${NAME}`, '-o', `home=${node.home}`, '-o', `program=${program}`];
  const result = await tryRun('ocf-tester', ['-n', NAME, ...words, AGENT], {timeoutMs: 120_000});
  assert.is(result.status, 0, `${result.stdout}${result.stderr}`);
});

test.run();
