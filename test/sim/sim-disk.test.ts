/**
 * The simulator is believed only where its disk is as bad as real ones and no worse: a crash must
 * drop, keep, tear and reorder, and must never touch what a sync covered or invent bytes.
 */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {SimCrash, SimDisk} from './sim-disk.js';
import {SECTOR_BYTES} from './sim-inode.js';
import {below, chance, createRandom} from './random.js';
import {errnoOf} from '../../src/core/errors.js';
import {TIB} from '../../src/core/units.js';

const SEEDS = 400;

function makeDisk(seed: number, capacityBytes = Infinity): {disk: SimDisk; fd: number} {
  const disk = new SimDisk({random: createRandom(seed), capacityBytes});
  disk.makeDirectory('/d');
  disk.syncDirectory('/');
  const fd = disk.open('/d/file', 'create');
  disk.syncDirectory('/d');
  return {disk, fd};
}

function throwsErrno(code: string, act: () => unknown): void {
  assert.throws(act, (error: unknown) => errnoOf(error) === code);
}

test('the same seed makes the same disk', () => {
  const run = (): Buffer => {
    const {disk, fd} = makeDisk(7);
    for (let index = 0; index < 50; index += 1) {
      disk.write(fd, Buffer.alloc(3000, index + 1), 0, 3000, index * 1500);
    }

    disk.crash();
    return disk.peek('/d/file', 0, 100_000);
  };

  assert.equal(run(), run());
});

test('reads see unsynced writes, and holes as zeros, in a file of many TiB', () => {
  const {disk, fd} = makeDisk(1);
  disk.truncate(fd, 15 * TIB);
  disk.write(fd, Buffer.from('far'), 0, 3, 14 * TIB + 5);
  const target = Buffer.alloc(8, 1);
  assert.is(disk.read(fd, target, 0, 8, 14 * TIB + 4), 8);
  assert.is(target.toString('latin1'), '\0far\0\0\0\0');
  assert.is(disk.usedBytes(), 4096);
  disk.punch(fd, [0, 15 * TIB]);
  assert.is(disk.usedBytes(), 0);
  assert.is(disk.sizeOf(fd), 15 * TIB);
});

test('a read ends at the end of the file', () => {
  const {disk, fd} = makeDisk(1);
  disk.write(fd, Buffer.from('hello'), 0, 5, 0);
  const target = Buffer.alloc(10);
  assert.is(disk.read(fd, target, 0, 10, 2), 3);
  assert.is(disk.read(fd, target, 0, 10, 5), 0);
});

test('killing the process keeps the cache and closes the descriptors', () => {
  const {disk, fd} = makeDisk(1);
  disk.write(fd, Buffer.from('kept'), 0, 4, 0);
  disk.kill();
  assert.is(disk.peek('/d/file', 0, 4).toString(), 'kept');
  throwsErrno('EBADF', () => disk.read(fd, Buffer.alloc(4), 0, 4, 0));
});

test('a crash keeps, drops, tears and reorders unsynced writes, each of it sometimes', () => {
  const seen = {kept: 0, dropped: 0, torn: 0, reordered: 0};
  for (let seed = 0; seed < SEEDS; seed += 1) {
    const {disk, fd} = makeDisk(seed);
    disk.write(fd, Buffer.alloc(16 * SECTOR_BYTES, 1), 0, 16 * SECTOR_BYTES, 0);
    disk.sync(fd);
    for (const part of [0, 1, 2, 3]) {
      disk.write(fd, Buffer.alloc(4 * SECTOR_BYTES, 2 + part), 0, 4 * SECTOR_BYTES, part * 2048);
    }

    disk.crash();
    const bytes = disk.peek('/d/file', 0, 16 * SECTOR_BYTES);
    const fates = [0, 1, 2, 3].map((part) => {
      const sectors = [0, 1, 2, 3].map((sector) => bytes[part * 2048 + sector * SECTOR_BYTES]);
      const written = sectors.filter((value) => value === 2 + part).length;
      assert.is(written + sectors.filter((value) => value === 1).length, 4, 'old or new only');
      return written === 4 ? 'kept' : written === 0 ? 'dropped' : 'torn';
    });
    for (const fate of fates) seen[fate] += 1;
    if (fates.indexOf('dropped') >= 0 && fates.lastIndexOf('kept') > fates.indexOf('dropped')) {
      seen.reordered += 1;
    }
  }

  for (const [fate, count] of Object.entries(seen)) assert.ok(count > SEEDS / 20, fate);
});

