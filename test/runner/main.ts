/**
 * The runner behind `npm test`: static checks, then the unit tests in three processes and every
 * end-to-end file in one of its own, some at a time, each under a time limit and with a look at what
 * it left behind. The last line is `N passed, N failed`, `, N skipped` appended where some were.
 */
import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {reportCoverage} from './coverage.js';
import {runChild, withoutColour} from './child.js';
import {endToEndTasks} from './end-to-end.js';
import {LANES, runTasks, type Task} from './lanes.js';
import {node24} from './node24.js';
import {
  addTotals,
  closingLine,
  emptyTotals,
  totalsOf,
  uvuArguments,
  type Totals,
} from './totals.js';

const HELP = `usage: node test/run.mjs [options]
  (none)         static checks, unit tests, end-to-end tests
  --check        static checks only: prettier, eslint, tsc
  --unit [TEXT]  unit tests only, whose path contains TEXT
  --e2e [TEXT]   end-to-end tests only, whose file name contains TEXT
  --soak         the end-to-end tests with their long durations
  --node24       the same on Node 24
  --coverage     unit and end-to-end tests, lines of src/ covered; fails below the threshold
`;

const ROOT = path.join(import.meta.dirname, '..', '..');
const COVERAGE_DIRECTORY = path.join(ROOT, '.test', 'v8-coverage');

/** Limits in seconds; the whole run has one as well, so that CI always gets its closing line. */
const CHECK_SECONDS = 240;
const UNIT_SECONDS = 900;
const TOTAL_SECONDS = 40 * 60;

interface Options {
  readonly check: boolean;
  readonly unit: boolean;
  readonly endToEnd: boolean;
  readonly soak: boolean;
  readonly node24: boolean;
  readonly coverage: boolean;
  readonly filter: string;
}

/** @returns the exit status: 0 all passed, 1 something failed or nothing ran, 2 wrong usage */
export async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (options === undefined) {
    process.stderr.write(HELP);
    return 2;
  }

  process.chdir(ROOT);
  if (options.node24) return runOnNode24(args.filter((word) => word !== '--node24'));
  const totals = emptyTotals();
  const running = new Set<string>();
  if (!options.soak) limitTotal(totals, running);
  exitOnSignals();
  const env = environment(options);
  if (options.check) addTotals(totals, await runChecks());
  const alone: Task[] = [];
  let again: readonly Task[] = [];
  const shared = options.unit ? unitTasks(options.filter, env) : [];
  if (options.endToEnd && !build()) {
    totals.failed += 1;
  } else if (options.endToEnd) {
    const tasks = endToEndTasks(options.filter, options.soak, env);
    alone.push(...tasks.alone);
    shared.push(...tasks.shared);
    again = tasks.again;
  }

  addTotals(totals, await runTasks(alone, 1, running));
  addTotals(totals, await runTasks(shared, options.soak ? 1 : LANES, running));
  addTotals(totals, await runTasks(again, 1, running));
  if (options.coverage && !(await reportCoverage(COVERAGE_DIRECTORY))) totals.failed += 1;
  return close(totals);
}

function parseOptions(args: readonly string[]): Options | undefined {
  const flags = new Set(args.filter((word) => word.startsWith('--')));
  const words = args.filter((word) => !word.startsWith('--'));
  const known = ['--check', '--unit', '--e2e', '--soak', '--node24', '--coverage'];
  const parts = ['--check', '--unit', '--e2e'].filter((flag) => flags.has(flag));
  if (words.length > 1 || [...flags].some((flag) => !known.includes(flag))) return undefined;
  if (words.length === 1 && (parts.length !== 1 || flags.has('--check'))) return undefined;
  const coverage = flags.has('--coverage');
  const soak = flags.has('--soak');
  const all = parts.length === 0;
  return {
    check: flags.has('--check') || (all && !coverage && !soak),
    unit: flags.has('--unit') || (all && !soak),
    endToEnd: flags.has('--e2e') || all,
    soak,
    node24: flags.has('--node24'),
    coverage,
    filter: words[0] ?? '',
  };
}

function environment(options: Options): NodeJS.ProcessEnv {
  // The same for all: CI has a dumb terminal, or none.
  const env: NodeJS.ProcessEnv = {...process.env, TERM: 'xterm', LC_ALL: 'C.UTF-8'};
  // Programs with `env node` in their first line shall get this very Node.
  env['PATH'] = `${path.dirname(process.execPath)}:${env['PATH'] ?? ''}`;
  // At level 1 a bash whose stdin is a socket takes itself for a remote one, and reads the user's own start files.
  env['SHLVL'] = '2';
  if (options.coverage) {
    fs.rmSync(COVERAGE_DIRECTORY, {recursive: true, force: true});
    env['NODE_V8_COVERAGE'] = COVERAGE_DIRECTORY;
    // What is bundled has no lines of src/.
    env['MARS_UNBUNDLED'] = '1';
  }

  return env;
}

