/** Flushes: answered when the log is on stable storage, never before, in both durabilities. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {WORD} from '../../src/disk/shared.js';
import {PENDING} from '../../src/fuse/handler.js';
import {Rig} from './rig.js';

test('a flush is answered after fdatasync of every segment since the last one, and once', () => {
  const rig = new Rig();
  const first = rig.life.shared.get(WORD.currentNumber);
  for (let count = 0; count < 12; count += 1) rig.write(count * 16_384, 16_384);
  const last = rig.life.shared.get(WORD.currentNumber);
  assert.ok(last > first, 'the log has rotated');
  rig.trace = [];
  const [result, unique] = rig.flush();
  assert.is(result, PENDING);
  assert.equal(rig.trace, [], 'nobody is answered by the front');
  rig.life.committer.step();
  const syncs = rig.trace.filter((line) => line.startsWith('syncData'));
  assert.equal(
    new Set(syncs),
    new Set([first, last].map((number) => `syncData log-00000000${number}-alpha`)),
  );
  assert.is(rig.trace.at(-1), `answer ${unique}`);
  rig.crash('none');
  rig.assertReads('after power loss');
});

test('hazard 17: each flush of new data syncs; one without new data is answered at once', () => {
  const rig = new Rig();
  rig.flushed();
  for (let count = 1; count <= 3; count += 1) {
    rig.write(0, 512);
    rig.trace = [];
    rig.flushed();
    assert.is(rig.trace.filter((line) => line.startsWith('syncData log-')).length, 1);
    rig.trace = [];
    assert.is(rig.flush()[0], 0);
    assert.equal(rig.trace, []);
  }
});

test('many flushes are one fdatasync', () => {
  const rig = new Rig();
  const uniques: number[] = [];
  for (let count = 0; count < 50; count += 1) {
    rig.write(count * 4096, 4096 - 512);
    if (count < 20) uniques.push(rig.flush()[1]);
  }

  rig.trace = [];
  rig.life.committer.step();
  assert.is(rig.trace.filter((line) => line.startsWith('answer')).length, 20);
  assert.ok(rig.trace.filter((line) => line.startsWith('syncData')).length <= 3);
  for (const unique of uniques) assert.is(rig.answers.get(unique), 0);
});

test('a flush waits for what was acknowledged before it, not for what comes later', () => {
  const rig = new Rig();
  rig.write(0, 4096);
  const [, unique] = rig.flush();
  const {beforeCall} = rig.files;
  rig.files.beforeCall = (actor, call, path) => {
    if (call === 'syncData') {
      rig.files.beforeCall = beforeCall;
      rig.write(8192, 4096);
    }

    beforeCall?.(actor, call, path);
  };
  rig.life.committer.step();
  assert.is(rig.answers.get(unique), 0);
  assert.ok(rig.life.shared.durable.get() < rig.life.front.log.position);
});

test('nobody flushes: the log is synced a second after the first write all the same', () => {
  const rig = new Rig();
  rig.write(0, 4096);
  const {committer, shared, front} = rig.life;
  // It looks every half second; the write may have come right after the look before.
  assert.is(committer.step(), 500);
  rig.clock.advance(499);
  assert.is(committer.step(), 1);
  assert.ok(shared.durable.get() < front.log.position);
  rig.clock.advance(1);
  assert.is(committer.step(), 0);
  assert.is(shared.durable.get(), front.log.position);
  assert.is(committer.step(), 500);
});

test('with durability write every write is durable when it is acknowledged', () => {
  const rig = new Rig({durability: 'write'});
  for (let count = 0; count < 5; count += 1) {
    const [result, unique] = rig.write(count * 4096, 3000);
    assert.is(result, PENDING);
    assert.not(rig.answers.has(unique));
    rig.trace = [];
    rig.life.committer.step();
    assert.is(rig.answers.get(unique), -3000);
    assert.ok(rig.trace[0]?.startsWith('syncData log-'));
    const [zeroed, other] = rig.zero(count * 8192, 8192);
    assert.is(zeroed, PENDING);
    rig.until(() => rig.answers.has(other));
    assert.is(rig.answers.get(other), 0);
    rig.crash('none');
    rig.assertReads(`life ${count}`);
  }
});

test('hazard 3: a kill, then power loss right after the new life began, loses nothing acknowledged', () => {
  for (const alignmentBytes of [8, 4096]) {
    const rig = new Rig({alignmentBytes});
    rig.write(0, 9000);
    rig.flushed();
    for (let count = 0; count < 12; count += 1) rig.write(count * 16_384, 16_000);
    rig.kill();
    rig.files.crash({mode: 'none', cut: 0, keepProbability: 0, tearProbability: 0});
    rig.begin();
    rig.assertReads();
  }
});

test('hazard 3: what was taken over is synced before the lineage and the new epoch', () => {
  const rig = new Rig();
  rig.write(0, 20_000);
  const old = `log-00000000${rig.life.shared.get(WORD.currentNumber)}-alpha`;
  rig.trace = [];
  rig.kill();
  const rewritten = rig.trace.indexOf(`write ${old}`);
  const synced = rig.trace.indexOf(`sync ${old}`);
  const lineage = rig.trace.indexOf('rename lineage.json.tmp');
  assert.ok(rewritten >= 0 && rewritten < synced, rig.trace.join('\n'));
  assert.ok(synced < lineage);
  const started = rig.trace.findIndex(
    (line, index) => index > lineage && /^sync log-/u.test(line) && line !== `sync ${old}`,
  );
  assert.ok(started > lineage, 'the header of the new epoch is durable before anybody is answered');
  assert.not(rig.trace.some((line) => line.startsWith('answer')));
});

test('hazard 3, second form: the dead process had seen EIO, its pages are clean', () => {
  const rig = new Rig();
  rig.write(0, 20_000);
  rig.files.faults.add({path: /\/log-/u, calls: ['syncData'], kind: 'EIO'});
  assert.is(rig.life.committer.commit(), 'failed');
  // Killed before the front could move the tail: the bytes are in the page cache alone.
  rig.kill();
  rig.assertReads('after the kill');
  rig.crash('none');
  rig.assertReads('after power loss');
});

test('after power loss the disk is that of one moment at or behind the last flush', () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const rig = new Rig({seed, sizeBytes: 2 ** 18});
    const states: Buffer[] = [];
    rig.write(seed * 512, 5000);
    rig.flushed();
    states.push(Buffer.from(rig.model));
    for (let count = 0; count < 10; count += 1) {
      if (count % 3 === 2) rig.zero(count * 9000, 6000);
      else rig.write(((seed * 7 + count * 3) % 40) * 4096, 4096);
      states.push(Buffer.from(rig.model));
    }

    rig.crash('random');
    const found = rig.read();
    assert.ok(
      states.some((state) => state.equals(found)),
      `seed ${seed}`,
    );
  }
});

test.run();
