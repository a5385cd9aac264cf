/**
 * npm run sim -- --seeds 1000 [--start S]   seeds S, S + 1, ...; stops at the first that fails
 * npm run sim -- --seed S                   one seed, exactly, with its trace
 * npm run sim -- --file F                   a kept script of fixtures/seeds
 * npm run sim -- --pair ...                 the same with several nodes that replicate one disk
 *
 * npm run sim -- --pair --crash all ...     each seed once more for each crash point that it passes
 * npm run sim -- --pair --seed S --crash NAME[@FILE][:N] --death kill|power
 *
 * A failing seed is shrunk, printed with its trace, and kept with --keep.
 */
import fs from 'node:fs';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {parseCrashPlan} from '../../src/core/crash-points.js';
import {runScript, shrinkScript} from './campaign.js';
import {sweepCrashes} from './crash-sweep.js';
import {runPairScript, shrinkPairScript, type PairCrash} from './pair-campaign.js';
import {drawPairScript, type PairScript} from './pair-script.js';
import {drawScript, type Script} from './script.js';

const {values} = parseArgs({
  options: {
    seeds: {type: 'string', default: '100'},
    start: {type: 'string', default: '1'},
    seed: {type: 'string'},
    file: {type: 'string'},
    pair: {type: 'boolean', default: false},
    keep: {type: 'boolean', default: false},
    all: {type: 'boolean', default: false},
    /** The first failure is enough: no shrinking. */
    first: {type: 'boolean', default: false},
    crash: {type: 'string'},
    death: {type: 'string', default: 'kill'},
  },
});

type AnyScript = Script | PairScript;

interface AnyOutcome {
  readonly failure: string | undefined;
  readonly stack: string | undefined;
  readonly trace: readonly string[];
  readonly statistics: object;
}

function draw(seed: number): AnyScript {
  return values.pair ? drawPairScript(seed) : drawScript(seed);
}

async function run(script: AnyScript): Promise<AnyOutcome> {
  if (values.crash !== undefined && 'pair' in script) return runPairScript(script, crashWished());
  return 'pair' in script ? runPairScript(script) : runScript(script);
}

async function shrink(script: AnyScript, limitMs: number): Promise<AnyScript> {
  return 'pair' in script ? shrinkPairScript(script, limitMs) : shrinkScript(script, limitMs);
}

function report(script: AnyScript, outcome: AnyOutcome): void {
  console.log(outcome.trace.join('\n'));
  console.log(outcome.failure === undefined ? 'passed' : `FAILED: ${outcome.failure}`);
  if (outcome.stack !== undefined) console.log(outcome.stack);
  console.log(JSON.stringify(outcome.statistics));
  console.log(JSON.stringify(script.config));
}

async function fail(script: AnyScript, first: AnyOutcome): Promise<void> {
  console.log(`seed ${script.seed} FAILED: ${first.failure ?? ''}; shrinking ...`);
  const small = await shrink(script, 60_000);
  console.log(`${script.steps.length} steps shrunk to ${small.steps.length}:`);
  report(small, await run(small));
  const kind = values.pair ? 'pair' : 'seed';
  if (values.keep) {
    const directory = join(import.meta.dirname, '../../fixtures/seeds');
    const path = join(directory, `${kind}-${script.seed}.json`);
    fs.mkdirSync(directory, {recursive: true});
    fs.writeFileSync(path, `${JSON.stringify({failure: first.failure, script: small}, null, 1)}\n`);
    console.log(`kept as ${path}`);
  }

  console.log(`repeat: npm run sim -- ${values.pair ? '--pair ' : ''}--seed ${script.seed}`);
}

async function runSeeds(start: number, count: number): Promise<void> {
  const totals: Record<string, number> = {};
  const began = Date.now();
  const failed: number[] = [];
  for (let seed = start; seed < start + count; seed += 1) {
    const script = draw(seed);
    const outcome = await run(script);
    for (const [key, value] of Object.entries(outcome.statistics) as [string, number][]) {
      const before = totals[key] ?? 0;
      totals[key] = key.startsWith('longest') ? Math.max(before, value) : before + value;
    }

    if (outcome.failure === undefined) continue;
    failed.push(seed);
    process.exitCode = 1;
    if (values.all || values.first) console.log(`seed ${seed} FAILED: ${outcome.failure}`);
    if (values.first) break;
    if (!values.all) {
      await fail(script, outcome);
      break;
    }
  }

  const seconds = ((Date.now() - began) / 1000).toFixed(1);
  console.log(`${count} seeds from ${start}, ${failed.length} failed, ${seconds} s`);
  console.log(inWords(totals));
  console.log(JSON.stringify(totals));
}

/** What the seeds contained together. */
function inWords(totals: Readonly<Record<string, number>>): string {
  const {simulatedMs = 0, deaths = 0, kills = 0, powerLosses = 0, faults = 0} = totals;
  const {partitions = 0, forced = 0, handovers = 0, forks = 0, longestRestMs = 0} = totals;
  const hours = (simulatedMs / 3_600_000).toFixed(1);
  const words = [`${hours} simulated hours`, `${deaths + kills + powerLosses} crashes`];
  words.push(`${faults} faults`);
  if (values.pair) {
    words.push(`${partitions} partitions`, `${forced + handovers} failovers, ${forced} by force`);
    words.push(`${forks} forks`, `at rest after ${longestRestMs / 1000} s at most`);
  }

  return words.join(', ');
}

function crashWished(): PairCrash {
  const plan = parseCrashPlan(values.crash ?? '');
  if (plan === undefined) throw new Error(`no crash point: ${values.crash ?? ''}`);
  return {plan, death: values.death === 'power' ? 'power' : 'kill'};
}

async function runCrashes(start: number, count: number): Promise<void> {
  for (let seed = start; seed < start + count; seed += 1) {
    const failures = await sweepCrashes(drawPairScript(seed));
    for (const failure of failures) console.log(failure);
    if (failures.length > 0) process.exitCode = 1;
    if (failures.length > 0 && !values.all) break;
  }
}

async function runOne(script: AnyScript): Promise<void> {
  const outcome = await run(script);
  report(script, outcome);
  process.exitCode = outcome.failure === undefined ? 0 : 1;
}

if (values.file !== undefined) {
  const {script} = JSON.parse(fs.readFileSync(values.file, 'utf8')) as {script: AnyScript};
  await runOne(script);
} else if (values.crash === 'all') {
  await runCrashes(Number(values.start), Number(values.seeds));
} else if (values.seed !== undefined) {
  await runOne(draw(Number(values.seed)));
} else {
  await runSeeds(Number(values.start), Number(values.seeds));
}
