/**
 * What is measured against a fixed bound, not beside raw: times, memory, CPU; and the one long
 * race, replay under load, which is measured against raw.
 */
import fs from 'node:fs';
import {alignedBuffer} from '../test/helpers/hash.js';
import type {TempHome} from '../test/helpers/temp-home.js';
import {killAndWait} from '../test/helpers/temp-home.js';
import {run, until} from '../test/helpers/run.js';
import {fio} from './fio.js';
import type {Subject} from './subject.js';
import type {RunSettings} from './rows.js';

export interface LimitRow {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  readonly max: number;
  measure(context: LimitContext): Promise<number>;
}

export interface LimitContext {
  readonly node: TempHome;
  /** Resource of regionBytes or more, primary. */
  readonly resource: string;
  readonly mars: Subject;
  readonly loop: Subject;
  readonly settings: RunSettings;
  /** Small amounts, to try the bench itself. */
  readonly quick: boolean;
}

const GIB = 1024 ** 3;
const CLOCK_TICKS_PER_SECOND = 100;
const REPLAY_MS_MAX = 300_000;

export const LIMIT_ROWS: readonly LimitRow[] = [
  {
    name: 'replay-race',
    title: '4 GiB random 4k in 1 GiB, all in the image; time to raw with fsync',
    unit: 'x',
    max: 1,
    measure: measureReplayRace,
  },
  {
    name: 'cpu',
    title: 'CPU of disk process, 4k random write, depth 32, with replay',
    unit: 's/GiB',
    max: 6,
    measure: measureCpu,
  },
  {
    name: 'restart-empty',
    title: 'SIGKILL of disk process to next answered write, empty log',
    unit: 's',
    max: 0.5,
    measure: (context) => measureRestart(context, 0),
  },
  {
    name: 'restart-1g',
    title: 'SIGKILL of disk process to next answered write, 1 GiB log',
    unit: 's',
    max: 3,
    measure: (context) => measureRestart(context, context.quick ? GIB / 8 : GIB),
  },
  {
    name: 'primary',
    title: 'mars primary on an idle resource',
    unit: 's',
    max: 1,
    measure: measurePrimary,
  },
  {
    name: 'memory',
    title: 'RSS, 2 GiB of random 4k waiting for replay, over 4 TiB',
    unit: 'MiB',
    max: 256,
    measure: measureMemory,
  },
];

/** Time of mars until everything is replayed, over time of the loop device with an fsync at the end. */
async function measureReplayRace(context: LimitContext): Promise<number> {
  const bytes = context.quick ? GIB / 4 : 4 * GIB;
  const region = Math.min(context.settings.regionBytes, bytes / 4);
  const race = async (subject: Subject, finish: () => Promise<void>): Promise<number> => {
    await subject.settle();
    return subject.withDevice(async (device) => {
      const startedMs = performance.now();
      await fio(context.settings.scratch, device, randomWrites(region, bytes), REPLAY_MS_MAX);
      await finish();
      return performance.now() - startedMs;
    });
  };
  const loopMs = await race(context.loop, () => Promise.resolve());
  const marsMs = await race(context.mars, () =>
    context.node.replayed(context.resource, REPLAY_MS_MAX),
  );
  return marsMs / loopMs;
}

async function measureCpu(context: LimitContext): Promise<number> {
  const bytes = context.quick ? GIB / 8 : GIB;
  await context.mars.settle();
  const pids = await context.mars.pids();
  const before = cpuSeconds(pids);
  await context.mars.withDevice((device) =>
    fio(context.settings.scratch, device, randomWrites(context.settings.regionBytes, bytes)),
  );
  await context.node.replayed(context.resource, REPLAY_MS_MAX);
  return ((cpuSeconds(pids) - before) * GIB) / bytes;
}

async function measureRestart(context: LimitContext, logBytes: number): Promise<number> {
  const {node, resource, settings} = context;
  await context.mars.settle();
  if (logBytes > 0) {
    await node.mars('replay', 'pause', resource);
    await context.mars.withDevice((device) =>
      fio(settings.scratch, device, randomWrites(settings.regionBytes, logBytes)),
    );
  }

  try {
    const {pid} = await node.diskProcesses(resource);
    const device = node.device(resource);
    const handle = await fs.promises.open(device, fs.constants.O_WRONLY | fs.constants.O_DIRECT);
    try {
      const block = alignedBuffer(4096);
      const startedMs = performance.now();
      process.kill(pid, 'SIGKILL');
      // The write may still be taken by the dying process: only one that begins when it is gone counts.
      await killAndWait(pid);
      await handle.write(block, 0, 4096, 0);
      return (performance.now() - startedMs) / 1000;
    } finally {
      await handle.close();
    }
  } finally {
    if (logBytes > 0) await node.mars('replay', 'resume', resource);
  }
}

async function measurePrimary(context: LimitContext): Promise<number> {
  await context.mars.settle();
  await context.node.mars('secondary', context.resource);
  const startedMs = performance.now();
  await context.node.mars('primary', context.resource);
  return (performance.now() - startedMs) / 1000;
}

async function measureMemory(context: LimitContext): Promise<number> {
  const {node, settings} = context;
  const bytes = context.quick ? GIB / 8 : 2 * GIB;
  await node.mars('resource', 'create', 'wide', '--size', '4T');
  await node.mars('primary', 'wide');
  try {
    await node.mars('replay', 'pause', 'wide');
    const options = [...randomWrites(4 * 1024 * GIB, bytes), '--norandommap'];
    await fio(settings.scratch, node.device('wide'), options);
    const {pid} = await node.diskProcesses('wide');
    return residentMebibytes(pid);
  } finally {
    await until(
      async () => (await node.tryMars('secondary', 'wide')).status === 0,
      30_000,
      'secondary of wide',
    );
    await node.mars('resource', 'delete', 'wide', '--yes');
  }
}

function randomWrites(regionBytes: number, bytes: number): string[] {
  return [
    '--ioengine=libaio',
    '--direct=1',
    '--rw=randwrite',
    '--bs=4k',
    '--iodepth=32',
    '--norandommap',
    '--random_generator=tausworthe64',
    `--size=${regionBytes}`,
    `--io_size=${bytes}`,
    '--end_fsync=1',
  ];
}

/** User and system time of processes with all their threads, living and ended (proc(5)). */
export function cpuSeconds(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }

  return ticks / CLOCK_TICKS_PER_SECOND;
}

function residentMebibytes(pid: number): number {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/mu.exec(status)?.[1]) / 1024;
}

/** Fills a range once, so that no subject has to allocate blocks while it is measured. */
export async function fill(target: string, bytes: number): Promise<void> {
  await run(
    'dd',
    [
      'if=/dev/urandom',
      `of=${target}`,
      'bs=1M',
      `count=${bytes / 1024 ** 2}`,
      'conv=notrunc,fsync',
    ],
    {timeoutMs: 120_000},
  );
}
