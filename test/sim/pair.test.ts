/** The simulator of several nodes in CI: seeds that always run, and kept scripts that once failed. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fs from 'node:fs';
import {join} from 'node:path';
import {runPairScript, type PairOutcome} from './pair-campaign.js';
import {drawPairScript, type PairScript} from './pair-script.js';

const FIXED_SEEDS = 20;
const KEPT = join(import.meta.dirname, '../../fixtures/seeds');

async function judge(script: PairScript, name: string): Promise<PairOutcome> {
  const outcome = await runPairScript(script);
  if (outcome.failure !== undefined) {
    console.log(outcome.trace.slice(-40).join('\n'));
    console.log(outcome.stack);
    const repeat = `npm run sim -- --pair --seed ${script.seed}`;
    assert.unreachable(`${name}: ${outcome.failure}; repeat: ${repeat}`);
  }

  return outcome;
}

test('the same seed does the same thing, call for call', async () => {
  const first = await runPairScript(drawPairScript(5));
  const second = await runPairScript(drawPairScript(5));
  assert.equal(first.trace, second.trace);
  assert.equal(first.statistics, second.statistics);
});

for (const file of fs.readdirSync(KEPT).sort()) {
  if (!file.startsWith('pair-')) continue;
  test(`what ${file} found stays mended`, async () => {
    const text = fs.readFileSync(join(KEPT, file), 'utf8');
    const {script} = JSON.parse(text) as {script: PairScript};
    await judge(script, file);
  });
}

test(`seeds 1 to ${FIXED_SEEDS} pass, and contain what they are there for`, async () => {
  const totals = {
    deaths: 0,
    faults: 0,
    batches: 0,
    cuts: 0,
    forks: 0,
    forced: 0,
    handovers: 0,
    partitions: 0,
    synchronous: 0,
  };
  for (let seed = 1; seed <= FIXED_SEEDS; seed += 1) {
    const {statistics} = await judge(drawPairScript(seed), `seed ${seed}`);
    for (const key of Object.keys(totals) as (keyof typeof totals)[]) {
      totals[key] += statistics[key];
    }
  }

  for (const [key, count] of Object.entries(totals)) assert.ok(count > 0, key);
});

test.run();
