/**
 * Workloads on a file system on a real disk of mars, and their crash states, each mounted, compared with what
 * was made durable, and checked. One process, one FUSE mount for all states.
 */
import fs from 'node:fs';
import path from 'node:path';
import {createNodeFiles} from '../../src/core/files.js';
import {resourcePaths} from '../../src/core/home.js';
import {checkDisk} from '../../src/disk/fsck/check-disk.js';
import {serveDisk, type ServedDisk} from '../../src/disk/fsck/served-disk.js';
import {run} from '../helpers/run.js';
import type {TempHome} from '../helpers/temp-home.js';
import {createRandom, type Random} from '../sim/random.js';
import {
  applyChange,
  crashStates,
  overlayChange,
  readRecording,
  type CrashState,
  type Recording,
} from './crash-states.js';
import {readTree} from './read-tree.js';
import {directoryOf, recordRound, type Round} from './recorder.js';
import {describe, judge, type Workload} from './workloads.js';

const SIZE_BYTES: Readonly<Record<FileSystemType, number>> = {
  ext4: 16 * 1024 * 1024,
  xfs: 320 * 1024 * 1024,
};

/** Of a disk that lies. Which writes these are is a matter of chance: most, so that no few states are whole. */
const LOST_EVERY = 2;

export type FileSystemType = 'ext4' | 'xfs';

export interface MonkeyOptions {
  readonly node: TempHome;
  readonly type: FileSystemType;
  readonly workloads: readonly Workload[];
  /** Beside one another. */
  readonly roundSize: number;
  /** With some of what was not flushed, for each flush. */
  readonly subsets: number;
  /** States of a round at most, drawn by `seed`; the last of a round is one of them. */
  readonly statesMax: number;
  readonly seed: number;
  /** A disk that lies: in each state some writes that were flushed are missing. To prove that it is found. */
  readonly losesFlushed?: boolean;
  readonly onRound?: (total: MonkeyTotal) => void;
}

export interface MonkeyTotal {
  workloads: number;
  states: number;
  /** How often a workload was judged. */
  judged: number;
  faults: string[];
}

/** Runs all of them; what it makes is below the directory of the node. */
export async function runMonkey(options: MonkeyOptions): Promise<MonkeyTotal> {
  const {node, type, workloads, roundSize, seed, losesFlushed = false} = options;
  const random = createRandom(seed);
  const total: MonkeyTotal = {workloads: 0, states: 0, judged: 0, faults: []};
  const disk = losesFlushed ? `liar-${type}` : `monkey-${type}`;
  const device = await node.disk(disk, String(SIZE_BYTES[type]));
  await run(`mkfs.${type}`, ['-q', device]);
  const root = await node.mount(device, disk);
  const paths = resourcePaths(node.home, disk);
  const {id} = JSON.parse(fs.readFileSync(paths.resourceFile, 'utf8')) as {id: string};
  const scratch = fs.mkdtempSync(path.join(node.directory, 'scratch-'));
  const sizeBytesMax = SIZE_BYTES[type];
  const served = serveDisk({scratch, base: undefined, sizeBytesMax, limitBytes: 2 ** 30});
  served.disk.resize(sizeBytesMax);
  const files = createNodeFiles();
  let at = 0;
  for (let first = 0; first < workloads.length; first += roundSize) {
    const part = workloads.slice(first, first + roundSize);
    const numbered = part.map((workload, index) => ({workload, number: first + index}));
    const round = await recordRound(node, disk, root, numbered);
    const read = (from: number, to: number): Promise<Recording> =>
      readRecording(files, paths.logDirectory, id, from, to);
    for (const change of (await read(at, round.begin)).changes) applyChange(served.disk, change);
    const recording = await read(round.begin, round.end);
    await checkRound(served, round, recording, options, random, total);
    at = round.end;
    total.workloads += part.length;
    options.onRound?.(total);
    for (const {number} of numbered) {
      fs.rmSync(path.join(root, directoryOf(number)), {recursive: true});
    }
  }

  await served.close();
  await node.unmount(root);
  return total;
}

async function checkRound(
  served: ServedDisk,
  round: Round,
  recording: Recording,
  {subsets, statesMax, losesFlushed = false}: MonkeyOptions,
  random: Random,
  total: MonkeyTotal,
): Promise<void> {
  const states = sample([...crashStates(recording, subsets, random)], statesMax, random);
  let applied = 0;
  for (const state of states) {
    served.disk.clearOverlay();
    for (; (recording.changes[applied]?.end ?? Infinity) <= state.flushed; applied += 1) {
      const change = recording.changes[applied];
      if (change === undefined || (losesFlushed && applied % LOST_EVERY === 0)) continue;
      applyChange(served.disk, change);
    }

    for (const change of state.extra) overlayChange(served.disk, change);
    total.faults.push(...(await faultsOf(served, state, round, total)));
    total.states += 1;
  }

  for (const change of recording.changes.slice(applied)) applyChange(served.disk, change);
}

/** Keeps the order, and the last. */
function sample(states: readonly CrashState[], most: number, random: Random): CrashState[] {
  const kept = [...states];
  while (kept.length > most) kept.splice(Math.floor(random() * (kept.length - 1)), 1);
  return kept;
}

async function faultsOf(
  served: ServedDisk,
  {flushed, extra}: CrashState,
  {workloads}: Round,
  total: MonkeyTotal,
): Promise<string[]> {
  const place = `state at ${flushed.toString(16)} with ${extra.length} later writes`;
  const faults: string[] = [];
  const check = checkDisk(served, async () => {
    const tree = await readTree(served.mountPoint);
    for (const {workload, number, acknowledged} of workloads) {
      if (acknowledged > flushed) continue;
      total.judged += 1;
      const fault = judge(workload, number, (name) => tree.get(`${directoryOf(number)}/${name}`));
      if (fault !== undefined) faults.push(`${place}, workload "${describe(workload)}": ${fault}`);
    }
  });
  const {verdict, detail} = await served.whileServed(check);
  if (verdict !== 'clean') faults.push(`${place}: the file system is ${verdict}: ${detail ?? ''}`);
  return faults;
}
