/**
 * One process per end-to-end file, as a hung mount or a leaked loop device of one file must not
 * spoil the next: each has a time limit, a directory and an id of its own, by which everything
 * that it started is found again.
 */
import {spawnSync} from 'node:child_process';
import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {
  describeLeftovers,
  detachLoops,
  findLeftovers,
  orphanedLoops,
  removeLeftovers,
} from '../helpers/leftovers.js';
import {runChild, withoutColour} from './child.js';
import type {Task} from './lanes.js';
import {emptyTotals, onlyMissedDeadlines, totalsOf, uvuArguments, type Totals} from './totals.js';

const DIRECTORY = path.join('test', 'e2e');
/** They change settings of the whole machine, or take most of its memory: nothing runs beside them. */
const ALONE = /^(?:hazard-memory|memory)\b/u;
/** Those that take longest begin first, so that none of them is left over at the end. */
const LONGEST = [
  'ocf',
  'replication-leave',
  'replication-restarts',
  'replication-damage',
  'replication-roles',
  'replication-three',
  'replication-basic',
  'replication-link',
  'verify',
  'power-loss',
  'two-nodes',
  'replication-torture',
  'roles',
  'fsx',
  'fork-undo',
  'crash-monkey',
  'log-fsck',
];
/** More files than that which miss deadlines are no matter of a busy machine. */
const AGAIN_MAX = 3;
const FILE_SECONDS = 400;
const FILE_SECONDS_SOAK = 1800;

/** How long what a test stopped in its last lines may take to be gone. */
const SETTLE_MS = 3000;

export interface EndToEndTasks {
  readonly alone: Task[];
  readonly shared: Task[];
  /** Files that only missed deadlines beside others; filled while `shared` runs, to be run alone. */
  readonly again: Task[];
}

/**
 * One task for each file.
 *
 * @param filter part of the file's name, or nothing for all
 * @param soak long durations: MARS_SOAK=1 for the tests, longer limits
 */
export function endToEndTasks(
  filter: string,
  soak: boolean,
  env: NodeJS.ProcessEnv,
): EndToEndTasks {
  const files = fs
    .readdirSync(DIRECTORY)
    .filter((file) => file.endsWith('.e2e.ts') && file.includes(filter))
    .sort((left, right) => rank(left) - rank(right) || left.localeCompare(right));
  const again: Task[] = [];
  const taskOf = (file: string): Task => ({
    name: file,
    run: async (echo) => (await runFile(file, {soak, env, echo})).totals,
  });
  const besideOthers = (file: string): Task => ({
    name: file,
    run: async (echo) => {
      const {totals, missedDeadlines} = await runFile(file, {soak, env, echo});
      if (echo || !missedDeadlines || again.length >= AGAIN_MAX) return totals;
      process.stdout.write(`${file}: missed a deadline beside others: it runs again alone\n`);
      again.push(taskOf(file));
      return emptyTotals();
    },
  });
  return {
    alone: files.filter((file) => ALONE.test(file)).map(taskOf),
    shared: files.filter((file) => !ALONE.test(file)).map(besideOthers),
    again,
  };
}

function rank(file: string): number {
  const at = LONGEST.indexOf(file.replace('.e2e.ts', ''));
  return at < 0 ? LONGEST.length : at;
}

interface FileOptions {
  readonly soak: boolean;
  readonly env: NodeJS.ProcessEnv;
  /** Print what comes while it comes; else all of it at the end. */
  readonly echo: boolean;
}

interface FileResult {
  readonly totals: Totals;
  /** It failed, by nothing but waits that came to their end, and left nothing behind. */
  readonly missedDeadlines: boolean;
}

async function runFile(file: string, {soak, env, echo}: FileOptions): Promise<FileResult> {
  if (echo) process.stdout.write(`\n== ${path.join(DIRECTORY, file)}\n`);
  const seconds = soak ? FILE_SECONDS_SOAK : FILE_SECONDS;
  const testId = randomBytes(8).toString('hex');
  const base = process.env['MARS_TEST_BASE'] ?? '/var/tmp';
  const directory = fs.mkdtempSync(path.join(base, 'mars-e2e-'));
  const orphaned = new Set(orphanedLoops());
  const onSignal = (): void => {
    removeLeftovers(directory, testId);
  };
  process.on('exit', onSignal);
  const pattern = `${file.replaceAll('.', '\\.')}$`;
  const result = await runChild(process.execPath, uvuArguments(DIRECTORY, `^${pattern}`), {
    seconds,
    env: {
      ...env,
      MARS_TEST_ID: testId,
      MARS_TEST_DIR: directory,
      ...(soak ? {MARS_SOAK: '1'} : {}),
    },
    echo,
    onTimeout: () => {
      process.stdout.write(`\n${file} did not end within ${seconds} s. What was there:\n`);
      printMachine(directory, testId);
    },
  });
  if (!echo) {
    process.stdout.write(`\n== ${path.join(DIRECTORY, file)}\n${withoutColour(result.output)}`);
  }

  const totals = totalsOf(result.output, result.timedOut ? null : result.status, file);
  const ownOrphans = (): string[] => orphanedLoops().filter((loop) => !orphaned.has(loop));
  const left = await leftAfter(() => [
    ...describeLeftovers(findLeftovers(directory, testId)),
    // Of this file, or of one that ran beside it.
    ...ownOrphans().map((loop) => `loop device ${loop} on a disk whose mount is gone`),
  ]);
  if (left.length > 0) {
    process.stdout.write(`\n${file} left behind:\n${left.map((line) => `  ${line}\n`).join('')}`);
    if (!result.timedOut) totals.failed += 1;
  }

  removeLeftovers(directory, testId);
  detachLoops(ownOrphans());
  process.off('exit', onSignal);
  process.stdout.write(`${file}: ${result.seconds.toFixed(1)} s\n`);
  const missedDeadlines =
    totals.failed > 0 &&
    left.length === 0 &&
    !result.timedOut &&
    onlyMissedDeadlines(result.output);
  return {totals, missedDeadlines};
}

/** What is still there once processes that were told to end had a moment to do so. */
async function leftAfter(look: () => string[]): Promise<string[]> {
  const deadline = performance.now() + SETTLE_MS;
  for (;;) {
    const left = look();
    if (left.length === 0 || performance.now() > deadline) return left;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function printMachine(directory: string, testId: string): void {
  for (const line of describeLeftovers(findLeftovers(directory, testId))) {
    process.stdout.write(`  ${line}\n`);
  }

  for (const {pid} of findLeftovers(directory, testId).processes) printThreads(pid);
  const loops = spawnSync('losetup', ['-l'], {timeout: 5000, encoding: 'utf8'});
  process.stdout.write(
    `${loops.stdout}\nload ${os
      .loadavg()
      .map((x) => x.toFixed(1))
      .join(' ')}\n`,
  );
}

/** Where each thread of a process waits in the kernel: what one wants to know of a hang. */
function printThreads(pid: number): void {
  try {
    const waits = fs.readdirSync(`/proc/${pid}/task`).map((thread) => {
      const wait = fs.readFileSync(`/proc/${pid}/task/${thread}/wchan`, 'utf8');
      const name = fs.readFileSync(`/proc/${pid}/task/${thread}/comm`, 'utf8').trim();
      return `${name}:${wait}`;
    });
    process.stdout.write(`  threads of ${pid}: ${[...new Set(waits)].join(' ')}\n`);
  } catch {
    // It has ended meanwhile.
  }
}
