/** Machines that lack something: a daemon in a mount namespace without /dev/fuse, or without loop. */
import {spawn, type ChildProcess} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {ResourceView, StatusDocument} from '../../src/control/api.js';
import {run, tryRun, until} from '../helpers/run.js';

const BIN = path.join(import.meta.dirname, '../../bin/run.js');
let home = '';
let daemon: ChildProcess | undefined;

/** A daemon that sees a /dev with these nodes only. */
async function start(...nodes: string[]): Promise<void> {
  const directory = fs.mkdtempSync('/var/tmp/mars-machine-');
  home = path.join(directory, 'home');
  await run(process.execPath, [BIN, 'init', '--name', 'alpha', '--home', home]);
  const dev = path.join(directory, 'dev');
  fs.mkdirSync(dev);
  const script = [
    `mount -t tmpfs dev ${dev}`,
    `cp -a /dev/null /dev/zero /dev/urandom ${nodes.map((name) => `/dev/${name}`).join(' ')} ${dev}`,
    `mount --move ${dev} /dev`,
    `exec ${process.execPath} ${BIN} daemon run --home ${home}`,
  ].join(' && ');
  daemon = spawn('unshare', ['-m', 'sh', '-c', script], {stdio: 'ignore'});
  await until(() => fs.existsSync(path.join(home, 'run/daemon.sock')), 20_000, 'daemon');
}

async function mars(
  ...args: string[]
): Promise<{status: number | null; code: string; json: unknown}> {
  const result = await tryRun(process.execPath, [BIN, ...args, '--home', home, '--json']);
  const json = JSON.parse(result.stdout) as {error?: {code: string}};
  return {status: result.status, code: json.error?.code ?? 'none', json};
}

test.after.each(async () => {
  if (daemon !== undefined) {
    await mars('daemon', 'stop', '--disks').catch(() => undefined);
    const ended = new Promise((resolve) => daemon?.once('exit', resolve));
    daemon.kill('SIGTERM');
    if (daemon.exitCode === null) await ended;
    daemon = undefined;
  }

  fs.rmSync(path.dirname(home), {recursive: true, force: true});
});

test('without /dev/fuse a creation is refused, and leaves nothing', async () => {
  await start('loop-control');
  const created = await mars('resource', 'create', 'web01', '--size', '16M');
  assert.is(created.code, 'FUSE_MISSING');
  assert.is(created.status, 3);
  assert.equal(fs.readdirSync(path.join(home, 'resources')), []);
  const kept = await mars('resource', 'create', 'web01', '--size', '16M', '--secondary');
  assert.is(kept.code, 'none');
  assert.is((await mars('primary', 'web01')).code, 'FUSE_MISSING');
  const {resources} = (await mars('status')).json as StatusDocument;
  assert.is(resources[0]?.role, 'secondary');
});

test('without loop devices the image is served, and status says what is missing', async () => {
  await start('fuse');
  const created = await mars('resource', 'create', 'web01', '--size', '16M');
  assert.is(created.code, 'none');
  const view = created.json as ResourceView;
  assert.is(view.role, 'primary');
  assert.is(view.device, null);
  assert.ok(view.image !== null);
  const {resources} = (await mars('status')).json as StatusDocument;
  assert.is(resources[0]?.health, 'warning');
  assert.equal(
    resources[0]?.messages.map(({code}) => code),
    ['LOOP_MISSING'],
  );
  assert.is((await mars('primary', 'web01', '--no-device')).code, 'none');
  const {resources: quiet} = (await mars('status')).json as StatusDocument;
  assert.is(quiet[0]?.health, 'ok');
});

test.run();
