/** A replica that is fed by files: no network between the nodes, the files are brought by the test. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {ExportResult, ImportResult} from '../../src/control/api.js';
import {Cluster} from '../helpers/cluster.js';
import {hashOf, imageBehind, killDisk, randomFile, writeDisk} from '../helpers/disk-io.js';

const NAME = 'web01';

// Two nodes that never hear of each other: each is a cluster of its own.
const cluster = new Cluster(['alpha', 'beta']);
let outbox = '';
let inbox = '';
let device = '';

test.before(async () => {
  await cluster.start({join: false});
  outbox = path.join(cluster.node('alpha').directory, 'outbox');
  inbox = path.join(cluster.node('beta').directory, 'inbox');
  fs.mkdirSync(inbox);
});

test.after(() => cluster.dispose());

async function write(file: string, sizeMib: number, seekMib: number): Promise<void> {
  const source = randomFile(cluster.node('alpha'), file, sizeMib);
  await writeDisk(source, device, [`seek=${seekMib}`, 'conv=notrunc,fsync']);
}

function exportNow(...flags: string[]): Promise<ExportResult> {
  return cluster.node('alpha').json<ExportResult>('log', 'export', NAME, outbox, ...flags);
}

/** Brings a file, whole. */
function bring(name: string): void {
  fs.copyFileSync(path.join(outbox, name), path.join(inbox, name));
}

function bringAll(): void {
  for (const name of fs.readdirSync(outbox)) bring(name);
}

async function waitsFor(words: RegExp): Promise<void> {
  await cluster.wait(`beta to wait for ${String(words)}`, 30_000, async () => {
    const {waitingFor} = await cluster.status('beta', NAME);
    return words.test(waitingFor?.reason ?? '');
  });
}

test('a base image and the log make a replica on a node that has no network', async () => {
  device = await cluster.createResource('alpha', NAME, '64M');
  await write('first.bin', 8, 4);
  await cluster.node('alpha').replayed(NAME, 30_000);
  const {base, end} = await exportNow('--base', '--open');
  assert.ok(base !== null && base.dataBytes <= 9 * 1024 * 1024, 'holes are not exported');
  assert.ok(end !== null);
  const beta = cluster.node('beta');
  bringAll();
  const image = fs.readdirSync(inbox).find((name) => name.endsWith('.img')) ?? '';
  const middle = Buffer.from('no such content');
  assert.ok(base.dataBytes >= 8 * 1024 * 1024, 'what was replayed is in it');
  const fd = fs.openSync(path.join(inbox, image), 'r+');
  fs.writeSync(fd, middle, 0, middle.length, 5 * 1024 * 1024);
  fs.closeSync(fd);
  await beta.mars('resource', 'join', NAME, '--from', inbox);
  await waitsFor(/FOLDER_DAMAGED.*\.img/u);
  bring(image);
  await beta.mars('wait', NAME, 'synced', '--timeout', '60');
  await cluster.equalImages(NAME);
  const {follow, state} = await cluster.status('beta', NAME);
  assert.match(follow?.source ?? 'none', 'folder');
  assert.is(state, 'UpToDate');
});

test('logfiles that come out of order, half or damaged are waited for, and images are equal', async () => {
  await write('second.bin', 18, 12);
  const {files} = await exportNow('--open');
  assert.ok(files.length >= 4, files.join());
  const [one = '', two = '', three = '', ...rest] = files;
  for (const name of rest.reverse()) bring(name);
  bring('export.json');
  bring(three);
  await waitsFor(/no valid record|goes on at|rest of|its rest/u);
  // Half of one, then a damaged one, then the right one.
  const whole = fs.readFileSync(path.join(outbox, one));
  fs.writeFileSync(path.join(inbox, one), whole.subarray(0, whole.length / 2));
  await waitsFor(/damaged, or not whole|rest of|its rest|goes on at/u);
  bring(one);
  const bytes = fs.readFileSync(path.join(outbox, two));
  bytes[bytes.length / 2] = (bytes[bytes.length / 2] ?? 0) ^ 0xff;
  fs.writeFileSync(path.join(inbox, two), bytes);
  await waitsFor(new RegExp(`FOLDER_DAMAGED.*${two}`, 'u'));
  const messages = (await cluster.status('beta', NAME)).messages.map(({code}) => code);
  assert.ok(messages.includes('FOLDER_DAMAGED'), messages.join());
  await cluster.node('beta').killDaemon();
  await cluster.node('beta').startDaemon();
  await waitsFor(new RegExp(`FOLDER_DAMAGED.*${two}`, 'u'));
  bring(two);
  await cluster.equalImages(NAME);
  const after = (await cluster.status('beta', NAME)).messages.map(({code}) => code);
  assert.not.ok(after.includes('FOLDER_DAMAGED'), after.join());
});

