import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {isBelow, isOurs, mountAt, parseMountInfo} from '../../src/core/mounts.js';

const test = suite('mounts');

const TEXT = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard
60 27 0:45 / /run/mars/web01 rw,relatime - fuse mars rw,user_id=0
61 27 7:3 / /srv/a\\040b\\134c rw - ext4 /dev/loop3 rw
62 27 0:46 / /run/mars/web01 rw,relatime - fuse.sshfs mars@host rw
63 27 0:47 / /mnt/ä rw - fuse.mars anything rw
`;

test('fields with blanks, backslashes and optional tags are read', () => {
  const mounts = parseMountInfo(TEXT);
  assert.is(mounts.length, 6);
  assert.equal(mounts[3], {
    device: '7:3',
    mountPoint: '/srv/a b\\c',
    type: 'ext4',
    source: '/dev/loop3',
  });
  assert.is(mounts[1]?.type, 'ext4');
  assert.is(mounts[5]?.mountPoint, '/mnt/ä');
  assert.equal(parseMountInfo('half a line'), []);
});

test('the mount on top counts, and only mounts of mars are ours', () => {
  const mounts = parseMountInfo(TEXT);
  assert.is(mountAt(mounts, '/run/mars/web01')?.type, 'fuse.sshfs');
  assert.is(mountAt(mounts, '/run/mars'), undefined);
  assert.equal(mounts.map(isOurs), [false, false, true, false, false, true]);
});

test('a path is below a directory by whole words', () => {
  assert.ok(isBelow('/a/b', '/a'));
  assert.ok(isBelow('/a', '/a'));
  assert.ok(isBelow('/a', '/'));
  assert.not(isBelow('/ab', '/a'));
  assert.not(isBelow('/', '/a'));
});

test.run();
