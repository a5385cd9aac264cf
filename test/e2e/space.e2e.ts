/**
 * T18, T19, T20: the file system of the log is small. A writer goes on through all of it without an
 * error, whatever fills it, and the replicas are equal in the end. `npm run soak` writes 10 GiB.
 */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {resourcePaths} from '../../src/core/home.js';
import {parsePosition} from '../../src/core/position.js';
import {Cluster} from '../helpers/cluster.js';
import {eventsOf, hashOf, randomFile, writeDisk} from '../helpers/disk-io.js';
import {Fio} from '../helpers/fio.js';
import {run} from '../helpers/run.js';
import {skip} from '../helpers/skip.js';
import {killAndWait} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
const isSoak = process.env['MARS_SOAK'] === '1';
/** Enough that there is a reserve, and that the smallest log cap is less than half of it. */
const LOG_MIB = isSoak ? 256 : 160;
/** More than the logfiles that are ready ahead: a disk that is written over needs new ones. */
const DISK_MIB = isSoak ? 64 : 32;
const ROUNDS = isSoak ? 160 : 5;
/** Log that is kept for a replica before somebody else fills the file system. */
const KEPT_MIB = isSoak ? 24 : 12;
const WRITE_MS = 400_000;

const cluster = new Cluster(['alpha', 'beta']);
let small = '';
let source = '';

test.before(async () => {
  await cluster.start();
  const alpha = cluster.node('alpha');
  const file = path.join(alpha.directory, 'small.img');
  fs.writeFileSync(file, '');
  fs.truncateSync(file, LOG_MIB * MIB);
  await run('mkfs.ext4', ['-q', '-m', '0', file]);
  small = await alpha.mount(file, 'small', '-o', 'loop');
  source = randomFile(alpha, 'source.bin', DISK_MIB);
});

test.after(() => cluster.dispose());

/** A resource with its log on the small file system of alpha, and a replica on beta. */
async function smallLogDisk(name: string, ...settings: string[]): Promise<string> {
  const alpha = cluster.node('alpha');
  const words = settings.flatMap((setting) => ['--set', setting]);
  await alpha.mars(
    ...['resource', 'create', name, '--size', `${DISK_MIB}M`, '--secondary', '--preallocate'],
    ...['--set', 'device=off', '--set', 'segment-bytes=4M', ...words],
  );
  const log = path.join(alpha.home, 'resources', name, 'log');
  fs.rmdirSync(log);
  fs.mkdirSync(path.join(small, name));
  fs.symlinkSync(path.join(small, name), log);
  await alpha.mars('primary', name);
  await cluster.joinResource('beta', name);
  return alpha.imageFile(name);
}

async function remove(name: string): Promise<void> {
  await cluster.node('beta').mars('resource', 'leave', name, '--yes');
  await cluster.node('alpha').mars('secondary', name);
  await cluster.node('alpha').mars('resource', 'delete', name, '--yes');
  fs.rmSync(path.join(small, name), {recursive: true, force: true});
}

/** Writes the whole disk again and again, each time with the source begun at another place. */
async function writeOver(disk: string, rounds = ROUNDS): Promise<void> {
  for (let round = 0; round < rounds; round += 1) {
    const head = round % DISK_MIB;
    await writeDisk(source, disk, [`skip=${head}`, `count=${DISK_MIB - head}`], WRITE_MS);
    if (head === 0) continue;
    const words = [`seek=${DISK_MIB - head}`, `count=${head}`, 'conv=notrunc,fsync'];
    await writeDisk(source, disk, words, WRITE_MS);
  }
}

/** Fills the small file system as somebody else's file does. */
async function fill(): Promise<string> {
  const foreign = path.join(small, 'foreign');
  const script = 'dd if=/dev/zero of="$1" bs=64k status=none 2>/dev/null || true';
  await run('bash', ['-c', script, 'bash', foreign]);
  return foreign;
}

