/** A replica's real file system is full, while it copies, fetches and replays: both sides say so, and it goes on. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {PeerMessage, ResourceStatus} from '../../src/control/api.js';
import {Cluster} from '../helpers/cluster.js';
import {hashOf, imageBehind, randomFile, writeDisk} from '../helpers/disk-io.js';
import {run, tryRun} from '../helpers/run.js';
import type {TempHome} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
const NAME = 'web01';
const SMALL_MIB = 128;

const cluster = new Cluster(['alpha', 'beta']);
let alpha: TempHome;
let beta: TempHome;
let device: string;
/** All resources of beta lie on this file system. */
let small: string;

test.before(async () => {
  await cluster.start();
  [alpha, beta] = [cluster.node('alpha'), cluster.node('beta')];
  const file = path.join(beta.directory, 'small.img');
  fs.writeFileSync(file, '');
  fs.truncateSync(file, SMALL_MIB * MIB);
  await run('mkfs.ext4', ['-q', '-m', '0', file]);
  small = await beta.mount(file, 'home/resources', '-o', 'loop');
  device = await cluster.createResource('alpha', NAME, '64M');
  await write('first.bin', 24, 0);
  await alpha.replayed(NAME, 30_000);
});

test.after(async () => {
  // The file system goes before its node does, so nothing of ours may be open on it.
  await beta.tryMars('resource', 'leave', NAME, '--yes');
  await tryRun('umount', ['-l', small]);
  await cluster.dispose();
});

async function write(file: string, mib: number, seekMib: number): Promise<string> {
  const source = randomFile(alpha, file, mib);
  await writeDisk(source, device, [`seek=${seekMib}`, 'conv=notrunc,fsync']);
  return hashOf(source, mib);
}

/** Fills the file system as somebody else's file does, but for so much. */
function fill(butMib: number): string {
  const file = path.join(small, 'foreign');
  const fd = fs.openSync(file, 'w');
  try {
    for (;;) fs.writeSync(fd, Buffer.alloc(64 * 1024, 1));
  } catch (error) {
    assert.is((error as NodeJS.ErrnoException).code, 'ENOSPC');
    fs.ftruncateSync(fd, Math.max(0, fs.fstatSync(fd).size - butMib * MIB));
  } finally {
    fs.closeSync(fd);
  }

  return file;
}

const FULL = /ENOSPC|no room|no space|STORE_FULL|LOG_SPACE/u;

/** Everything that a status says of what is wrong. */
function wordsOf({
  waitingFor,
  messages,
}: Pick<ResourceStatus, 'waitingFor'> & {messages?: readonly Partial<PeerMessage>[]}): string {
  return JSON.stringify([waitingFor, messages ?? []]);
}

/** Both nodes say that beta has no room, since when, and are not well. */
async function bothSayFull(): Promise<void> {
  await cluster.wait('beta to say that it has no room', 60_000, async () => {
    return FULL.test(wordsOf(await beta.status(NAME)));
  });
  await cluster.wait('alpha to say that beta has no room', 30_000, async () => {
    const replica = await cluster.replica('alpha', 'beta', NAME);
    return replica !== undefined && FULL.test(wordsOf(replica));
  });
  const [there, here] = await Promise.all([beta.status(NAME), alpha.status(NAME)]);
  assert.is.not(there.health, 'ok');
  assert.is.not(here.health, 'ok', 'alpha shows that its replica has a problem');
}

async function wellAgain(): Promise<void> {
  await cluster.equalImages(NAME, 90_000);
  await cluster.wait('both to be well', 40_000, async () => {
    const both = await Promise.all([alpha, beta].map((node) => node.status(NAME)));
    return both.every(({health}) => health === 'ok');
  });
}

test('full while the image is copied: the copy goes on by itself when there is room', async () => {
  const foreign = fill(16);
  await cluster.wait('beta to join', 30_000, async () => {
    return (await beta.tryMars('resource', 'join', NAME)).status === 0;
  });
  await bothSayFull();
  assert.ok(['Syncing', 'InConsistent'].includes((await beta.status(NAME)).state));
  fs.rmSync(foreign);
  await beta.mars('wait', NAME, 'synced', '--timeout', '60');
  await wellAgain();
});

test('full while log is fetched: alpha writes on, and beta fetches on by itself when there is room', async () => {
  await beta.mars('replay', 'pause', NAME);
  const foreign = fill(1);
  const written = await write('fetched.bin', 12, 40);
  await bothSayFull();
  fs.rmSync(foreign);
  await cluster.caughtUp(NAME, 'alpha', 'beta', 60_000);
  await beta.mars('replay', 'resume', NAME);
  await wellAgain();
  assert.is(await hashOf(imageBehind(beta, NAME), 12, 40), written);
});

test('F38: full while log is replayed into holes of the image: nothing is lost, and it goes on', async () => {
  const foreign = fill(0);
  const written = await write('replayed.bin', 8, 26);
  await bothSayFull();
  fs.rmSync(foreign);
  await wellAgain();
  assert.is(await hashOf(imageBehind(beta, NAME), 8, 26), written);
});

test.run();
