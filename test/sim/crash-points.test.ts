/** A death at each crash point of the disk processes, of the process and of the power, in the simulator. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {CrashPoint} from '../../src/core/crash-points.js';
import {pointsOf} from '../daemon/crash/areas.js';
import {describeCrash, drawCrashes} from './crash-sweep.js';
import {runPairScript} from './pair-campaign.js';
import {drawPairScript} from './pair-script.js';

/** Short ones that pass all points together. */
const SEEDS = [4, 5, 6];

test('a death at any crash point of a disk process: judged as all deaths are, and no point is dead', async () => {
  const wanted = new Set<CrashPoint>(pointsOf('simulator'));
  for (const seed of SEEDS) {
    const script = drawPairScript(seed);
    const {passed} = await runPairScript(script);
    for (const crash of drawCrashes(script, passed)) {
      if (!wanted.has(crash.plan.point)) continue;
      const {failure, trace} = await runPairScript(script, crash);
      if (failure === undefined) continue;
      console.log(trace.slice(-40).join('\n'));
      assert.unreachable(`${describeCrash(script, crash)}: ${failure}`);
    }

    for (const point of passed.keys()) wanted.delete(point);
  }

  assert.equal([...wanted], [], 'points that no seed passes');
});

test.run();
