import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {
  connectionDirectory,
  findMount,
  mountArguments,
  mountOptions,
  parseMountInfo,
} from '../../src/fuse/mount.js';

const TEXT = [
  '22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,discard',
  '30 22 0:26 / /sys rw,nosuid - sysfs sysfs rw',
  '91 22 0:39 / /run/mars/a\\040b\\134c rw,relatime shared:7 master:3 - fuse mars rw,user_id=0',
  '92 22 0:40 / /run/mars/vol0 rw - fuse mars rw,user_id=0,group_id=0',
  '95 92 0:41 / /run/mars/vol0 rw - fuse.mars my\\040mars rw',
  'rubbish',
  '',
].join('\n');

test('mount is called with descriptor 3, root only, and reads of up to 1 MiB', () => {
  assert.is(mountOptions(), 'fd=3,rootmode=40000,user_id=0,group_id=0,max_read=1048576');
  assert.equal(mountArguments('/m'), ['-i', '-t', 'fuse', '-o', mountOptions(), 'mars', '/m']);
});

test('the holder, which is a shell script, mounts with the same words', () => {
  const script = fs.readFileSync(
    path.join(import.meta.dirname, '..', '..', 'src', 'disk', 'holder.sh'),
    'utf8',
  );
  const command = script.replaceAll(/\\\n\s*/g, '');
  const [words] = /mount -i -t [^;\n]*/.exec(command) ?? [''];
  const wanted = mountArguments('').slice(0, 5).join(' ');
  assert.ok(words.startsWith(`mount ${wanted} `), words);
});

test('others are let in only where the kernel checks the modes', () => {
  assert.is(mountOptions(true), `${mountOptions()},allow_other,default_permissions`);
});

test('mountinfo is parsed with optional fields and escapes; rubbish is left out', () => {
  const entries = parseMountInfo(TEXT);
  assert.is(entries.length, 5);
  assert.equal(entries[2], {
    mountId: 91,
    deviceMajor: 0,
    deviceMinor: 39,
    mountPoint: '/run/mars/a b\\c',
    type: 'fuse',
    source: 'mars',
    superOptions: 'rw,user_id=0',
  });
});

test('of several mounts at one point the topmost is found', () => {
  const entries = parseMountInfo(TEXT);
  assert.is(findMount(entries, '/run/mars/vol0')?.mountId, 95);
  assert.is(findMount(entries, '/run/mars/vol'), undefined);
});

test('the connection has the number of the anonymous device', () => {
  const entry = findMount(parseMountInfo(TEXT), '/run/mars/vol0');
  assert.ok(entry);
  assert.is(connectionDirectory(entry), '/sys/fs/fuse/connections/41');
  const root = findMount(parseMountInfo(TEXT), '/');
  assert.ok(root);
  assert.throws(() => connectionDirectory(root));
});

test.run();
