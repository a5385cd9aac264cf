/** `mars log verify --fsck`: the file system at positions of the log of a real disk. */
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {FsckReport} from '../../src/cli/fsck.js';
import {loopsBelow, mountsBelow} from '../helpers/leftovers.js';
import {run, until} from '../helpers/run.js';
import {TempHome} from '../helpers/temp-home.js';

const PROGRAM = path.join(import.meta.dirname, '..', '..', 'bin', 'run.js');
const GARBAGE_BYTES = 16 * 1024;

interface VerifyDocument {
  readonly ok: boolean;
  readonly logs: readonly {readonly fsck: FsckReport}[];
}

let node: TempHome;
let scratch = '';

test.before(async () => {
  node = await TempHome.create();
  scratch = path.join(node.directory, 'scratch with blanks');
  fs.mkdirSync(scratch);
});

test.after(() => node.dispose());

async function fsck(place: string, ...words: string[]): Promise<{ok: boolean; report: FsckReport}> {
  const args = ['log', 'verify', place, '--fsck', '--scratch', scratch, ...words];
  const document = await node.json<VerifyDocument>(...args);
  const report = document.logs[0]?.fsck;
  assert.ok(report, JSON.stringify(document));
  return {ok: document.ok, report};
}

/** A few files, each synced, on the mounted device. */
async function writeFiles(point: string, count: number): Promise<void> {
  const program = `for i in $(seq ${count}); do head -c 20000 /dev/urandom > $1/$i; sync $1/$i; done`;
  await run('sh', ['-c', program, 'write', point]);
}

function assertNothingLeft(): void {
  assert.equal(fs.readdirSync(scratch), []);
  assert.equal(mountsBelow(scratch), []);
  assert.equal(loopsBelow(scratch), []);
}

for (const [type, every, least] of [
  ['ext4', '1', 5],
  ['xfs', '3', 2],
] as const) {
  test(`a mounted ${type} is clean at flushes since the image was written`, async () => {
    const device = await node.disk(type, '320M');
    await node.replayed(type, 20_000);
    await node.mars('replay', 'pause', type);
    await run(`mkfs.${type}`, ['-q', device]);
    const point = await node.mount(device, type);
    await writeFiles(point, 5);
    const {ok, report} = await fsck(type, '--every', every);
    assert.ok(ok, JSON.stringify(report));
    const clean = report.checks.filter((check) => check.verdict === 'clean');
    assert.ok(clean.length >= least, JSON.stringify(report));
    assert.ok(clean.every((check) => check.type === type));
    assert.is(report.checks.at(-1)?.verdict, 'clean');
    assert.is(report.overtaken, 0);
    const words = ['--fsck', '--every', '4', '--scratch', scratch];
    const text = await node.mars('log', 'verify', type, ...words);
    assert.match(text, new RegExp(`no broken file system at \\d+ positions[\\s\\S]*${type}`, 'u'));
    assertNothingLeft();
    await node.unmount(point);
  });
}

test('an exported base and an empty disk are bases as good as the image', async () => {
  await node.mars('replay', 'resume', 'ext4');
  await node.replayed('ext4', 20_000);
  const folder = path.join(node.directory, 'folder');
  await node.mars('log', 'export', 'ext4', folder, '--base', '--open');
  const exported = await fsck(folder);
  assert.ok(exported.ok, JSON.stringify(exported.report));
  assert.is(exported.report.checks.at(-1)?.type, 'ext4');
  const whole = await fsck('ext4', '--base', 'empty', '--every', '5');
  assert.is(whole.report.earliest, '0'.repeat(16));
  assert.is(whole.report.checks.at(-1)?.verdict, 'clean');
  assert.ok(whole.ok, JSON.stringify(whole.report));
  const {stderr, status} = await node.tryMars(
    'log',
    'verify',
    'ext4',
    '--fsck',
    '--at',
    'ffffffff',
  );
  assert.is(status, 2, stderr);
});

test('a file system that is overwritten is broken from there on, and not before', async () => {
  await node.mars('replay', 'pause', 'ext4');
  const device = node.device('ext4');
  const point = await node.mount(device, 'ext4');
  await writeFiles(point, 2);
  await node.unmount(point);
  const before = (await node.diskStatus('ext4'))?.position ?? '';
  // The first blocks of the inode table: behind superblock, descriptors and bitmaps.
  const text = await run('dumpe2fs', [device]);
  const table = Number(/Inode table at (\d+)/u.exec(text)?.[1]);
  const bytes = Number(/Block size:\s+(\d+)/u.exec(text)?.[1]);
  const place = [`bs=${bytes}`, `seek=${table}`, `count=${GARBAGE_BYTES / bytes}`];
  const words = ['if=/dev/urandom', `of=${device}`, ...place];
  await run('dd', [...words, 'conv=fsync']);
  const {ok, report} = await fsck('ext4', '--every', '2');
  assert.not(ok);
  const last = report.checks.at(-1);
  assert.is(last?.verdict, 'broken');
  assert.match(last?.detail ?? '', /mount|e2fsck/u);
  const early = report.checks.filter((check) => check.position <= before);
  assert.ok(early.length > 2, JSON.stringify(report));
  assert.equal([...new Set(early.map(({verdict}) => verdict))], ['clean']);
  const args = ['log', 'verify', 'ext4', '--fsck', '--every', '100', '--scratch', scratch];
  const result = await node.tryMars(...args);
  assert.is(result.status, 6);
  assert.match(result.stdout, /BROKEN at [\s\S]*mars explain FILE_SYSTEM_BROKEN/u);
  assertNothingLeft();
});

test('less scratch space than the blocks in the log is said, and nothing called broken', async () => {
  const words = ['--fsck', '--scratch', scratch, '--scratch-limit', '64K', '--base', 'empty'];
  const {status, stderr} = await node.tryMars('log', 'verify', 'xfs', ...words);
  assert.is(status, 3, stderr);
  assert.match(stderr, /--scratch-limit[\s\S]*STORE_FULL/u);
  assertNothingLeft();
});

for (const signal of ['SIGINT', 'SIGKILL'] as const) {
  test(`${signal} in the middle leaves no mount, loop device or file`, async () => {
    const args = ['log', 'verify', 'xfs', '--fsck', '--every', '1', '--base', 'empty'];
    const words = [...args, '--scratch', scratch, '--home', node.home];
    const child = spawn(process.execPath, [PROGRAM, ...words], {stdio: 'ignore'});
    const ended = new Promise((resolve) => child.once('exit', resolve));
    await until(() => mountsBelow(scratch).length === 2, 60_000, 'mounted state of the disk');
    child.kill(signal);
    await ended;
    await until(() => mountsBelow(scratch).length === 0, 20_000, 'end of the mounts');
    await until(() => loopsBelow(scratch).length === 0, 20_000, 'end of the loop devices');
    // What a killed command could not take away, the next one does.
    if (signal === 'SIGKILL') await fsck('xfs', '--base', 'empty', '--every', '1000');
    assertNothingLeft();
  });
}

test.run();
