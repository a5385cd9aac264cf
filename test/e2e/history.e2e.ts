/** Time travel: what a disk was at any moment of its history, on primary and replica, whatever dies meanwhile. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {HistoryView, MountedMoment} from '../../src/control/history-api.js';
import {Cluster} from '../helpers/cluster.js';
import {eventsOf, hashOf, killDisk, randomFile, writeDisk} from '../helpers/disk-io.js';
import {Fio} from '../helpers/fio.js';
import {run, tryRun, until} from '../helpers/run.js';
import {killAndWait, type TempHome} from '../helpers/temp-home.js';

const SIZE_MIB = 16;
const FLUSHED = 'conv=notrunc,fsync';

const cluster = new Cluster(['alpha', 'beta']);
/** Content of the disk at each mark, and a time between it and the next one. */
const saved = new Map<string, {readonly hash: string; readonly time: string}>();
let disk = '';

test.before(async () => {
  await cluster.start();
});

test.after(() => cluster.dispose());

const alpha = (): TempHome => cluster.node('alpha');

async function mount(node: TempHome, ...words: string[]): Promise<MountedMoment> {
  return JSON.parse(
    await node.mars('history', 'mount', 'web', ...words, '--json'),
  ) as MountedMoment;
}

async function list(node: TempHome): Promise<HistoryView> {
  return JSON.parse(await node.mars('history', 'list', 'web', '--json')) as HistoryView;
}

/** Of the processes that serve a moment: the shell first. */
async function serversOf(node: TempHome, moment: string): Promise<number[]> {
  const lock = path.join(node.home, 'resources', 'web', 'history', `${moment}.lock`);
  const {stdout} = await tryRun('bash', ['-c', 'ls -l /proc/[0-9]*/fd 2>/dev/null || true']);
  let pid = 0;
  const pids: number[] = [];
  for (const line of stdout.split('\n')) {
    pid = Number(/^\/proc\/(\d+)\/fd:/u.exec(line)?.[1] ?? pid);
    if (line.endsWith(` ${lock}`)) pids.push(pid);
  }

  return pids.sort((one, other) => one - other);
}

/** Saves what the disk is now under a label, and notes a time after it. */
async function remember(label: string): Promise<void> {
  await alpha().mars('history', 'mark', 'web', label);
  const hash = await hashOf(disk, SIZE_MIB);
  await new Promise((resolve) => setTimeout(resolve, 20));
  saved.set(label, {hash, time: new Date().toISOString()});
  await new Promise((resolve) => setTimeout(resolve, 20));
}

/** The mounted moment is what the disk was at the mark. */
async function expectContent({device, moment}: MountedMoment, label: string): Promise<void> {
  if (device === null) throw new Error(`${moment} has no device`);
  assert.is(await hashOf(device, SIZE_MIB), saved.get(label)?.hash, `${moment} is ${label}`);
}

test('replay trails behind by the window, on both sides, over a restart; moments have names and times', async () => {
  disk = await alpha().disk(
    ...(['web', `${SIZE_MIB}M`, '--set', 'segment-bytes=4M', '--history', '1h'] as const),
  );
  await writeDisk(randomFile(alpha(), 'first.bin', SIZE_MIB), disk, [FLUSHED]);
  await remember('first');
  await writeDisk(randomFile(alpha(), 'part.bin', 5), disk, ['seek=3', FLUSHED]);
  await remember('part');
  await cluster.joinResource('beta', 'web');
  await cluster.node('beta').mars('resource', 'set', 'web', 'history=1h');
  await run('blkdiscard', ['-o', String(6 * 2 ** 20), '-l', String(4 * 2 ** 20), disk]);
  await remember('discarded');
  await killDisk(alpha(), 'web');
  await writeDisk(randomFile(alpha(), 'last.bin', SIZE_MIB), disk, [FLUSHED]);
  await remember('last');
  await cluster.caughtUp('web', 'alpha', 'beta', 30_000);
  await cluster.node('beta').mars('wait', 'web', 'uptodate', '--timeout', '30');
  const status = await alpha().diskStatus('web');
  assert.is(status?.history?.windowSeconds, 3600);
  assert.is(status?.replayed, '0'.repeat(16));
  const view = await list(alpha());
  assert.equal(
    view.marks.map(({label}) => label),
    ['first', 'part', 'discarded', 'last'],
  );
  assert.is(view.oldest, '0'.repeat(16));
  assert.is((await alpha().status('web')).restorableFrom, view.restorableFrom);
  assert.ok(view.epochs.length >= 2, 'the restart began an epoch');
});

test('each moment is what the disk was then, by mark, time and position, while a writer goes on', async () => {
  const load = new Fio(disk, {more: [`--size=${SIZE_MIB}M`], bytesPerSecond: 2 ** 20});
  try {
    for (const label of saved.keys()) {
      await expectContent(await mount(alpha(), '--at', label), label);
    }

    for (const label of ['first', 'discarded']) {
      const time = saved.get(label)?.time ?? '';
      await expectContent(await mount(alpha(), `--at=${time}`), label);
    }

    const view = await list(alpha());
    const part = view.marks.find(({label}) => label === 'part')?.position ?? '';
    await expectContent(await mount(alpha(), '--at', part), 'part');
    assert.is(view.mounts.length, saved.size + 2);
    const before = (await alpha().diskStatus('web'))?.position ?? '';
    await until(
      async () => ((await alpha().diskStatus('web'))?.position ?? '') > before,
      20_000,
      'the writer to go on',
    );
  } finally {
    await load.stop();
  }

  const [first] = (await list(alpha())).mounts;
  const written = await tryRun('dd', ['if=/dev/zero', `of=${first?.device ?? ''}`, 'count=1']);
  assert.is.not(written.status, 0, 'nobody can write to it');
  const early = await alpha().tryMars('history', 'mount', 'web', '--at', '2001-01-01', '--json');
  assert.is(early.status, 3);
  assert.match(early.stdout + early.stderr, 'HISTORY_GONE');
});

