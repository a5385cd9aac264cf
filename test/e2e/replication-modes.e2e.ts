/**
 * H8, H24: near-sync and sync with two real nodes. What a flush waits for, what a missing replica
 * means, and that an acknowledged fsync is on the replica when everything of the primary is gone.
 */
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {EventLine, DiskSynchronous} from '../../src/core/disk-status.js';
import {createNodeFiles} from '../../src/core/files.js';
import {resourcePaths} from '../../src/core/home.js';
import {TwoSlotFile} from '../../src/core/two-slot.js';
import {Cluster} from '../helpers/cluster.js';
import {hashOf, randomFile, writeDisk} from '../helpers/disk-io.js';
import {run, until} from '../helpers/run.js';
import {killAndWait} from '../helpers/temp-home.js';

const NAME = 'web01';
const cluster = new Cluster(['alpha', 'beta']);

test.before.each(() => {
  cluster.setLink('alpha', 'beta', 'open');
});

test.before(async () => {
  await cluster.start();
  await cluster.createResource('alpha', NAME, '32M');
  await cluster.joinResource('beta', NAME);
});

test.after(() => cluster.dispose());

async function set(...settings: string[]): Promise<void> {
  await cluster.node('alpha').mars('resource', 'set', NAME, ...settings);
}

async function synchronous(): Promise<DiskSynchronous | undefined> {
  return (await cluster.node('alpha').diskStatus(NAME))?.synchronous ?? undefined;
}

/** Until flushes count on beta, and nothing is degraded. */
async function inForce(): Promise<void> {
  await cluster.wait('a mode that is in force', 30_000, async () => {
    const says = await synchronous();
    return says?.degraded === null && says.replicas.some(({counted}) => counted);
  });
}

/** What the state file says, read past the process that writes it. */
function degradedOnDisk(): unknown {
  const {degradedFile} = resourcePaths(cluster.node('alpha').home, NAME);
  return (TwoSlotFile.peek(createNodeFiles(), degradedFile) as {degraded: unknown}).degraded;
}

function events(code: string): EventLine[] {
  const file = `${cluster.node('alpha').home}/events.jsonl`;
  const lines = fs.readFileSync(file, 'utf8').trim().split('\n');
  return lines.map((line) => JSON.parse(line) as EventLine).filter((line) => line.code === code);
}

/** A write of a MiB with fsync that is not waited for. */
function flushAside(source: string, seekMib: number): {readonly ended: () => number | null} {
  const device = cluster.node('alpha').device(NAME);
  const words = ['bs=1M', `if=${source}`, `of=${device}`, `seek=${seekMib}`, 'conv=notrunc,fsync'];
  const dd = spawn('dd', [...words, 'oflag=direct'], {stdio: 'ignore'});
  return {ended: () => dd.exitCode};
}

async function flush(seekMib: number, source: string): Promise<void> {
  const device = cluster.node('alpha').device(NAME);
  await writeDisk(source, device, [`seek=${seekMib}`, 'conv=notrunc,fsync']);
}

for (const mode of ['near-sync', 'sync']) {
  test(`${mode}: a flush is answered when beta has it, and counts on it`, async () => {
    await set(`mode=${mode}`, 'degrade-after=never');
    await inForce();
    const source = randomFile(cluster.node('alpha'), mode, 1);
    await flush(1, source);
    const end = (await cluster.node('alpha').diskStatus(NAME))?.position ?? '';
    const there = await cluster.node('beta').diskStatus(NAME);
    assert.ok((there?.position ?? '') >= end, 'beta has what was flushed');
    if (mode === 'sync') assert.ok((there?.durable ?? '') >= end, 'on its disk');
    const status = await cluster.status('alpha', NAME);
    assert.is(status.mode, mode);
    assert.is(status.replicas[0]?.counted, true);
  });
}

test('the mode is one for both nodes', async () => {
  await cluster.wait('beta to have the mode', 20_000, async () => {
    const {mode, synchronous: told} = await cluster.status('beta', NAME);
    return mode === 'sync' && told?.degradeAfterSeconds === null;
  });
});

