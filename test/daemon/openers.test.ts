import fs from 'node:fs';
import {join} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {findOpeners, OpenersCache} from '../../src/daemon/openers.js';
import {listLoopDevices} from '../../src/daemon/loop-devices.js';

const test = suite<{root: string; roots: {proc: string; block: string}}>('openers');

/** A process in a made-up /proc: descriptors lead to these paths. */
function addProcess(
  proc: string,
  pid: number,
  comm: string,
  paths: readonly string[],
  namespace: string,
  mountinfo: string,
): void {
  const directory = join(proc, String(pid));
  fs.mkdirSync(join(directory, 'fd'), {recursive: true});
  fs.mkdirSync(join(directory, 'ns'));
  fs.writeFileSync(join(directory, 'comm'), `${comm}\n`);
  fs.writeFileSync(join(directory, 'mountinfo'), mountinfo);
  fs.symlinkSync(namespace, join(directory, 'ns/mnt'));
  paths.forEach((path, index) => {
    fs.symlinkSync(path, join(directory, 'fd', String(index)));
  });
}

test.before.each((context) => {
  context.root = fs.mkdtempSync('/var/tmp/mars-openers-');
  const proc = join(context.root, 'proc');
  const block = join(context.root, 'block');
  context.roots = {proc, block};
  fs.mkdirSync(join(block, 'loop3/holders/dm-0'), {recursive: true});
  fs.mkdirSync(join(block, 'loop3/loop'));
  fs.writeFileSync(join(block, 'loop3/dev'), '7:3\n');
  fs.writeFileSync(join(block, 'loop3/loop/backing_file'), '/m/web01/disk.img\n');
  fs.writeFileSync(join(block, 'loop3/loop/autoclear'), '0\n');
  fs.mkdirSync(join(block, 'loop4'));
  fs.mkdirSync(join(block, 'sda'));
  fs.mkdirSync(join(proc, 'sys'), {recursive: true});
  const mount = '61 27 7:3 / /srv rw - ext4 /dev/mars/other rw\n';
  addProcess(proc, 1, 'init', ['/dev/null'], 'mnt:[1]', mount);
  addProcess(proc, 2, 'bash', ['/dev/null'], 'mnt:[1]', mount);
  addProcess(proc, 41, 'postgres', ['socket:[9]', '/dev/loop3'], 'mnt:[2]', '');
  addProcess(proc, 42, 'node', ['/m/web01/disk.img'], 'mnt:[1]', mount);
  fs.mkdirSync(join(proc, '43')); // ended while it was looked at
  const swaps = 'Filename Type Size\n/dev/loop3 partition 1024\n/dev/sda partition 1\n';
  fs.writeFileSync(join(proc, 'swaps'), swaps);
});
test.after.each(({root}) => {
  fs.rmSync(root, {recursive: true});
});

test('one look serves all disks that ask, until it is too old for one', ({roots}) => {
  const cache = new OpenersCache(
    (path) => path.startsWith('/dev/') || path.endsWith('.img'),
    roots,
  );
  const find = (path: string, sinceMs: number, nowMs: number): string[] =>
    cache.find([path], [], sinceMs, nowMs).map(({kind, pid}) => `${kind} ${pid ?? '-'}`);
  const all = find('/dev/loop3', 0, 1000);
  assert.equal(all, ['mount -', 'process 41', 'swap -', 'holder -']);
  const direct = findOpeners(['/dev/loop3'], [], roots).map(
    ({kind, pid}) => `${kind} ${pid ?? '-'}`,
  );
  assert.equal(all, direct, 'as without a cache');
  addProcess(roots.proc, 50, 'late', ['/m/web01/disk.img'], 'mnt:[1]', '');
  assert.equal(find('/m/web01/disk.img', 1000, 1500), ['process 42'], 'the look of before');
  assert.equal(find('/m/web01/disk.img', 1001, 2000), ['process 42', 'process 50']);
  assert.equal(cache.find(['/m/web01/disk.img'], [42, 50], 1001, 2001), []);
});

test('processes, mounts by device number, swap and device mapper are found', ({roots}) => {
  const openers = findOpeners(['/dev/loop3', '/m/web01/disk.img'], [42], roots);
  assert.equal(
    openers.map(({kind, text}) => `${kind}: ${text}`),
    [
      'mount: /dev/mars/other is mounted at /srv',
      'process: pid 41 (postgres)',
      'swap: /dev/loop3 is used as swap',
      'holder: /dev/loop3 is used by /dev/dm-0',
    ],
  );
  assert.is(openers[1]?.pid, 41);
});

test('a mount is told once for each mount namespace, and nothing for other paths', ({roots}) => {
  addProcess(roots.proc, 50, 'sh', [], 'mnt:[3]', '61 27 7:3 / /inner rw - ext4 /dev/loop3 rw\n');
  const mounts = findOpeners(['/dev/loop3'], [], roots).filter(({kind}) => kind === 'mount');
  assert.equal(
    mounts.map(({text}) => text),
    ['/dev/mars/other is mounted at /srv', '/dev/loop3 is mounted at /inner'],
  );
  assert.equal(findOpeners(['/dev/loop9'], [], roots), []);
});

test('loop devices are listed from sysfs', ({roots}) => {
  assert.equal(listLoopDevices(roots.block), [
    {path: '/dev/loop3', backingFile: '/m/web01/disk.img', autoclear: false},
  ]);
});

test.run();
