/**
 * `npm run bench -- disk`: mars beside a raw file and a loop device on it, in one run, in turn.
 * Everything lies in one temporary directory, and is taken away at the end, however that comes.
 */
import fs from 'node:fs';
import path from 'node:path';
import {parseArgs} from 'node:util';
import {freeLoopCount} from '../test/helpers/loops.js';
import {TempHome} from '../test/helpers/temp-home.js';
import {LIMIT_ROWS, fill, type LimitContext} from './limits.js';
import {runIdleBench} from './idle.js';
import {PROBE_NAMES, runReplicationBench} from './replication/run.js';
import {startNbdfuse, type Peer} from './peers.js';
import {renderTables, saveReport, type LimitResult, type RowResult} from './report.js';
import {ROWS, type Row, type RunSettings} from './rows.js';
import {loopSubject, marsSubject, rawSubject, type Bed, type Subject} from './subject.js';

const HELP = `usage: npm run bench -- disk|replication|idle [options]
  --reps N     repetitions, of which the median counts (3)
  --quick      short runs and small amounts: to try the bench, not to quote
  --only TEXT  rows whose name contains TEXT, comma-separated
  --peers      nbdkit and nbdfuse as well (bin/setup --peers installs them)
  --driver D   FUSE driver: kernel or fuse-native
  --resources N  of idle: how many are attached (20)
  --alone      of idle: no other nodes with replicas
  --seconds N  of idle: for how long nothing is done (60)
  --save       write bench/results/ and bench/RESULTS.md
rows: ${[...ROWS, ...LIMIT_ROWS].map(({name}) => name).join(' ')}
replication: ${PROBE_NAMES.join(' ')}
`;

const RESOURCE = 'bench';
const GIB = 1024 ** 3;

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {
    reps: {type: 'string', default: '3'},
    quick: {type: 'boolean', default: false},
    only: {type: 'string', default: ''},
    peers: {type: 'boolean', default: false},
    driver: {type: 'string', default: 'auto'},
    resources: {type: 'string', default: '20'},
    alone: {type: 'boolean', default: false},
    seconds: {type: 'string', default: '60'},
    save: {type: 'boolean', default: false},
    help: {type: 'boolean', default: false},
  },
});
process.exitCode = await main();

async function main(): Promise<number> {
  const repetitions = Number(values.reps);
  const known = positionals.length === 1 && positionals[0] === 'disk';
  if (!values.help && positionals.join() === 'replication' && repetitions >= 1) {
    const {quick, save, only} = values;
    if (process.getuid?.() !== 0) throw new Error('the bench needs root');
    return runReplicationBench({repetitions, quick, save, only: only.split(',')});
  }

  const [resources, seconds] = [Number(values.resources), Number(values.seconds)];
  if (!values.help && positionals.join() === 'idle' && resources >= 1 && seconds >= 1) {
    if (process.getuid?.() !== 0) throw new Error('the bench needs root');
    return runIdleBench({resources, replicas: !values.alone, seconds});
  }

  if (values.help || !known || !Number.isInteger(repetitions) || repetitions < 1) {
    process.stderr.write(HELP);
    return 2;
  }

  if (process.getuid?.() !== 0) throw new Error('the bench needs root');
  if (freeLoopCount() < 3) throw new Error('fewer than 3 loop devices are free');
  const wanted = <T extends {name: string}>(rows: readonly T[]): T[] =>
    rows.filter(({name}) => values.only.split(',').some((text) => name.includes(text)));
  const startedAt = new Date().toISOString();
  const node = await TempHome.create();
  let peer: Peer | undefined;
  try {
    const settings: RunSettings = {
      scratch: path.join(node.directory, 'scratch'),
      seconds: values.quick ? 1 : 2,
      regionBytes: values.quick ? GIB / 4 : GIB,
    };
    fs.mkdirSync(settings.scratch);
    const bed: Bed = {directory: node.directory, sizeBytes: 2 * settings.regionBytes};
    const rawFile = path.join(bed.directory, 'raw.img');
    const raw = rawSubject(bed, rawFile);
    const loop = loopSubject(bed, 'loop', rawFile, []);
    await prepare(node, bed, settings, rawFile);
    const mars = marsSubject(bed, node, RESOURCE);
    const subjects = [raw, loop, mars];
    if (values.peers) {
      peer = await startNbdfuse(bed);
      await fill(peer.subject.file ?? '', settings.regionBytes);
      subjects.push(peer.subject);
    }

    const rows: RowResult[] = [];
    for (const row of wanted(ROWS)) {
      rows.push(await measureRow(row, subjects, settings, repetitions));
    }

    const context = {node, resource: RESOURCE, mars, loop, settings, quick: values.quick};
    const limits: LimitResult[] = [];
    for (const row of wanted(LIMIT_ROWS))
      limits.push(await measureLimit(row, context, repetitions));
    const command = ['npm run bench --', ...process.argv.slice(2)].join(' ');
    const report = {
      command,
      startedAt,
      repetitions,
      secondsPerRun: settings.seconds,
      rows,
      limits,
    };
    process.stdout.write(`\n${renderTables(report)}`);
    if (values.save) {
      process.stdout.write(`\nsaved as ${saveReport(import.meta.dirname, report)}\n`);
    }

    return [...rows, ...limits].some(({error}) => error !== undefined) ? 1 : 0;
  } finally {
    await peer?.stop();
    await node.dispose();
  }
}

/** Two equal disks, filled: nobody has to allocate, and reads find something to read. */
async function prepare(
  node: TempHome,
  bed: Bed,
  settings: RunSettings,
  rawFile: string,
): Promise<void> {
  process.stderr.write('preparing\n');
  fs.writeFileSync(rawFile, '');
  fs.truncateSync(rawFile, bed.sizeBytes);
  await fill(rawFile, settings.regionBytes);
  const options = values.driver === 'auto' ? [] : ['--driver', values.driver];
  const device = await node.disk(RESOURCE, String(bed.sizeBytes), ...options);
  await fill(device, settings.regionBytes);
}

async function measureRow(
  row: Row,
  subjects: readonly Subject[],
  settings: RunSettings,
  repetitions: number,
): Promise<RowResult> {
  const figures: Partial<Record<Subject['label'], number[]>> = {};
  let failure: string | undefined;
  const used = subjects.filter(({label}) => row.subjects.includes(label));
  for (let repetition = 0; repetition < repetitions; repetition += 1) {
    for (const subject of used) {
      try {
        // What one subject still writes behind must not slow the next one.
        for (const each of used) await each.settle();
        const figure = await row.measure(subject, settings);
        (figures[subject.label] ??= []).push(figure);
        process.stderr.write(
          `${row.name} ${subject.label} ${repetition + 1}: ${figure.toFixed(1)} ${row.unit}\n`,
        );
      } catch (error) {
        failure = `${subject.label}: ${firstLine(error)}`;
        process.stderr.write(`${row.name} ${String(error)}\n`);
      }
    }
  }

  return {row, figures, error: failure};
}

async function measureLimit(
  row: (typeof LIMIT_ROWS)[number],
  context: LimitContext,
  repetitions: number,
): Promise<LimitResult> {
  const figures: number[] = [];
  let failure: string | undefined;
  for (let repetition = 0; repetition < repetitions; repetition += 1) {
    try {
      const figure = await row.measure(context);
      figures.push(figure);
      process.stderr.write(`${row.name} ${repetition + 1}: ${figure.toFixed(2)} ${row.unit}\n`);
    } catch (error) {
      failure = firstLine(error);
      process.stderr.write(`${row.name} ${String(error)}\n`);
    }
  }

  return {row, figures, error: failure};
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
}