const toldOf = (name: string, code: string): number =>
  eventsOf(cluster.node('alpha')).filter((line) => line.resource === name && line.code === code)
    .length;

test('T18 block: a replica that fetches nothing loses its slot, the writer goes on, and they are equal', async () => {
  const disk = await smallLogDisk('block');
  await cluster.node('beta').mars('fetch', 'pause', 'block');
  await writeOver(disk);
  await cluster.wait('the slot to be let go', 20_000, () =>
    Promise.resolve(toldOf('block', 'REPLICA_DROPPED') > 0),
  );
  await cluster.node('beta').mars('fetch', 'resume', 'block');
  await cluster.equalImages('block', 90_000);
  await remove('block');
});

test('throttle: a replica behind a slow link slows the writer, is told with its reason, and keeps its slot', async () => {
  const disk = await smallLogDisk('slow', 'when-full=throttle', 'log-cap=64M');
  for (const link of cluster.links('alpha', 'beta')) link.bytesPerSecond = 4 * MIB;
  // Three times as fast as the link: not slowed it would lose the slot before it has written so much.
  const load = new Fio(disk, {bytesPerSecond: 12 * MIB, more: [`--size=${DISK_MIB}M`]});
  try {
    await cluster.wait('writes that are slowed', 60_000, async () => {
      const {log, messages} = await cluster.status('alpha', 'slow');
      if (log.slowed == null) return false;
      assert.ok(log.slowed.bytesPerSecond > 0);
      assert.match(log.slowed.reason, /slowest replica|room/u);
      return messages.some(({code}) => code === 'WRITES_SLOWED');
    });
    await cluster.wait('enough of it to be written', 120_000, async () => {
      const {position} = await cluster.status('alpha', 'slow');
      return (parsePosition(position ?? '') ?? 0) >= 96 * MIB;
    });
    assert.is((await load.stop()).error, 0);
  } finally {
    load.kill();
  }

  for (const link of cluster.links('alpha', 'beta')) link.bytesPerSecond = 0;
  await cluster.equalImages('slow', 90_000);
  const told = eventsOf(cluster.node('alpha'))
    .filter(({resource}) => resource === 'slow')
    .map(({time, code, text}) => `${time} ${code} ${text}`);
  assert.is(toldOf('slow', 'REPLICA_DROPPED'), 0, `compared again:\n${told.join('\n')}`);
  await cluster.wait('writes that are not slowed', 20_000, async () => {
    const {log, messages} = await cluster.status('alpha', 'slow');
    return log.slowed === null && !messages.some(({code}) => code === 'WRITES_SLOWED');
  });
  await remove('slow');
});

test('T19, T20: foreign files fill it under two resources: the less important one gives way first', async (context) => {
  if (!isSoak) {
    skip(context, 'it takes minutes: npm run soak');
    return;
  }

  const high = await smallLogDisk('high', 'priority=90');
  const low = await smallLogDisk('low', 'priority=10');
  for (const name of ['high', 'low']) await cluster.node('beta').mars('fetch', 'pause', name);
  await writeDisk(source, high, [`count=${KEPT_MIB}`, 'conv=notrunc,fsync']);
  await writeDisk(source, low, [`count=${KEPT_MIB}`, 'conv=notrunc,fsync']);
  const foreign = await fill();
  await cluster.wait('the slot of the less important one to be let go', 30_000, () =>
    Promise.resolve(toldOf('low', 'REPLICA_DROPPED') > 0),
  );
  assert.is(toldOf('high', 'REPLICA_DROPPED'), 0);
  await Promise.all([writeOver(high, 2), writeOver(low, 2)]);
  assert.is(await hashOf(high, DISK_MIB), await hashOf(low, DISK_MIB));
  fs.rmSync(foreign);
  for (const name of ['high', 'low']) await cluster.node('beta').mars('fetch', 'resume', name);
  await cluster.equalImages('high', 90_000);
  await cluster.equalImages('low', 90_000);
  await cluster.wait('all to be well', 30_000, async () => {
    const {health} = await cluster.status('alpha', 'high');
    return health === 'ok';
  });
  await remove('high');
  await remove('low');
});

