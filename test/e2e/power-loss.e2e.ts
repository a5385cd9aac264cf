/** Power loss for real, a few seeds: the home of a node lies on a file system that forgets. All: npm run power-loss. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {losePower} from '../power-loss/rig.js';

/** Seed and how often the power is cut. */
const RUNS = [
  [1, 2],
  [2, 1],
] as const;
const PIECES_LEAST = 8;

for (const [seed, losses] of RUNS) {
  test(`after power losses of seed ${seed} SQLite and fsynced lines have all that was acknowledged`, async () => {
    const {pieces, output} = await losePower({seed, losses, piecesLeast: PIECES_LEAST});
    assert.ok(pieces >= 2 * losses * PIECES_LEAST, String(pieces));
    assert.is(output.match(/^\.power-loss-\d/gmu)?.length, losses);
  });
}

test.run();
