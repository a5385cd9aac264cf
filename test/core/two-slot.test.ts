import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {TwoSlotFile} from '../../src/core/two-slot.js';
import {isDiskError} from '../../src/core/errors.js';
import {SimCrash, SimDisk} from '../sim/sim-disk.js';
import {below, chance, createRandom} from '../sim/random.js';

function makeDisk(seed: number): SimDisk {
  const disk = new SimDisk({random: createRandom(seed)});
  TwoSlotFile.create(disk, '/state', {number: 0}).close();
  disk.syncDirectory('/');
  return disk;
}

function numberIn(value: unknown): number {
  return (value as {number: number}).number;
}

test('the last value written is read', () => {
  const disk = makeDisk(1);
  for (let number = 1; number < 5; number += 1) {
    const {file} = TwoSlotFile.open(disk, '/state');
    file.write({number});
    file.close();
    assert.is(numberIn(TwoSlotFile.peek(disk, '/state')), number);
  }

  assert.is(disk.descriptorCount, 0);
});

test('a value is never older than the last one made durable, however process and power die', () => {
  for (let seed = 0; seed < 2000; seed += 1) {
    const random = createRandom(seed + 5000);
    const disk = makeDisk(seed);
    let durable = 0;
    let last = 0;
    for (let life = 0; life < 6; life += 1) {
      try {
        disk.crashAfter(1 + below(random, 8));
        const {file, value} = TwoSlotFile.open(disk, '/state');
        assert.ok(numberIn(value) >= durable, `seed ${seed}: ${numberIn(value)} < ${durable}`);
        assert.ok(numberIn(value) <= last, `seed ${seed}`);
        // What a process has seen, it acts on: it must not be taken back.
        durable = numberIn(value);
        for (;;) {
          last += 1;
          file.write({number: last});
          durable = last;
        }
      } catch (error) {
        if (!(error instanceof SimCrash)) throw error;
      }

      if (chance(random, 0.5)) disk.kill();
      else disk.crash();
    }
  }
});

test('a file without a valid slot is unreadable, and says so', () => {
  const disk = makeDisk(1);
  const fd = disk.open('/state', 'write');
  disk.write(fd, Buffer.alloc(8192, 1), 0, 8192, 0);
  assert.throws(
    () => TwoSlotFile.open(disk, '/state'),
    (error: unknown) => isDiskError(error, 'STATE_UNREADABLE'),
  );
  assert.is(TwoSlotFile.peek(disk, '/state'), undefined);
});

test('one flipped bit anywhere in the newest slot brings back the one before, never garbage', () => {
  const random = createRandom(9);
  for (let round = 0; round < 300; round += 1) {
    const disk = makeDisk(round);
    const {file} = TwoSlotFile.open(disk, '/state');
    file.write({number: 1});
    disk.rot('/state', below(random, 8192), below(random, 8));
    const {value} = TwoSlotFile.open(disk, '/state');
    assert.ok([0, 1].includes(numberIn(value)));
  }
});

test.run();
