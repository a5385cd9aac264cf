/** `when-full=bypass`: writes past a log without room, and the way back (decision 12). */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {activate} from '../../src/disk/activation.js';
import {BypassGuard} from '../../src/disk/bypass-guard.js';
import {BYPASS_RESERVE} from '../../src/disk/bypass-leave.js';
import {activateFollow} from '../../src/disk/follow-activation.js';
import {COMMAND, KEEPER_NO_ROOM, Shared, SHARED_BYTES, WORD} from '../../src/disk/shared.js';
import {ERRNO, PENDING} from '../../src/fuse/handler.js';
import {RecordCursor} from '../../src/log/cursor.js';
import {decodeGap, GAP_BYTES} from '../../src/log/gap.js';
import {RECORD} from '../../src/log/record.js';
import {SEGMENT_HEADER_BYTES} from '../../src/log/segment.js';
import {BypassRig} from './bypass-rig.js';
import {PATHS, Rig} from './rig.js';

const SIZE_BYTES = 24 * 1024 * 1024;

test('a log without room is passed by when all of it is in the image, and left behind a GAP', () => {
  const rig = new BypassRig();
  rig.enter();
  const {position} = rig.life.front.log;
  const {epoch} = rig.life.disk;
  assert.equal(rig.state()?.period?.position, position);
  rig.write(300_001, 70_000);
  rig.zero(20_000, 30_000);
  rig.zero(610_000, 3000, false);
  assert.is(rig.writeBatch([[4096, 4096]]), false, 'each by itself');
  rig.flushed();
  rig.assertReads('inside');
  rig.assertImage();
  assert.is(rig.life.front.log.position, position, 'nothing is appended');

  rig.leave();
  assert.not.ok(rig.isInside);
  rig.assertReads('behind it');
  assert.is(rig.state()?.state, 'open');
  assert.is(rig.state()?.gapEnd, rig.life.front.log.position);
  assert.is(rig.life.shared.replayed.get(), rig.life.front.log.position, 'copies begin behind it');
  const gap = firstRecord(rig);
  assert.is(gap.type, RECORD.gap);
  // A record that found no room may be there all the same: it is older than all that went past the log.
  assert.ok(gap.position >= position);
  assert.is(gap.payload?.epoch, epoch);
  assert.is(gap.payload?.position, position);
  assert.is(gap.logicalLength, 8 * 1024 * 1024, 'regions are marked some at a time');

  rig.write(0, 9000);
  rig.flushed();
  rig.crash('none');
  rig.assertReads('the log goes on');
  rig.replay();
  rig.assertImage();
});

/** Of the segment that is written to now. */
function firstRecord(rig: Rig): {
  type: number;
  position: number;
  logicalLength: number;
  payload: ReturnType<typeof decodeGap>;
} {
  const {header} = rig.life.disk.writer;
  assert.ok(header);
  const name = rig.logNames().find((one) => one.includes(String(header.number).padStart(9, '0')));
  const fd = rig.files.open(`${PATHS.logDirectory}/${name ?? ''}`, 'read');
  const cursor = new RecordCursor(rig.files);
  cursor.open(fd, header, header.start, header.chain, Infinity);
  assert.ok(cursor.next());
  const payload = Buffer.alloc(GAP_BYTES);
  const at = SEGMENT_HEADER_BYTES + cursor.payloadPosition - header.start;
  rig.files.read(fd, payload, 0, GAP_BYTES, at);
  const {type, position, logicalLength} = cursor.record;
  return {type, position, logicalLength, payload: decodeGap(payload)};
}

test('what is acknowledged inside survives kills, what is flushed survives power loss, again and again', () => {
  const rig = new BypassRig({sizeBytes: SIZE_BYTES, seed: 3});
  for (let round = 0; round < 4; round += 1) {
    rig.enter();
    rig.write(10_000_000 + round * 3000, 50_000);
    rig.zero(round * 2_000_000, 1_500_000);
    if (round % 2 === 0) rig.flushed();
    rig.giveRoom();
    if (round % 2 === 0) rig.crash('none');
    else rig.kill();
    rig.assertReads(`round ${round}`);
    assert.is(rig.state()?.state, 'open');
    rig.until(() => rig.guard.isReady);
  }

  rig.flushed();
  rig.replay();
  rig.assertImage();
});

test('the bits are durable before the image is touched', () => {
  const rig = new BypassRig({sizeBytes: SIZE_BYTES});
  rig.enter();
  rig.trace = [];
  rig.write(20_000_000, 4096);
  rig.write(20_100_000, 4096);
  assert.equal(rig.trace, ['write bypass', 'syncData bypass', 'write image', 'write image']);
  rig.giveRoom();
  rig.files.crash({mode: 'none', cut: 0, keepProbability: 0, tearProbability: 0});
  assert.ok(rig.isMarked(20_000_000));
  assert.not.ok(rig.isMarked(12_000_000));
});

