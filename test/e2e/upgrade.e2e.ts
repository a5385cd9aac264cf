/** Daemon and disk processes are replaced by those of another installation, under load. */
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {RenewResult} from '../../src/control/daemon-api.js';
import type {EventLine} from '../../src/core/disk-status.js';
import {hashRange} from '../helpers/hash.js';
import {run, tryRun, until} from '../helpers/run.js';
import {TempHome, isRunning} from '../helpers/temp-home.js';

const ROOT = path.join(import.meta.dirname, '..', '..');
const MIB = 1024 * 1024;
const DISK_BYTES = 128 * MIB;
const NEXT = '9.9.9';

interface Document {
  readonly daemon: Record<'before' | 'after', {readonly pid: number; readonly version: string}>;
  readonly disks: readonly RenewResult[];
  readonly errors: readonly {readonly name: string; readonly error: {readonly code: string}}[];
}

let node: TempHome;
let device: string;

test.before(async () => {
  node = await TempHome.create();
  device = await node.disk('web01', String(DISK_BYTES), '--set', 'segment-bytes=8M');
  await node.mars('resource', 'create', 'idle', '--size', '16M');
  await node.mars('secondary', 'idle');
});
test.after(() => node.dispose());

/** An installation at another place with another version. */
function installNext(): string {
  const installation = path.join(node.directory, 'next');
  for (const part of ['dist', 'bin', 'oclif.manifest.json']) {
    fs.cpSync(path.join(ROOT, part), path.join(installation, part), {recursive: true});
  }

  const text = fs.readFileSync(path.join(ROOT, 'package.json'), 'utf8');
  fs.writeFileSync(
    path.join(installation, 'package.json'),
    JSON.stringify({...(JSON.parse(text) as object), version: NEXT}),
  );
  fs.symlinkSync(
    fs.realpathSync(path.join(ROOT, 'node_modules')),
    path.join(installation, 'node_modules'),
  );
  return path.join(installation, 'bin', 'run.js');
}

