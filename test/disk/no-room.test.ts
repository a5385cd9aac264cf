/** Requests that find no room, at the moments where that is easily forgotten. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {WORD} from '../../src/disk/shared.js';
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

test('killed while its own log fills the file system, a disk starts: replay makes room first', () => {
  const rig = new Rig();
  rig.write(500_000, 3000);
  rig.flushed();
  rig.files.capacityBytes = rig.files.usedBytes() + 300 * 1024;
  let parked = false;
  for (let count = 0; !parked; count += 1) {
    const before = Buffer.from(rig.model);
    parked = rig.write((count % 30) * 16_384, 16_384)[0] === PENDING;
    if (parked) before.copy(rig.model);
    else if (count % 4 === 0) rig.zero(count * 5000, 10_000);
    rig.keep();
  }

  assert.ok(rig.life.shared.segmentEnd > 2);
  for (let round = 0; round < 3; round += 1) {
    rig.kill();
    rig.assertReads(`round ${round}`);
    rig.write(700_000, 5000);
    rig.until(() => !rig.parked);
    rig.assertReads(`round ${round}`);
  }

  rig.crash('none');
  rig.replay();
  rig.keep();
});

test('where replay is paused there is no room to be made: it says so, and changes nothing', () => {
  const rig = new Rig();
  rig.life.shared.set(WORD.replayPaused, 1);
  rig.files.capacityBytes = rig.files.usedBytes();
  for (let count = 0; rig.write((count % 30) * 16_384, 16_384)[0] !== PENDING; count += 1) {
    rig.keep();
  }

  Object.assign(rig.config.resource, {replayPaused: true});
  assert.throws(
    () => {
      rig.kill();
    },
    (error: unknown) => isDiskError(error, 'LOG_SPACE'),
  );
});

test.run();
