/**
 * `npm run bench -- idle`: what it costs that nothing happens, and how soon `mars status` answers: a
 * node with 20 resources attached, two others with replicas of all. Processes are charged with their own
 * CPU time (utime + stime of proc(5)), so that others on the machine do not count.
 */
import {spawnSync} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {Cluster} from '../test/helpers/cluster.js';

export interface IdleOptions {
  readonly resources: number;
  readonly replicas: boolean;
  /** For how long nothing is done. */
  readonly seconds: number;
}

const NODES = ['alpha', 'beta', 'gamma'];
/** Logs of the first copies are replayed, and files made ready, before. */
const SETTLE_SECONDS = 20;
const STATUS_RUNS = 11;
/** USER_HZ of Linux on every machine that Node runs on. */
const TICKS_PER_SECOND = 100;

/** Prints the figures. @returns exit status: 1 where a goal is missed */
export async function runIdleBench(options: IdleOptions): Promise<number> {
  const cluster = new Cluster(options.replicas ? NODES : NODES.slice(0, 1));
  try {
    await cluster.start();
    await prepare(cluster, options);
    process.stderr.write(`nothing is done for ${SETTLE_SECONDS + options.seconds} s\n`);
    await sleep(SETTLE_SECONDS * 1000);
    return report(await measureCpu(cluster, options), measureStatus(cluster), options);
  } finally {
    await cluster.dispose();
  }
}

async function prepare(cluster: Cluster, {resources}: IdleOptions): Promise<void> {
  const [alpha, ...others] = cluster.nodes;
  if (alpha === undefined) throw new Error('there is a first node');
  for (let count = 1; count <= resources; count += 1) {
    const name = nameOf(count);
    process.stderr.write(`${name} `);
    const settings = ['--set', 'device=off', '--set', 'segment-bytes=4M'];
    await alpha.mars('resource', 'create', name, '--size', '16M', ...settings);
  }

  for (const node of others) {
    for (let count = 1; count <= resources; count += 1) {
      process.stderr.write(`${node.name}:${nameOf(count)} `);
      await cluster.joinResource(node.name, nameOf(count));
    }
  }

  process.stderr.write('\n');
}

const nameOf = (count: number): string => `r${String(count).padStart(2, '0')}`;

interface Cost {
  readonly what: string;
  readonly processes: number;
  /** Of one core. */
  readonly percent: number;
  readonly residentBytes: number;
}

async function measureCpu(cluster: Cluster, {resources, seconds}: IdleOptions): Promise<Cost[]> {
  const groups: {readonly what: string; readonly pids: readonly number[]}[] = [];
  for (const node of cluster.nodes) {
    const disks: number[] = [];
    for (let count = 1; count <= resources; count += 1) {
      const {pid, holderPid} = await node.diskProcesses(nameOf(count));
      disks.push(pid, holderPid);
    }

    groups.push({what: `${node.name}: daemon`, pids: [node.daemonPid ?? 0]});
    groups.push({what: `${node.name}: disk processes and holders`, pids: disks});
  }

  const before = groups.map(({pids}) => ticksOf(pids));
  const startedMs = performance.now();
  await sleep(seconds * 1000);
  const lasted = (performance.now() - startedMs) / 1000;
  return groups.map(({what, pids}, at) => ({
    what,
    processes: pids.length,
    percent: (100 * (ticksOf(pids) - (before[at] ?? 0))) / TICKS_PER_SECOND / lasted,
    residentBytes: pids.reduce((sum, pid) => sum + residentBytes(pid), 0),
  }));
}

/** utime and stime: the 14th and 15th word of /proc/PID/stat, after the name in brackets. */
function ticksOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const words = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return sum + Number(words[11]) + Number(words[12]);
  }, 0);
}

function residentBytes(pid: number): number {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8');
  return 1024 * Number(/^VmRSS:\s+(\d+) kB$/mu.exec(status)?.[1] ?? 0);
}

interface StatusCost {
  readonly medianMs: number;
  /** Of `node -e 0`, in turn with it. */
  readonly nodeMs: number;
}

function measureStatus(cluster: Cluster): StatusCost {
  const program = path.join(import.meta.dirname, '..', 'bin', 'run.js');
  const home = cluster.nodes[0]?.home ?? '';
  const timed = (words: readonly string[]): number => {
    const startedMs = performance.now();
    const {status} = spawnSync(process.execPath, words, {stdio: 'ignore'});
    if (status !== 0) throw new Error(`node ${words.join(' ')} ends with ${status ?? 'a signal'}`);
    return performance.now() - startedMs;
  };
  const runs = Array.from({length: STATUS_RUNS}, () => ({
    status: timed([program, 'status', '--home', home]),
    node: timed(['-e', '0']),
  }));
  return {
    medianMs: median(runs.map(({status}) => status)),
    nodeMs: median(runs.map(({node}) => node)),
  };
}

function median(values: readonly number[]): number {
  return [...values].sort((left, right) => left - right)[Math.floor(values.length / 2)] ?? NaN;
}

function report(costs: readonly Cost[], status: StatusCost, options: IdleOptions): number {
  const mebibytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(0);
  for (const {what, processes, percent, residentBytes: bytes} of costs) {
    const each = (percent / processes).toFixed(3);
    process.stdout.write(
      `${what}: ${percent.toFixed(2)} % of a core (${each} % each of ${processes}), ${mebibytes(bytes)} MiB\n`,
    );
  }

  const {medianMs, nodeMs} = status;
  process.stdout.write(`status: ${medianMs.toFixed(0)} ms, node -e 0: ${nodeMs.toFixed(0)} ms\n`);
  const [daemon, disks] = costs;
  const sum = (daemon?.percent ?? 0) + (disks?.percent ?? 0);
  const goals: readonly (readonly [string, boolean])[] = [
    [`status of ${options.resources} resources under 300 ms`, medianMs < 300],
    [`daemon and disks idle under 2 % of a core: ${sum.toFixed(2)} %`, sum < 2],
    ['daemon under 150 MiB', (daemon?.residentBytes ?? 0) < 150 * 1024 * 1024],
  ];
  for (const [goal, isMet] of goals) process.stdout.write(`${isMet ? 'met' : 'MISSED'}: ${goal}\n`);
  return goals.every(([, isMet]) => isMet) ? 0 : 1;
}