test('a start without room takes the file that was kept for it, whatever killed the life before', () => {
  for (const death of ['kill', 'power'] as const) {
    const rig = new BypassRig();
    for (let at = 0; at < rig.model.length; at += 32_768) {
      rig.write(at, 32_768);
      rig.until(() => !rig.parked);
    }

    rig.enter();
    rig.write(100_000, 60_000);
    rig.flushed();
    // Overwriting takes no room here, new files do: none can be made.
    rig.giveRoom();
    const current = rig.life.shared.get(WORD.currentNumber);
    const isReady = (name: string): boolean => Number(/^log-(\d{9})-/u.exec(name)?.[1]) > current;
    for (const name of rig.logNames().filter((one) => one.startsWith('spare') || isReady(one))) {
      rig.files.unlink(`${PATHS.logDirectory}/${name}`);
    }

    rig.files.syncDirectory(PATHS.logDirectory);
    assert.ok(rig.logNames().includes(BYPASS_RESERVE));
    rig.files.capacityBytes = rig.files.usedBytes() + 64 * 1024;
    if (death === 'kill') rig.kill();
    else rig.crash('none');
    assert.not.ok(rig.logNames().includes(BYPASS_RESERVE));
    rig.assertReads(death);
    for (let at = 0; at < 900_000; at += 20_000) {
      rig.write(at, 20_000);
      rig.until(() => !rig.parked);
    }

    rig.assertReads('two files are enough to go on');
  }
});

test('it is not entered while the log has something that the image has not, or is kept for somebody', () => {
  const rig = new BypassRig({retainFrom: 0});
  rig.write(0, 40_000);
  rig.takeRoom();
  rig.write(8192, 4096);
  for (let count = 0; count < 100; count += 1) rig.tick(200);
  assert.not.ok(rig.isInside);
  rig.life.shared.set(WORD.command, COMMAND.bypass);
  rig.life.shared.set(WORD.synchronous, 1);
  rig.life.front.afterRequest();
  assert.is(rig.life.shared.get(WORD.commandResult), 0, 'flushes wait for replicas');
  rig.life.shared.set(WORD.synchronous, 0);
  rig.retain(Infinity);
  rig.until(() => rig.isInside);
  rig.assertReads();

  const paused = new BypassRig();
  paused.life.shared.set(WORD.replayPaused, 1);
  paused.write(0, 40_000);
  paused.takeRoom();
  paused.write(8192, 4096);
  for (let count = 0; count < 100; count += 1) paused.tick(200);
  assert.not.ok(paused.isInside);
  assert.ok(paused.parked);
  paused.life.shared.set(WORD.command, COMMAND.bypass);
  paused.life.front.afterRequest();
  assert.not.ok(paused.isInside, 'nor where somebody only says so');
});

test('without a map, or one for a smaller disk, writes wait as ever', () => {
  const rig = new BypassRig();
  rig.write(0, 40_000);
  rig.flushed();
  rig.replay();
  rig.files.unlink(PATHS.bypassFile);
  rig.takeRoom();
  rig.write(8192, 4096);
  for (let count = 0; count < 100; count += 1) rig.tick(200);
  assert.not.ok(rig.isInside);
  assert.ok(rig.parked);
});

test('a map that cannot be written is not entered; where it may say so all the same this life writes nothing more', () => {
  const prepared = (): BypassRig => {
    const rig = new BypassRig();
    rig.write(0, 40_000);
    rig.flushed();
    rig.replay();
    rig.takeRoom();
    rig.write(8192, 4096);
    rig.life.shared.set(WORD.command, COMMAND.bypass);
    return rig;
  };
  for (const [calls, after] of [
    ['syncData', 0],
    ['syncData', 1],
    ['write', 1],
  ] as const) {
    const rig = prepared();
    rig.files.faults.add({path: /bypass$/u, calls: [calls], kind: 'ENOSPC', after});
    rig.life.front.afterRequest();
    assert.is(rig.life.shared.get(WORD.commandResult), 0);
    assert.not.ok(rig.isInside);
    assert.is(rig.state()?.state, 'open', `${calls} ${after}`);
    rig.giveRoom();
    rig.until(() => !rig.parked);
    rig.kill();
    rig.assertReads('the log has all of it');
  }

  const rig = prepared();
  rig.files.faults.add({path: /bypass$/u, calls: ['syncData'], kind: 'EIO', after: 2});
  assert.throws(() => {
    rig.life.front.afterRequest();
  }, /EIO/u);
  assert.is(rig.state()?.state, 'bypassed');
  rig.giveRoom();
  rig.kill();
  // What was not answered is asked for again.
  rig.write(8192, 4096);
  rig.flushed();
  rig.kill();
  rig.assertReads('as the next life has it');
});

test('where it is not entered although all is there it is asked for now and then, not at once again', () => {
  const rig = new BypassRig();
  let asked = 0;
  const {files, clock, life} = rig;
  const guard = new BypassGuard({
    ...{files, clock, shared: life.shared, paths: PATHS, plan: life.disk.plan},
    enter: () => {
      asked += 1;
      // As where nothing is handed to the front.
      if (asked < 100) guard.step();
    },
    leave: () => undefined,
  });
  guard.want(true);
  guard.prepareNow();
  rig.write(0, 40_000);
  rig.flushed();
  rig.replay();
  rig.takeRoom();
  rig.write(8192, 4096);
  rig.guard.want(false);
  rig.life.shared.set(WORD.keeperTroubled, KEEPER_NO_ROOM);
  guard.prepareNow();
  const startMs = clock.monotonicMs();
  while (clock.monotonicMs() - startMs < 30_000) {
    clock.advance(500);
    guard.step();
  }

  assert.is(asked, 3);
});

