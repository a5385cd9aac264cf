/**
 * npm run sim -- --seeds 1000 [--start S]   seeds S, S + 1, ...; stops at the first that fails
 * npm run sim -- --seed S                   one seed, exactly, with its trace
 * npm run sim -- --file F                   a kept script of fixtures/seeds
 *
 * A failing seed is shrunk, printed with its trace, and kept with --keep.
 */
import fs from 'node:fs';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {runScript, shrinkScript, type Outcome} from './campaign.js';
import {drawScript, type Script} from './script.js';
import type {WorldStatistics} from './statistics.js';

const {values} = parseArgs({
  options: {
    seeds: {type: 'string', default: '100'},
    start: {type: 'string', default: '1'},
    seed: {type: 'string'},
    file: {type: 'string'},
    keep: {type: 'boolean', default: false},
    all: {type: 'boolean', default: false},
    /** The first failure is enough: no shrinking. */
    first: {type: 'boolean', default: false},
  },
});

function report(script: Script, outcome: Outcome): void {
  console.log(outcome.trace.join('\n'));
  console.log(outcome.failure === undefined ? 'passed' : `FAILED: ${outcome.failure}`);
  if (outcome.stack !== undefined) console.log(outcome.stack);
  console.log(JSON.stringify(outcome.statistics));
  console.log(JSON.stringify(script.config));
}

function fail(script: Script, first: Outcome): void {
  console.log(`seed ${script.seed} FAILED: ${first.failure ?? ''}; shrinking ...`);
  const small = shrinkScript(script, 60_000);
  console.log(`${script.steps.length} steps shrunk to ${small.steps.length}:`);
  report(small, runScript(small));
  if (values.keep) {
    const path = join(import.meta.dirname, '../../fixtures/seeds', `seed-${script.seed}.json`);
    fs.mkdirSync(join(path, '..'), {recursive: true});
    fs.writeFileSync(path, `${JSON.stringify({failure: first.failure, script: small}, null, 1)}\n`);
    console.log(`kept as ${path}`);
  }

  console.log(`repeat: npm run sim -- --seed ${script.seed}`);
}

function runSeeds(start: number, count: number): void {
  const totals: Record<string, number> = {};
  const began = Date.now();
  const failed: number[] = [];
  for (let seed = start; seed < start + count; seed += 1) {
    const script = drawScript(seed);
    const outcome = runScript(script);
    for (const [key, value] of Object.entries(outcome.statistics) as [
      keyof WorldStatistics,
      number,
    ][]) {
      totals[key] = (totals[key] ?? 0) + value;
    }

    if (outcome.failure === undefined) continue;
    failed.push(seed);
    process.exitCode = 1;
    if (values.all || values.first) console.log(`seed ${seed} FAILED: ${outcome.failure}`);
    if (values.first) break;
    if (!values.all) {
      fail(script, outcome);
      break;
    }
  }

  const seconds = ((Date.now() - began) / 1000).toFixed(1);
  console.log(`${count} seeds from ${start}, ${failed.length} failed, ${seconds} s`);
  console.log(JSON.stringify(totals));
}

if (values.file !== undefined) {
  const {script} = JSON.parse(fs.readFileSync(values.file, 'utf8')) as {script: Script};
  const outcome = runScript(script);
  report(script, outcome);
  process.exitCode = outcome.failure === undefined ? 0 : 1;
} else if (values.seed !== undefined) {
  const script = drawScript(Number(values.seed));
  const outcome = runScript(script);
  report(script, outcome);
  process.exitCode = outcome.failure === undefined ? 0 : 1;
} else {
  runSeeds(Number(values.start), Number(values.seeds));
}
