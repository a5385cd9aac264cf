/** The OCF agent: what Pacemaker says to it, in its order, and ocf-tester where that is installed. */
import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {tryRun} from '../helpers/run.js';
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
    assert.is(await agent('demote'), STATUS.generic);
    assert.is(await agent('stop'), STATUS.generic);
    assert.is(await agent('monitor'), PROMOTED);
  } finally {
    fs.closeSync(fd);
  }

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