test('an image without room makes writes wait, not fail; one that fails makes them fail', () => {
  const rig = new BypassRig();
  rig.enter();
  rig.files.faults.add({path: /image$/u, calls: ['write'], kind: 'ENOSPC', count: 3});
  const [result, unique] = rig.write(50_000, 4096);
  assert.is(result, PENDING);
  rig.until(() => rig.answers.has(unique));
  assert.is(rig.answers.get(unique), -4096);
  rig.assertReads();
  rig.files.faults.add({path: /image$/u, calls: ['write'], kind: 'EIO'});
  assert.is(rig.life.front.write(0, 4096, Buffer.alloc(16_384), 8192, 999, 0), ERRNO.EIO);
});

test('after a sync of the image that failed no flush is told that all is well', () => {
  const rig = new BypassRig();
  rig.enter();
  rig.write(50_000, 4096);
  rig.files.faults.add({path: /image$/u, calls: ['syncData'], kind: 'EIO'});
  assert.is(rig.flush()[0], ERRNO.EIO);
  assert.is(rig.flush()[0], ERRNO.EIO);
  assert.is(rig.life.front.write(0, 4096, Buffer.alloc(16_384), 8192, 999, 0), ERRNO.EIO);
});

test('a sync of the image that fails is not forgotten by the next life, which writes again what it was for', () => {
  // In the front, and at the start of the life behind it.
  for (const isInside of [true, false]) {
    const rig = new BypassRig();
    rig.enter();
    rig.write(50_000, 4096);
    rig.zero(610_000, 3000);
    rig.giveRoom();
    rig.files.faults.add({path: /image$/u, calls: ['syncData'], kind: 'EIO'});
    if (isInside) {
      assert.is(rig.flush()[0], ERRNO.EIO);
      rig.kill();
    } else {
      assert.throws(() => {
        rig.kill();
      }, /EIO/u);
      rig.begin();
    }

    rig.assertReads('as it was written');
    rig.flushed();
    rig.crash('none');
    rig.assertReads(isInside ? 'failed inside' : 'failed at the start');
  }
});

test('with durability `write` each one is in the image durably before it is answered', () => {
  const rig = new BypassRig({durability: 'write'});
  const [, first] = rig.write(0, 40_000);
  rig.until(() => rig.answers.has(first));
  rig.takeRoom();
  const [, unique] = rig.write(8192, 4096);
  rig.until(() => rig.answers.has(unique));
  assert.ok(rig.isInside);
  assert.is(rig.write(100_000, 8192)[0], 0);
  rig.giveRoom();
  rig.crash('none');
  rig.assertReads();
});

test('while the log does not say so, image and log are not taken for the disk: nobody follows or replays with them', () => {
  const rig = new BypassRig();
  rig.enter();
  rig.write(100_000, 60_000);
  rig.files.kill();
  rig.giveRoom();
  const {files, clock, config} = rig;
  const common = {files, clock, config, acceptImage: false};
  const newShared = (): Shared => new Shared(new ArrayBuffer(SHARED_BYTES));
  const isRefused = (error: unknown): boolean => isDiskError(error, 'BYPASS_NOT_LEFT');
  assert.throws(() => activate({...common, shared: newShared(), serve: false}), isRefused);
  assert.throws(() => activateFollow({...common, shared: newShared()}), isRefused);
  rig.begin();
  rig.assertReads();
  rig.files.kill();
  activate({...common, shared: newShared(), serve: false});
});

test('a replay state of another image is not believed: sealed records never come over newer blocks', () => {
  const rig = new BypassRig();
  const before = Buffer.from(rig.files.peek(PATHS.replayFile, 0, 8192));
  rig.enter();
  rig.files.kill();
  rig.giveRoom();
  const fd = rig.files.open(PATHS.replayFile, 'write');
  rig.files.write(fd, before, 0, before.length, 0);
  assert.throws(
    () => {
      rig.begin();
    },
    (error: unknown) => isDiskError(error, 'STATE_UNREADABLE'),
  );
});

test('inside the log is not rotated and the disk not resized', () => {
  const rig = new BypassRig();
  rig.enter();
  for (const [command, argument] of [
    [COMMAND.rotate, 0],
    [COMMAND.resize, 2 ** 21],
  ] as const) {
    rig.life.shared.commandArgument.set(argument);
    rig.life.shared.set(WORD.command, command);
    rig.life.front.afterRequest();
    assert.is(rig.life.shared.get(WORD.commandResult), 0);
  }
});

test('where it is not wished for any more the file that was kept is given back', () => {
  const rig = new BypassRig();
  assert.ok(rig.logNames().includes(BYPASS_RESERVE));
  rig.guard.want(false);
  assert.not.ok(rig.logNames().includes(BYPASS_RESERVE));
});

test.run();
