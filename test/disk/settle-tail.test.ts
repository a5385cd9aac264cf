/** Hazards 3 and 19: the end of the log cannot be made durable where it lies, after a kill. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {WORD} from '../../src/disk/shared.js';
import {Rig} from './rig.js';

function currentFile(rig: Rig): string {
  return `log-00000000${rig.life.shared.get(WORD.currentNumber)}-alpha`;
}

function failing(rig: Rig, calls: readonly ('sync' | 'syncData' | 'write')[]): string {
  for (let at = 0; at < 3; at += 1) rig.write(at * 9000, 5000);
  rig.flushed();
  for (let at = 0; at < 6; at += 1) rig.write(at * 7000, 5000);
  const bad = currentFile(rig);
  rig.files.faults.add({path: new RegExp(bad, 'u'), calls: [...calls], kind: 'EIO', count: 99});
  return bad;
}

for (const calls of [['sync', 'syncData'], ['write']] as const) {
  test(`after a kill, ${calls.join(' and ')} of the last file fails: its tail moves`, () => {
    const rig = new Rig();
    const bad = failing(rig, calls);
    rig.kill();
    rig.assertReads('after the kill');
    assert.is.not(currentFile(rig), bad);
    // What was taken over was made durable before anything was answered.
    rig.crash('none');
    rig.assertReads('after power loss');
    rig.write(0, 4096);
    rig.flushed();
    rig.crash('none');
    rig.assertReads('after another power loss');
  });
}

test.run();
