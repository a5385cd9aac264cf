/** The sealer on logs that this life did not write. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {WORD} from '../../src/disk/shared.js';
import {Rig} from './rig.js';

test('a segment larger than those of today gets its index', () => {
  const rig = new Rig({segmentBytes: 1024 * 1024});
  rig.life.shared.set(WORD.replayPaused, 1);
  for (let count = 0; count < 300; count += 1) rig.write((count % 250) * 4096, 4096);
  rig.kill();
  Object.assign(rig.config.resource, {segmentBytes: 128 * 1024});
  rig.kill();
  rig.life.shared.set(WORD.replayPaused, 1);
  for (let count = 0; count < 300; count += 1) rig.tick(100);
  assert.ok(rig.logNames().some((name) => name.endsWith('.idx')));
  rig.assertReads();
  rig.kill();
  rig.assertReads('by the index file');
});

test.run();