test('it outlives SIGKILL of disk process, daemon and the process that serves it', async () => {
  const [moment] = (await list(alpha())).mounts.filter(({asked}) => asked === 'part');
  assert.ok(moment !== undefined);
  await killDisk(alpha(), 'web');
  await expectContent(moment, 'part');
  await alpha().killDaemon();
  const servers = await serversOf(alpha(), moment.moment);
  assert.is(servers.length, 2);
  await killAndWait(servers[1] ?? 0);
  await expectContent(moment, 'part');
  await alpha().startDaemon();
  await expectContent(moment, 'part');
  const hold = (await alpha().diskStatus('web'))?.replayed ?? '';
  assert.is(hold, '0'.repeat(16));
});

test('whoever has it open is named, and it stays; then it goes', async () => {
  const [moment] = (await list(alpha())).mounts.filter(({asked}) => asked === 'part');
  const fd = fs.openSync(moment?.device ?? '', 'r');
  const refused = await alpha().tryMars(
    'history',
    'unmount',
    'web',
    moment?.moment ?? '',
    '--json',
  );
  fs.closeSync(fd);
  assert.is(refused.status, 3);
  assert.match(refused.stdout + refused.stderr, `pid ${process.pid}`);
  if (moment !== undefined) await expectContent(moment, 'part');
  await alpha().mars('history', 'unmount', 'web', '--all');
  assert.equal((await list(alpha())).mounts, []);
});

test('a clone takes writes, and neither the disk nor the moment has them', async () => {
  const clone = await mount(alpha(), '--at', 'part', '--writable');
  await expectContent(clone, 'part');
  await run('mkfs.ext4', ['-q', clone.device ?? '']);
  const target = await alpha().mount(clone.device ?? '', 'clone');
  fs.writeFileSync(path.join(target, 'file'), 'written to the clone');
  await alpha().unmount(target);
  const [pid] = (await serversOf(alpha(), clone.moment)).slice(1);
  await killAndWait(pid ?? 0);
  await run('e2fsck', ['-fn', clone.device ?? '']);
  await alpha().mount(clone.device ?? '', 'clone');
  assert.is(fs.readFileSync(path.join(target, 'file'), 'utf8'), 'written to the clone');
  await alpha().unmount(target);
  await expectContent(await mount(alpha(), '--at', 'part'), 'part');
  await alpha().mars('history', 'unmount', 'web', '--all');
});

test('when all that serves a moment has died, the daemon takes away what is left', async () => {
  const moment = await mount(alpha(), '--at', 'first');
  const servers = await serversOf(alpha(), moment.moment);
  for (const pid of servers) process.kill(pid, 'SIGKILL');
  await until(
    async () => (await list(alpha())).mounts.length === 0,
    30_000,
    'the remains to be removed',
  );
  assert.not.match(fs.readFileSync('/proc/self/mounts', 'utf8'), moment.image);
});

test('a replica has the same moments; one that is copied anew loses them, and never shows other bytes', async () => {
  const beta = cluster.node('beta');
  await cluster.caughtUp('web', 'alpha', 'beta', 30_000);
  const view = await list(beta);
  assert.ok(view.marks.some(({label}) => label === 'last'));
  const moment = await mount(beta, '--at', 'last');
  await expectContent(moment, 'last');
  await killDiskOf(beta);
  await expectContent(moment, 'last');
  await beta.mars('invalidate', 'web', '--yes');
  await until(
    async () => (await list(beta).catch(() => undefined))?.mounts[0]?.state === 'lost',
    30_000,
    'the moment to be lost',
  );
  const read = await tryRun('dd', [
    ...[`if=${moment.device ?? ''}`, 'of=/dev/null', 'bs=1M', 'iflag=direct'],
  ]);
  assert.is.not(read.status, 0, 'an I/O error');
  await beta.mars('history', 'unmount', 'web');
  await cluster.wait('beta to be whole again', 90_000, async () => {
    return (await cluster.status('beta', 'web')).state === 'UpToDate';
  });
});

test('without a window replay waits for what is mounted only, and goes on when that is gone', async () => {
  for (const node of cluster.nodes) await node.mars('resource', 'set', 'web', 'history=off');
  await alpha().replayed('web', 30_000);
  await writeDisk(randomFile(alpha(), 'now.bin', SIZE_MIB), disk, [FLUSHED]);
  const now = await hashOf(disk, SIZE_MIB);
  const moment = await mount(alpha(), '--at', 'now');
  await writeDisk(randomFile(alpha(), 'after.bin', SIZE_MIB), disk, [FLUSHED]);
  assert.is(await hashOf(moment.device ?? '', SIZE_MIB), now);
  assert.ok(((await alpha().diskStatus('web'))?.replayed ?? '') <= moment.position);
  await alpha().mars('history', 'unmount', 'web');
  await cluster.equalImages('web');
  assert.ok(eventsOf(alpha()).some(({code}) => code === 'HISTORY_MOUNTED'));
});

async function killDiskOf(node: TempHome): Promise<void> {
  const {pid} = await node.diskProcesses('web');
  await killAndWait(pid);
  await until(
    async () => {
      const status = await node.diskStatus('web');
      return status !== undefined && status.pid !== pid && status.phase !== 'recovering';
    },
    30_000,
    'the next disk process',
  );
}

test.run();
