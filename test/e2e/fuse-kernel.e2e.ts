/** What only the kernel driver can do, on the real /dev/fuse: discard, resend. */
import fs from 'node:fs';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {fioVerify, withMount} from '../helpers/fuse-mount.js';
import {attachLoop, freeLoop} from '../helpers/loops.js';
import {run, tryRun, until} from '../helpers/run.js';

const MIB = 1024 * 1024;

test('discards and zeroes arrive each time, and are seen', async () => {
  await withMount({sizeBytes: MIB}, async (mount) => {
    await run('dd', ['if=/dev/urandom', `of=${mount.image}`, 'bs=64k', 'count=4', 'conv=notrunc']);
    await run('fallocate', ['-p', '-o', '4096', '-l', '8192', mount.image]);
    await run('fallocate', ['-z', '-o', '65536', '-l', '512', mount.image]);
    const refused = await tryRun('fallocate', ['-c', '-o', '0', '-l', '4096', mount.image]);
    assert.is.not(refused.status, 0);
    await run('fallocate', ['-p', '-o', '131072', '-l', '4096', mount.image]);
    assert.is((await mount.counts())['zeros'], 3);
    await run('cmp', ['-n', '8192', '-i', '4096:0', mount.image, '/dev/zero']);
    await run('cmp', ['-n', '512', '-i', '65536:0', mount.image, '/dev/zero']);
  });
});

test('discards and zeroes of a loop device arrive', async () => {
  await withMount({sizeBytes: 16 * MIB}, async (mount) => {
    const loop = await attachLoop(mount.image, true);
    try {
      await run('dd', [
        'if=/dev/urandom',
        `of=${loop}`,
        'bs=1M',
        'oflag=direct',
        'conv=fsync',
      ]).catch(() => 'ends with ENOSPC');
      await run('blkdiscard', ['-o', '0', '-l', String(8 * MIB), loop]);
      await run('blkdiscard', ['-z', '-o', String(8 * MIB), '-l', String(4 * MIB), loop]);
      await run('cmp', ['-n', String(12 * MIB), loop, '/dev/zero']);
      const rest = await tryRun('cmp', ['-n', '4096', '-i', `${12 * MIB}:0`, loop, '/dev/zero']);
      assert.is(rest.status, 1);
      assert.ok(((await mount.counts())['zeros'] ?? 0) >= 2);
    } finally {
      await freeLoop(loop);
    }
  });
});

test('a server killed again and again is only a pause: fio verifies (resend)', async () => {
  await withMount({sizeBytes: 64 * MIB, restart: true}, async (mount) => {
    const work = fioVerify(
      mount.image,
      '--rw=randwrite',
      '--bs=4k',
      '--iodepth=32',
      '--size=64M',
      '--rate_iops=3000',
    );
    work.catch(() => undefined); // told below
    while (mount.starts < 4) {
      const {starts} = mount;
      const inits = mount.output.split('init ').length;
      const {mtimeMs} = fs.statSync(mount.file);
      await until(() => fs.statSync(mount.file).mtimeMs > mtimeMs, 20_000, 'write');
      mount.kill();
      await until(() => mount.starts > starts, 5000, 'restart');
      await until(() => mount.output.split('init ').length > inits, 15_000, 'INIT read back');
    }

    await work;
    assert.not.match(mount.output, /^report /m);
  });
});

test('a request that kills each server that handles it ends with EIO, and only it (H16)', async () => {
  const options = {sizeBytes: MIB, restart: true, dieAtOffset: 65536};
  await withMount(options, async (mount) => {
    const write = (block: number): ReturnType<typeof tryRun> =>
      tryRun('dd', [
        'if=/dev/zero',
        `of=${mount.image}`,
        'bs=4k',
        'count=1',
        `seek=${block}`,
        'conv=notrunc',
      ]);
    const result = await write(16);
    assert.is.not(result.status, 0);
    assert.match(result.stderr, /Input\/output error/);
    assert.is(mount.starts, 4, 'the first, and three that saw it again');
    await until(() => mount.output.includes('report FUSE_RESENT critical'), 5000, 'report');
    assert.is(fs.statSync(`${mount.initFile}.resent.request`).size, 4096);
    assert.is((await write(15)).status, 0);
  });
});

test.run();

test.run();
