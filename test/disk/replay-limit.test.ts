/** How far replay may go where a history is kept: by time, and by room, which comes first. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {DiskError} from '../../src/core/errors.js';
import {ReplayLimit, segmentsBegun} from '../../src/disk/replay-limit.js';
import {Shared, SHARED_BYTES, WORD} from '../../src/disk/shared.js';
import type {OpenSegment} from '../../src/image/replay.js';
import type {SegmentHeader} from '../../src/log/segment.js';
import {SimClock} from '../sim/sim-clock.js';

interface Rig {
  readonly shared: Shared;
  readonly clock: SimClock;
  readonly limit: ReplayLimit;
}

function rigOf(seconds: number, roomBytes = 1e9): Rig {
  const shared = new Shared(new SharedArrayBuffer(SHARED_BYTES));
  const clock = new SimClock();
  shared.set(WORD.historySeconds, seconds);
  shared.historyRoom.set(roomBytes);
  return {shared, clock, limit: new ReplayLimit(shared, clock)};
}

/** Writes 1000 bytes a second. */
function write({shared, clock, limit}: Rig, seconds: number): void {
  for (let second = 0; second < seconds; second += 1) {
    shared.appended.set(shared.appended.get() + 1000);
    clock.advance(1000);
    limit.position();
  }
}

test('without a history replay goes as far as it likes', () => {
  const rig = rigOf(0);
  write(rig, 100);
  assert.is(rig.limit.position(), Infinity);
});

test('with one it stops where the log is as old as that', () => {
  const rig = rigOf(30);
  write(rig, 20);
  assert.is(rig.limit.position(), 0);
  write(rig, 80);
  const position = rig.limit.position();
  assert.ok(position >= 68_000 && position <= 70_000, String(position));
  assert.is(rig.shared.get(WORD.historyShort), 0);
});

test('where the log has no room for all of it, replay goes on, and it is said', () => {
  const rig = rigOf(1000, 40_000);
  write(rig, 100);
  assert.is(rig.limit.position(), 60_000);
  assert.is(rig.shared.get(WORD.historyShort), 1);
  rig.shared.historyRoom.set(1e9);
  rig.limit.position();
  assert.is(rig.shared.get(WORD.historyShort), 0);
});

test('history gives way where room is short, and where writes wait; not for a file that is on its way', () => {
  const rig = rigOf(1000);
  write(rig, 10);
  rig.shared.set(WORD.parked, 1);
  assert.is(rig.limit.position(), 0);
  rig.clock.advance(500);
  assert.is(rig.limit.position(), 0);
  rig.clock.advance(600);
  assert.is(rig.limit.position(), Infinity);
  rig.shared.set(WORD.parked, 0);
  assert.is(rig.limit.position(), 0);
  rig.shared.set(WORD.spaceShort, 1);
  assert.is(rig.limit.position(), Infinity);
  assert.is(rig.shared.get(WORD.historyShort), 1);
});

test('an image that is no state of the disk yet is not kept from becoming one', () => {
  const rig = rigOf(1000);
  write(rig, 10);
  rig.shared.historyFloor.set(7000);
  assert.is(rig.limit.position(), 7000);
  rig.shared.replayTo.set(8000);
  assert.is(rig.limit.position(), 8000);
});

test('a process that begins anew knows from the segments how old the log is', () => {
  const rig = rigOf(3600);
  const now = rig.clock.wallMs();
  rig.shared.appended.set(9000);
  const old = [1000, 4000, 7000].map((start, at) => {
    return {start, createdMs: now - (3 - at) * 1_500_000};
  });
  rig.limit.seed(old);
  assert.is(rig.limit.position(), 1000);
  rig.clock.advance(1_500_000);
  assert.is(rig.limit.position(), 4000);
});

test('of the log before this process only files are read that replay still needs, and a bad one is left out', () => {
  const shared = new Shared(new SharedArrayBuffer(SHARED_BYTES));
  const [closed, needed, bad, last] = [11, 12, 13, 14];
  for (const [at, fd] of [closed, needed, bad, last].entries()) {
    shared.pushSegment(at + 1, fd, at * 1000);
  }

  const asked: number[] = [];
  const host = {
    readHeader: ({fd, start}: OpenSegment): SegmentHeader => {
      asked.push(fd);
      if (fd === bad) throw new DiskError('LOG_CORRUPT', 'a header that cannot be read');
      return {start, createdMs: start + 5} as SegmentHeader;
    },
  };
  assert.equal(segmentsBegun(shared, host, 1000), [
    {start: 1000, createdMs: 1005},
    {start: 3000, createdMs: 3005},
  ]);
  assert.equal(asked, [last, bad, needed]);
  assert.equal(segmentsBegun(new Shared(new SharedArrayBuffer(SHARED_BYTES)), host, 0), []);
});

test.run();