test('never: a flush waits while the link is cut, by name and since when, and goes on', async () => {
  await inForce();
  cluster.setLink('alpha', 'beta', 'cut');
  const flushed = flushAside(randomFile(cluster.node('alpha'), 'never', 1), 2);
  await cluster.wait('a flush that waits, and says so', 30_000, async () => {
    const {waitingFor, messages} = await cluster.status('alpha', NAME);
    const told = messages.some(({code}) => code === 'FLUSHES_WAIT');
    return told && /beta/u.test(waitingFor?.reason ?? '') && waitingFor?.until === null;
  });
  assert.is(flushed.ended(), null);
  const alpha = cluster.node('alpha');
  assert.is((await alpha.tryMars('check', NAME)).status, 2);
  // The image can be read; a loop device has one queue, where all waits behind the flush. Whoever
  // wants to end the disk is told that it is open.
  await hashOf(alpha.imageFile(NAME), 1);
  const refused = await alpha.tryMars('secondary', NAME, '--timeout', '10');
  assert.is(refused.status, 3, refused.stderr);
  // SIGKILL of the disk process: the next life has the same flush, and waits as well.
  const {pid} = await alpha.diskProcesses(NAME);
  await killAndWait(pid);
  await cluster.wait('the next life to wait', 30_000, async () => {
    const status = await alpha.diskStatus(NAME);
    return status?.pid !== pid && (status?.synchronous?.flushesWaiting ?? 0) > 0;
  });
  assert.is(flushed.ended(), null);
  // Without a daemon it waits as well; the daemon is stopped and started without delay.
  await alpha.mars('daemon', 'stop');
  await alpha.startDaemon();
  assert.is(flushed.ended(), null);
  cluster.setLink('alpha', 'beta', 'open');
  await until(() => flushed.ended() !== null, 40_000, 'the flush is answered');
  assert.is(flushed.ended(), 0, 'no I/O error');
  const end = (await cluster.node('alpha').diskStatus(NAME))?.synchronous?.confirmed ?? '';
  assert.ok(((await cluster.node('beta').diskStatus(NAME))?.durable ?? '') >= end);
});

test('a missing replica degrades the mode, on disk and told before the answer; it comes back', async () => {
  await set('degrade-after=2');
  await inForce();
  cluster.setLink('alpha', 'beta', 'cut');
  const started = performance.now();
  await flush(3, randomFile(cluster.node('alpha'), 'degraded', 1));
  assert.ok(performance.now() - started > 1900, 'it was waited for');
  assert.ok(degradedOnDisk() !== null, 'the state file says so');
  const told = events('MODE_DEGRADED').length;
  assert.ok(told >= 1);
  const alpha = cluster.node('alpha');
  const {messages, synchronous: says} = await cluster.status('alpha', NAME);
  assert.ok(messages.some(({code}) => code === 'MODE_DEGRADED'));
  assert.ok(says?.degraded?.reason.includes('beta'), says?.degraded?.reason);
  assert.ok([1, 2].includes((await alpha.tryMars('check', NAME)).status ?? 0));
  // The next life is degraded as well: it does not wait once more.
  const {pid} = await alpha.diskProcesses(NAME);
  await killAndWait(pid);
  await flush(4, randomFile(alpha, 'again', 1));
  assert.is(events('MODE_DEGRADED').length, told);
  cluster.setLink('alpha', 'beta', 'open');
  await inForce();
  assert.is(degradedOnDisk(), null);
  assert.is(events('MODE_RESTORED').length, told);
});

test('H8: what was acknowledged is on beta when alpha is lost with its disk', async () => {
  await set('mode=sync', 'degrade-after=never');
  await inForce();
  const alpha = cluster.node('alpha');
  const source = randomFile(alpha, 'kept', 8);
  const expected = await hashOf(source, 8);
  await flush(16, source);
  const {pid, holderPid} = await alpha.diskProcesses(NAME);
  const device = alpha.device(NAME);
  cluster.setLink('alpha', 'beta', 'cut');
  await killAndWait(holderPid);
  await killAndWait(pid);
  await alpha.killDaemon();
  fs.rmSync(resourcePaths(alpha.home, NAME).directory, {recursive: true});
  // What a reboot would take away.
  await run('losetup', ['-d', device]);
  await run('umount', ['-l', path.dirname(alpha.imageFile(NAME))]);
  const beta = cluster.node('beta');
  await beta.mars('disconnect', NAME);
  // Setting up a loop device flushes, and would wait: there is no replica any more.
  await beta.mars('primary', NAME, '--force', '--no-device', '--timeout', '30');
  assert.is(await hashOf(beta.imageFile(NAME), 8, 16), expected);
  assert.is((await beta.status(NAME)).mode, 'sync', 'the new primary has the same mode');
});

test.run();