test('what is brought twice, or is of another resource, changes nothing', async () => {
  const alpha = cluster.node('alpha');
  const other = await alpha.disk('other', '16M', '--set', 'segment-bytes=4M');
  await writeDisk(randomFile(alpha, 'other.bin', 1), other, ['conv=notrunc,fsync']);
  const folder = path.join(alpha.directory, 'other-outbox');
  await alpha.mars('log', 'export', 'other', folder, '--open');
  const [foreign = ''] = fs.readdirSync(folder).filter((name) => name.startsWith('log-'));
  fs.copyFileSync(path.join(folder, foreign), path.join(inbox, 'log-000000099-alpha'));
  bringAll();
  await cluster.wait('a foreign file to be named', 30_000, async () => {
    const {messages} = await cluster.status('beta', NAME);
    return messages.some(({code, text}) => code === 'FOLDER_FOREIGN' && text.includes('000000099'));
  });
  fs.rmSync(path.join(inbox, 'log-000000099-alpha'));
  const refused = await cluster.node('beta').tryMars('replay', 'follow', NAME, folder);
  assert.is(refused.status, 3, refused.stderr);
  assert.match(refused.stderr, 'FOLDER_FOREIGN');
  await cluster.equalImages(NAME);
});

test('import takes once what is there, in any order, and names what is missing', async () => {
  const beta = cluster.node('beta');
  await beta.mars('replay', 'follow', NAME, '--stop');
  await write('third.bin', 14, 40);
  const {files} = await exportNow('--open');
  const [, two = ''] = files;
  const gap = await beta.tryMars('log', 'import', NAME, path.join(outbox, two));
  assert.is(gap.status, 3, gap.stderr);
  assert.match(gap.stderr, 'FOLDER_GAP');
  const paths = files.map((name) => path.join(outbox, name)).reverse();
  const known = fs.readdirSync(outbox).filter((name) => name.startsWith('log-'));
  const all = [...paths, ...known.map((name) => path.join(outbox, name))];
  const taken = await beta.json<ImportResult>('log', 'import', NAME, ...new Set(all));
  assert.is(taken.end, (await cluster.node('alpha').diskStatus(NAME))?.position);
  await write('fourth.bin', 2, 2);
  await exportNow('--open');
  await beta.mars('replay', 'follow', NAME, outbox, '--once');
  await cluster.equalImages(NAME);
});

test('files that were brought away may go, and forgetting lets the log go', async () => {
  for (const name of fs.readdirSync(outbox).filter((each) => each.startsWith('log-'))) {
    fs.rmSync(path.join(outbox, name));
  }

  // A new epoch begins: it has to come with its own logfile.
  await killDisk(cluster.node('alpha'), NAME);
  await write('fifth.bin', 2, 30);
  const {files} = await exportNow('--open');
  assert.ok(files.length >= 1 && files.length <= 2, files.join());
  await cluster.node('beta').mars('replay', 'follow', NAME, outbox, '--once');
  await cluster.equalImages(NAME);
  assert.is((await exportNow('--forget')).forgotten, true);
  const slots = path.join(cluster.node('alpha').home, 'resources', NAME, 'slots.json');
  assert.not.match(fs.readFileSync(slots, 'utf8'), 'export:');
});

test('by force the replica becomes primary, and a later export of the old one is a fork', async () => {
  const beta = cluster.node('beta');
  const hash = await hashOf(imageBehind(beta, NAME), 64);
  const refused = await beta.tryMars('primary', NAME);
  assert.is(refused.status !== 0, true);
  await beta.mars('primary', NAME, '--force');
  assert.is(await hashOf(beta.device(NAME), 64), hash);
  const source = randomFile(beta, 'own.bin', 1);
  await writeDisk(source, beta.device(NAME), ['seek=1', 'conv=notrunc,fsync']);
  await beta.mars('secondary', NAME);
  await write('late.bin', 1, 3);
  await exportNow('--open');
  const forked = await beta.tryMars('log', 'import', NAME, outbox);
  assert.is(forked.status, 3, forked.stderr);
  assert.match(forked.stderr, 'SPLIT_BRAIN');
});

test.run();