/** Each check counts as one test. */
async function runChecks(): Promise<Totals> {
  const totals = emptyTotals();
  const bin = (name: string, ...words: string[]): [string, string[]] => [
    name,
    [path.join('node_modules', ...words)],
  ];
  const checks: [string, string[]][] = [
    bin('prettier', 'prettier', 'bin', 'prettier.cjs'),
    bin('eslint', 'eslint', 'bin', 'eslint.js'),
    bin('tsc', 'typescript', 'bin', 'tsc'),
  ];
  const args: Record<string, string[]> = {
    prettier: ['--check', '--log-level=warn', '.'],
    eslint: ['--max-warnings=0', '.'],
    tsc: ['-p', 'test'],
  };
  const results = await Promise.all(
    checks.map(async ([name, program]) => ({
      name,
      result: await runChild(process.execPath, [...program, ...(args[name] ?? [])], {
        seconds: CHECK_SECONDS,
        echo: false,
      }),
    })),
  );
  for (const {name, result} of results) {
    const good = result.status === 0;
    totals[good ? 'passed' : 'failed'] += 1;
    heading(`${name}: ${good ? 'clean' : result.timedOut ? 'took too long' : 'not clean'}`);
    if (!good) process.stdout.write(result.output);
  }

  return totals;
}

/** The unit tests in three processes that take about the same time. */
function unitTasks(filter: string, env: NodeJS.ProcessEnv): Task[] {
  const wanted = filter.replaceAll(/[.*+?^${}()|[\]\\]/gu, '\\$&');
  const first = '(?:disk|sim|torture|replica)/';
  const second = '(?:daemon|fuse|image|log)/';
  const parts =
    filter === ''
      ? [
          {name: 'unit tests of disk and simulator', pattern: `^${first}.*\\.test\\.ts$`},
          {name: 'unit tests of daemon and log', pattern: `^${second}.*\\.test\\.ts$`},
          {name: 'other unit tests', pattern: `^(?!${first}|${second}).*\\.test\\.ts$`},
        ]
      : [{name: 'unit tests', pattern: `${wanted}.*\\.test\\.ts$`}];
  return parts.map(({name, pattern}) => ({name, run: (echo) => runUnit(name, pattern, env, echo)}));
}

async function runUnit(
  name: string,
  pattern: string,
  env: NodeJS.ProcessEnv,
  echo: boolean,
): Promise<Totals> {
  const result = await runChild(process.execPath, uvuArguments('test', pattern), {
    seconds: UNIT_SECONDS,
    env,
    echo,
  });
  heading(`${name}: ${result.seconds.toFixed(1)} s`);
  if (!echo) process.stdout.write(withoutColour(result.output));
  if (result.timedOut) {
    process.stdout.write(`\nthe ${name} did not end within ${UNIT_SECONDS} s\n`);
  }

  return totalsOf(result.output, result.timedOut ? null : result.status, 'unit');
}

function build(): boolean {
  return spawnSync('bash', ['bin/setup', '--build'], {stdio: 'inherit'}).status === 0;
}

function runOnNode24(args: readonly string[]): number {
  const node = node24(ROOT);
  const result = spawnSync(node, ['test/run.mjs', ...args], {stdio: 'inherit'});
  return result.status ?? 1;
}

function close(totals: Totals): number {
  for (const line of totals.skips) process.stdout.write(`skipped: ${line}\n`);
  if (totals.passed + totals.failed === 0) {
    process.stdout.write('no test ran\n');
    totals.failed = 1;
  }

  process.stdout.write(`\n${closingLine(totals)}\n`);
  return totals.failed === 0 ? 0 : 1;
}

function limitTotal(totals: Totals, running: ReadonlySet<string>): void {
  setTimeout(() => {
    const rest = [...running].join(', ');
    process.stdout.write(
      `\nthe whole run did not end within ${TOTAL_SECONDS} s; still ran: ${rest}\n`,
    );
    totals.failed += 1;
    process.exit(close(totals));
  }, TOTAL_SECONDS * 1000).unref();
}

/** An exit handler kills the running child, so that Ctrl-C leaves nothing behind. */
function exitOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => process.exit(130));
  }
}

function heading(text: string): void {
  process.stdout.write(`\n== ${text}\n`);
}
