/** What both drivers do, on real mounts. */
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {probeNative} from '../../src/fuse/native-session.js';
import {fioVerify, withMount} from '../helpers/fuse-mount.js';
import {attachLoop, freeLoop} from '../helpers/loops.js';
import {run, tryRun} from '../helpers/run.js';
import {skip} from '../helpers/skip.js';

const MIB = 1024 * 1024;

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

for (const driver of ['kernel', 'fuse-native'] as const) {
  const probe = driver === 'kernel' ? {works: true, reason: ''} : probeNative();
  const cannot = (context: object): boolean => {
    if (!probe.works) skip(context, probe.reason);
    return !probe.works;
  };

  test(`${driver}: a file copied in is a file copied out, and the tree is what it should be`, async (context) => {
    if (cannot(context)) return;
    await withMount({driver, sizeBytes: 32 * MIB}, async (mount) => {
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

  test(`${driver}: the bell is not there, and wakes the server each time`, async (context) => {
    if (cannot(context)) return;
    await withMount({driver, sizeBytes: MIB}, async (mount) => {
      const before = await mount.counts();
      for (let ring = 0; ring < 3; ring += 1) {
        const result = await tryRun('stat', [path.join(mount.mountPoint, '.bell-1')]);
        assert.match(result.stderr, /No such file/);
      }

      const after = await mount.counts();
      assert.ok((after['requests'] ?? 0) - (before['requests'] ?? 0) >= 3);
    });
  });

  test(`${driver}: every fsync arrives, and every failure of one is told (H17)`, async (context) => {
    if (cannot(context)) return;
    await withMount({driver, sizeBytes: MIB}, async (mount) => {
      assert.is(await fsyncFailures(mount.image, 3), 0);
      assert.is((await mount.counts())['flushes'], 3);
    });
    await withMount({driver, sizeBytes: MIB, flushErrno: 38}, async (mount) => {
      assert.is(await fsyncFailures(mount.image, 3), 3, 'a handler that says ENOSYS');
      assert.is((await mount.counts())['flushes'], 3);
    });
    await withMount({driver, sizeBytes: MIB, flushErrno: 5}, async (mount) => {
      assert.is(await fsyncFailures(mount.image, 3), 3);
    });
  });

  test(`${driver}: a reader that has read a block buffered sees what is written past it (H18)`, async (context) => {
    if (cannot(context)) return;
    await withMount({driver, sizeBytes: MIB}, async (mount) => {
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

  test(`${driver}: requests that are answered later are answered`, async (context) => {
    if (cannot(context)) return;
    await withMount({driver, sizeBytes: 4 * MIB, later: true}, async (mount) => {
      await fioVerify(
        mount.image,
        '--rw=randwrite',
        '--bs=4k',
        '--iodepth=8',
        '--size=4M',
        '--fsync=16',
      );
      assert.ok(((await mount.counts())['flushes'] ?? 0) >= 60);
    });
    await withMount({driver, sizeBytes: MIB, later: true, flushErrno: 5}, async (mount) => {
      assert.is(await fsyncFailures(mount.image, 3), 3);
    });
  });

  test(`${driver}: fio verifies on a loop device at depth 32 and mixed sizes`, async (context) => {
    if (cannot(context)) return;
    await withMount({driver, sizeBytes: 64 * MIB}, async (mount) => {
      const loop = await attachLoop(mount.image, true);
      try {
        await fioVerify(
          loop,
          '--rw=randwrite',
          '--bsrange=512-1M',
          '--blockalign=512',
          '--iodepth=32',
          '--size=64M',
          '--io_size=192M',
        );
      } finally {
        await freeLoop(loop);
      }
    });
  });
}

test.run();
