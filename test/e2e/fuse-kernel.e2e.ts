/** The kernel driver on the real /dev/fuse. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {MountOptions} from '../helpers/fuse-mount.js';
import {FuseMount} from '../helpers/fuse-mount.js';
import {attachLoop, freeLoop} from '../helpers/loops.js';
import {run, tryRun, until} from '../helpers/run.js';

const MIB = 1024 * 1024;

async function withMount(
  options: MountOptions,
  use: (mount: FuseMount) => Promise<void>,
): Promise<void> {
  const mount = await FuseMount.open(options);
  try {
    await use(mount);
    await mount.close();
    assert.match(mount.output, /^end unmounted$/m);
  } catch (error) {
    await mount.close().catch(() => undefined);
    throw error;
  }
}

/** fsync(2) on one descriptor, so and so often. @returns how many of them failed */
async function fsyncFailures(image: string, times: number): Promise<number> {
  const program = `
    use IO::Handle;
    open(my $file, '+<', $ARGV[0]) or die "open: $!";
    my $failed = 0;
    for (1 .. $ARGV[1]) { $failed += 1 unless defined $file->sync }
    print $failed;`;
  return Number(await run('perl', ['-e', program, image, String(times)]));
}

const fio = (device: string, ...args: string[]): Promise<string> =>
  run(
    'fio',
    [
      '--name=verify',
      `--filename=${device}`,
      '--ioengine=libaio',
      '--direct=1',
      '--verify=crc32c',
      '--verify_fatal=1',
      ...args,
    ],
    {timeoutMs: 120_000},
  );

test('a file copied in is a file copied out, and the tree is what it should be', async () => {
  await withMount({sizeBytes: 32 * MIB}, async (mount) => {
    const source = path.join(mount.directory, 'source');
    await run('dd', ['if=/dev/urandom', `of=${source}`, 'bs=1M', 'count=9', 'status=none']);
    await run('dd', [`if=${source}`, `of=${mount.image}`, 'bs=1000k', 'conv=notrunc,fsync']);
    await run('cmp', ['-n', String(9 * MIB), source, mount.image]);
    await run('cmp', ['-n', String(9 * MIB), source, mount.file]);
    const listing = await run('ls', ['-1', mount.mountPoint]);
    assert.is(listing, 'disk.img\nstatus.json\n');
    const stat = await run('stat', ['-c', '%s %i %a %F', mount.image]);
    assert.is(stat.trim(), `${32 * MIB} 4711 600 regular file`);
    for (const [command, ...args] of [
      ['touch', path.join(mount.mountPoint, 'new')],
      ['rm', mount.image],
      ['truncate', '-s', '1', mount.image],
      ['dd', 'if=/dev/zero', `of=${mount.image}`, 'bs=1M', 'seek=32', 'count=1', 'conv=notrunc'],
    ] as const) {
      const result = await tryRun(command, args);
      assert.is.not(result.status, 0, command);
    }
  });
});

test('the bell is not there, and wakes the server each time', async () => {
  await withMount({sizeBytes: MIB}, async (mount) => {
    const before = await mount.counts();
    for (let ring = 0; ring < 3; ring += 1) {
      const result = await tryRun('stat', [path.join(mount.mountPoint, '.bell-1')]);
      assert.match(result.stderr, /No such file/);
    }

    const after = await mount.counts();
    assert.ok((after['requests'] ?? 0) - (before['requests'] ?? 0) >= 3);
  });
});

test('every fsync arrives, and every failure of one is told (H17)', async () => {
  await withMount({sizeBytes: MIB}, async (mount) => {
    assert.is(await fsyncFailures(mount.image, 3), 0);
    assert.is((await mount.counts())['flushes'], 3);
  });
  await withMount({sizeBytes: MIB, flushErrno: 38}, async (mount) => {
    assert.is(await fsyncFailures(mount.image, 3), 3, 'a handler that says ENOSYS');
    assert.is((await mount.counts())['flushes'], 3);
  });
  await withMount({sizeBytes: MIB, flushErrno: 5}, async (mount) => {
    assert.is(await fsyncFailures(mount.image, 3), 3);
  });
});

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

test('a reader that has read a block buffered sees what is written past it (H18)', async () => {
  await withMount({sizeBytes: MIB}, async (mount) => {
    const script = `
      exec 3<"$1"
      head -c 4096 <&3 | sha256sum
      tr '\\0' x </dev/zero | dd of="$1" bs=4096 count=1 iflag=fullblock oflag=direct conv=notrunc status=none
      exec 4<"$1"
      head -c 4096 <&4 | tr -d x | wc -c
      perl -e 'open(my $f, "<&=", 3); sysseek($f, 0, 0); sysread($f, my $t, 4096); print $t =~ tr/x//c'`;
    const output = await run('bash', ['-c', script, 'bash', mount.image]);
    assert.equal(output.trim().split('\n').slice(1), ['0', '0']);
  });
});

test('fio verifies on a loop device with direct I/O at depth 32 and mixed sizes', async () => {
  await withMount({sizeBytes: 128 * MIB}, async (mount) => {
    const loop = await attachLoop(mount.image, true);
    try {
      await fio(
        loop,
        '--rw=randwrite',
        '--bsrange=512-1M',
        '--blockalign=512',
        '--iodepth=32',
        '--size=128M',
        '--io_size=256M',
      );
      await run('blkdiscard', ['-o', '0', '-l', String(8 * MIB), loop]);
      await run('cmp', ['-n', String(8 * MIB), loop, '/dev/zero']);
      assert.ok(((await mount.counts())['zeros'] ?? 0) > 0);
    } finally {
      await freeLoop(loop);
    }
  });
});

test('a server killed again and again is only a pause: fio verifies (resend)', async () => {
  await withMount({sizeBytes: 64 * MIB, restart: true}, async (mount) => {
    const work = fio(
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
