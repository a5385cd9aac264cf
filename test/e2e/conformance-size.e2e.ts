/** T10, T14, P21: a disk that is full, one that is huge, one whose growth is interrupted. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {resourcePaths, type ResourceFile} from '../../src/core/home.js';
import {bareDisk, hashOf, imageBehind, randomFile, served, writeDisk} from '../helpers/disk-io.js';
import {run, tryRun, until} from '../helpers/run.js';
import {TempHome, killAndWait} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
const TIB = 1024 * 1024 * MIB;
const RSS_MIB_MAX = 256;
const KILLS = process.env['MARS_SOAK'] === '1' ? 60 : 8;

let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
});

test.after(() => node.dispose());

async function peakMemoryMib(name: string): Promise<number> {
  const {pid} = await node.diskProcesses(name);
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB/mu.exec(status)?.[1]) / 1024;
}

test('T10: a full disk is ENOSPC to its file system only, and growing ends it', async () => {
  const device = await node.disk('full', '48M');
  await run('mkfs.ext4', ['-q', '-m', '0', device]);
  const mounted = await node.mount(device, 'full');
  const kept = randomFile(node, 'kept.bin', 8);
  await run('cp', [kept, path.join(mounted, 'kept')]);
  const filled = await tryRun('dd', ['if=/dev/zero', `of=${path.join(mounted, 'rest')}`, 'bs=1M']);
  assert.match(filled.stderr, 'No space left on device');
  assert.is((await node.status('full')).health, 'ok', 'nothing is wrong with the disk');
  await node.mars('resource', 'resize', 'full', '96M');
  await node.unmount(mounted);
  await run('e2fsck', ['-fp', device]);
  await run('resize2fs', [device]);
  await node.mount(device, 'full');
  await run('dd', ['if=/dev/zero', `of=${path.join(mounted, 'more')}`, 'bs=1M', 'count=24']);
  await run('cmp', [kept, path.join(mounted, 'kept')]);
  await node.unmount(mounted);
  await run('e2fsck', ['-fn', device]);
  // Behind the end there is nothing: neither to read nor to write.
  const behind = await tryRun('dd', [
    'if=/dev/zero',
    `of=${device}`,
    'bs=1M',
    'seek=96',
    'count=1',
  ]);
  assert.match(behind.stderr, 'No space left on device');
  await node.mars('secondary', 'full');
});

test('T14: 4 TiB are made, formatted, discarded and used in little memory, log and space', async () => {
  const device = await node.disk('huge', '4T');
  assert.is(Number(await run('blockdev', ['--getsize64', device])), 4 * TIB);
  const log = 'size=64m';
  await run('mkfs.xfs', ['-q', '-l', log, device], {timeoutMs: 90_000});
  const mounted = await node.mount(device, 'huge');
  const kept = randomFile(node, 'huge.bin', 8);
  await run('cp', [kept, path.join(mounted, 'kept')]);
  await run('sync', ['-f', mounted]);
  await run('cmp', [kept, path.join(mounted, 'kept')]);
  await node.unmount(mounted);
  await run('xfs_repair', ['-n', device], {timeoutMs: 60_000});
  const before = (await node.diskStatus('huge'))?.position ?? '0';
  await run('blkdiscard', [device], {timeoutMs: 90_000});
  const after = (await node.diskStatus('huge'))?.position ?? '0';
  const logBytes = Number.parseInt(after, 16) - Number.parseInt(before, 16);
  assert.ok(logBytes < 16 * MIB, `a discard of 4 TiB took ${logBytes} bytes of log`);
  assert.is((await run('cmp', ['-n', String(16 * MIB), device, '/dev/zero'])).length, 0);
  await node.replayed('huge', 60_000);
  const {blocks} = fs.statSync(imageBehind(node, 'huge'));
  assert.ok(blocks * 512 < 64 * MIB, `${blocks * 512} bytes of the image are left`);
  const memory = await peakMemoryMib('huge');
  assert.ok(memory < RSS_MIB_MAX, `${memory} MiB`);
  await node.mars('secondary', 'huge');
});

test('P21: SIGKILL at any moment of a resize: old or new size, the same everywhere, and data is right', async () => {
  const disk = await bareDisk(node, 'grow', '16M');
  const source = randomFile(node, 'grow.bin', 4);
  await writeDisk(source, disk, ['conv=notrunc,fsync']);
  const written = await hashOf(source, 4);
  const {resourceFile} = resourcePaths(node.home, 'grow');
  let size = 16 * MIB;
  for (let kill = 0; kill < KILLS; kill += 1) {
    const wanted = size + 4 * MIB;
    const {pid} = await node.diskProcesses('grow');
    const start = performance.now();
    const resizing = node.tryMars('resource', 'resize', 'grow', String(wanted));
    // A command needs some 200 ms until its request is there.
    const delay = 150 + kill * 25;
    await until(() => performance.now() - start >= delay, 5000, 'moment of the kill');
    await killAndWait(pid);
    await resizing;
    await served(node, 'grow', pid);
    const sizeBytes = (await node.diskStatus('grow'))?.sizeBytes ?? 0;
    assert.ok(sizeBytes === size || sizeBytes === wanted, `${sizeBytes} after kill ${kill}`);
    assert.ok(fs.statSync(imageBehind(node, 'grow')).size >= sizeBytes);
    await node.mars('resource', 'resize', 'grow', String(wanted));
    const file = JSON.parse(fs.readFileSync(resourceFile, 'utf8')) as ResourceFile;
    assert.is(file.sizeBytes, wanted);
    assert.is(Number(await run('stat', ['-c', '%s', disk])), wanted);
    assert.is(await hashOf(disk, 4), written);
    await writeDisk(source, disk, [`seek=${size / MIB}`, 'conv=notrunc,fsync']);
    assert.is(await hashOf(disk, 4, size / MIB), written);
    size = wanted;
  }

  await node.mars('secondary', 'grow');
});

test.run();
