/** `npm run bench -- replication`: two nodes on this machine, and what replication costs and gives. */
import fs from 'node:fs';
import path from 'node:path';
import type {Figure, Probe} from './figures.js';
import {startPair, type Pair, type Settings} from './pair.js';
import {collect, renderReplication, saveReplication, type ReplicationReport} from './report.js';
import {SYNC_PROBES} from './sync.js';
import {TRANSFER_PROBES} from './transfer.js';
import {WRITER_PROBES} from './writers.js';

const PROBES: readonly Probe[] = [...WRITER_PROBES, ...TRANSFER_PROBES, ...SYNC_PROBES];
/** No probe is begun after that, so that the whole ends in time also on a machine that is busy. */
const MINUTES_MAX = 10;

export interface ReplicationOptions {
  readonly repetitions: number;
  readonly quick: boolean;
  /** Probes whose name contains one of these. */
  readonly only: readonly string[];
  readonly save: boolean;
}

/** Names of all probes, for the help. */
export const PROBE_NAMES = PROBES.map(({name}) => name);

/** @returns exit status: 1 where something could not be measured */
export async function runReplicationBench(options: ReplicationOptions): Promise<number> {
  const startedAt = new Date();
  const pair = await startPair();
  const runs: (readonly Figure[])[] = [];
  const errors: Record<string, string> = {};
  try {
    const settings = {quick: options.quick, scratch: path.join(pair.alpha.directory, 'scratch')};
    fs.mkdirSync(settings.scratch);
    for (const [repetition, probe] of planOf(options)) {
      if (Date.now() - startedAt.getTime() > MINUTES_MAX * 60_000) {
        errors[probe.name] ??= `no time: ${MINUTES_MAX} minutes had passed`;
        continue;
      }

      try {
        runs.push(await measure(pair, settings, probe, repetition));
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        errors[probe.name] = text.split('\n')[0] ?? '';
        process.stderr.write(`${probe.name}: ${text}\n`);
      }
    }
  } finally {
    await pair.cluster.dispose();
  }

  const report: ReplicationReport = {
    command: ['npm run bench --', ...process.argv.slice(2)].join(' '),
    startedAt: startedAt.toISOString(),
    repetitions: options.repetitions,
    quick: options.quick,
    figures: collect(runs),
    errors,
  };
  process.stdout.write(`\n${renderReplication(report)}`);
  if (options.save) {
    const file = saveReplication(path.join(import.meta.dirname, '..'), report);
    process.stdout.write(`\nsaved as ${file}\n`);
  }

  return Object.keys(errors).length === 0 ? 0 : 1;
}

/** First everything once, then what is repeated: a run that is cut short has all figures. */
function planOf({repetitions, only}: ReplicationOptions): [number, Probe][] {
  const wanted = PROBES.filter(({name}) => only.some((text) => name.includes(text)));
  const plan: [number, Probe][] = [];
  for (let repetition = 0; repetition < repetitions; repetition += 1) {
    for (const probe of wanted)
      if (repetition === 0 || probe.isRepeated) plan.push([repetition, probe]);
  }

  return plan;
}

async function measure(
  pair: Pair,
  settings: Settings,
  probe: Probe,
  repetition: number,
): Promise<readonly Figure[]> {
  const start = performance.now();
  const figures = await probe.measure(pair, settings);
  for (const {name, value, unit} of figures) {
    process.stderr.write(`${name} ${repetition + 1}: ${value.toFixed(2)} ${unit}\n`);
  }

  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  process.stderr.write(`${probe.name} took ${seconds} s\n`);
  return figures;
}
