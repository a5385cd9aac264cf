/** The daemon, holder and disk process are killed in every combination. */
import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {DaemonStatus} from '../../src/control/api.js';
import type {EventLine} from '../../src/core/disk-status.js';
import {run, until} from '../helpers/run.js';
import {skip} from '../helpers/skip.js';
import {TempHome, isRunning, killAndWait} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
  await node.disk('web01', '64M');
});
test.after(() => node.dispose());

function events(): EventLine[] {
  const text = fs.readFileSync(path.join(node.home, 'events.jsonl'), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as EventLine);
}

async function write(data: Buffer): Promise<void> {
  const source = path.join(node.directory, 'source');
  fs.writeFileSync(source, data);
  const of = `of=${node.device('web01')}`;
  await run('dd', [`if=${source}`, of, 'bs=1M', 'oflag=direct', 'conv=fsync']);
}

async function check(data: Buffer): Promise<void> {
  const copy = path.join(node.directory, 'copy');
  const count = `count=${data.length / MIB}`;
  await run('dd', [`if=${node.device('web01')}`, `of=${copy}`, 'bs=1M', 'iflag=direct', count]);
  assert.ok(fs.readFileSync(copy).equals(data), 'the device holds what was written');
}

async function isServing(): Promise<boolean> {
  const status = await node.status('web01');
  return (
    status.role === 'primary' &&
    status.state === 'UpToDate' &&
    status.device === path.join(node.home, 'dev', 'web01')
  );
}

test('SIGKILL of the daemon leaves disks at work, and the next one adopts them', async () => {
  const before = await node.diskProcesses('web01');
  await node.killDaemon();
  const data = randomBytes(4 * MIB);
  await write(data);
  const status = await node.json<DaemonStatus>('daemon', 'status');
  assert.is(status.pid, null);
  assert.is(status.disks[0]?.pid, before.pid);
  await node.startDaemon();
  await until(() => events().some(({code}) => code === 'DISK_ADOPTED'), 10_000, 'adoption');
  assert.equal(await node.diskProcesses('web01'), before);
  await check(data);
});

test('SIGKILL of the disk process is an event, and the disk goes on', async () => {
  const before = await node.diskProcesses('web01');
  const data = randomBytes(4 * MIB);
  await write(data);
  await killAndWait(before.pid);
  await check(data);
  await until(() => events().some(({code}) => code === 'DISK_RESTARTED'), 10_000, 'event');
  const after = await node.diskProcesses('web01');
  assert.is(after.holderPid, before.holderPid);
  assert.is(after.restarts, before.restarts + 1);
});

test('SIGKILL of the holder alone: a new one takes over the same disk process', async () => {
  const before = await node.diskProcesses('web01');
  await killAndWait(before.holderPid);
  await until(
    async () => (await node.diskProcesses('web01')).holderPid !== before.holderPid,
    10_000,
    'a new holder',
  );
  const after = await node.diskProcesses('web01');
  assert.is(after.pid, before.pid);
  assert.ok(await isServing());
  await killAndWait(after.pid);
  await until(
    async () => (await node.diskProcesses('web01')).pid !== after.pid,
    10_000,
    'the adopting holder starts the next one',
  );
  await until(isServing, 10_000, 'service');
});

test('SIGKILL of holder and disk process: cleaned up and brought back', async () => {
  const data = randomBytes(4 * MIB);
  await write(data);
  const before = await node.diskProcesses('web01');
  await Promise.all([killAndWait(before.holderPid), killAndWait(before.pid)]);
  await until(
    async () => (await node.diskStatus('web01'))?.phase === 'serving' && (await isServing()),
    20_000,
    'service',
  );
  assert.ok(events().some(({code}) => code === 'CRASH_CLEANED'));
  await check(data);
});

test('SIGKILL of daemon, holder and disk process, as a reboot leaves it', async () => {
  const data = randomBytes(4 * MIB);
  await write(data);
  const before = await node.diskProcesses('web01');
  await node.killDaemon();
  await Promise.all([killAndWait(before.holderPid), killAndWait(before.pid)]);
  assert.not(isRunning(before.pid));
  const cleaned = events().filter(({code}) => code === 'CRASH_CLEANED').length;
  await node.startDaemon();
  await until(isServing, 20_000, 'the designated primary');
  assert.is(events().filter(({code}) => code === 'CRASH_CLEANED').length, cleaned + 1);
  await check(data);
  await node.mars('secondary', 'web01');
});

test('fuse-native: the daemon brings a disk back whose process was killed', async (context) => {
  const created = await node.tryMars(
    ...['resource', 'create', 'native', '--size', '16M', '--driver', 'fuse-native'],
  );
  if (created.status !== 0) {
    skip(context, created.stderr);
    return;
  }

  const {pid} = await node.diskProcesses('native');
  await killAndWait(pid);
  await until(
    async () => {
      const status = await node.status('native');
      return (
        status.role === 'primary' &&
        status.device === path.join(node.home, 'dev', 'native') &&
        status.health === 'ok'
      );
    },
    20_000,
    'service',
  );
  await run('dd', ['if=/dev/zero', `of=${node.device('native')}`, 'bs=1M', 'count=4']);
  await node.mars('secondary', 'native');
});

test('a second daemon is refused, whatever it finds', async () => {
  const main = path.join(import.meta.dirname, '../../dist/daemon/main.js');
  const second = await run('sh', [
    '-c',
    `${process.execPath} ${main} --home ${node.home} 2>&1; echo "exit $?"`,
  ]);
  assert.match(second, 'DAEMON_RUNNING');
  assert.match(second, 'exit 3');
});

test.run();
