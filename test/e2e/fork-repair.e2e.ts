/**
 * Hazard 13 on two real nodes: what the loser of a fork needs is fetched beside what it has. While that
 * goes on it is killed, its winner goes away, and it is promoted on its old branch.
 */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {ForkResult, ForkView} from '../../src/control/api.js';
import {nextImagePath} from '../../src/disk/next-state.js';
import {Cluster} from '../helpers/cluster.js';
import {hashOf, imageBehind, randomFile, writeDisk} from '../helpers/disk-io.js';
import type {TempHome} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
const SIZE_MIB = 32;
const NAME = 'web01';
const cluster = new Cluster(['alpha', 'beta']);
let alpha: TempHome;
let beta: TempHome;
/** Hash of alpha's disk at the end of the branch that gives way. */
let lost: string;

test.before(async () => {
  await cluster.start();
  alpha = cluster.node('alpha');
  beta = cluster.node('beta');
  await cluster.createResource('alpha', NAME, `${SIZE_MIB}M`);
  await write(alpha, 2, 0);
  await cluster.joinResource('beta', NAME);
  await cluster.equalImages(NAME);
});
test.after(() => cluster.dispose());

function write(node: TempHome, mebibytes: number, at: number): Promise<void> {
  const source = randomFile(node, 'source', mebibytes);
  return writeDisk(source, node.device(NAME), [`seek=${at}`, 'conv=notrunc,fsync']);
}

function imageHash(node: TempHome): Promise<string> {
  return hashOf(imageBehind(node, NAME), SIZE_MIB);
}

function nextFile(): string {
  return path.join(alpha.home, 'resources', NAME, 'next.json');
}

/** Alpha gives way, slowly; resolves when some of what differs is there, and not all. */
async function beginRepair(): Promise<void> {
  await beta.mars('peer', 'set', 'alpha', 'bandwidth-limit=1M');
  await cluster.wait('alpha to see the fork', 40_000, async () => {
    return (await alpha.json<ForkView>('fork', 'show', NAME)).forked;
  });
  await alpha.mars('fork', 'resolve', NAME, '--keep', 'beta', '--yes');
  await untilSomeIsHere(MIB);
}

async function untilSomeIsHere(bytes: number): Promise<void> {
  await cluster.wait(`${bytes} bytes of what differs to be on alpha`, 60_000, async () => {
    const next = (await alpha.diskStatus(NAME))?.follow?.next;
    return next?.phase === 'copying' && next.doneBytes >= bytes;
  });
}

/** Kills the process of alpha; resolves when another one goes on. */
async function killAlpha(): Promise<void> {
  const pid = (await alpha.diskStatus(NAME))?.pid ?? 0;
  assert.ok(pid > 0, 'it runs');
  process.kill(pid, 'SIGKILL');
  await cluster.wait('another process to go on', 30_000, async () => {
    const status = await alpha.diskStatus(NAME);
    return status !== undefined && status.pid !== pid && (status.follow?.next ?? null) !== null;
  });
}

test('hazard 13: while it is repaired the loser has its old branch, and says how far it is', async () => {
  cluster.setLink('alpha', 'beta', 'cut');
  await beta.mars('primary', NAME, '--force', '--timeout', '30');
  await write(alpha, 12, 4);
  await write(beta, 2, 10);
  await cluster.wait('all of alpha to be in its image', 30_000, async () => {
    const status = await alpha.diskStatus(NAME);
    return status !== undefined && status.replayed === status.position;
  });
  lost = await imageHash(alpha);
  cluster.setLink('alpha', 'beta', 'open');
  await alpha.mars('secondary', NAME);
  await beginRepair();
  const status = await alpha.status(NAME);
  assert.is(status.state, 'Forked');
  assert.ok(status.follow?.sync && status.follow.sync.totalBytes === 12 * MIB);
  assert.is(await imageHash(alpha), lost, 'the image is not touched');
  const refused = await alpha.tryMars('primary', NAME, '--timeout', '5');
  assert.match(refused.stderr, 'SPLIT_BRAIN');
  // Said again it is the same, and nothing begins anew.
  const {ino} = fs.statSync(nextFile());
  const {branches} = await alpha.json<ForkView>('fork', 'show', NAME);
  const words = ['fork', 'resolve', NAME, '--keep', 'beta', '--yes'];
  const again = await alpha.json<ForkResult>(...words);
  assert.is(again.branch, branches.at(-1)?.branch);
  assert.equal((await alpha.json<ForkView>('fork', 'show', NAME)).branches, branches);
  assert.is(fs.statSync(nextFile()).ino, ino);
  const later = (await alpha.status(NAME)).follow?.sync?.doneBytes ?? -1;
  assert.ok(later >= status.follow.sync.doneBytes, 'it goes on');
});

test('hazard 13: the winner is gone in the middle: by force the loser is primary with every byte of its branch', async () => {
  cluster.setLink('alpha', 'beta', 'cut');
  await alpha.mars('primary', NAME, '--force', '--timeout', '30');
  assert.not(fs.existsSync(nextFile()));
  assert.is(await hashOf(alpha.imageFile(NAME), SIZE_MIB), lost);
  await write(alpha, 1, 20);
});

test('hazard 13: killed in the middle it goes on where it was; then both images are those of the winner', async () => {
  cluster.setLink('alpha', 'beta', 'open');
  await alpha.mars('secondary', NAME);
  await beginRepair();
  await untilSomeIsHere(4 * MIB);
  await killAlpha();
  // What was counted before came every few seconds.
  await untilSomeIsHere(MIB);
  await beta.mars('peer', 'set', 'alpha', 'bandwidth-limit=none');
  await cluster.equalImages(NAME);
  assert.not(fs.existsSync(nextFile()));
  await alpha.mars('wait', NAME, 'synced', '--timeout', '30');
  await write(beta, 1, 25);
  await cluster.equalImages(NAME);
});

test('a replica that lost its slot is copied beside its old image, which stays until the new one is whole', async () => {
  const old = await imageHash(alpha);
  await beta.mars('resource', 'set', NAME, 'log-cap=64M');
  cluster.setLink('alpha', 'beta', 'cut');
  for (let round = 0; round < 3; round += 1) await write(beta, 30, 1);
  await cluster.wait('beta to let the slot of alpha go', 40_000, async () => {
    return (await beta.status(NAME)).messages.some(({code}) => code === 'REPLICA_DROPPED');
  });
  await beta.mars('peer', 'set', 'alpha', 'bandwidth-limit=2M');
  cluster.setLink('alpha', 'beta', 'open');
  await untilSomeIsHere(3 * MIB);
  const status = await alpha.status(NAME);
  assert.is(status.state, 'Orphan');
  assert.is(status.follow?.sync?.totalBytes, SIZE_MIB * MIB);
  assert.is(await imageHash(alpha), old, 'the image is not touched');
  await killAlpha();
  assert.is(await imageHash(alpha), old);
  await beta.mars('peer', 'set', 'alpha', 'bandwidth-limit=none');
  await cluster.equalImages(NAME);
  assert.is.not(await imageHash(alpha), old);
  assert.not(fs.existsSync(nextFile()));
  assert.not(fs.existsSync(nextImagePath(imageBehind(alpha, NAME))));
});

test.run();
