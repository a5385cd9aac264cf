/** T21, T23, F21, F22, P1, P11, P25: a node over time, with many resources, and what it lets go of. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {StatusDocument} from '../../src/control/api.js';
import {CODES} from '../../src/core/codes.js';
import {resourcePaths} from '../../src/core/home.js';
import {holdersOfFile} from '../../src/daemon/openers.js';
import {bareDisk, hashOf, imageBehind, randomFile, writeDisk} from '../helpers/disk-io.js';
import {loopsBelow, mountsBelow} from '../helpers/leftovers.js';
import {until} from '../helpers/run.js';
import {TempHome} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
const MANY = 8;
const ROUNDS = process.env['MARS_SOAK'] === '1' ? 200 : 10;
/** The collector is lazy: what counts is that it ends, far below the bound of 256 MiB. */
const GROWTH_MIB_MAX = 96;
const RESIDENT_MIB_MAX = 256;

let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
});

test.after(() => node.dispose());

function residentMib(pid: number): number {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/mu.exec(status)?.[1]) / 1024;
}

function linksOf(pid: number): string[] {
  return fs.readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [fs.readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return []; // It was closed meanwhile.
    }
  });
}

test('T21, F21: memory, descriptors and log stay flat over rotations, and no deleted file is held', async () => {
  const disk = await bareDisk(node, 'flat', '64M');
  const source = randomFile(node, 'flat.bin', 48);
  const {pid} = await node.diskProcesses('flat');
  const log = resourcePaths(node.home, 'flat').logDirectory;
  let memory = 0;
  let descriptors = 0;
  let files = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    await writeDisk(source, disk, ['conv=notrunc,fsync']);
    await node.mars('log', 'rotate', 'flat');
    await node.replayed('flat', 30_000);
    await until(
      async () => ((await node.diskStatus('flat'))?.log.files ?? 9) <= 2,
      10_000,
      'recycling',
    );
    // Logfiles that were used up are closed with the next request: how many wait for it is chance.
    await hashOf(disk, 1);
    if (round === 2) {
      memory = residentMib(pid);
      descriptors = linksOf(pid).length;
      files = fs.readdirSync(log).length;
    }
  }

  assert.ok(residentMib(pid) - memory < GROWTH_MIB_MAX, `${memory} to ${residentMib(pid)} MiB`);
  assert.ok(residentMib(pid) < RESIDENT_MIB_MAX);
  assert.ok(linksOf(pid).length <= descriptors + 4, linksOf(pid).join('\n'));
  assert.ok(fs.readdirSync(log).length <= files + 4, fs.readdirSync(log).join(' '));
  assert.equal(
    linksOf(pid).filter((link) => link.endsWith('(deleted)')),
    [],
  );
  assert.is(await hashOf(imageBehind(node, 'flat'), 48), await hashOf(source, 48));
  await node.mars('secondary', 'flat');
});

test('T23, P1: eight resources at once are written, adopted, and each image holds its own data', async () => {
  const names = Array.from({length: MANY}, (_, index) => `many${index}`);
  const disks = await Promise.all(names.map((name) => bareDisk(node, name, '16M')));
  const sources = names.map((name) => randomFile(node, `${name}.bin`, 6));
  await Promise.all(
    disks.map((disk, at) => writeDisk(sources[at] ?? '', disk, ['conv=notrunc,fsync'])),
  );
  const pids = await Promise.all(names.map(async (name) => (await node.diskProcesses(name)).pid));
  assert.is(new Set(pids).size, MANY);
  await node.killDaemon();
  await node.startDaemon();
  const {resources} = await node.json<StatusDocument>('status');
  const mine = resources.filter(({name}) => names.includes(name));
  assert.is(mine.length, MANY);
  for (const {name, health, role} of mine)
    assert.equal({name, health, role}, {name, health: 'ok', role: 'primary'});
  for (const [at, name] of names.entries()) {
    assert.is((await node.diskProcesses(name)).pid, pids[at]);
    await node.replayed(name, 30_000);
    assert.is(await hashOf(imageBehind(node, name), 6), await hashOf(sources[at] ?? '', 6));
  }

  await node.mars('secondary', 'all');
  assert.is(mountsBelow(path.join(node.home, 'mnt')).length, 0);
});

test('F22, P11: secondary and detach return when device, mount, locks and image are really free', async () => {
  const device = await node.disk('free', '32M');
  await writeDisk(randomFile(node, 'free.bin', 8), device, ['conv=notrunc,fsync']);
  const {pid} = await node.diskProcesses('free');
  await node.mars('secondary', 'free');
  // At once, not after some time.
  assert.is(mountsBelow(path.join(node.home, 'mnt', 'free')).length, 0);
  assert.equal(loopsBelow(path.join(node.home, 'mnt', 'free')), []);
  assert.not(fs.existsSync(path.join(node.home, 'dev', 'free')));
  assert.not(fs.existsSync(`/proc/${pid}/fd/0`), 'the disk process has ended');
  await node.mars('detach', 'free');
  const {image, lock, generationLock} = resourcePaths(node.home, 'free');
  for (const file of [image, lock, generationLock]) assert.equal(holdersOfFile(file), []);
  assert.is((await node.status('free')).state, 'Detached');
  await node.mars('attach', 'free');
  await until(async () => (await node.status('free')).state === 'UpToDate', 20_000, 'write-back');
  assert.is(await hashOf(image, 8), await hashOf(path.join(node.directory, 'free.bin'), 8));
});

test('P25: a refusal names object, cause, remedy and code, for people and for scripts', async () => {
  const cases: readonly (readonly [readonly string[], keyof typeof CODES])[] = [
    [['primary', 'nobody'], 'RESOURCE_UNKNOWN'],
    [['resource', 'create', '../x', '--size', '16M'], 'NAME_INVALID'],
    [['resource', 'create', 'all', '--size', '16M'], 'NAME_INVALID'],
    [['resource', 'create', 'x'.repeat(64), '--size', '16M'], 'NAME_INVALID'],
    [['resource', 'create', '', '--size', '16M'], 'NAME_INVALID'],
    [['resource', 'create', 'odd', '--size', '16777217'], 'SIZE_INVALID'],
    [['resource', 'create', 'small', '--size', '512K'], 'SIZE_INVALID'],
    [['resource', 'create', 'big', '--size', '16T'], 'SIZE_INVALID'],
    [['resource', 'create', 'free', '--size', '16M'], 'RESOURCE_EXISTS'],
    [['resource', 'delete', 'free'], 'CONFIRM_NEEDED'],
    [['log', 'rotate', 'free'], 'RESOURCE_NOT_PRIMARY'],
    [['resource', 'resize', 'free', '64M'], 'RESOURCE_NOT_PRIMARY'],
    [['resource', 'set', 'free', 'colour=red'], 'KEY_UNKNOWN'],
  ];
  const before = fs.readdirSync(path.join(node.home, 'resources')).sort();
  for (const [words, code] of cases) {
    const people = await node.tryMars(...words);
    const text = people.stderr.replaceAll(/\s+/gu, ' ');
    assert.ok(text.includes(`code: ${code}`), `${words.join(' ')}: ${text}`);
    assert.match(text, 'next: ', words.join(' '));
    const answer = await node.json<{error: {code: string; message: string}}>(...words);
    assert.is(answer.error.code, code, words.join(' '));
  }

  assert.equal(fs.readdirSync(path.join(node.home, 'resources')).sort(), before);
  assert.ok(fs.statSync(imageBehind(node, 'free')).size === 32 * MIB);
});

test.run();
