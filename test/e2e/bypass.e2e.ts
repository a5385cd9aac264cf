/**
 * when-full=bypass on a small file system that a foreign file fills: one logfile and the one that is kept
 * have room, no more. The writer goes on past the log, is killed with the disk process in the middle of
 * it, and nothing that was written is lost; with room the log goes on by itself.
 */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {MountedMoment} from '../../src/control/history-api.js';
import {Cluster} from '../helpers/cluster.js';
import {
  eventsOf,
  hashOf,
  imageBehind,
  killDisk,
  randomFile,
  served,
  writeDisk,
} from '../helpers/disk-io.js';
import {run} from '../helpers/run.js';

const MIB = 1024 * 1024;
const LOG_MIB = 64;
const DISK_MIB = 10;
/** Room for two logfiles of 4 MiB, not for a third. */
const LEFT_MIB = 10;

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

/** A primary with its log on the small file system, which somebody else has filled. */
async function crampedDisk(name: string): Promise<string> {
  const alpha = cluster.node('alpha');
  await alpha.mars(
    ...['resource', 'create', name, '--size', `${DISK_MIB}M`, '--secondary', '--set', 'device=off'],
    ...['--set', 'segment-bytes=4M', '--set', 'when-full=bypass'],
  );
  const log = path.join(alpha.home, 'resources', name, 'log');
  fs.rmdirSync(log);
  fs.mkdirSync(path.join(small, name));
  fs.symlinkSync(path.join(small, name), log);
  const {bavail, bsize} = fs.statfsSync(small);
  await run('fallocate', ['-l', String(bavail * bsize - LEFT_MIB * MIB), foreign()]);
  await alpha.mars('primary', name);
  return alpha.imageFile(name);
}

function foreign(): string {
  return path.join(small, 'foreign');
}

async function isPastLog(name: string): Promise<boolean> {
  const {state, log, messages} = await cluster.status('alpha', name);
  if (log.bypassed == null) return false;
  assert.is(state, 'EmergencyMode');
  assert.ok(messages.some(({code}) => code === 'BYPASS'));
  return true;
}

const toldOf = (name: string, code: string): number =>
  eventsOf(cluster.node('alpha')).filter((line) => line.resource === name && line.code === code)
    .length;

async function remove(name: string): Promise<void> {
  const alpha = cluster.node('alpha');
  await alpha.mars('secondary', name);
  await alpha.mars('resource', 'delete', name, '--yes');
  fs.rmSync(path.join(small, name), {recursive: true, force: true});
  fs.rmSync(foreign(), {force: true});
}

test('a writer goes on past a log without room, its disk process is killed there, and all of it is read back', async () => {
  const alpha = cluster.node('alpha');
  const disk = await crampedDisk('killed');
  await writeDisk(source, disk, ['conv=fsync,notrunc'], 120_000);
  assert.ok(await isPastLog('killed'));
  const expected = await hashOf(source, DISK_MIB);
  assert.is(await hashOf(disk, DISK_MIB), expected);

  // The same, begun at another place, while the process dies.
  const half = DISK_MIB / 2;
  const writing = writeDisk(source, disk, [`skip=${half}`, `count=${half}`], 120_000);
  await killDisk(alpha, 'killed');
  await writing;
  await writeDisk(source, disk, [`seek=${half}`, `count=${half}`, 'conv=fsync,notrunc'], 120_000);
  assert.is(await hashOf(disk, half), await hashOf(source, half, half));
  assert.is(await hashOf(disk, half, half), await hashOf(source, half));
  assert.is(toldOf('killed', 'BYPASS'), 1);
  assert.is(toldOf('killed', 'BYPASS_LEFT'), 1);
  assert.is((await cluster.status('alpha', 'killed')).log.bypassed, null);

  await killDisk(alpha, 'killed');
  assert.is(await hashOf(disk, half), await hashOf(source, half, half));
  await remove('killed');
});

