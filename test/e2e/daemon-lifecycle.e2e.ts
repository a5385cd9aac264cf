/** Roles, devices and settings with real disks, and who uses them. */
import {spawn, type ChildProcess} from 'node:child_process';
import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {ReplayView, ResourceView} from '../../src/control/api.js';
import {countOf} from '../../src/core/latency.js';
import {detachLoop, listLoopDevices} from '../../src/daemon/loop-devices.js';
import {attachLoop} from '../helpers/loops.js';
import {run, until} from '../helpers/run.js';
import {TempHome} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
let node: TempHome;
const children: ChildProcess[] = [];

test.before(async () => {
  node = await TempHome.create();
});

test.after(async () => {
  for (const child of children) child.kill('SIGKILL');
  await node.dispose();
});

/** A program that has `file` open until it is killed. */
async function hold(file: string): Promise<ChildProcess> {
  const fd = fs.openSync(file, 'r');
  const child = spawn('sleep', ['100'], {stdio: [fd, 'ignore', 'ignore']});
  fs.closeSync(fd);
  children.push(child);
  await new Promise((resolve) => child.once('spawn', resolve));
  return child;
}

async function release(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

test('secondary is refused while the device is mounted or open, and says by whom', async () => {
  const device = await node.disk('busy', '64M');
  await run('mkfs.ext4', ['-q', device]);
  const mounted = await node.mount(path.join(node.home, 'dev/busy'), 'busy');
  const refused = await node.tryMars('secondary', 'busy');
  assert.is(refused.status, 3);
  assert.match(refused.stderr.replaceAll(/\s+/gu, ' '), `mounted at ${mounted}`);
  assert.is((await node.status('busy')).openCount, 1);
  await node.unmount(mounted);
  const child = await hold(device);
  const held = await node.tryMars('secondary', 'busy');
  assert.is(held.status, 3);
  assert.match(held.stderr, `pid ${child.pid ?? 0} (sleep)`);
  assert.is((await node.status('busy')).role, 'primary');
  assert.is(node.device('busy'), device);
  await release(child);
  const image = await hold(node.imageFile('busy'));
  assert.is((await node.tryMars('secondary', 'busy')).status, 3);
  assert.is(node.device('busy'), device);
  await release(image);
  await node.mars('secondary', 'busy');
  assert.not(fs.existsSync(path.join(node.home, 'dev/busy')));
  assert.is((await node.status('busy')).image, null);
  await node.mars('resource', 'delete', 'busy', '--yes');
});

test('what an application writes and flushes is counted with its latency', async () => {
  await node.disk('timed', '64M');
  const fd = fs.openSync(node.imageFile('timed'), 'r+');
  try {
    for (let block = 0; block < 40; block += 1) {
      fs.writeSync(fd, Buffer.alloc(4096, block), 0, 4096, block * 4096);
      if (block % 4 === 3) fs.fdatasyncSync(fd);
    }
  } finally {
    fs.closeSync(fd);
  }

  const show = () => node.json<ResourceView>('resource', 'show', 'timed');
  const isReplayed = async () => (await show()).disk?.replay.backlogBytes === 0;
  await until(isReplayed, 60_000, 'all is in the image');
  const {disk} = await show();
  if (disk?.latencies === undefined) throw new Error('the disk process counts');
  const {write, flush, replay} = disk.latencies;
  const writes = countOf(write);
  assert.ok(writes > 36 && writes <= disk.counters.writes, `${writes} of 40 writes`);
  assert.ok(countOf(flush) >= 10);
  assert.ok(countOf(replay) >= 1);
  for (const {sumSeconds} of [write, flush, replay]) {
    assert.ok(sumSeconds > 0 && sumSeconds < 600, `${sumSeconds} s`);
  }

  await node.mars('secondary', 'timed');
  await node.mars('resource', 'delete', 'timed', '--yes');
});

test('a loop device that somebody opens in the last moment stays as it was', async () => {
  const file = path.join(node.directory, 'plain.img');
  fs.writeFileSync(file, Buffer.alloc(MIB));
  const device = await attachLoop(file, false);
  const find = () => listLoopDevices().find((loop) => loop.path === device);
  const loop = find();
  if (loop === undefined) throw new Error(`${device} is not listed`);
  const child = await hold(device);
  assert.is(await detachLoop(loop), false);
  assert.equal(find(), {path: device, backingFile: file, autoclear: false});
  await release(child);
  await until(() => find() !== undefined, 1000, 'the device is still there');
  assert.is(await detachLoop(loop), true);
  assert.is(find(), undefined);
});

test('primary twice is done, and brings back a device and a link that are gone', async () => {
  await node.disk('twice', '16M');
  const {pid} = await node.diskProcesses('twice');
  const link = path.join(node.home, 'dev/twice');
  fs.unlinkSync(link);
  await node.mars('primary', 'twice');
  assert.ok(fs.existsSync(link));
  await run('losetup', ['-d', node.device('twice')]);
  await node.mars('primary', 'twice');
  assert.match(node.device('twice'), '/dev/loop');
  assert.is((await node.diskProcesses('twice')).pid, pid);
  const bare = await node.json<ResourceView>('primary', 'twice', '--no-device');
  assert.is(bare.device, null);
  assert.ok(bare.image !== null);
  const again = await node.json<ResourceView>('primary', 'twice');
  assert.is(again.device, link);
  await node.mars('resource', 'set', 'twice', 'device=off');
  assert.not(fs.existsSync(link));
  await node.mars('resource', 'set', 'twice', 'device=on');
  assert.ok(fs.existsSync(link));
  await node.mars('secondary', 'twice');
  await node.mars('resource', 'delete', 'twice', '--yes');
});

test('a paused write-back keeps its backlog over a restart, and resumes to the image', async () => {
  await node.disk('back', '64M');
  await node.mars('replay', 'pause', 'back');
  const data = randomBytes(8 * MIB);
  const source = path.join(node.directory, 'source');
  fs.writeFileSync(source, data);
  await run('dd', [`if=${source}`, `of=${node.device('back')}`, 'bs=1M', 'oflag=direct']);
  await node.mars('secondary', 'back');
  const state = async (): Promise<string> => (await node.status('back')).state;
  assert.is(await state(), 'WriteBack');
  await node.mars('daemon', 'stop');
  await node.startDaemon();
  assert.is(await state(), 'WriteBack');
  const paused = await node.json<ReplayView>('replay', 'status', 'back');
  assert.ok(paused.paused);
  assert.ok((paused.backlogBytes ?? 0) >= data.length);
  await node.mars('replay', 'resume', 'back');
  await until(async () => (await state()) === 'UpToDate', 20_000, 'end of the write-back');
  const image = fs.readFileSync(path.join(node.home, 'resources/back/image'));
  assert.ok(image.subarray(0, data.length).equals(data));
  await node.mars('detach', 'back');
  assert.is((await node.tryMars('primary', 'back')).status, 3);
  await node.mars('attach', 'back');
  await node.mars('primary', 'back');
  const copy = path.join(node.directory, 'copy');
  await run('dd', [`if=${node.device('back')}`, `of=${copy}`, 'bs=1M', 'count=8', 'iflag=direct']);
  assert.ok(fs.readFileSync(copy).equals(data));
  await node.mars('secondary', 'back');
  await node.mars('resource', 'delete', 'back', '--yes');
});

test('primary with a backlog does not wait for the write-back', async () => {
  await node.disk('quick', '64M');
  await node.mars('replay', 'pause', 'quick');
  await run('dd', ['if=/dev/urandom', `of=${node.device('quick')}`, 'bs=1M', 'count=32']);
  await node.mars('secondary', 'quick');
  await node.mars('primary', 'quick');
  const status = await node.diskStatus('quick');
  assert.ok((status?.replay.backlogBytes ?? 0) >= 32 * MIB);
  await node.mars('secondary', 'quick');
  await node.mars('resource', 'delete', 'quick', '--yes');
});

test.run();
