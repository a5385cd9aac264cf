/** The machine lacks something: no /dev/fuse, no loop devices, not root. Each in a mount namespace. */
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isErrorCode} from '../../src/core/codes.js';
import {bareDisk} from '../helpers/disk-io.js';
import {tryRun, until, type RunResult} from '../helpers/run.js';
import {TempHome} from '../helpers/temp-home.js';

const PROGRAM = path.join(import.meta.dirname, '..', '..', 'bin', 'run.js');
const NOBODY = 65_534;

let node: TempHome;

test.before(async () => {
  node = await TempHome.create({daemon: false});
});

test.after(() => node.dispose());

interface Failure {
  readonly error: {readonly code: string; readonly message: string; readonly remedy?: string};
}

/** Runs `work` with a daemon whose machine lacks `hidden`; the test's own has it all the while. */
async function withoutFiles(hidden: string, work: () => Promise<void>): Promise<void> {
  // A plain file over each device: nothing that the device can do works any more.
  const nothing = path.join(node.directory, 'nothing');
  const script = `for file in ${hidden}; do mount --bind ${nothing} $file || exit 1; done
    exec "$0" "$@"`;
  fs.writeFileSync(nothing, '');
  const words = [process.execPath, PROGRAM, 'daemon', 'run', '--home', node.home];
  const daemon = spawn('unshare', ['-m', 'sh', '-c', script, ...words], {stdio: 'ignore'});
  const ended = new Promise((resolve) => daemon.once('exit', resolve));
  try {
    await until(async () => (await node.daemonStatus()).pid !== null, 20_000, 'daemon');
    await work();
  } finally {
    await node.tryMars('daemon', 'stop', '--disks');
    daemon.kill('SIGTERM');
    await ended;
  }
}

function codeOf(result: RunResult): string {
  const {error} = JSON.parse(result.stdout) as Failure;
  assert.ok(isErrorCode(error.code), error.code);
  return error.code;
}

function resources(): string[] {
  return fs.readdirSync(path.join(node.home, 'resources'));
}

test('no /dev/fuse: creation and primary are refused with the remedy, and nothing is left', async () => {
  await withoutFiles('/dev/fuse', async () => {
    const words = ['resource', 'create', 'web01', '--size', '16M'];
    const refused = await node.tryMars(...words, '--json');
    assert.is(refused.status, 3);
    assert.is(codeOf(refused), 'FUSE_MISSING');
    assert.match((await node.tryMars(...words)).stderr, 'modprobe fuse');
    assert.equal(resources(), []);
    await node.mars(...words, '--secondary');
    const primary = await node.tryMars('primary', 'web01', '--json');
    assert.is(codeOf(primary), 'FUSE_MISSING');
    assert.is((await node.status('web01')).role, 'secondary');
    await node.mars('resource', 'delete', 'web01', '--yes');
    assert.equal(resources(), []);
  });
});

test('no loop devices: the image is served all the same, and the status says why there is no device', async () => {
  await withoutFiles('/dev/loop*', async () => {
    const result = await node.tryMars('resource', 'create', 'web01', '--size', '16M', '--json');
    assert.is(result.status, 0, result.stderr);
    const status = await node.status('web01');
    assert.is(status.role, 'primary');
    assert.is(status.device, null);
    assert.ok(status.image !== null);
    const message = status.messages.find(({code}) => code.startsWith('LOOP_'));
    assert.match(message?.text ?? '', 'the image file can be used');
    await node.mars('secondary', 'web01');
    await node.mars('resource', 'delete', 'web01', '--yes');
  });
});

test('not root: every command that needs root says so, and nothing is changed', async () => {
  const home = path.join(node.directory, 'nobody');
  fs.mkdirSync(home);
  fs.chownSync(home, NOBODY, NOBODY);
  const asNobody = (...args: string[]): Promise<RunResult> =>
    tryRun('setpriv', [
      ...[`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'],
      ...[process.execPath, PROGRAM, ...args, '--json'],
    ]);
  const init = await asNobody('init', '--home', path.join(home, 'new'));
  assert.is(init.status, 3, init.stderr);
  assert.is(codeOf(init), 'NOT_ROOT');
  assert.equal(fs.readdirSync(home), []);
  const run = await asNobody('daemon', 'run', '--home', node.home);
  assert.is(run.status, 3);
  // Somebody else's home is closed to them as well: 0700.
  await node.startDaemon();
  await bareDisk(node, 'web01', '16M');
  for (const words of [
    ['status'],
    ['secondary', 'web01'],
    ['resource', 'delete', 'web01', '--yes'],
  ]) {
    const result = await asNobody(...words, '--home', node.home);
    assert.ok([3, 4].includes(result.status ?? 0), `${words.join(' ')}: ${result.stderr}`);
  }

  assert.is((await node.status('web01')).role, 'primary');
  await node.mars('secondary', 'web01');
});

test.run();
