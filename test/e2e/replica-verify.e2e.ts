/**
 * P1, P8, H20: `mars verify` never takes writes that run for a difference, finds bytes that changed
 * behind our back to the block, and mends the replica and never the primary.
 */
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {VerifyDocument, VerifyReport} from '../../src/control/verify-api.js';
import {Cluster} from '../helpers/cluster.js';
import {imageBehind, randomFile, writeDisk} from '../helpers/disk-io.js';
import {Fio} from '../helpers/fio.js';
import type {RunResult} from '../helpers/run.js';

const MIB = 1024 * 1024;
const BLOCK = 4096;
const NAME = 'web01';
const ALONE = 'alone01';
const DISK_MIB = 64;
/** The load writes below, the rest is data that was written once, and holes behind it. */
const LOAD_MIB = 16;
const DATA_MIB = 32;
const PROGRAM = path.join(import.meta.dirname, '../../bin/run.js');

const cluster = new Cluster(['alpha', 'beta']);
let device: string;
let load: Fio | undefined;

test.before(async () => {
  await cluster.start();
  device = await cluster.createResource('alpha', NAME, `${DISK_MIB}M`);
  const file = randomFile(cluster.node('alpha'), 'data.bin', DATA_MIB - LOAD_MIB);
  await writeDisk(file, device, [`seek=${LOAD_MIB}`, 'conv=notrunc,fsync']);
  await cluster.joinResource('beta', NAME);
});

test.after(async () => {
  load?.kill();
  await cluster.dispose();
});

function begin(): Fio {
  const more = [`--size=${LOAD_MIB}M`, '--offset=0'];
  load = new Fio(device, {bytesPerSecond: 4 * MIB, more});
  return load;
}

async function verify(on: string, ...words: string[]): Promise<RunResult & {report: VerifyReport}> {
  const result = await cluster.node(on).tryMars('verify', NAME, ...words, '--json');
  const document = JSON.parse(result.stdout) as VerifyDocument & {error?: unknown};
  assert.is(document.error, undefined, result.stdout);
  const [report] = document.replicas;
  assert.is(document.replicas.length, 1);
  assert.ok(report);
  return {...result, report};
}

/** The code with which a command fails. */
async function codeOf(on: string, ...words: string[]): Promise<string> {
  const {error} = await cluster.node(on).json<{error?: {code: string}}>(...words);
  return error?.code ?? 'none';
}

/** Changes bytes of an image past mars, as a disk that rots does. */
function flip(on: string, offset: number, length: number): void {
  const fd = fs.openSync(imageBehind(cluster.node(on), NAME), 'r+');
  const bytes = Buffer.alloc(length);
  fs.readSync(fd, bytes, 0, length, offset);
  for (const [index, byte] of bytes.entries()) bytes[index] = byte ^ 0xff;
  fs.writeSync(fd, bytes, 0, length, offset);
  fs.closeSync(fd);
}

async function codesOf(on: string): Promise<string[]> {
  const {messages} = await cluster.status(on, NAME);
  return messages.map(({code}) => code);
}

test('P8: while an application writes, equal replicas are equal, asked on either node', async () => {
  const fio = begin();
  for (const on of ['alpha', 'beta']) {
    const {status, report} = await verify(on);
    assert.is(report.state, 'equal', JSON.stringify(report));
    assert.is(status, 0);
    assert.is(report.node, 'beta');
    assert.is(report.with, 'alpha');
    assert.is(report.doneBytes, DISK_MIB * MIB);
    assert.ok(report.position !== null && report.fromPosition !== null);
    assert.ok(report.position >= report.fromPosition);
    assert.ok(fio.running, 'the load goes on');
  }

  const {verify: summary} = await cluster.status('beta', NAME);
  assert.is(summary?.state, 'equal');
  assert.is(
    (await cluster.node('beta').tryMars('check', NAME, '--crit-verify-age', '1h')).status,
    0,
  );
});

