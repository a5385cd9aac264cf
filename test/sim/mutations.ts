/**
 * Proof that the simulator sees: deliberate bugs, each put into a copy of the source, and each to
 * be found by some seed.
 *
 *   npm run sim:mutation                                the seed that found each bug, once more
 *   npm run sim:mutation -- --hunt [--seeds 300] [--start 1] [--only NAME] [--pair | --one]
 *
 * With --hunt, and where the known seed finds a bug no more, seeds are tried from --start on. A bug that
 * no seed finds is a hole in the simulator (or no bug: then say why, and take it out). --table prints
 * the rows for docs/TESTING.md.
 */
import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {MUTATIONS, type Mutation} from './mutation-list.js';
import {PAIR_MUTATIONS} from './pair-mutation-list.js';

const ROOT = join(import.meta.dirname, '../..');
const SECONDS_MAX = 900;

const {values} = parseArgs({
  options: {
    seeds: {type: 'string', default: '300'},
    start: {type: 'string', default: '1'},
    only: {type: 'string'},
    hunt: {type: 'boolean', default: false},
    table: {type: 'boolean', default: false},
    /** Those that only several nodes can show. */
    pair: {type: 'boolean', default: false},
    /** Those of one node. */
    one: {type: 'boolean', default: false},
  },
});

interface Candidate extends Mutation {
  readonly isPair: boolean;
}

interface Finding {
  readonly seed: number;
  readonly failure: string;
  /** Seeds that were tried, this one as well. */
  readonly tries: number;
}

function candidates(): Candidate[] {
  const both = values.pair === values.one;
  return [
    ...(both || values.one ? MUTATIONS.map((one) => ({...one, isPair: false})) : []),
    ...(both || values.pair ? PAIR_MUTATIONS.map((one) => ({...one, isPair: true})) : []),
  ].filter(({name}) => values.only === undefined || name === values.only);
}

/** The committed source and this simulator, so that nobody's unfinished edit is judged. */
function makeCopy(): string {
  const copy = fs.mkdtempSync('/var/tmp/mars-mutation-');
  const shell = 'git archive HEAD src package.json tsconfig.json | tar -x -C "$0"';
  const {status} = spawnSync('sh', ['-c', shell, copy], {cwd: ROOT, stdio: 'inherit'});
  if (status !== 0) throw new Error('git archive failed');
  for (const part of ['test/sim', 'test/helpers']) {
    fs.cpSync(join(ROOT, part), join(copy, part), {recursive: true});
  }

  fs.symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  return copy;
}

/** Runs seeds from `start` on. @returns the first failure */
function tryFrom(copy: string, isPair: boolean, start: number, count: number): Finding | undefined {
  const words = ['test/sim/run.ts', '--first', '--start', `${start}`, '--seeds', `${count}`];
  const result = spawnSync(
    process.execPath,
    ['--import', 'tsx', ...words, ...(isPair ? ['--pair'] : [])],
    {cwd: copy, encoding: 'utf8', timeout: SECONDS_MAX * 1000},
  );
  // A runner that does not even start finds nothing: that is not what "missed" means.
  const ended = / seeds from \d+, \d+ failed/u.test(result.stdout);
  if (!ended && result.error === undefined) throw new Error(result.stderr);
  const match = /^seed (\d+) FAILED: (.*)$/mu.exec(result.stdout);
  if (match === null) return undefined;
  const seed = Number(match[1]);
  return {seed, failure: match[2] ?? '', tries: seed - start + 1};
}

/** @returns what was found; undefined also where the source has changed and the place is gone */
function hunt(copy: string, mutation: Candidate): Finding | undefined {
  const path = join(copy, 'src', mutation.file);
  const text = fs.readFileSync(path, 'utf8');
  if (text.split(mutation.find).length !== 2) {
    console.log(`the place of ${mutation.name} in src/${mutation.file} is gone`);
    return undefined;
  }

  const {find, replace, seed: known, isPair} = mutation;
  const tryMutated = (start: number, count: number): Finding | undefined => {
    try {
      fs.writeFileSync(
        path,
        text.replace(find, () => replace),
      );
      return tryFrom(copy, isPair, start, count);
    } finally {
      fs.writeFileSync(path, text);
    }
  };
  // A seed that fails without the bug as well has not found it.
  const isSound = (finding: Finding): boolean =>
    tryFrom(copy, isPair, finding.seed, 1) === undefined;
  const again = values.hunt || known === undefined ? undefined : tryMutated(known, 1);
  if (again !== undefined && isSound(again)) return again;
  const first = Number(values.start);
  const end = first + Number(values.seeds);
  for (let start = first; start < end;) {
    const found = tryMutated(start, end - start);
    if (found === undefined) return undefined;
    if (isSound(found)) return {...found, tries: found.seed - first + 1};
    start = found.seed + 1;
  }

  return undefined;
}

function report(mutation: Candidate, found: Finding | undefined): void {
  const {name, what, isPair} = mutation;
  const seed = `${isPair ? 'pair ' : ''}${found?.seed ?? ''}`;
  if (values.table) {
    const failure = (found?.failure ?? 'MISSED').replaceAll('|', '\\|');
    console.log(`| ${name} | ${what} | ${seed} | ${failure} |`);
  } else if (found === undefined) console.log(`MISSED  ${name}: ${what}`);
  else console.log(`found   ${name}: seed ${seed} (${found.tries} tried), ${found.failure}`);
}

function huntAll(copy: string): number {
  for (const isPair of [false, true]) {
    const sound = tryFrom(copy, isPair, 1, 10);
    if (sound !== undefined)
      throw new Error(`without any bug: seed ${sound.seed}, ${sound.failure}`);
  }

  const list = candidates();
  let missed = 0;
  for (const mutation of list) {
    const found = hunt(copy, mutation);
    if (found === undefined) missed += 1;
    report(mutation, found);
  }

  console.log(`${list.length - missed} of ${list.length} deliberate bugs found`);
  return missed;
}

const copy = makeCopy();
try {
  process.exitCode = huntAll(copy) === 0 ? 0 : 1;
} finally {
  fs.rmSync(copy, {recursive: true});
}
