/**
 * `npm run torture -- --minutes 60 [--seed S] [--nodes 3]`: nodes with real daemons, disks and file
 * systems on one machine, databases on the primary, and a schedule of faults that the seed makes.
 *
 *   --minutes M    how long; default 10
 *   --seed S       the same seed is the same schedule; default: from the clock
 *   --nodes N      2 or 3; default 2
 *   --judge S      seconds between two judgements; default 60
 *   --schedule     only print the schedule, as JSON
 *
 * Exit status 0: nothing was wrong, and nothing is left on the machine. Ctrl-C ends it in order.
 */
import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import {parseArgs} from 'node:util';
import {describeLeftovers, findLeftovers, removeLeftovers} from '../helpers/leftovers.js';
import {makeSchedule} from './schedule.js';
import {torture} from './torture.js';

async function main(): Promise<number> {
  const {values} = parseArgs({
    options: {
      minutes: {type: 'string', default: '10'},
      seed: {type: 'string', default: String(Date.now() % 1_000_000)},
      nodes: {type: 'string', default: '2'},
      judge: {type: 'string', default: '60'},
      schedule: {type: 'boolean', default: false},
    },
  });
  const options = {
    seed: Number(values.seed),
    minutes: Number(values.minutes),
    nodes: Number(values.nodes),
    judgeMs: Number(values.judge) * 1000,
  };
  if (![2, 3].includes(options.nodes) || !(options.minutes > 0) || !(options.judgeMs > 0)) {
    process.stderr.write('--nodes is 2 or 3, --minutes and --judge are above 0\n');
    return 2;
  }

  if (values.schedule) {
    process.stdout.write(`${JSON.stringify(makeSchedule(options), null, 1)}\n`);
    return 0;
  }

  if (process.getuid?.() !== 0) {
    process.stderr.write('mounts and loop devices need root\n');
    return 3;
  }

  return runBelow(options);
}

async function runBelow(options: {
  seed: number;
  minutes: number;
  nodes: number;
  judgeMs: number;
}): Promise<number> {
  const base = process.env['MARS_TEST_BASE'] ?? '/var/tmp';
  const directory = fs.mkdtempSync(path.join(base, 'mars-torture-'));
  const testId = randomBytes(8).toString('hex');
  process.env['MARS_TEST_DIR'] = directory;
  process.env['MARS_TEST_ID'] = testId;
  const file = path.join(base, `mars-torture-${options.seed}.log`);
  const log = (text: string): void => {
    process.stdout.write(`${text}\n`);
    fs.appendFileSync(file, `${new Date().toISOString()} ${text}\n`);
  };
  const abort = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (abort.signal.aborted) process.exit(130);
      abort.abort();
    });
  }

  process.on('exit', () => {
    removeLeftovers(directory, testId);
  });
  log(`seed ${options.seed}, ${options.minutes} minutes, ${options.nodes} nodes; log in ${file}`);
  let status = 0;
  try {
    const done = await torture({...options, log, signal: abort.signal});
    log(`${done} steps, nothing was wrong`);
  } catch {
    log(`seed ${options.seed} fails: npm run torture -- --seed ${options.seed} --nodes ${options.nodes} --minutes ${options.minutes} --judge ${options.judgeMs / 1000}`); // prettier-ignore
    status = 1;
  }

  const left = describeLeftovers(findLeftovers(directory, testId));
  for (const line of left) log(`left behind: ${line}`);
  if (left.length > 0) status = 1;
  return abort.signal.aborted ? 130 : status;
}

process.exit(await main());
