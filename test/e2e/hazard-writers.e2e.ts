/** H5: exactly one writer per log and image, whoever of us is killed, stopped or started twice. */
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {resourcePaths} from '../../src/core/home.js';
import {holdersOfFile} from '../../src/daemon/openers.js';
import {bareDisk, hashOf, imageBehind, randomFile, served, writeDisk} from '../helpers/disk-io.js';
import {mountsBelow} from '../helpers/leftovers.js';
import {tryRun, until} from '../helpers/run.js';
import {TempHome, isRunning, killAndWait} from '../helpers/temp-home.js';

const DATA_MIB = 4;
const HOLDER_LOCKED = 73;
const ROOT = path.join(import.meta.dirname, '..', '..');

let node: TempHome;
let disk: string;
let source: string;
let written: string;

test.before(async () => {
  node = await TempHome.create();
  disk = await bareDisk(node, 'one', '32M');
  source = randomFile(node, 'source.bin', DATA_MIB);
  written = await hashOf(source, DATA_MIB);
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
});

test.after(() => node.dispose());

/** Pids of disk processes of this home, as the kernel sees them. */
function diskPids(): number[] {
  return fs
    .readdirSync('/proc')
    .map(Number)
    .filter((pid) => Number.isSafeInteger(pid) && isRunning(pid))
    .filter((pid) => {
      const words = wordsOf(pid);
      return words[0] === '@mars-disk' && words.includes(node.home);
    });
}

function wordsOf(pid: number): string[] {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return []; // It has ended meanwhile.
  }
}

/** One mount, one disk process, and the generation lock held by it. */
async function assertOneWriter(): Promise<number> {
  const {pid} = await node.diskProcesses('one');
  assert.equal(diskPids(), [pid]);
  assert.is(mountsBelow(node.home).length, 1);
  const {generationLock} = resourcePaths(node.home, 'one');
  assert.ok(holdersOfFile(generationLock).some((holder) => holder.pid === pid));
  return pid;
}

async function newHolder(before: number): Promise<number> {
  let holderPid = before;
  await until(
    async () => {
      ({holderPid} = await node.diskProcesses('one'));
      return holderPid !== before && isRunning(holderPid);
    },
    10_000,
    'a new holder',
  );
  return holderPid;
}

test('H5: the holder is killed, the disk process starts a new one: one writer throughout', async () => {
  const before = await node.diskProcesses('one');
  await killAndWait(before.holderPid);
  assert.is(await assertOneWriterWhileOrphaned(before.pid), before.pid);
  const holderPid = await newHolder(before.holderPid);
  assert.is(await assertOneWriter(), before.pid);
  assert.is(await hashOf(disk, DATA_MIB), written);
  await killAndWait(before.pid);
  await served(node, 'one', before.pid);
  await assertOneWriter();
  assert.is((await node.diskProcesses('one')).holderPid, holderPid);
  assert.is(await hashOf(disk, DATA_MIB), written, 'the new holder restarts it');
});

/** Nobody may start a second chain in the moment without a holder. */
async function assertOneWriterWhileOrphaned(pid: number): Promise<number> {
  const second = await startHolder();
  assert.is(second.status, HOLDER_LOCKED);
  assert.equal(diskPids(), [pid]);
  return pid;
}

function startHolder() {
  const program = path.join(ROOT, 'dist', 'disk', 'holder.sh');
  const words = [program, node.home, 'one', path.join(node.home, 'mnt', 'one'), 'kernel', 'serve'];
  const main = path.join(ROOT, 'dist', 'disk', 'main.js');
  const env = {...process.env, MARS_NODE: process.execPath, MARS_DISK_MAIN: main};
  return tryRun('sh', words, {env});
}

test('H5: a second holder is refused with 73 and names the lock', async () => {
  const second = await startHolder();
  assert.is(second.status, HOLDER_LOCKED);
  assert.match(second.stdout, 'RESOURCE_LOCKED');
  await assertOneWriter();
});

test('H5: holder killed, disk process stopped: nobody takes its place until it goes on or dies', async () => {
  const before = await node.diskProcesses('one');
  process.kill(before.pid, 'SIGSTOP');
  try {
    await killAndWait(before.holderPid);
    const refused = await node.tryMars('primary', 'one', '--timeout', '2');
    assert.ok([3, 5].includes(refused.status ?? 0), refused.stderr);
    assert.is((await startHolder()).status, HOLDER_LOCKED);
    assert.equal(diskPids(), [before.pid]);
    assert.is(mountsBelow(node.home).length, 1);
  } finally {
    process.kill(before.pid, 'SIGCONT');
  }

  await newHolder(before.holderPid);
  assert.is(await assertOneWriter(), before.pid);
  assert.is(await hashOf(disk, DATA_MIB), written);
});

/** @returns undefined where it was closed meanwhile, as the disk process opens and closes others */
function linkOf(entry: string): string | undefined {
  try {
    return fs.readlinkSync(entry);
  } catch {
    return undefined;
  }
}

test('H5: a child of the dead generation that still changes data is waited for, and named', async () => {
  const {generationLock, output} = resourcePaths(node.home, 'one');
  const before = await node.diskProcesses('one');
  // What a punching fallocate does: it has the lock of its generation, and is not killed with it.
  const fd = `/proc/${before.pid}/fd`;
  const inherited = fs
    .readdirSync(fd)
    .find((name) => linkOf(path.join(fd, name)) === generationLock);
  assert.ok(inherited !== undefined, 'the disk process has the generation lock open');
  const lock = await sameLock(before.pid, generationLock);
  try {
    await killAndWait(before.pid);
    await until(
      () => fs.readFileSync(output, 'utf8').includes('waits for the generation before'),
      10_000,
      'words of the holder',
    );
    assert.equal(diskPids(), [], 'no new writer beside the old child');
  } finally {
    lock.kill('SIGKILL');
  }

  await served(node, 'one', before.pid);
  await assertOneWriter();
  assert.is(await hashOf(disk, DATA_MIB), written);
});

/** A program that waits for the generation lock behind `pid`, so that it has it when that dies. */
async function sameLock(pid: number, generationLock: string) {
  const child = spawn('flock', ['--no-fork', generationLock, 'sleep', '60'], {stdio: 'ignore'});
  await until(
    () => fs.readFileSync(`/proc/${child.pid ?? pid}/wchan`, 'utf8').includes('lock'),
    5000,
    'a program that waits for the lock',
  );
  return child;
}

test('H5: while a secondary is written back, nobody else may write its image', async () => {
  await node.mars('replay', 'pause', 'one');
  await writeDisk(source, disk, ['seek=8', 'conv=notrunc,fsync']);
  await node.mars('secondary', 'one');
  assert.equal(diskPids(), [], 'paused: nothing runs');
  await node.mars('replay', 'resume', 'one');
  await until(async () => (await node.status('one')).state === 'UpToDate', 20_000, 'write-back');
  assert.equal(diskPids(), []);
  assert.is(await hashOf(imageBehind(node, 'one'), DATA_MIB, 8), written);
  await node.mars('primary', 'one');
  await assertOneWriter();
});

test.run();
