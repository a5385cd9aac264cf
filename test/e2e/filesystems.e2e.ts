/** ext4 and xfs on the device: used as people use them, checked by their own tools. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {killAll, killingDisk} from '../helpers/chaos.js';
import {
  SOURCE_TREE,
  compareTrees,
  copyTree,
  syncedContent,
  writeSyncedFiles,
} from '../helpers/file-tree.js';
import {run, tryRun, until} from '../helpers/run.js';
import {TempHome} from '../helpers/temp-home.js';

interface FileSystem {
  readonly name: string;
  make(device: string): Promise<unknown>;
  /** Fails where the file system is not clean. */
  check(device: string): Promise<unknown>;
}

const FILE_SYSTEMS: readonly FileSystem[] = [
  {
    name: 'ext4',
    make: (device) => run('mkfs.ext4', ['-q', device], {timeoutMs: 60_000}),
    check: (device) => run('e2fsck', ['-fn', device], {timeoutMs: 60_000}),
  },
  {
    name: 'xfs',
    make: (device) => run('mkfs.xfs', ['-q', device], {timeoutMs: 60_000}),
    check: (device) => run('xfs_repair', ['-n', device], {timeoutMs: 60_000}),
  },
];

const SIZE = '768M';
const CRASH_AFTER_FILES = 200;

let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
});

test.after(() => node.dispose());

for (const fileSystem of FILE_SYSTEMS) {
  const name = fileSystem.name;

  test(`${name} takes a file tree through a SIGKILL, gives space back, and is clean`, async () => {
    const device = await node.disk(name, SIZE);
    await fileSystem.make(device);
    const mounted = await node.mount(device, name);
    await killingDisk(node, name, 500, () => copyTree(path.join(mounted, 'kept')));
    await copyTree(path.join(mounted, 'removed'));
    await run('sync', ['-f', mounted]);
    const fullBytes = await allocatedBytes(name);
    fs.rmSync(path.join(mounted, 'removed'), {recursive: true});
    // Blocks count as free, and are trimmed, only when the removal is committed.
    await run('sync', ['-f', mounted]);
    await run('fstrim', [mounted]);
    const trimmedBytes = await allocatedBytes(name);
    const treeBytes = await treeSize();
    assert.ok(
      fullBytes - trimmedBytes > treeBytes * 0.8,
      `fstrim gave ${fullBytes - trimmedBytes} of ${treeBytes} bytes back`,
    );
    await node.unmount(mounted);
    await fileSystem.check(device);
    await node.mount(device, name);
    assert.is(await compareTrees(path.join(mounted, 'kept')), '');
    await node.unmount(mounted);
  });

  test(`${name} has every fsynced file after SIGKILL of all processes at once`, async () => {
    const device = node.device(name);
    await run('wipefs', ['-a', device]);
    await fileSystem.make(device);
    const mounted = await node.mount(device, name);
    let count = 0;
    let crashed = false;
    const writing = writeSyncedFiles(mounted, () => {
      count += 1;
      return crashed;
    });
    await until(() => count > CRASH_AFTER_FILES, 60_000, 'fsynced files');
    await killAll(node, name);
    crashed = true;
    const acknowledged = await writing;
    assert.ok(acknowledged.length >= CRASH_AFTER_FILES);
    // A file system without its disk: it says so, and has to go before the disk comes back.
    await until(
      async () => (await tryRun('umount', [mounted])).status === 0,
      20_000,
      'end of the orphaned mount',
    );

    await node.startDaemon();
    await node.mars('primary', name);
    await node.mount(node.device(name), name);
    const lost = acknowledged.filter((file) => !isWhole(path.join(mounted, file)));
    assert.equal(lost, []);
    await node.unmount(mounted);
    await fileSystem.check(node.device(name));
    await node.mars('secondary', name);
  });
}

function isWhole(file: string): boolean {
  try {
    return fs.readFileSync(file, 'utf8') === syncedContent(path.basename(file));
  } catch {
    return false;
  }
}

/** What the image takes on the host, once everything is in it. */
async function allocatedBytes(name: string): Promise<number> {
  await node.replayed(name, 60_000);
  const {blocks} = fs.statSync(path.join(node.home, 'resources', name, 'image'));
  return blocks * 512;
}

async function treeSize(): Promise<number> {
  const output = await run('du', ['-s', '--block-size=1', SOURCE_TREE]);
  return Number(output.split('\t')[0]);
}

test.run();
