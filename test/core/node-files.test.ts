/** The real Files and the simulated ones keep one contract: the same tests run on both. */
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import fs from 'node:fs';
import {join} from 'node:path';
import {createNodeFiles} from '../../src/core/files.js';
import type {Files} from '../../src/core/files.js';
import {errnoOf} from '../../src/core/errors.js';
import {SimDisk} from '../sim/sim-disk.js';
import {createRandom} from '../sim/random.js';

interface Place {
  readonly files: Files;
  readonly directory: string;
  remove(): void;
}

const PLACES: Readonly<Record<string, () => Place>> = {
  'real files': () => {
    const directory = fs.mkdtempSync('/var/tmp/mars-files-');
    const remove = (): void => {
      fs.rmSync(directory, {recursive: true});
    };
    return {files: createNodeFiles(), directory, remove};
  },
  'simulated files': () => {
    const files = new SimDisk({random: createRandom(1)});
    files.makeDirectory('/d');
    return {files, directory: '/d', remove: () => undefined};
  },
};

for (const [kind, make] of Object.entries(PLACES)) {
  const test = suite(kind);
  let place: Place;
  test.before.each(() => {
    place = make();
  });
  test.after.each(() => {
    place.remove();
  });
  const throwsErrno = (code: string, act: () => unknown): void => {
    assert.throws(act, (error: unknown) => errnoOf(error) === code);
  };

  test('modes of open: must exist, made if missing, must not exist', () => {
    const path = join(place.directory, 'a');
    throwsErrno('ENOENT', () => place.files.open(path, 'read'));
    throwsErrno('ENOENT', () => place.files.open(path, 'write'));
    place.files.close(place.files.open(path, 'create'));
    place.files.close(place.files.open(path, 'create'));
    throwsErrno('EEXIST', () => place.files.open(path, 'exclusive'));
    const fd = place.files.open(path, 'read');
    throwsErrno('EBADF', () => {
      place.files.write(fd, Buffer.from('x'), 0, 1, 0);
    });
    place.files.close(fd);
  });

  test('reads end at the end of the file; gaps are zeros; sizes and offsets are kept', () => {
    const fd = place.files.open(join(place.directory, 'a'), 'exclusive');
    place.files.write(fd, Buffer.from('xhellox'), 1, 5, 5000);
    const target = Buffer.alloc(20, 1);
    assert.is(place.files.read(fd, target, 2, 10, 4998), 7);
    assert.is(target.toString('latin1', 0, 10), '\x01\x01\0\0hello\x01');
    assert.is(place.files.read(fd, target, 0, 10, 6000), 0);
    assert.is(place.files.sizeOf(fd), 5005);
    place.files.truncate(fd, 100);
    place.files.truncate(fd, 5005);
    assert.is(place.files.read(fd, target, 0, 1, 5000), 1);
    assert.is(target[0], 0);
    place.files.syncData(fd);
    place.files.sync(fd);
    place.files.close(fd);
  });

  test('a punch reads as zeros, keeps the size, and takes many ranges', () => {
    const fd = place.files.open(join(place.directory, 'a'), 'exclusive');
    place.files.write(fd, Buffer.alloc(40_000, 7), 0, 40_000, 0);
    place.files.punch(fd, [100, 10_000, 20_480, 4096]);
    place.files.punch(fd, []);
    const target = Buffer.alloc(40_000);
    assert.is(place.files.read(fd, target, 0, 40_000, 0), 40_000);
    const expected = Buffer.alloc(40_000, 7).fill(0, 100, 10_100).fill(0, 20_480, 24_576);
    assert.ok(target.equals(expected));
    place.files.close(fd);
  });

  test('rename replaces, unlink removes, list sorts, an open file outlives its name', () => {
    const at = (name: string): string => join(place.directory, name);
    const fd = place.files.open(at('b'), 'exclusive');
    place.files.write(fd, Buffer.from('b'), 0, 1, 0);
    place.files.close(place.files.open(at('a'), 'exclusive'));
    assert.equal(place.files.list(place.directory), ['a', 'b']);
    place.files.rename(at('b'), at('a'));
    assert.equal(place.files.list(place.directory), ['a']);
    place.files.unlink(at('a'));
    place.files.syncDirectory(place.directory);
    assert.not(place.files.exists(at('a')));
    const target = Buffer.alloc(1);
    assert.is(place.files.read(fd, target, 0, 1, 0), 1);
    assert.is(target.toString(), 'b');
    place.files.close(fd);
    throwsErrno('ENOENT', () => {
      place.files.unlink(at('a'));
    });
    throwsErrno('ENOENT', () => {
      place.files.rename(at('a'), at('b'));
    });
  });

  test('directories are made with their parents, again without harm', () => {
    const path = join(place.directory, 'x', 'y');
    place.files.makeDirectory(path);
    place.files.makeDirectory(path);
    assert.equal(place.files.list(join(place.directory, 'x')), ['y']);
    throwsErrno('ENOENT', () => place.files.list(join(place.directory, 'none')));
  });

  test('identity tells files apart and follows a rename', () => {
    const path = join(place.directory, 'a');
    const fd = place.files.open(path, 'exclusive');
    const other = place.files.open(join(place.directory, 'b'), 'exclusive');
    place.files.truncate(fd, 8192);
    place.files.rename(path, join(place.directory, 'c'));
    const identity = place.files.identify(fd);
    assert.is(identity.kind, 'file');
    assert.is(identity.sizeBytes, 8192);
    assert.is.not(identity.inode, place.files.identify(other).inode);
    const again = place.files.open(join(place.directory, 'c'), 'read');
    assert.equal(place.files.identify(again), identity);
    for (const each of [fd, other, again]) place.files.close(each);
  });

  test.run();
}