test('P1: bytes that changed in the image of a replica are found to the block, under load; a dry run copies nothing', async () => {
  assert.ok(load?.running, 'the load goes on');
  flip('beta', 20 * MIB + 17, 1);
  flip('beta', 25 * MIB, 2 * BLOCK);
  flip('beta', 60 * MIB + 5, 3);
  assert.is(await codeOf('alpha', 'verify', NAME, '--repair'), 'CONFIRM_NEEDED');
  const {status, report} = await verify('alpha', '--repair', '--dry-run');
  assert.is(status, 6);
  assert.is(report.repairedBytes, null);
  assert.is(report.state, 'different');
  assert.equal(report.ranges, [
    {offset: 20 * MIB, length: BLOCK},
    {offset: 25 * MIB, length: 2 * BLOCK},
    {offset: 60 * MIB, length: BLOCK},
  ]);
  assert.is(report.differentBytes, 4 * BLOCK);
  assert.ok((await codesOf('beta')).includes('VERIFY_DIFFERENT'));
  await cluster.wait('alpha to say it too', 20_000, async () => {
    return (await codesOf('alpha')).includes('VERIFY_DIFFERENT');
  });
  for (const node of cluster.nodes) {
    assert.not.equal((await node.tryMars('check', NAME)).status, 0);
    assert.not.equal((await node.status(NAME)).health, 'ok');
  }

  assert.match(await cluster.node('beta').mars('resource', 'show', NAME), /DIFFER from alpha/u);
});

test('--repair mends the replica under load; then the images are equal', async () => {
  const {status, report} = await verify('alpha', '--repair', '--yes');
  assert.is(report.state, 'equal', JSON.stringify(report));
  assert.is(status, 0);
  assert.is(report.repairedBytes, 4 * BLOCK);
  assert.is((await codesOf('beta')).includes('VERIFY_DIFFERENT'), false);
  const {error} = (await load?.stop()) ?? {error: -1};
  assert.is(error, 0);
  await cluster.equalImages(NAME);
  assert.is((await verify('beta')).report.state, 'equal');
  await cluster.wait('alpha to take it back', 20_000, async () => {
    return !(await codesOf('alpha')).includes('VERIFY_DIFFERENT');
  });
});

test('it can be interrupted, one run at a time, and what is missing is an error with a code', async () => {
  const words = ['verify', NAME, '--rate', '2M', '--home', cluster.node('alpha').home];
  const child = spawn(process.execPath, [PROGRAM, ...words, '--json'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  try {
    await cluster.wait('beta to be compared', 30_000, async () => {
      return (await cluster.status('beta', NAME)).verify?.state === 'running';
    });
    assert.is(await codeOf('beta', 'verify', NAME), 'VERIFY_RUNNING');
  } finally {
    child.kill('SIGINT');
  }

  assert.is(await ended, 3);
  const [report] = (JSON.parse(stdout) as VerifyDocument).replicas;
  assert.ok(report);
  assert.is(report.state, 'stopped');
  assert.is(report.error?.code, 'VERIFY_STOPPED');
  assert.is(await codeOf('alpha', 'verify', NAME, '--with', 'gamma'), 'PEER_UNKNOWN');
  assert.is(await codeOf('alpha', 'verify', NAME, '--with', 'alpha'), 'USAGE');
  assert.is(await codeOf('alpha', 'verify', 'nothing01'), 'RESOURCE_UNKNOWN');
  await cluster
    .node('alpha')
    .mars('resource', 'create', ALONE, '--size', '1M', '--set', 'device=off');
  assert.is(await codeOf('alpha', 'verify', ALONE), 'NO_SOURCE');
  await cluster.node('beta').mars('detach', NAME);
  assert.is(await codeOf('alpha', 'verify', NAME), 'RESOURCE_DETACHED');
  await cluster.node('beta').mars('up', NAME);
  await cluster.caughtUp(NAME, 'alpha', 'beta', 30_000);
});

test('an image of a primary that rots is told, not copied by itself; the roles decide who is right', async () => {
  flip('alpha', 24 * MIB, BLOCK);
  const {status, report} = await verify('beta');
  assert.is(status, 6);
  assert.equal(report.ranges, [{offset: 24 * MIB, length: BLOCK}]);
  await cluster.node('alpha').mars('secondary', NAME);
  await cluster.node('beta').mars('primary', NAME);
  await cluster.wait('alpha to follow beta', 30_000, async () => {
    const {follow} = await cluster.status('alpha', NAME);
    return follow?.connected === true && follow.lagBytes === 0;
  });
  const mended = await verify('alpha', '--repair', '--yes');
  assert.is(mended.report.node, 'alpha');
  assert.is(mended.report.state, 'equal', JSON.stringify(mended.report));
  assert.is(mended.report.repairedBytes, BLOCK);
  await cluster.equalImages(NAME);
});

test('a replica that is not heard of is not compared', async () => {
  cluster.setLink('alpha', 'beta', 'cut');
  await cluster.wait('a link that is down', 30_000, async () => {
    return (await cluster.replica('beta', 'alpha', NAME))?.link === 'down';
  });
  assert.is(await codeOf('beta', 'verify', NAME), 'PEER_UNREACHABLE');
  cluster.setLink('alpha', 'beta', 'open');
});

test.run();
