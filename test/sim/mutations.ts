/**
 * Proof that the simulator sees: deliberate bugs, each put into a copy of the source, and each to
 * be found by some seed.
 *
 *   npx tsx test/sim/mutations.ts [--pair] [--seeds 300] [--only NAME]
 *
 * A bug that no seed finds is a hole in the simulator (or no bug: then say why, and take it out).
 */
import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {MUTATIONS, type Mutation} from './mutation-list.js';
import {PAIR_MUTATIONS} from './pair-mutation-list.js';

const ROOT = join(import.meta.dirname, '../..');

const {values} = parseArgs({
  options: {
    seeds: {type: 'string', default: '300'},
    only: {type: 'string'},
    /** Those that only several nodes can show. */
    pair: {type: 'boolean', default: false},
  },
});

const KIND = values.pair ? ['--pair'] : [];

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

/** @returns the first failure of these seeds, or undefined */
function firstFailure(copy: string, seeds: string): string | undefined {
  const result = spawnSync(
    process.execPath,
    ['--import', 'tsx', 'test/sim/run.ts', '--seeds', seeds, '--first', ...KIND],
    {cwd: copy, encoding: 'utf8', timeout: 600_000},
  );
  // A runner that does not even start finds nothing: that is not what "missed" means.
  if (result.stderr.includes('ERR_MODULE_NOT_FOUND')) throw new Error(result.stderr);
  return /^seed \d+ FAILED: .*$/mu.exec(result.stdout)?.[0];
}

/** @returns what was found; undefined also where the source has changed and the place is gone */
function hunt(copy: string, mutation: Mutation): string | undefined {
  const path = join(copy, 'src', mutation.file);
  const text = fs.readFileSync(path, 'utf8');
  if (text.split(mutation.find).length !== 2) return undefined;
  try {
    fs.writeFileSync(
      path,
      text.replace(mutation.find, () => mutation.replace),
    );
    return firstFailure(copy, values.seeds);
  } finally {
    fs.writeFileSync(path, text);
  }
}

function huntAll(copy: string): number {
  const sound = firstFailure(copy, '50');
  if (sound !== undefined) throw new Error(`without any bug: ${sound}`);
  const all = values.pair ? PAIR_MUTATIONS : MUTATIONS;
  const list = all.filter(({name}) => values.only === undefined || name === values.only);
  let missed = 0;
  for (const mutation of list) {
    const found = hunt(copy, mutation);
    if (found === undefined) missed += 1;
    const word = found === undefined ? 'MISSED' : 'found ';
    console.log(`${word}  ${mutation.name}: ${found ?? mutation.what}`);
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