test('after a crash each sector holds one of its versions since the last sync', () => {
  for (let seed = 0; seed < SEEDS; seed += 1) {
    const random = createRandom(seed + 10_000);
    const {disk, fd} = makeDisk(seed);
    const sectors = 64;
    const current = Buffer.alloc(sectors * SECTOR_BYTES);
    const versions: Set<string>[] = [];
    const note = (): void => {
      for (let sector = 0; sector < sectors; sector += 1) {
        const text = current.toString('latin1', sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
        (versions[sector] ??= new Set()).add(text);
      }
    };
    disk.truncate(fd, current.byteLength);
    disk.sync(fd);
    note();
    for (let step = 0; step < 12; step += 1) {
      const position = below(random, current.byteLength - 9000);
      const length = 1 + below(random, 9000);
      if (chance(random, 0.2)) {
        disk.sync(fd);
        versions.length = 0;
      } else if (chance(random, 0.2)) {
        disk.punch(fd, [position, length]);
        current.fill(0, position, position + length);
      } else {
        const bytes = Buffer.alloc(length, step + 1);
        disk.write(fd, bytes, 0, length, position);
        bytes.copy(current, position);
      }

      note();
      assert.ok(disk.peek('/d/file', 0, current.byteLength).equals(current), `seed ${seed}`);
    }

    disk.crash();
    const left = disk.peek('/d/file', 0, current.byteLength);
    assert.is(left.byteLength, current.byteLength);
    for (let sector = 0; sector < sectors; sector += 1) {
      const text = left.toString('latin1', sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
      assert.ok(versions[sector]?.has(text), `seed ${seed}, sector ${sector}`);
    }
  }
});

test('what a sync covered survives every crash', () => {
  for (let seed = 0; seed < SEEDS; seed += 1) {
    const {disk, fd} = makeDisk(seed);
    disk.write(fd, Buffer.alloc(20_000, 9), 0, 20_000, 700);
    disk.punch(fd, [4096, 4096]);
    disk.syncData(fd);
    disk.write(fd, Buffer.alloc(100, 8), 0, 100, 50_000);
    disk.crash();
    const bytes = disk.peek('/d/file', 0, 20_700);
    assert.is(bytes.byteLength, 20_700);
    assert.is(bytes[699], 0);
    assert.is(bytes[700], 9);
    assert.is(bytes[5000], 0);
    assert.is(bytes[20_699], 9);
  }
});

test('an unsynced name may be lost, an old one may come back, a rename is never half done', () => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < SEEDS; seed += 1) {
    const {disk} = makeDisk(seed);
    const fd = disk.open('/d/new', 'exclusive');
    disk.write(fd, Buffer.from('new'), 0, 3, 0);
    disk.sync(fd);
    disk.rename('/d/new', '/d/file');
    disk.crash();
    const content = disk.exists('/d/file') ? disk.peek('/d/file', 0, 3).toString() : 'none';
    outcomes.add(`${disk.list('/d').join('+')}=${content}`);
  }

  assert.equal([...outcomes].sort(), ['file+new=', 'file=', 'file=new']);
});

test('names in different files of one directory survive in any order', () => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < SEEDS; seed += 1) {
    const {disk} = makeDisk(seed);
    disk.open('/d/a', 'exclusive');
    disk.open('/d/b', 'exclusive');
    disk.crash();
    outcomes.add(disk.list('/d').join('+'));
  }

  assert.equal([...outcomes].sort(), ['a+b+file', 'a+file', 'b+file', 'file']);
});

