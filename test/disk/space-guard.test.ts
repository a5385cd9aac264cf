/** Room for the log: replay is forced before it is gone, and writes are slowed where that is wished. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {Slowed} from '../../src/core/space.js';
import {KEEPER_FAILED, KEEPER_NO_ROOM, WORD} from '../../src/disk/shared.js';
import {SpaceGuard} from '../../src/disk/space-guard.js';
import {fillOf, RATE_MIN_BYTES, Speed, writeRate} from '../../src/disk/space-plan.js';
import {THROTTLE_DELAY_MS_MAX, WriteThrottle} from '../../src/disk/write-throttle.js';
import {PENDING} from '../../src/fuse/handler.js';
import {PATHS, Rig} from './rig.js';

const MIB = 1024 * 1024;
const SEGMENT_BYTES = 128 * 1024;

let silentMs = 0;
let letGo = 0;

function guardOf(
  rig: Rig,
  whenFull: 'block' | 'throttle',
  told: (Slowed | undefined)[] = [],
): SpaceGuard {
  silentMs = 0;
  letGo = 0;
  return new SpaceGuard({
    ...{files: rig.files, clock: rig.clock, shared: rig.life.shared, whenFull},
    ...{directory: PATHS.logDirectory, segmentBytes: SEGMENT_BYTES},
    spareCount: () => rig.life.keeper.spareCount,
    onSlowed: (slowed) => told.push(slowed),
    wake: () => {
      rig.life.front.afterRequest();
    },
    silentMs: () => silentMs,
    letGo: () => {
      letGo += 1;
      const oldest = rig.life.keeper.retained[0];
      if (oldest !== undefined) rig.retain(oldest.end);
    },
  });
}

/** A disk whose image has all its space, on a file system with room for `bytes` of log. */
function smallRig(bytes: number): Rig {
  const rig = new Rig({sizeBytes: 2 * MIB});
  for (let at = 0; at < rig.model.length; at += 65_536) {
    rig.write(at, 65_536);
    rig.until(() => !rig.parked);
  }

  rig.replay();
  rig.keep();
  rig.files.capacityBytes = rig.files.usedBytes() + bytes;
  return rig;
}

test('the fuller the log, the slower writes are: at 0.7 as fast as it drains, never at nothing', () => {
  const drain = 100 * MIB;
  const rateAt = (fill: number): number =>
    writeRate({waitingBytes: fill * 1000 * MIB, roomBytes: 1000 * MIB, position: 0}, drain);
  assert.ok(Math.abs(rateAt(0.7) - drain) < 1);
  assert.ok(rateAt(0.5) > 1.4 * drain);
  assert.ok(rateAt(0.85) < 0.6 * drain, 'whatever was measured');
  assert.is(rateAt(1), RATE_MIN_BYTES);
  let before = Infinity;
  for (let fill = 0; fill <= 1; fill += 0.01) {
    const rate = rateAt(fill);
    assert.ok(rate <= before && rate >= RATE_MIN_BYTES, `at ${fill}`);
    before = rate;
  }

  assert.is(writeRate({waitingBytes: 9, roomBytes: 10, position: 0}, 0), RATE_MIN_BYTES);
});

test('fill is 0 where nothing waits, and 1 where there is no room at all', () => {
  assert.is(fillOf({waitingBytes: 0, roomBytes: 0, position: 0}), 0);
  assert.is(fillOf({waitingBytes: 5, roomBytes: 0, position: 0}), 1);
  assert.is(fillOf({waitingBytes: 5, roomBytes: 10, position: 0}), 0.5);
  assert.is(fillOf({waitingBytes: 50, roomBytes: 10, position: 0}), 1);
});

test('the speed of a position that jumps is that of its jumps on average', () => {
  const speed = new Speed(1000);
  for (let second = 1; second <= 60; second += 1) {
    speed.note(1000 + Math.trunc(second / 3) * 3 * MIB, 1);
  }

  assert.ok(speed.bytesPerSecond > 0.3 * MIB && speed.bytesPerSecond < 2 * MIB);
});

