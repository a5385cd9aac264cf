/** Requests that find no room, at the moments where that is easily forgotten. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {PENDING} from '../../src/fuse/handler.js';
import {Rig} from './rig.js';

for (const offset of [1001, 4096 + 4095, 3, 512]) {
  test(`a ragged write at ${offset} that the log has no room for keeps its bytes`, () => {
    const rig = new Rig();
    rig.write(0, 40_000);
    rig.files.faults.add({path: /log-/u, calls: ['write'], kind: 'ENOSPC', count: 2});
    const [result, unique] = rig.write(offset, 9000);
    assert.is(result, PENDING);
    rig.until(() => rig.answers.has(unique));
    assert.is(rig.answers.get(unique), -9000);
    rig.assertReads();
    rig.replay();
    rig.assertImage();
  });
}

/** A disk whose image has all its space, on a file system that its log fills: a request is parked. */
function fillWithLog(rig: Rig): void {
  for (let at = 0; at < rig.model.length; at += 16_384) rig.write(at, 16_384);
  rig.until(() => !rig.parked);
  rig.replay();
  rig.keep();
  rig.files.capacityBytes = rig.files.usedBytes() + 300 * 1024;
  let result = 0;
  for (let count = 0; result !== PENDING; count += 1) {
    const before = Buffer.from(rig.model);
    [result] =
      count % 4 === 3 ? rig.zero(count * 5000, 10_000) : rig.write((count % 30) * 16_384, 16_384);
    if (result === PENDING) before.copy(rig.model);
    rig.keep();
  }
}

test('killed while its own log fills the file system, a disk starts: replay makes room first', () => {
  const rig = new Rig();
  fillWithLog(rig);
  assert.ok(rig.life.shared.segmentEnd > 2);
  for (let round = 0; round < 3; round += 1) {
    rig.kill();
    rig.assertReads(`round ${round}`);
    rig.write(700_000, 5000);
    rig.until(() => !rig.parked);
    rig.assertReads(`round ${round}`);
  }

  rig.flushed();
  rig.crash('none');
  rig.assertReads('after power loss');
  rig.replay();
  rig.assertImage();
});

test('where replay is paused there is no room to be made: it says so, and loses nothing', () => {
  const rig = new Rig();
  fillWithLog(rig);
  const {capacityBytes} = rig.files;
  Object.assign(rig.config.resource, {replayPaused: true});
  const kill = (): void => {
    rig.kill();
  };
  assert.throws(kill, (error: unknown) => isDiskError(error, 'LOG_SPACE'));
  assert.throws(kill, (error: unknown) => isDiskError(error, 'LOG_SPACE'));
  rig.files.capacityBytes = capacityBytes + 200 * 1024;
  rig.kill();
  rig.assertReads();
});

test.run();
