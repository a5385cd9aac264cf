/** The data path against a model: every kind of request, and reads while replay runs. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {COMMAND, WORD} from '../../src/disk/shared.js';
import {ERRNO} from '../../src/fuse/handler.js';
import {EXTENTS_MAX} from '../../src/image/segment-index.js';
import {below, chance, createRandom, pick, type Random} from '../sim/random.js';
import {PATHS, Rig} from './rig.js';

const KIB = 1024;

test('a write is read back, whatever its alignment and length', () => {
  const rig = new Rig();
  for (const offset of [0, 1, 511, 512, 4095, 4096, 4097, 8191, 12_288 + 512]) {
    for (const length of [1, 7, 511, 512, 513, 4095, 4096, 4097, 8192, 20_000]) {
      assert.is(rig.write(offset, length)[0], 0);
      assert.ok(rig.read(offset, length).equals(rig.model.subarray(offset, offset + length)));
    }

    rig.assertReads(`after offset ${offset}`);
    rig.replay();
    rig.keep();
  }

  rig.assertImage();
});

test('a read may begin and end anywhere, over blocks of the log, the image and zeros', () => {
  const rig = new Rig();
  rig.write(0, 40_000);
  rig.replay();
  rig.write(8192, 4096);
  rig.zero(16_384, 8192);
  rig.write(20_480, 100);
  for (let offset = 0; offset < 26_000; offset += 997) {
    for (const length of [0, 1, 512, 4096, 5000, 16_384]) {
      const wanted = rig.model.subarray(offset, offset + length);
      assert.ok(rig.read(offset, length).equals(wanted), `${offset} + ${length}`);
    }
  }
});

test('the last block is written and read to its last byte, and nothing behind it', () => {
  const rig = new Rig();
  const size = rig.model.length;
  for (const length of [1, 511, 512, 4096]) assert.is(rig.write(size - length, length)[0], 0);
  rig.assertReads();
  assert.is(rig.write(size - 1, 2)[0], ERRNO.ENOSPC);
  assert.is(rig.write(size, 1)[0], ERRNO.ENOSPC);
  assert.is(rig.zero(size - 100, 4096)[0], 0);
  assert.is(rig.zero(size, 4096)[0], 0);
  rig.assertReads();
  rig.replay();
  rig.assertImage();
  assert.is(rig.files.peekSize(PATHS.image), size);
});

for (const discard of [true, false]) {
  test(`a ${discard ? 'discard' : 'write of zeros'} is exact to the byte at both ends`, () => {
    const rig = new Rig({sizeBytes: 256 * KIB, segmentBytes: 256 * KIB});
    for (const start of [0, 1, 512, 4095]) {
      for (const end of [0, 1, 512, 4095, 4096, 4097, 8192, 12_287, 12_800]) {
        rig.write(0, 32_768);
        assert.is(rig.zero(4096 + start, 4096 + end - start, discard)[0], 0);
        rig.assertReads(`${start}..${end}`);
        if (start === 512) rig.replay();
        rig.keep();
      }
    }

    rig.replay();
    rig.assertImage();
  });
}

test('a discard frees its space in the image, and a write of zeros costs no log', () => {
  const rig = new Rig();
  rig.write(0, 128 * KIB - 20_000);
  rig.write(600 * KIB, 4096);
  rig.replay();
  const before = rig.files.usedBytes(PATHS.image);
  const position = rig.life.front.log.position;
  rig.zero(0, 512 * KIB, true);
  rig.zero(512 * KIB, 512 * KIB, false);
  assert.is(rig.life.front.log.position - position, 256);
  rig.replay();
  rig.assertImage();
  assert.is(rig.files.usedBytes(PATHS.image), 0);
  assert.ok(before > 0);
});

test('what is acknowledged is in the logfile: a kill at once loses none of it', () => {
  const rig = new Rig();
  for (let count = 0; count < 20; count += 1) {
    rig.write(count * 5000, 3000);
    if (count % 5 === 0) rig.zero(count * 4000, 9000);
    rig.kill();
    rig.assertReads(`life ${count}`);
  }
});

interface Load {
  readonly rig: Rig;
  readonly random: Random;
}

function anyRequest({rig, random}: Load): void {
  const size = rig.model.length;
  const unit = pick(random, [1, 512, 4096]);
  const length = 1 + below(random, 24 * KIB);
  const aligned = Math.floor(below(random, size - length) / unit) * unit;
  if (chance(random, 0.75)) rig.write(aligned, Math.min(length, 16 * KIB));
  else rig.zero(aligned, length * 4, chance(random, 0.5));
}

for (const alignmentBytes of [8, 512, 4096]) {
  test(`random requests with alignment ${alignmentBytes}: every read is right while all threads run`, () => {
    for (let seed = 1; seed <= 6; seed += 1) {
      const load = {rig: new Rig({seed, alignmentBytes}), random: createRandom(seed)};
      const {rig, random} = load;
      for (let count = 0; count < 150; count += 1) {
        anyRequest(load);
        for (let steps = below(random, 4); steps > 0; steps -= 1) rig.tick(below(random, 300));
        rig.until(() => !rig.parked);
        if (chance(random, 0.05)) rig.kill();
        rig.assertReads(`seed ${seed}, request ${count}`);
      }

      rig.replay();
      rig.assertImage();
    }
  });
}

test('a read is right before every single step of replay, and writes between them are kept', () => {
  const rig = new Rig();
  const random = createRandom(5);
  let moments = 0;
  for (let round = 0; round < 8; round += 1) {
    for (let count = 0; count < 6; count += 1) anyRequest({rig, random});
    rig.commit();
    let inside = false;
    const {beforeCall} = rig.files;
    rig.files.beforeCall = (_actor, call, path) => {
      if (inside || call === 'close') return;
      inside = true;
      rig.assertReads(`before ${call} ${path}`);
      if (chance(random, 0.1) && !rig.parked) rig.write(below(random, 200) * 4096, 512);
      moments += 1;
      inside = false;
    };
    rig.clock.advance(20_000);
    rig.life.replayer.step();
    rig.files.beforeCall = beforeCall;
    rig.assertReads(`round ${round}`);
    rig.keep();
  }

  assert.ok(moments > 50, `${moments} moments`);
  rig.replay();
  rig.assertImage();
});

test('the size grows by a record: it is there after a kill, and after power loss once flushed', () => {
  const rig = new Rig({sizeBytes: 256 * KIB});
  const grown = 512 * KIB;
  const {shared, front} = rig.life;
  const fd = rig.files.open(PATHS.image, 'write');
  rig.files.truncate(fd, grown);
  rig.files.close(fd);
  shared.commandArgument.set(grown);
  shared.set(WORD.command, COMMAND.resize);
  front.afterRequest();
  assert.is(front.sizeBytes(), grown);
  // Somebody who asked for less at the same time is refused, and nobody dies of it.
  shared.commandArgument.set(grown - 4096);
  shared.set(WORD.command, COMMAND.resize);
  front.afterRequest();
  assert.is(shared.get(WORD.commandResult), 0);
  assert.is(front.sizeBytes(), grown);
  rig.flushed();
  rig.crash();
  assert.is(rig.life.front.sizeBytes(), grown);
  assert.is(rig.files.peekSize(PATHS.image), grown);
  assert.ok(rig.read(300 * KIB, 4096).equals(Buffer.alloc(4096)));
});

test('discards without end rotate the log before its table of extents is full', () => {
  const rig = new Rig({sizeBytes: 512 * 2 ** 20, segmentBytes: 8 * 2 ** 20});
  const number = rig.life.shared.get(WORD.currentNumber);
  for (let at = 0; at < EXTENTS_MAX + 10; at += 1) {
    assert.is(rig.life.front.zero(at * 3 * 4096, 4096, true, 0, 0), 0);
  }

  assert.is(rig.life.shared.get(WORD.currentNumber), number + 1);
  assert.is(rig.life.disk.index.openExtents, 10);
});

test('each activation has an inode number of its own: no page of an earlier one is believed', () => {
  const rig = new Rig();
  const numbers = new Set<number>();
  for (let count = 0; count < 5; count += 1) {
    numbers.add(rig.life.front.inode());
    rig.kill();
  }

  assert.is(numbers.size, 5);
});

test.run();