async function upgrade(program: string, ...words: string[]): Promise<Document> {
  const args = [program, 'daemon', 'upgrade', ...words, '--json', '--home', node.home];
  const result = await tryRun(process.execPath, args, {timeoutMs: 120_000});
  assert.match(result.stdout, /^\{/u, `${result.stdout}${result.stderr}`);
  const document = JSON.parse(result.stdout) as Document;
  assert.is(result.status === 0, document.errors.length === 0, result.stderr);
  return document;
}

function events(code: string): EventLine[] {
  return fs
    .readFileSync(path.join(node.home, 'events.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as EventLine)
    .filter((event) => event.code === code);
}

test('under fio at depth 32, which checks what it reads, nobody sees an error, and all is as written', async () => {
  const next = installNext();
  const load = run(
    'fio',
    [
      ...['--name=load', `--filename=${device}`, '--ioengine=libaio', '--direct=1', '--iodepth=32'],
      ...['--rw=randwrite', '--bssplit=4k/50:16k/30:256k/20', '--serialize_overlap=1'],
      ...['--fsync=32', '--verify=crc32c', '--verify_backlog=256', '--verify_fatal=1'],
      ...['--verify_state_save=0', '--time_based', '--runtime=12'],
    ],
    {cwd: node.directory, timeoutMs: 120_000},
  );
  load.catch(() => undefined);
  await until(
    async () => Number((await node.diskStatus('web01'))?.counters.writes) > 500,
    20_000,
    'load',
  );
  const before = await node.diskProcesses('web01');
  const first = await upgrade(next);
  const after = await node.diskProcesses('web01');
  assert.is(first.daemon.before.version === NEXT, false);
  assert.is(first.daemon.after.version, NEXT);
  assert.not(isRunning(first.daemon.before.pid), 'the old daemon is gone');
  assert.is((await node.daemonStatus()).pid, first.daemon.after.pid);
  assert.equal(
    first.disks.map(({name, mode, after: now}) => [name, mode, now?.version ?? null]),
    [
      ['idle', null, null],
      ['web01', 'serve', NEXT],
    ],
  );
  assert.is(after.holderPid, before.holderPid);
  assert.is.not(after.pid, before.pid);
  const program = fs.readFileSync(`/proc/${after.pid}/cmdline`, 'utf8').split('\0');
  assert.ok(program.includes(path.join(node.directory, 'next/dist/disk/main.js')));
  for (let round = 0; round < 2; round += 1) await upgrade(next, '--disks-only');
  await load;
  assert.is((await node.diskProcesses('web01')).restarts, before.restarts + 3);
  assert.is(events('DISK_RENEWED').length, 3);
  assert.equal(events('DISK_RESTARTED'), [], 'it did not die');
  assert.equal((await node.status('web01')).messages, []);
  await node.replayed('web01', 60_000);
  const image = path.join(node.home, 'resources', 'web01', 'image');
  assert.is(await hashRange(image, 0, DISK_BYTES), await hashRange(device, 0, DISK_BYTES));
});

test('a flush that nobody can answer yet: refused with the reason, and the disk goes on', async () => {
  await node.mars('resource', 'set', 'web01', 'mode=sync', 'degrade-after=never');
  const flush = run(
    'dd',
    ['if=/dev/urandom', `of=${device}`, 'bs=4k', 'count=1', 'oflag=direct', 'conv=fsync'],
    {timeoutMs: 120_000},
  );
  flush.catch(() => undefined);
  await until(
    async () => ((await node.diskStatus('web01'))?.synchronous?.flushesWaiting ?? 0) > 0,
    20_000,
    'a flush that waits',
  );
  const {pid} = await node.diskProcesses('web01');
  const {errors} = await upgrade(path.join(ROOT, 'bin/run.js'), '--disks-only', '--timeout', '2');
  assert.equal(
    errors.map(({name, error}) => [name, error.code]),
    [['web01', 'RENEW_REFUSED']],
  );
  assert.is((await node.diskProcesses('web01')).pid, pid);
  // Not from the loop device: it does nothing else while its flush waits.
  const image = node.imageFile('web01');
  await run('dd', [`if=${image}`, 'of=/dev/null', 'bs=1M', 'count=1', 'iflag=direct']);
  await node.mars('resource', 'set', 'web01', 'mode=async');
  await flush;
});

test('a daemon that is a systemd unit is restarted by systemctl', async () => {
  const home = await TempHome.create({daemon: false, name: 'unit'});
  const bin = path.join(home.directory, 'bin');
  const calls = path.join(home.directory, 'calls');
  const pidFile = path.join(home.directory, 'pid');
  fs.mkdirSync(bin);
  const main = path.join(ROOT, 'dist/daemon/main.js');
  const start = `SYSTEMD_EXEC_PID=$$ exec '${process.execPath}' '${main}' --home '${home.home}'`;
  fs.writeFileSync(
    path.join(bin, 'systemctl'),
    `#!/bin/sh
echo "$*" >>'${calls}'
old=$(cat '${pidFile}')
kill "$old"
while [ -e "/proc/$old/exe" ]; do sleep 0.05; done
sh -c 'echo $$ >"$0"; ${start.replaceAll("'", '"')}' '${pidFile}' </dev/null >/dev/null 2>&1 &
`,
    {mode: 0o755},
  );
  try {
    const child = spawn('sh', ['-c', `echo $$ >'${pidFile}'; ${start}`], {stdio: 'ignore'});
    await until(async () => (await home.daemonStatus()).pid === child.pid, 20_000, 'the daemon');
    const args = [path.join(ROOT, 'bin/run.js'), 'daemon', 'upgrade', '--home', home.home];
    const env = {...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}`};
    await run(process.execPath, args, {env, timeoutMs: 60_000});
    assert.match(fs.readFileSync(calls, 'utf8'), /^restart \S+\.service\n$/u);
    assert.is.not((await home.daemonStatus()).pid, child.pid);
  } finally {
    await home.tryMars('daemon', 'stop', '--disks');
    await home.dispose();
  }
});

test.run();