test('synced names survive, and without the sync of the parent a directory takes all with it', () => {
  for (let seed = 0; seed < 100; seed += 1) {
    const disk = new SimDisk({random: createRandom(seed)});
    disk.makeDirectory('/kept');
    disk.syncDirectory('/');
    disk.open('/kept/file', 'exclusive');
    disk.syncDirectory('/kept');
    disk.makeDirectory('/lost');
    disk.open('/lost/file', 'exclusive');
    disk.syncDirectory('/lost');
    disk.crash({mode: 'none', cut: 0, keepProbability: 0, tearProbability: 0});
    assert.equal(disk.list('/'), ['kept']);
    assert.equal(disk.list('/kept'), ['file']);
  }
});

test('a failed sync is told once, keeps the cache and loses the data in the next crash', () => {
  let lost = 0;
  for (let seed = 0; seed < 100; seed += 1) {
    const {disk, fd} = makeDisk(seed);
    disk.write(fd, Buffer.from('old'), 0, 3, 0);
    disk.sync(fd);
    disk.write(fd, Buffer.from('new'), 0, 3, 0);
    disk.faults.add({path: /file/u, calls: ['syncData'], kind: 'EIO'});
    throwsErrno('EIO', () => {
      disk.syncData(fd);
    });
    disk.syncData(fd);
    assert.is(disk.peek('/d/file', 0, 3).toString(), 'new');
    disk.crash();
    if (disk.peek('/d/file', 0, 3).toString() === 'old') lost += 1;
  }

  assert.ok(lost > 10);
  assert.ok(lost < 100);
});

test('eviction shows what a failed sync lost, and nothing else', () => {
  const {disk, fd} = makeDisk(3);
  disk.write(fd, Buffer.from('a'), 0, 1, 0);
  disk.evict();
  assert.is(disk.peek('/d/file', 0, 1).toString(), 'a');
  disk.faults.add({path: /file/u, calls: ['sync'], kind: 'EIO', count: 1});
  for (let round = 0; round < 50; round += 1) {
    disk.write(fd, Buffer.from('b'), 0, 1, round * 4096);
  }

  throwsErrno('EIO', () => {
    disk.sync(fd);
  });
  disk.evict();
  const left = Array.from({length: 50}, (_, round) => disk.peek('/d/file', round * 4096, 1)[0]);
  assert.ok(left.includes(98));
  assert.ok(left.includes(0) || left.includes(undefined));
});

test('a full disk writes a part, says ENOSPC, and has room again after a punch', () => {
  const {disk, fd} = makeDisk(5, 64 * 1024);
  disk.write(fd, Buffer.alloc(60 * 1024, 1), 0, 60 * 1024, 0);
  throwsErrno('ENOSPC', () => {
    disk.write(fd, Buffer.alloc(8192, 2), 0, 8192, 60 * 1024);
  });
  assert.ok(disk.usedBytes() <= 64 * 1024);
  disk.write(fd, Buffer.alloc(8192, 3), 0, 8192, 0);
  disk.punch(fd, [16_384, 16_384]);
  disk.write(fd, Buffer.alloc(8192, 2), 0, 8192, 64 * 1024);
  assert.ok(disk.usedBytes() <= 64 * 1024);
});

