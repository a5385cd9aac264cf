/** The same disk through both FUSE drivers: copy, fsync, a database, mounting again, damage-free end. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {hashOf, imageBehind, randomFile, writeDisk} from '../helpers/disk-io.js';
import {compareTrees, copyTree} from '../helpers/file-tree.js';
import {run} from '../helpers/run.js';
import {skip} from '../helpers/skip.js';
import {TempHome} from '../helpers/temp-home.js';

const SIZE_MIB = 192;

let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
});

test.after(() => node.dispose());

for (const driver of ['kernel', 'fuse-native'] as const) {
  /** @returns false where the driver is not to be had here; the test then says so */
  const create = async (context: object, name: string, ...more: string[]): Promise<boolean> => {
    const words = ['resource', 'create', name, '--size', `${SIZE_MIB}M`, '--driver', driver];
    const result = await node.tryMars(...words, '--set', 'segment-bytes=16M', ...more);
    if (result.stderr.includes('DRIVER_MISSING')) {
      skip(context, `${driver} cannot work here`);
      return false;
    }

    assert.is(result.status, 0, result.stderr);
    assert.is((await node.diskStatus(name))?.driver, driver);
    return true;
  };

  test(`${driver}: a file tree on ext4 is the same after unmount, secondary, primary and mount`, async (context) => {
    const name = `tree-${driver}`;
    if (!(await create(context, name))) return;
    await run('mkfs.ext4', ['-q', node.device(name)]);
    const mounted = await node.mount(node.device(name), name);
    await copyTree(path.join(mounted, 'tree'));
    await node.unmount(mounted);
    await run('e2fsck', ['-fn', node.device(name)]);
    const before = await hashOf(node.device(name), SIZE_MIB);
    await node.mars('secondary', name);
    await node.mars('primary', name, '--driver', driver);
    assert.is((await node.diskStatus(name))?.driver, driver);
    assert.is(await hashOf(node.device(name), SIZE_MIB), before);
    await node.mount(node.device(name), name);
    assert.is(await compareTrees(path.join(mounted, 'tree')), '');
    await node.unmount(mounted);
    await node.replayed(name, 30_000);
    const after = await hashOf(node.device(name), SIZE_MIB);
    assert.is(await hashOf(imageBehind(node, name), SIZE_MIB), after, 'P1: the image itself');
    await node.mars('secondary', name);
    await node.mars('resource', 'delete', name, '--yes');
  });

  test(`${driver}: sqlite in both journal modes commits, and is whole`, async (context) => {
    const name = `sql-${driver}`;
    if (!(await create(context, name))) return;
    await run('mkfs.ext4', ['-q', node.device(name)]);
    const mounted = await node.mount(node.device(name), name);
    for (const journal of ['WAL', 'DELETE']) {
      const database = path.join(mounted, `${journal}.db`);
      const inserts = Array.from({length: 60}, (_, row) => {
        return `INSERT INTO t VALUES (${row}, randomblob(3000));`;
      });
      const script = [
        `PRAGMA journal_mode=${journal};`,
        'PRAGMA synchronous=FULL;',
        'CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB);',
        ...inserts,
      ];
      await run('sqlite3', [database], {input: script.join('\n'), timeoutMs: 60_000});
      await run('bash', ['-c', 'echo 1 > /proc/sys/vm/drop_caches || true']);
      const checks = 'PRAGMA integrity_check; SELECT count(*) FROM t;';
      assert.is(await run('sqlite3', [database, checks]), 'ok\n60\n', journal);
    }

    await node.unmount(mounted);
    await run('e2fsck', ['-fn', node.device(name)]);
    await node.mars('secondary', name);
    await node.mars('resource', 'delete', name, '--yes');
  });

  test(`${driver}: fsync is a flush each time, and is durable when it returns (H17)`, async (context) => {
    const name = `sync-${driver}`;
    if (!(await create(context, name, '--set', 'device=off'))) return;
    const disk = node.imageFile(name);
    const before = (await node.diskStatus(name))?.counters.flushes ?? -1;
    for (const round of [1, 2, 3]) {
      await writeDisk(randomFile(node, 'one.bin', 1), disk, [
        `seek=${round}`,
        'conv=notrunc,fsync',
      ]);
      const status = await node.diskStatus(name);
      assert.ok((status?.counters.flushes ?? -1) - before >= round);
      assert.is(status?.durable, status?.position);
    }

    assert.is(await hashOf(disk, 1, 3), await hashOf(path.join(node.directory, 'one.bin'), 1));
    await node.mars('secondary', name);
    await node.mars('resource', 'delete', name, '--yes');
  });

  test(`${driver}: it grows, rotates, pauses and resumes under writes`, async (context) => {
    const name = `grow-${driver}`;
    if (!(await create(context, name, '--set', 'device=off'))) return;
    const disk = node.imageFile(name);
    const source = randomFile(node, 'grow.bin', 32);
    const writing = writeDisk(source, disk, ['conv=notrunc,fsync']);
    await node.mars('replay', 'pause', name);
    await node.mars('log', 'rotate', name);
    await node.mars('resource', 'resize', name, `${SIZE_MIB + 64}M`);
    await writing;
    await writeDisk(source, disk, [`seek=${SIZE_MIB + 16}`, 'conv=notrunc,fsync']);
    await node.mars('replay', 'resume', name);
    await node.replayed(name, 30_000);
    const image = imageBehind(node, name);
    assert.is(fs.statSync(image).size, (SIZE_MIB + 64) * 1024 * 1024);
    const written = await hashOf(source, 32);
    assert.is(await hashOf(image, 32), written);
    assert.is(await hashOf(image, 32, SIZE_MIB + 16), written);
    await node.mars('log', 'verify', name);
    await node.mars('secondary', name);
    await node.mars('resource', 'delete', name, '--yes');
  });
}

test.run();
