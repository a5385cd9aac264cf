/** The short form of `npm run torture`: one seed, two nodes, a minute of faults. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {torture} from '../torture/torture.js';

const SEED = 11;

test(`two nodes with databases under the faults of seed ${SEED}: equal images, nothing acknowledged is lost`, async () => {
  const log = (text: string): void => {
    process.stdout.write(`\n  ${text}`);
  };
  const {signal} = new AbortController();
  const options = {seed: SEED, minutes: 0.6, nodes: 2, judgeMs: 20_000, log, signal};
  assert.ok((await torture(options)) > 3);
});

test.run();
