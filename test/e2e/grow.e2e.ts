/** A disk grows while it is in use: image, loop device, then the user's file system. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fs from 'node:fs';
import path from 'node:path';
import {compareTrees, copyTree} from '../helpers/file-tree.js';
import {run} from '../helpers/run.js';
import {TempHome} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
const BEFORE = 512 * MIB;
const AFTER = 768 * MIB;

let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
});

test.after(() => node.dispose());

for (const [type, grow] of [
  ['ext4', (device: string) => run('resize2fs', [device])],
  ['xfs', (_: string, mounted: string) => run('xfs_growfs', [mounted])],
] as const) {
  test(`${type} grows on a disk that grows under it`, async () => {
    const device = await node.disk(type, String(BEFORE));
    await run(`mkfs.${type}`, ['-q', device]);
    const mounted = await node.mount(device, type);
    await copyTree(path.join(mounted, 'before'));
    const smallBlocks = fs.statfsSync(mounted).blocks;

    await node.mars('resource', 'resize', type, String(AFTER));
    assert.is(Number(await run('blockdev', ['--getsize64', device])), AFTER);
    await grow(device, mounted);
    const grownBlocks = fs.statfsSync(mounted).blocks;
    assert.ok(grownBlocks > smallBlocks * 1.3, `${smallBlocks} -> ${grownBlocks} blocks`);

    await copyTree(path.join(mounted, 'after'));
    await node.unmount(mounted);
    await node.mount(device, type);
    assert.is(await compareTrees(path.join(mounted, 'before')), '');
    assert.is(await compareTrees(path.join(mounted, 'after')), '');
    await node.unmount(mounted);
    await node.mars('secondary', type);
  });
}

test('a grown disk has its new size after stop and start', async () => {
  await node.mars('daemon', 'stop', '--disks');
  await node.startDaemon();
  await node.mars('primary', 'ext4');
  const device = node.device('ext4');
  assert.is(Number(await run('blockdev', ['--getsize64', device])), AFTER);
  await run('e2fsck', ['-fn', device]);
});

test('a disk does not shrink: refused with a code, nothing changed', async () => {
  const result = await node.tryMars('resource', 'resize', 'ext4', String(BEFORE), '--json');
  assert.is(result.status, 2);
  assert.match(result.stdout + result.stderr, 'SIZE_INVALID');
  assert.is((await node.status('ext4')).sizeBytes, AFTER);
});

test.run();
