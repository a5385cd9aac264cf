/** `resource move`: a resource goes from one node to another, under SIGKILL of who asked for it. */
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {StatusDocument} from '../../src/control/api.js';
import type {UpgradeDocument} from '../../src/cli/upgrade.js';
import {Cluster} from '../helpers/cluster.js';
import {hashOf} from '../helpers/disk-io.js';
import {run, until} from '../helpers/run.js';
import type {TempHome} from '../helpers/temp-home.js';

const NAME = 'web';
const MIBS = 64;
const PROGRAM = path.join(import.meta.dirname, '../../bin/run.js');

interface Document {
  readonly steps: readonly {readonly step: string; readonly state: string}[];
}

const cluster = new Cluster(['alpha', 'beta']);
let alpha: TempHome;
let beta: TempHome;

test.before(async () => {
  await cluster.start();
  alpha = cluster.node('alpha');
  beta = cluster.node('beta');
  const device = await cluster.createResource('alpha', NAME, `${MIBS}M`);
  const words = ['if=/dev/urandom', `of=${device}`, 'bs=1M', `count=${MIBS}`, 'oflag=direct'];
  await run('dd', [...words, 'conv=fsync'], {timeoutMs: 60_000});
});
test.after(() => cluster.dispose());

function stepsOf({steps}: Document): string {
  return steps.map(({state}) => state).join(' ');
}

/** Begins to move, and kills the command when `moment` has come. */
async function moveAndKill(moment: () => Promise<boolean>): Promise<void> {
  const args = [PROGRAM, 'resource', 'move', NAME, '--to', 'beta', '--home', alpha.home];
  const child = spawn(process.execPath, args, {stdio: 'ignore'});
  try {
    await until(async () => child.exitCode !== null || (await moment()), 60_000, 'the moment');
  } finally {
    child.kill('SIGKILL');
  }

  assert.is(child.exitCode, null, 'it had not ended by itself');
}

async function isJoined(): Promise<boolean> {
  const {resources} = await beta.json<StatusDocument>('status');
  return resources.some(({name, state}) => name === NAME && state !== 'NotJoined');
}

test('the plan is shown, and nothing is done', async () => {
  const plan = await alpha.json<Document>('resource', 'move', NAME, '--to', 'beta', '--dry-run');
  assert.is(stepsOf(plan), 'todo todo todo todo');
  assert.not(await isJoined());
  const nowhere = await alpha.tryMars('resource', 'move', NAME, '--to', 'gamma');
  assert.match(nowhere.stderr, 'PEER_UNKNOWN');
  const typo = await alpha.tryMars('resource', 'move', NAME, '--to', 'gamma', '--dry-run');
  assert.is(typo.status, nowhere.status);
  assert.match(typo.stderr, 'PEER_UNKNOWN');
  const relative = ['resource', 'move', NAME, '--to', 'beta', '--image', 'x.img', '--dry-run'];
  assert.is((await alpha.tryMars(...relative)).status, 2);
  const itself = await alpha.tryMars('resource', 'move', NAME, '--to', 'alpha');
  assert.is(itself.status, 2);
});

test('killed while the image is copied, and while the disk is in use: said again, it goes on', async () => {
  const before = await hashOf(alpha.imageFile(NAME), MIBS);
  await moveAndKill(isJoined);
  await cluster.wait('the copy to end without who asked', 60_000, async () => {
    return (await cluster.replica('alpha', 'beta', NAME))?.state === 'UpToDate';
  });
  const plan = await alpha.json<Document>('resource', 'move', NAME, '--to', 'beta', '--dry-run');
  assert.is(stepsOf(plan), 'done done todo todo');

  const fd = fs.openSync(alpha.device(NAME), 'r');
  try {
    const busy = await alpha.tryMars('resource', 'move', NAME, '--to', 'beta');
    assert.is(busy.status, 3);
    assert.match(busy.stderr, 'RESOURCE_BUSY');
    assert.is((await alpha.status(NAME)).role, 'primary');
  } finally {
    fs.closeSync(fd);
  }

  // Killed at once after the role has gone: what is left is to leave.
  await moveAndKill(async () => (await beta.diskStatus(NAME))?.mode === 'serve');
  await cluster.wait('beta to be primary', 60_000, async () => {
    return (await beta.status(NAME)).role === 'primary';
  });
  await alpha.mars('resource', 'move', NAME, '--to', 'beta', '--timeout', '60');
  assert.is(await hashOf(beta.imageFile(NAME), MIBS), before);
  const {resources} = await alpha.json<StatusDocument>('status', NAME);
  assert.is(resources[0]?.state, 'NotJoined');
  await beta.replayed(NAME, 60_000);
});

test('said once more when all is done, it says so and does nothing', async () => {
  const again = await alpha.json<Document>('resource', 'move', NAME, '--to', 'beta');
  assert.is(stepsOf(again), 'done done done done');
});

test('back in one go, and a hook over there that refuses the role keeps it where it is', async () => {
  const before = await hashOf(beta.imageFile(NAME), MIBS);
  const hooks = path.join(beta.home, 'hooks');
  fs.mkdirSync(hooks);
  const hook = path.join(hooks, 'before-secondary');
  fs.writeFileSync(hook, '#!/bin/sh\necho not during office hours\nexit 1\n', {mode: 0o755});
  const refused = await beta.tryMars('resource', 'move', NAME, '--to', 'alpha');
  assert.is(refused.status, 3);
  assert.match(refused.stderr, 'not during office hours');
  assert.match(refused.stderr, 'HOOK_FAILED');
  assert.is((await beta.status(NAME)).role, 'primary');
  fs.rmSync(hook);
  await beta.mars('resource', 'move', NAME, '--to', 'alpha');
  assert.is(await hashOf(alpha.imageFile(NAME), MIBS), before);
});

test('the disk process of a secondary is renewed as well, and follows on', async () => {
  await cluster.joinResource('beta', NAME);
  const before = await beta.diskProcesses(NAME);
  const {daemon, disks} = await beta.json<UpgradeDocument>('daemon', 'upgrade', '--timeout', '60');
  assert.equal(
    disks.map(({name, mode, after}) => [name, mode, after !== null]),
    [[NAME, 'follow', true]],
  );
  assert.is.not(daemon.after.pid, daemon.before.pid);
  assert.is.not((await beta.diskProcesses(NAME)).pid, before.pid);
  const device = alpha.device(NAME);
  await run('dd', ['if=/dev/urandom', `of=${device}`, 'bs=1M', 'count=8', 'oflag=direct']);
  await cluster.equalImages(NAME);
});

test.run();