test('faults wait, count, and end; a rotten bit, a lost and a misdirected write are silent', () => {
  const {disk, fd} = makeDisk(6);
  disk.faults.add({path: /file/u, calls: ['write'], kind: 'EIO', after: 1, count: 2});
  const write = (): void => {
    disk.write(fd, Buffer.alloc(4096, 1), 0, 4096, 0);
  };
  write();
  throwsErrno('EIO', write);
  throwsErrno('EIO', write);
  write();
  disk.truncate(fd, 32_768);
  disk.sync(fd);
  disk.rot('/d/file', 5, 1);
  assert.is(disk.peek('/d/file', 5, 1)[0], 3);
  disk.faults.add({path: /file/u, calls: ['write'], kind: 'lost'});
  disk.write(fd, Buffer.alloc(4096, 7), 0, 4096, 8192);
  disk.faults.add({path: /file/u, calls: ['write'], kind: 'misdirected'});
  disk.write(fd, Buffer.alloc(4096, 8), 0, 4096, 16_384);
  disk.sync(fd);
  assert.is(disk.peek('/d/file', 8192, 1)[0], 7);
  assert.is(disk.faults.injected, 4);
  disk.crash();
  assert.is(disk.peek('/d/file', 8192, 1)[0], 0);
  assert.is(disk.peek('/d/file', 16_384, 1)[0], 0);
  assert.is(disk.peek('/d/file', 20_480, 1)[0], 8);
});

test('the countdown kills in the n-th call; nothing works until the next process', () => {
  const states = new Set<string>();
  for (let seed = 0; seed < 100; seed += 1) {
    const {disk, fd} = makeDisk(seed);
    disk.crashAfter(2);
    disk.write(fd, Buffer.alloc(12_000, 1), 0, 12_000, 0);
    const die = (): void => {
      disk.write(fd, Buffer.alloc(12_000, 2), 0, 12_000, 12_000);
    };
    assert.throws(
      die,
      (error: unknown) => error instanceof SimCrash && errnoOf(error) === undefined,
    );
    assert.throws(die, (error: unknown) => error instanceof SimCrash);
    assert.throws(
      () => disk.exists('/'),
      (error: unknown) => error instanceof SimCrash,
    );
    assert.ok(disk.dead);
    disk.kill();
    const size = disk.peekSize('/d/file');
    states.add(size === 12_000 ? 'before' : size === 24_000 ? 'after' : 'part');
  }

  assert.equal([...states].sort(), ['after', 'before', 'part']);
});

test('the hook runs other actors in the middle of a step, and the step goes on as itself', () => {
  const {disk, fd} = makeDisk(1);
  const trace: string[] = [];
  disk.beforeCall = (actor, call) => {
    trace.push(`${actor} ${call}`);
    if (actor !== 'fuse') return;
    disk.actor = 'commit';
    disk.syncData(fd);
  };
  disk.actor = 'fuse';
  disk.write(fd, Buffer.from('x'), 0, 1, 0);
  assert.is(disk.actor, 'fuse');
  assert.equal(trace, ['fuse write', 'commit syncData']);
});

test('errors are those of node:fs', () => {
  const {disk, fd} = makeDisk(1);
  throwsErrno('ENOENT', () => disk.open('/d/none', 'read'));
  throwsErrno('ENOENT', () => disk.open('/none/file', 'create'));
  throwsErrno('EEXIST', () => disk.open('/d/file', 'exclusive'));
  throwsErrno('ENOENT', () => disk.list('/none'));
  throwsErrno('ENOENT', () => {
    disk.rename('/d/none', '/d/other');
  });
  const reader = disk.open('/d/file', 'read');
  throwsErrno('EBADF', () => {
    disk.write(reader, Buffer.from('x'), 0, 1, 0);
  });
  disk.close(fd);
  throwsErrno('EBADF', () => {
    disk.close(fd);
  });
  assert.is(disk.identify(reader).kind, 'file');
  assert.not.equal(disk.identify(reader), disk.identify(disk.open('/d/second', 'create')));
});

test('an open file that lost its name can still be read and takes its space', () => {
  const {disk, fd} = makeDisk(1);
  disk.write(fd, Buffer.alloc(4096, 4), 0, 4096, 0);
  disk.unlink('/d/file');
  const target = Buffer.alloc(1);
  disk.read(fd, target, 0, 1, 0);
  assert.is(target[0], 4);
  assert.is(disk.usedBytes(), 4096);
  disk.close(fd);
  assert.is(disk.usedBytes(), 0);
});

test.run();
