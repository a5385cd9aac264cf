/** A disk grows while it is in use: image, loop device, then the user's file system. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fs from 'node:fs';
import path from 'node:path';
import {compareTrees, copyTree} from '../helpers/file-tree.js';
import {run} from '../helpers/run.js';
import {skip} from '../helpers/skip.js';
import {TempHome} from '../helpers/temp-home.js';

const MIB = 1024 * 1024;
const BEFORE = 512 * MIB;
const AFTER = 768 * MIB;

/** Bit of capabilities(7). */
const CAP_SYS_RESOURCE = 24;

let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
});

test.after(() => node.dispose());

/** Makes the disk and its file system, grows the disk under it, and checks the device's size. */
async function growDisk(type: 'ext4' | 'xfs'): Promise<{device: string; mounted: string}> {
  const device = await node.disk(type, String(BEFORE));
  await run(`mkfs.${type}`, ['-q', device]);
  const mounted = await node.mount(device, type);
  await copyTree(path.join(mounted, 'before'));
  const smallBlocks = fs.statfsSync(mounted).blocks;
  await node.mars('resource', 'resize', type, String(AFTER));
  assert.is(Number(await run('blockdev', ['--getsize64', device])), AFTER);
  assert.is(fs.statfsSync(mounted).blocks, smallBlocks);
  return {device, mounted};
}

async function checkGrown(device: string, mounted: string): Promise<void> {
  const {blocks, bsize} = fs.statfsSync(mounted);
  assert.ok(blocks * bsize > BEFORE, `${blocks} blocks of ${bsize} bytes`);
  await copyTree(path.join(mounted, 'after'));
  await node.unmount(mounted);
  await node.mount(device, path.basename(mounted));
  assert.is(await compareTrees(path.join(mounted, 'before')), '');
  assert.is(await compareTrees(path.join(mounted, 'after')), '');
  await node.unmount(mounted);
}

test('xfs grows mounted, on a disk that grows under it', async () => {
  const {device, mounted} = await growDisk('xfs');
  await run('xfs_growfs', [mounted]);
  await checkGrown(device, mounted);
  await node.mars('secondary', 'xfs');
});

test('ext4 grows mounted, on a disk that grows under it', async (context) => {
  const {device, mounted} = await growDisk('ext4');
  if (hasCapability(CAP_SYS_RESOURCE)) {
    await run('resize2fs', [device]);
  } else {
    // The kernel wants it of whoever resizes a mounted ext4; root in a container may lack it.
    skip(context, 'no CAP_SYS_RESOURCE here: resize2fs grows it unmounted instead');
    await node.unmount(mounted);
    await run('e2fsck', ['-fp', device]);
    await run('resize2fs', [device]);
    await node.mount(device, 'ext4');
  }

  await checkGrown(device, mounted);
});

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

function hasCapability(bit: number): boolean {
  const status = fs.readFileSync('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s+([0-9a-f]+)$/mu.exec(status)?.[1] ?? '0'}`);
  return ((effective >> BigInt(bit)) & 1n) === 1n;
}

test.run();
