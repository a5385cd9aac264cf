/** What the threads of a disk count: how long writes, flushes and batches of replay took. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {countOf, latencyBucketOf, type LatencyHistogram} from '../../src/core/latency.js';
import {latenciesOf} from '../../src/disk/status.js';
import {WORD} from '../../src/disk/shared.js';
import {PENDING} from '../../src/fuse/handler.js';
import {Rig} from './rig.js';

/** A disk on which calls of one kind take a while. */
function makeSlow(rig: Rig, slowCall: string, milliseconds: number): void {
  rig.files.beforeCall = (_actor, call) => {
    if (call === slowCall) rig.clock.advance(milliseconds);
  };
}

function counts(histogram: LatencyHistogram, milliseconds: number): number {
  return histogram.counts[latencyBucketOf(milliseconds)] ?? 0;
}

test('a new disk has counted nothing', () => {
  const {write, flush, replay} = latenciesOf(new Rig().life.shared);
  for (const histogram of [write, flush, replay]) {
    assert.equal(histogram, {counts: [], sumSeconds: 0});
  }
});

test('slow writes are each timed; of fast ones some are, and count for all', () => {
  const rig = new Rig();
  makeSlow(rig, 'write', 3);
  for (let count = 0; count < 10; count += 1) assert.is(rig.write(count * 4096, 4096)[0], 0);
  const slow = latenciesOf(rig.life.shared).write;
  assert.is(counts(slow, 3), 10);
  assert.ok(Math.abs(slow.sumSeconds - 0.03) < 1e-9);
  makeSlow(rig, 'write', 0);
  for (let count = 0; count < 41; count += 1) assert.is(rig.write(count * 4096, 4096)[0], 0);
  const {write} = latenciesOf(rig.life.shared);
  assert.is(counts(write, 3), 10);
  assert.is(counts(write, 0), 41);
});

test('writes that come together are timed together, and each counts', () => {
  const rig = new Rig();
  makeSlow(rig, 'write', 3);
  assert.ok(
    rig.writeBatch([
      [0, 4096],
      [8192, 4096],
      [4096, 4096],
    ]),
  );
  assert.is(counts(latenciesOf(rig.life.shared).write, 3), 3);
});

test('a write that waited for room counts with the time for which it waited', () => {
  const rig = new Rig();
  rig.life.shared.set(WORD.writeLimitKib, 1);
  const [first] = rig.write(0, 4096);
  const [second, unique] = rig.write(4096, 4096);
  assert.equal([first, second].filter((result) => result === PENDING).length > 0, true);
  rig.clock.advance(500);
  rig.life.shared.set(WORD.writeLimitKib, 0);
  rig.life.front.afterRequest();
  assert.is(rig.answers.get(unique), -4096);
  const {write} = latenciesOf(rig.life.shared);
  assert.is(countOf(write), 2);
  assert.ok(counts(write, 500) >= 1);
});

test('with durability write a write counts when it is durable, a flush when it is answered', () => {
  for (const durability of ['write', 'flush'] as const) {
    const rig = new Rig({durability});
    rig.write(0, 4096);
    if (durability === 'flush') assert.is(rig.flush()[0], PENDING);
    rig.clock.advance(20);
    makeSlow(rig, 'syncData', 20);
    rig.life.committer.step();
    const {write, flush} = latenciesOf(rig.life.shared);
    assert.is(counts(durability === 'write' ? write : flush, 40), 1, durability);
    assert.is(countOf(write), 1);
    assert.is(countOf(flush), durability === 'write' ? 0 : 1);
  }
});

test('a flush that has nothing to wait for counts as well', () => {
  const rig = new Rig();
  rig.flushed();
  const before = countOf(latenciesOf(rig.life.shared).flush);
  assert.is(rig.flush()[0], 0);
  assert.is(countOf(latenciesOf(rig.life.shared).flush), before + 1);
});

test('a flush that the front commits itself counts with its time', () => {
  const rig = new Rig({inline: true});
  rig.write(0, 4096);
  makeSlow(rig, 'syncData', 7);
  assert.is(rig.flush()[0], 0);
  const {flush} = latenciesOf(rig.life.shared);
  assert.is(countOf(flush), 1);
  assert.is(counts(flush, 7), 1);
});

test('each batch of replay counts once, from its begin until it is durable in the image', () => {
  const rig = new Rig();
  rig.write(0, 4096);
  rig.commit();
  makeSlow(rig, 'syncData', 100);
  rig.replay();
  const {replay} = latenciesOf(rig.life.shared);
  assert.is(countOf(replay), 1);
  assert.ok(replay.sumSeconds >= 0.1, `${replay.sumSeconds} s`);
  rig.assertImage();
});

test.run();