test('killed while the log has no room and is kept for a replica, a disk starts when the daemon is back', async () => {
  const alpha = cluster.node('alpha');
  const disk = await smallLogDisk('killed');
  await cluster.node('beta').mars('fetch', 'pause', 'killed');
  await writeDisk(source, disk, [`count=${KEPT_MIB}`, 'conv=notrunc,fsync']);
  await alpha.killDaemon();
  const foreign = await fill();
  const writing = writeDisk(source, disk, ['conv=notrunc,fsync'], WRITE_MS);
  writing.catch(() => undefined);
  await cluster.wait('writes that wait', 20_000, async () => {
    return (await alpha.diskStatus('killed'))?.waiting != null;
  });
  const {pid} = await alpha.diskProcesses('killed');
  await killAndWait(pid);
  const {output} = resourcePaths(alpha.home, 'killed');
  await cluster.wait('a start that fails', 20_000, () =>
    Promise.resolve(fs.readFileSync(output, 'utf8').includes('LOG_SPACE')),
  );
  await alpha.startDaemon();
  await writing;
  assert.is(await hashOf(disk, DISK_MIB), await hashOf(source, DISK_MIB));
  fs.rmSync(foreign);
  await cluster.node('beta').mars('fetch', 'resume', 'killed');
  await cluster.equalImages('killed', 90_000);
  await remove('killed');
});

test('F7: the log for a copy under way is let go: the copy begins again, and ends equal', async (context) => {
  if (!isSoak) {
    skip(context, 'it takes minutes: npm run soak');
    return;
  }

  const disk = await smallLogDisk('copy', 'log-cap=64M');
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
  for (const link of cluster.links('alpha', 'beta')) link.bytesPerSecond = 8 * MIB;
  await cluster.node('beta').mars('invalidate', 'copy', '--yes');
  const other = randomFile(cluster.node('alpha'), 'other.bin', DISK_MIB);
  await writeDisk(other, disk, [], WRITE_MS);
  await writeOver(disk, 2);
  await cluster.wait('the copy to lose its log', 30_000, () =>
    Promise.resolve(toldOf('copy', 'REPLICA_DROPPED') > 0),
  );
  for (const link of cluster.links('alpha', 'beta')) link.bytesPerSecond = 0;
  await cluster.node('beta').mars('wait', 'copy', 'synced', '--timeout', '60');
  await cluster.equalImages('copy', 90_000);
  await remove('copy');
});

test('T20, T23: eight resources fill it together, half of them slowed, and all end equal', async (context) => {
  if (!isSoak) {
    skip(context, 'it takes minutes: npm run soak');
    return;
  }

  const names = Array.from({length: 8}, (_, at) => `many${at}`);
  const disks: string[] = [];
  for (const [at, name] of names.entries()) {
    const policy = at % 2 === 0 ? 'when-full=throttle' : 'when-full=block';
    disks.push(await smallLogDisk(name, policy, `priority=${at * 10}`));
  }

  await Promise.all(disks.map((disk) => writeOver(disk, 10)));
  for (const name of names) await cluster.equalImages(name, 180_000);
  for (const name of names) await remove(name);
});

test('without a daemon the log that is kept for a replica is let go before the writer waits for ever', async (context) => {
  if (!isSoak) {
    skip(context, 'it takes minutes: npm run soak');
    return;
  }

  const disk = await smallLogDisk('alone');
  await cluster.node('beta').mars('fetch', 'pause', 'alone');
  await cluster.node('alpha').killDaemon();
  await writeOver(disk, 4);
  assert.ok(toldOf('alone', 'REPLICA_DROPPED') > 0);
  await cluster.node('alpha').startDaemon();
  await cluster.node('beta').mars('fetch', 'resume', 'alone');
  await cluster.equalImages('alone', 90_000);
  await remove('alone');
});

test.run();
