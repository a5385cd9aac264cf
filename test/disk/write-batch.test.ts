/** Writes that came together: appended with one write(2), and not to be told from single ones. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {RECORD_HEADER_BYTES} from '../../src/log/record.js';
import {makeWriteBatch} from '../helpers/write-batch.js';
import {PATHS, Rig} from './rig.js';

const BLOCK = 4096;
const RANGES = [
  [8 * BLOCK, BLOCK],
  [2 * BLOCK, 3 * BLOCK],
  [8 * BLOCK, 2 * BLOCK],
  [0, BLOCK],
] as const;

function logBytes(rig: Rig): Buffer {
  return Buffer.concat(
    rig.logNames().map((name) => {
      const path = `${PATHS.logDirectory}/${name}`;
      return rig.files.peek(path, 0, rig.files.peekSize(path));
    }),
  );
}

test('a batch is read back, its last write of a block counts, and replay brings it to the image', () => {
  const rig = new Rig();
  rig.write(100, 5000);
  assert.ok(rig.writeBatch(RANGES));
  rig.assertReads('from the log');
  rig.kill();
  rig.assertReads('after a kill');
  rig.replay();
  rig.assertImage();
});

test('the log holds the same bytes as if each had been written by itself', () => {
  const [together, alone] = [new Rig(), new Rig()];
  for (const rig of [together, alone]) rig.write(512, 700);
  assert.ok(together.writeBatch(RANGES));
  let stamp = 1;
  for (const [offset, length] of RANGES) {
    stamp += 1;
    const batch = makeWriteBatch([{offset, bytes: Buffer.alloc(length, stamp)}]);
    const {front} = alone.life;
    assert.is(front.write(offset, length, batch.bytes, batch.payloadOffset, 1, 0), 0);
  }

  for (const rig of [together, alone]) rig.zero(9 * BLOCK, BLOCK);
  assert.is(together.life.front.log.position, alone.life.front.log.position);
  assert.ok(logBytes(together).equals(logBytes(alone)));
});

test('a batch is one write to the log', () => {
  const rig = new Rig();
  rig.trace = [];
  assert.ok(rig.writeBatch(RANGES));
  assert.is(rig.trace.length, 1);
  assert.ok(rig.trace[0]?.startsWith('write log-'));
});

test('a batch that does not fit the segment is left to single writes, and nothing of it is there', () => {
  const rig = new Rig();
  const {front} = rig.life;
  const room = (): number => 128 * 1024 - BLOCK - (front.log.position % (128 * 1024));
  while (room() > 4 * BLOCK) assert.ok(rig.writeBatch([[0, BLOCK]]));
  const position = front.log.position;
  assert.not.ok(rig.writeBatch(RANGES));
  assert.is(front.log.position, position);
  rig.assertReads();
  assert.is(rig.write(BLOCK, 6 * BLOCK)[0], 0);
  assert.ok(rig.writeBatch(RANGES));
  rig.assertReads('in the next segment');
});

for (const errno of ['EIO', 'ENOSPC'] as const) {
  test(`after ${errno} of the log a batch is left to single writes`, () => {
    const rig = new Rig();
    assert.ok(rig.writeBatch(RANGES));
    const position = rig.life.front.log.position;
    rig.files.faults.add({path: /\/log\//u, calls: ['write'], kind: errno, count: 1});
    assert.not.ok(rig.writeBatch(RANGES));
    assert.is(rig.life.front.log.position, position);
    rig.assertReads('nothing of it');
    assert.ok(rig.writeBatch(RANGES));
    rig.assertReads('the next one');
    rig.kill();
    rig.assertReads('after a kill');
  });
}

test('padded records, durable writes and a full log are for single writes', () => {
  assert.not.ok(new Rig({alignmentBytes: 512}).writeBatch(RANGES));
  assert.not.ok(new Rig({durability: 'write'}).writeBatch(RANGES));
});

test('power loss within a batch leaves a beginning of it, whole writes only', () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const rig = new Rig({seed});
    rig.write(0, 20 * BLOCK);
    rig.flushed();
    const before = Buffer.from(rig.model);
    const begin = rig.life.front.log.position;
    assert.ok(rig.writeBatch(RANGES));
    rig.crash('random');
    const kept = rig.life.disk.recovered.position - begin;
    const found = rig.read();
    let position = 0;
    const wanted = before;
    RANGES.forEach(([offset, length], index) => {
      position += RECORD_HEADER_BYTES + length;
      if (position <= kept) wanted.fill(index + 2, offset, offset + length);
    });
    assert.ok(found.equals(wanted), `seed ${seed}: ${kept} bytes of the log were kept`);
  }
});

test.run();
