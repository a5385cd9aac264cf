import fs from 'node:fs';
import {join} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {resolveSafely, type ForbiddenPlaces} from '../../src/daemon/safe-path.js';

const test = suite<{root: string; places: ForbiddenPlaces}>('safe paths');

function mount(
  mountPoint: string,
  type: string,
  source: string,
): ForbiddenPlaces['mounts'][number] {
  return {device: '0:1', mountPoint, type, source};
}

test.before.each((context) => {
  const root = fs.realpathSync(fs.mkdtempSync('/var/tmp/mars-paths-'));
  context.root = root;
  fs.mkdirSync(join(root, 'a/b'), {recursive: true});
  fs.mkdirSync(join(root, 'mnt'));
  fs.symlinkSync('a/b', join(root, 'relative'));
  fs.symlinkSync(join(root, 'a'), join(root, 'absolute'));
  fs.symlinkSync('loop', join(root, 'loop'));
  fs.symlinkSync('../mnt/web01/disk.img', join(root, 'a/trap'));
  context.places = {
    mountsDirectory: join(root, 'mnt'),
    devices: ['/dev/loop3'],
    mounts: [
      mount('/', 'ext4', '/dev/vda'),
      mount(join(root, 'other'), 'fuse', 'mars'),
      mount(join(root, 'nested'), 'ext4', '/dev/loop3'),
      mount(join(root, 'fine'), 'fuse.sshfs', 'host:'),
    ],
  };
});
test.after.each(({root}) => {
  fs.rmSync(root, {recursive: true});
});

function refused(path: string, places: ForbiddenPlaces, words: string): void {
  assert.throws(
    () => resolveSafely(path, places),
    (error: unknown) => isDiskError(error, 'IMAGE_PATH_INVALID') && error.message.includes(words),
  );
}

test('links are followed, and the last component may be missing', ({root, places}) => {
  assert.is(resolveSafely(`${root}/relative/new.img`, places), `${root}/a/b/new.img`);
  assert.is(resolveSafely(`${root}/absolute/./b/../x`, places), `${root}/a/x`);
  assert.is(resolveSafely(`${root}//a///b/`, places), `${root}/a/b`);
  assert.is(resolveSafely('/', places), '/');
});

test('nothing on a mount of mars is ever touched', ({root, places}) => {
  // None of these exists: a stat of them would say so instead.
  refused(`${root}/mnt/web01/disk.img`, places, 'own images');
  refused(`${root}/a/trap`, places, 'own images');
  refused(`${root}/other/web01/disk.img`, places, 'mount of mars');
  refused(`${root}/nested/x.img`, places, 'device of mars');
});

test('relative, missing and endless paths are refused', ({root, places}) => {
  refused('x.img', places, 'absolute');
  refused(`${root}/nothing/x.img`, places, 'does not exist');
  refused(`${root}/loop/x`, places, 'too many');
  fs.writeFileSync(join(root, 'file'), '');
  refused(`${root}/file/x`, places, 'does not exist');
});

test.run();