test('replay is forced at half of the room, and left to itself again at a quarter', () => {
  const rig = smallRig(0);
  const guard = guardOf(rig, 'block');
  const {shared} = rig.life;
  rig.life.shared.set(WORD.replayPaused, 1);
  guard.step();
  assert.is(shared.get(WORD.spaceShort), 0);
  const roomBytes = rig.files.freeBytes() + rig.life.keeper.spareCount * SEGMENT_BYTES;
  for (let at = 0; at < roomBytes * 0.6; at += 16_384) {
    rig.write(at % MIB, 16_384);
    rig.keep();
  }

  guard.step();
  assert.is(shared.get(WORD.spaceShort), 1);
  assert.is(shared.get(WORD.commitWanted), 1, 'only what is durable is replayed');
  rig.life.shared.set(WORD.replayPaused, 0);
  rig.replay();
  rig.keep();
  guard.step();
  assert.is(shared.get(WORD.spaceShort), 0);
  rig.assertReads();
});

test('a write that is slowed waits for its turn, and for no longer than the bound', () => {
  const rig = new Rig();
  const {shared} = rig.life;
  const throttle = new WriteThrottle(shared, rig.clock);
  assert.ok(throttle.admits());
  shared.set(WORD.writeLimitKib, 1024);
  assert.ok(throttle.admits(), 'a burst passes');
  throttle.spend(MIB);
  assert.not(throttle.admits());
  const parkedMs = throttle.nowMs();
  rig.clock.advance(THROTTLE_DELAY_MS_MAX - 300);
  assert.not(throttle.admits(parkedMs), 'the debt is not paid yet');
  rig.clock.advance(300);
  assert.ok(throttle.admits(parkedMs));
  shared.set(WORD.writeLimitKib, 0);
  assert.ok(throttle.admits());
});

test('throttle: writes are parked and answered in order, reads and flushes go on, all is there', () => {
  const rig = new Rig();
  rig.write(0, 40_000);
  rig.life.shared.set(WORD.writeLimitKib, 64);
  const uniques: number[] = [];
  for (let count = 0; count < 12; count += 1) {
    const [result, unique] = rig.write(count * 8192, 8192);
    assert.ok(result === 0 || result === PENDING);
    if (result === PENDING) uniques.push(unique);
  }

  assert.ok(uniques.length > 5, `${uniques.length} of 12 were slowed`);
  assert.not(rig.writeBatch([[600_000, 4096]]), 'none overtakes them');
  const [flushing, flush] = rig.flush();
  rig.tick(1);
  assert.ok(flushing === 0 || rig.answers.get(flush) === 0);
  rig.until(() => !rig.parked);
  for (const unique of uniques) assert.is(rig.answers.get(unique), -8192);
  const order = uniques.map((unique) => rig.trace.indexOf(`answer ${unique}`));
  assert.equal(
    order,
    order.toSorted((one, other) => one - other),
  );
  rig.assertReads();
  rig.flushed();
  rig.crash();
  rig.assertReads();
});

test('T18 throttle: a writer that is faster than replay is slowed, told since when and why, and let go', () => {
  const rig = smallRig(0);
  const told: (Slowed | undefined)[] = [];
  const guard = guardOf(rig, 'throttle', told);
  let waiting: number[] = [];
  let longestMs = 0;
  const since = new Map<number, number>();
  // Replay is given one step in ten rounds: it is the slower one.
  for (let round = 0; round < 600; round += 1) {
    const offset = (round * 16_384) % MIB;
    if (waiting.length === 0) {
      const [result, unique] = rig.write(offset, 16_384);
      assert.ok(result === 0 || result === PENDING, 'never an error');
      if (result === PENDING) {
        waiting = [unique];
        since.set(unique, rig.clock.monotonicMs());
      }
    }

    rig.life.committer.step();
    rig.life.keeper.step();
    if (round % 10 === 0) rig.life.replayer.step();
    guard.step();
    rig.life.front.afterRequest();
    rig.clock.advance(20);
    waiting = waiting.filter((unique) => !rig.answers.has(unique));
    for (const unique of waiting) {
      longestMs = Math.max(longestMs, rig.clock.monotonicMs() - (since.get(unique) ?? 0));
    }
  }

  const slowed = told.find((one) => one !== undefined);
  assert.match(slowed?.reason ?? '', /% of its room/u);
  assert.match(slowed?.since ?? '', /^\d{4}-/u);
  assert.ok(longestMs <= THROTTLE_DELAY_MS_MAX + 100, `${longestMs} ms`);
  rig.until(() => {
    guard.step();
    return !rig.parked && guard.slowed === undefined;
  });
  assert.is(told.at(-1), undefined);
  assert.is(rig.life.shared.get(WORD.writeLimitKib), 0);
  rig.assertReads();
  rig.replay();
  rig.assertImage();
});

