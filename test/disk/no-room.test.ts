/** Requests that find no room, at the moments where that is easily forgotten. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
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

test.run();