test('meanwhile nothing else is begun with image and log; the next primary writes to the log again', async () => {
  const alpha = cluster.node('alpha');
  const disk = await crampedDisk('left');
  // As room is short it is held no longer than replay waits for it.
  await alpha.mars('replay', 'pause', 'left');
  await writeDisk(source, disk, ['count=1', 'conv=fsync,notrunc']);
  const moment = await alpha.json<MountedMoment>(
    ...['history', 'mount', 'left', '--at', 'now', '--no-device'],
  );
  assert.is(await hashOf(moment.image, 1), await hashOf(source, 1));
  await alpha.mars('replay', 'resume', 'left');
  await writeDisk(source, disk, ['conv=fsync,notrunc'], 120_000);
  assert.ok(await isPastLog('left'));
  // What stood on the image before is an error now, never another disk.
  await hashOf(moment.image, DISK_MIB).then(
    () => {
      assert.unreachable('the moment is read, though the image under it has changed');
    },
    (error: unknown) => {
      assert.match(String(error), /Input\/output error/u);
    },
  );
  assert.is(toldOf('left', 'HISTORY_LOST'), 1);
  const outbox = path.join(alpha.directory, 'outbox');
  const refused: readonly (readonly [string, readonly string[]])[] = [
    ['BYPASS', ['resource', 'resize', 'left', '32M']],
    ['BYPASS', ['log', 'rotate', 'left']],
    ['BYPASS', ['history', 'mark', 'left', 'late']],
    ['BYPASS_NOT_LEFT', ['history', 'mount', 'left', '--at', 'now']],
    ['BYPASS_NOT_LEFT', ['log', 'export', 'left', outbox, '--base']],
  ];
  for (const [code, words] of refused) {
    const answer = await alpha.tryMars(...words);
    assert.is(answer.status, 3, `${words.join(' ')}: ${answer.stderr}`);
    assert.match(answer.stderr, code);
  }

  // Not served, with nothing in the log of what went past it: the next primary has all.
  const pid = (await alpha.diskStatus('left'))?.pid ?? 0;
  await alpha.mars('secondary', 'left');
  assert.is(await hashOf(imageBehind(alpha, 'left'), DISK_MIB), await hashOf(source, DISK_MIB));
  await alpha.mars('primary', 'left');
  await served(alpha, 'left', pid);
  assert.is(toldOf('left', 'BYPASS_LEFT'), 1);
  assert.is(await hashOf(disk, DISK_MIB), await hashOf(source, DISK_MIB));
  await alpha.mars('history', 'unmount', 'left', '--all');
  await remove('left');
});

test('with room that comes back under a writer the log goes on by itself', async () => {
  const again = await crampedDisk('roomy');
  // What is let go at once, as room is short, is not mounted at all.
  const refused = await cluster
    .node('alpha')
    .tryMars('history', 'mount', 'roomy', '--at', 'now', '--no-device');
  assert.is(refused.status, 3, refused.stderr);
  assert.match(refused.stderr, 'STORE_FULL');
  await writeDisk(source, again, ['conv=fsync,notrunc'], 120_000);
  assert.ok(await isPastLog('roomy'));
  fs.rmSync(foreign());
  const writing = writeDisk(source, again, ['skip=3'], 120_000);
  await cluster.wait('the log to go on', 60_000, () =>
    Promise.resolve(toldOf('roomy', 'BYPASS_LEFT') > 0),
  );
  await writing;
  const tail = DISK_MIB - 3;
  assert.is(await hashOf(again, tail), await hashOf(source, tail, 3));
  assert.is(await hashOf(again, 3, tail), await hashOf(source, 3, tail));
  await remove('roomy');
});

test('nobody gets image or log of a resource that may go past its log, and one with replicas may not', async () => {
  const alpha = cluster.node('alpha');
  const beta = cluster.node('beta');
  await alpha.mars('resource', 'create', 'alone', '--size', '4M', '--set', 'when-full=bypass');
  await cluster.wait('beta to hear of it', 20_000, async () => {
    return (await beta.tryMars('resource', 'join', 'alone')).status === 0;
  });
  await cluster.wait('the reason', 20_000, async () => {
    return JSON.stringify(await cluster.status('beta', 'alone')).includes('when-full=bypass');
  });
  await alpha.mars('resource', 'set', 'alone', 'when-full=block');
  await beta.mars('wait', 'alone', 'synced', '--timeout', '60');
  const wish = await alpha.tryMars('resource', 'set', 'alone', 'when-full=bypass');
  assert.is(wish.status, 3, wish.stderr);
  assert.match(wish.stderr, 'BYPASS_REPLICAS');
  await cluster.equalImages('alone');
});

test.run();
