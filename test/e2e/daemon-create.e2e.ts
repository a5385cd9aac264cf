/** Creation in bad places: each gives one clear code, and leaves nothing behind. */
import fs from 'node:fs';
import path from 'node:path';
import {spawn} from 'node:child_process';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {ResourceView} from '../../src/control/api.js';
import {attachLoop, freeLoop} from '../helpers/loops.js';
import {run, until} from '../helpers/run.js';
import {TempHome} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
});
test.after(() => node.dispose());

interface Failure {
  readonly error?: {readonly code: string; readonly message: string};
}

async function codeOf(...args: string[]): Promise<string> {
  const failure = await node.json<Failure>(...args);
  return failure.error?.code ?? 'none';
}

function create(name: string, image: string, ...more: string[]): Promise<string> {
  const size = more.includes('--size') ? [] : ['--size', '16M'];
  return codeOf('resource', 'create', name, ...size, '--image', image, ...more);
}

test('a block device is taken, kept by delete, and refused while it is used', async () => {
  const file = path.join(node.directory, 'block.img');
  fs.writeFileSync(file, '');
  fs.truncateSync(file, 32 * MIB);
  const block = await attachLoop(file, false);
  try {
    assert.is(await create('big', block, '--size', '64M'), 'IMAGE_TOO_SMALL');
    assert.is(await create('inside', file), 'IMAGE_IN_USE');
    await run('mkfs.ext4', ['-q', block]);
    assert.is(await create('full', block), 'IMAGE_NOT_EMPTY');
    const mounted = await node.mount(block, 'block');
    assert.is(await create('mounted', block, '--force'), 'IMAGE_IN_USE');
    await node.unmount(mounted);
    const view = await node.json<ResourceView>(
      ...['resource', 'create', 'block', '--size', '32M', '--image', block, '--force'],
    );
    assert.is(view.imagePath, block);
    assert.is(await create('twice', block, '--force'), 'IMAGE_IN_USE');
    // The content of the image is the content of the resource.
    await run('e2fsck', ['-fn', node.device('block')]);
    assert.is(await codeOf('resource', 'resize', 'block', '64M'), 'IMAGE_TOO_SMALL');
    await node.mars('secondary', 'block');
    await until(
      async () => (await node.status('block')).state === 'UpToDate',
      20_000,
      'the write-back',
    );
    await node.mars('resource', 'delete', 'block', '--yes');
    assert.ok(fs.existsSync(block));
    await run('e2fsck', ['-fn', block]);
  } finally {
    await freeLoop(block);
  }

  assert.equal(fs.readdirSync(path.join(node.home, 'resources')), []);
});

test('images on our own mounts and devices are refused without a look at them', async () => {
  const device = await node.disk('outer', '64M');
  await run('mkfs.ext4', ['-q', device]);
  const mounted = await node.mount(device, 'nested');
  const {pid} = await node.diskProcesses('outer');
  // A stopped disk process answers nobody: a look at its mount would hang.
  process.kill(pid, 'SIGSTOP');
  try {
    assert.is(await create('inner', node.imageFile('outer')), 'IMAGE_PATH_INVALID');
    assert.is(await create('inner', path.join(mounted, 'x.img')), 'IMAGE_PATH_INVALID');
    fs.symlinkSync(node.imageFile('outer'), path.join(node.directory, 'link'));
    assert.is(await create('inner', path.join(node.directory, 'link')), 'IMAGE_PATH_INVALID');
  } finally {
    process.kill(pid, 'SIGCONT');
  }

  await node.unmount(mounted);
  assert.is(await create('inner', device, '--force'), 'IMAGE_PATH_INVALID');
  await node.mars('secondary', 'outer');
  await node.mars('resource', 'delete', 'outer', '--yes');
});

test('a full and a read-only file system refuse, and keep nothing', async () => {
  const file = path.join(node.directory, 'small.img');
  fs.writeFileSync(file, '');
  fs.truncateSync(file, 24 * MIB);
  await run('mkfs.ext4', ['-q', file]);
  const small = await node.mount(file, 'small', '-o', 'loop');
  const image = path.join(small, 'x.img');
  assert.is(await create('full', image, '--size', '64M', '--preallocate'), 'STORE_FULL');
  assert.not(fs.existsSync(image));
  await run('mount', ['-o', 'remount,ro', small]);
  assert.is(await create('locked', image), 'STORE_READ_ONLY');
  await node.unmount(small);
  assert.equal(fs.readdirSync(path.join(node.home, 'resources')), []);
});

test('a home without room for the log refuses a creation and stays as it was', async () => {
  const file = path.join(node.directory, 'home.img');
  fs.writeFileSync(file, '');
  fs.truncateSync(file, 24 * MIB);
  await run('mkfs.ext4', ['-q', file]);
  const mounted = await node.mount(file, 'tight', '-o', 'loop');
  const home = path.join(mounted, 'home');
  const bin = path.join(import.meta.dirname, '../../bin/run.js');
  await run(process.execPath, [bin, 'init', '--name', 'tight', '--home', home]);
  const daemon = spawn(process.execPath, [bin, 'daemon', 'run', '--home', home], {stdio: 'ignore'});
  try {
    await until(() => fs.existsSync(path.join(home, 'run/daemon.sock')), 20_000, 'daemon');
    const words = `${process.execPath} ${bin} resource create web01 --size 16M --json --home ${home}`;
    const output = await run('sh', ['-c', `${words}; echo "exit $?"`]);
    assert.match(output, /"code": "(STORE_FULL|LOG_SPACE)"/u);
    assert.match(output, 'exit 3');
    assert.equal(fs.readdirSync(path.join(home, 'resources')), []);
    assert.equal(fs.readdirSync(path.join(home, 'mnt')), []);
  } finally {
    daemon.kill('SIGTERM');
    await new Promise((resolve) => daemon.once('exit', resolve));
  }

  await node.unmount(mounted);
});

test.run();
