/**
 * What a flush costs in each mode, between two nodes of this machine: 4 KiB, one at a time, each with
 * an fsync, on the image itself. The goal of mode sync is one round trip plus the slower of the two
 * syncs plus 1 ms; the round trip of loopback is measured beside.
 *
 *   node --import tsx bench/replication-sync.ts [SECONDS]     needs root; after npm run build
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import {freePort} from '../test/helpers/cluster.js';
import {bareDisk} from '../test/helpers/disk-io.js';
import {run, until} from '../test/helpers/run.js';
import {TempHome} from '../test/helpers/temp-home.js';

const NAME = 'bench';
const GOAL_MS = 1;

/** Milliseconds from the call of fsync to its end. */
export interface FlushTimes {
  readonly mode: string;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly perSecond: number;
}

interface SyncReport {
  readonly jobs: readonly {
    readonly write: {readonly iops: number};
    readonly sync: {readonly lat_ns: {readonly percentile: Readonly<Record<string, number>>}};
  }[];
}

async function measure(node: TempHome, mode: string, seconds: number): Promise<FlushTimes> {
  const output = path.join(node.directory, 'fio.json');
  const options = ['--rw=randwrite', '--bs=4k', '--size=32m', '--fsync=1', '--direct=1'];
  const time = ['--time_based', `--runtime=${seconds}`, '--ioengine=psync'];
  const report = [`--filename=${node.imageFile(NAME)}`, '--output-format=json', '--name=flush'];
  await run('fio', [...options, ...time, ...report, `--output=${output}`], {timeoutMs: 120_000});
  const text = fs.readFileSync(output, 'utf8');
  const [job] = (JSON.parse(text.slice(text.indexOf('{'))) as SyncReport).jobs;
  if (job === undefined) throw new Error('fio without a job');
  const {percentile} = job.sync.lat_ns;
  return {
    mode,
    p50Ms: (percentile['50.000000'] ?? NaN) / 1e6,
    p99Ms: (percentile['99.000000'] ?? NaN) / 1e6,
    perSecond: job.write.iops,
  };
}

/** Median of a byte there and back over loopback. */
async function roundTripMs(): Promise<number> {
  const server = net.createServer((socket) => socket.pipe(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const {port} = server.address() as net.AddressInfo;
  const socket = net.connect({port, noDelay: true});
  const times: number[] = [];
  for (let count = 0; count < 500; count += 1) {
    const start = performance.now();
    socket.write('x');
    await new Promise((resolve) => socket.once('data', resolve));
    times.push(performance.now() - start);
  }

  socket.destroy();
  server.close();
  return times.sort((left, right) => left - right)[250] ?? NaN;
}

/** Two nodes of one cluster, joined without anything between them. */
async function joinedNodes(): Promise<readonly [TempHome, TempHome]> {
  const make = async (name: string): Promise<TempHome> =>
    TempHome.create({name, listen: `127.0.0.1:${await freePort()}`});
  const [alpha, beta] = [await make('alpha'), await make('beta')];
  const {token} = await alpha.json<{token: string}>('peer', 'invite');
  await beta.mars('peer', 'join', token);
  await bareDisk(alpha, NAME, '32M');
  const join = async (): Promise<boolean> =>
    (await beta.tryMars('resource', 'join', NAME)).status === 0;
  await until(join, 30_000, 'beta to hear of the resource');
  await beta.mars('wait', NAME, 'synced', '--timeout', '60');
  return [alpha, beta];
}

/** Measures all modes, one after the other. */
export async function measureModes(seconds: number): Promise<readonly FlushTimes[]> {
  const [alpha, beta] = await joinedNodes();
  try {
    const rows: FlushTimes[] = [];
    for (const mode of ['async', 'near-sync', 'sync']) {
      await alpha.mars('resource', 'set', NAME, `mode=${mode}`, 'degrade-after=never');
      const counted = async (): Promise<boolean> =>
        mode === 'async' ||
        (await alpha.diskStatus(NAME))?.synchronous?.replicas[0]?.counted === true;
      await until(counted, 30_000, `${mode} in force`);
      rows.push(await measure(alpha, mode, seconds));
    }

    await alpha.mars('resource', 'set', NAME, 'mode=async');
    return rows;
  } finally {
    await beta.dispose();
    await alpha.dispose();
  }
}

async function main(): Promise<void> {
  const seconds = Number(process.argv[2] ?? '10');
  const roundTrip = await roundTripMs();
  const rows = await measureModes(seconds);
  for (const {mode, p50Ms, p99Ms, perSecond} of rows) {
    const words = [`${p50Ms.toFixed(3)} ms p50`, `${p99Ms.toFixed(3)} ms p99`];
    process.stdout.write(`${mode.padEnd(10)} ${words.join(', ')}, ${perSecond.toFixed(0)}/s\n`);
  }

  const [local, , sync] = rows;
  const bound = (local?.p50Ms ?? NaN) + roundTrip + GOAL_MS;
  const verdict = (sync?.p50Ms ?? NaN) <= bound ? 'met' : 'MISSED';
  process.stdout.write(
    `round trip ${roundTrip.toFixed(3)} ms; goal of sync: p50 ${bound.toFixed(3)} ms: ${verdict}\n`,
  );
}

if (process.argv[1] === import.meta.filename) await main();