test('a replica that fetches slows the writer before it loses its slot; one that is gone does not', () => {
  const rig = new Rig();
  const guard = guardOf(rig, 'throttle');
  for (let count = 0; count < 40; count += 1) rig.write((count * 16_384) % MIB, 16_384);
  rig.replay();
  const end = rig.life.shared.appended.get();
  guard.tell({position: end - 700_000, capBytes: 1_000_000});
  guard.step();
  assert.match(guard.slowed?.reason ?? '', /slowest replica/u);
  rig.clock.advance(6000);
  guard.step();
  assert.is(guard.slowed, undefined, 'a daemon that says nothing is dead');
  for (let second = 0; second < 12; second += 1) {
    guard.tell({position: end - 650_000, capBytes: 1_000_000});
    guard.step();
    assert.is(guard.slowed !== undefined, second <= 10, `second ${second}`);
    rig.clock.advance(1000);
  }

  guard.tell({position: end - 600_000, capBytes: 1_000_000});
  guard.step();
  assert.ok(guard.slowed, 'it moves again');
  guard.configure('block');
  guard.step();
  assert.is(guard.slowed, undefined);
});

test('writes wait for a dead daemon half a minute, then log kept for others is let go, oldest first', () => {
  const rig = smallRig(0);
  const guard = guardOf(rig, 'block');
  rig.retain(rig.life.shared.appended.get());
  let result = 0;
  for (let count = 0; count < 200 && result !== PENDING; count += 1) {
    [result] = rig.write((count * 16_384) % MIB, 16_384);
    if (result !== PENDING) rig.replay();
    rig.keep();
  }

  assert.is(result, PENDING);
  const step = (seconds: number): void => {
    for (let count = 0; count < seconds; count += 1) {
      rig.tick(500);
      guard.step();
      rig.tick(500);
    }
  };
  step(60);
  assert.is(letGo, 0, 'a daemon that lives decides');
  assert.ok(rig.parked);
  silentMs = 60_000;
  step(3);
  assert.ok(letGo > 0);
  assert.not(rig.parked);
  rig.assertReads();
  rig.flushed();
  rig.files.capacityBytes = Infinity;
  rig.crash();
  rig.assertReads();
});

/** Writes are parked for `seconds`, the keeper has this trouble, and no daemon asks. */
function stuckFor(rig: Rig, guard: SpaceGuard, trouble: number, seconds: number): void {
  silentMs = 60_000;
  const {shared} = rig.life;
  shared.set(WORD.parked, 1);
  shared.set(WORD.keeperTroubled, trouble);
  for (let step = 0; step < seconds * 10; step += 1) {
    guard.step();
    rig.clock.advance(100);
  }
}

test('what is kept for others is let go a file at a time, and the keeper tries between two', () => {
  const rig = smallRig(MIB);
  const guard = guardOf(rig, 'block');
  stuckFor(rig, guard, KEEPER_NO_ROOM, 30);
  assert.is(letGo, 0);
  stuckFor(rig, guard, KEEPER_NO_ROOM, 5);
  assert.is(letGo, 5);
});

test('a log that fails otherwise than for want of room costs no replica its log', () => {
  const rig = smallRig(MIB);
  const guard = guardOf(rig, 'block');
  stuckFor(rig, guard, KEEPER_FAILED, 120);
  assert.is(letGo, 0);
});

test('files that others need the room of are given back, and not kept again for a while', () => {
  const rig = smallRig(100 * MIB);
  for (let count = 0; count < 200; count += 1) {
    rig.write((count * 16_384) % MIB, 16_384);
    rig.until(() => !rig.parked);
    if (count % 40 === 39) rig.replay();
  }

  rig.replay();
  rig.keep();
  const before = rig.files.freeBytes();
  const spares = rig.logNames().filter((name) => name.startsWith('spare-')).length;
  assert.ok(spares > 0);
  rig.life.keeper.trim();
  rig.keep();
  assert.is(rig.logNames().filter((name) => name.startsWith('spare-')).length, 0);
  assert.ok(rig.files.freeBytes() > before);
  rig.write(0, 4096);
  rig.assertReads();
});

test.run();
