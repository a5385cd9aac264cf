/** The simulator in CI: seeds that always run, kept scripts that once failed, and fresh seeds. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import {join} from 'node:path';
import {runScript} from './campaign.js';
import {drawScript, type Script} from './script.js';

const FIXED_SEEDS = 40;
const FRESH_SEEDS = 30;
const KEPT = join(import.meta.dirname, '../../fixtures/seeds');

function judge(script: Script, name: string): ReturnType<typeof runScript> {
  const outcome = runScript(script);
  if (outcome.failure !== undefined) {
    console.log(outcome.trace.slice(-40).join('\n'));
    console.log(outcome.stack);
    assert.unreachable(`${name}: ${outcome.failure}; repeat: npm run sim -- --seed ${script.seed}`);
  }

  return outcome;
}

test('the same seed does the same thing, call for call', () => {
  const [first, second] = [runScript(drawScript(5)), runScript(drawScript(5))];
  assert.equal(first.trace, second.trace);
  assert.equal(first.statistics, second.statistics);
});

for (const file of fs.existsSync(KEPT) ? fs.readdirSync(KEPT).sort() : []) {
  // Those with several nodes are for pair.test.ts.
  if (file.startsWith('pair-')) continue;
  test(`what ${file} found stays mended`, () => {
    const {script} = JSON.parse(fs.readFileSync(join(KEPT, file), 'utf8')) as {script: Script};
    judge(script, file);
  });
}

test(`seeds 1 to ${FIXED_SEEDS} pass, and contain what they are there for`, () => {
  const totals = {
    kills: 0,
    powerLosses: 0,
    deathsInRecovery: 0,
    faults: 0,
    batches: 0,
    rotations: 0,
    slowed: 0,
  };
  for (let seed = 1; seed <= FIXED_SEEDS; seed += 1) {
    const {statistics} = judge(drawScript(seed), `seed ${seed}`);
    for (const key of Object.keys(totals) as (keyof typeof totals)[]) {
      totals[key] += statistics[key];
    }
  }

  for (const [key, count] of Object.entries(totals)) assert.ok(count > 0, key);
});

/** Another one for each commit, so that a run that failed can be repeated; any without one. */
function freshSeed(): number {
  try {
    const head = execFileSync('git', ['rev-parse', 'HEAD'], {encoding: 'utf8', stdio: 'pipe'});
    return Number.parseInt(head.slice(0, 7), 16);
  } catch {
    return Math.floor(Date.now() / 1000);
  }
}

test('fresh seeds pass', () => {
  const start = freshSeed();
  console.log(`fresh seeds from ${start}`);
  for (let seed = start; seed < start + FRESH_SEEDS; seed += 1) {
    judge(drawScript(seed), `seed ${seed}`);
  }
});

test.run();
