/**
 * Runs many workloads at once on a mounted file system of a real mars disk, each in a directory of its own,
 * and notes how far the log was durable when each call that makes durable had returned.
 */
import fs from 'node:fs';
import path from 'node:path';
import {run} from '../helpers/run.js';
import type {TempHome} from '../helpers/temp-home.js';
import {
  contentOf,
  INITIAL_BYTES,
  APPEND_BYTES,
  OVERWRITE_BYTES,
  TRUNCATED_BYTES,
  type Operation,
  type Workload,
} from './workloads.js';

/** One workload of a round, after it ran. */
export interface RecordedWorkload {
  readonly workload: Workload;
  readonly number: number;
  /** From this position on a crash state is behind the answer of its call. */
  acknowledged: number;
}

export interface Round {
  readonly workloads: readonly RecordedWorkload[];
  /** Position of the log before the first operation: all is durable there. */
  readonly begin: number;
  readonly end: number;
}

/** Directory of a workload. */
export function directoryOf(number: number): string {
  return `w${number}`;
}

/**
 * Makes the directories, durably, then runs the workloads step by step beside one another.
 *
 * @param root where the file system is mounted
 */
export async function recordRound(
  node: TempHome,
  disk: string,
  root: string,
  workloads: readonly {readonly workload: Workload; readonly number: number}[],
): Promise<Round> {
  for (const {number} of workloads) {
    const directory = path.join(root, directoryOf(number));
    fs.mkdirSync(directory);
    fs.writeFileSync(path.join(directory, 'A'), contentOf(number, 0, INITIAL_BYTES));
  }

  await run('sync', ['-f', root]);
  const begin = await position(node, disk, 'durable');
  const recorded = workloads.map((one) => ({...one, acknowledged: Infinity}));
  const steps = Math.max(...workloads.map(({workload}) => workload.operations.length));
  for (let step = 0; step < steps; step += 1) {
    for (const one of recorded) {
      const {workload, number} = one;
      const operation = workload.operations[step];
      if (operation === undefined) continue;
      const directory = path.join(root, directoryOf(number));
      operate(directory, operation, number, step + 1);
      if (workload.persistAfter !== step + 1) continue;
      await persist(directory, workload);
      one.acknowledged = await position(node, disk, 'durable');
    }
  }

  // What was not made durable is written back, so that crash states have some of it.
  await run('sync', ['-f', root]);
  return {workloads: recorded, begin, end: await position(node, disk, 'durable')};
}

async function position(node: TempHome, disk: string, which: 'durable'): Promise<number> {
  const status = await node.diskStatus(disk);
  if (status === undefined) throw new Error(`no status of ${disk}`);
  return Number.parseInt(status[which], 16);
}

function operate(directory: string, operation: Operation, number: number, stamp: number): void {
  const file = path.join(directory, operation.name);
  switch (operation.kind) {
    case 'create':
      fs.closeSync(fs.openSync(file, 'wx'));
      break;
    case 'append':
      fs.appendFileSync(file, contentOf(number, stamp, APPEND_BYTES));
      break;
    case 'overwrite':
      fs.writeFileSync(file, contentOf(number, stamp, OVERWRITE_BYTES), {flag: 'r+'});
      break;
    case 'truncate':
      fs.truncateSync(file, TRUNCATED_BYTES);
      break;
    case 'unlink':
      fs.unlinkSync(file);
      break;
    case 'mkdir':
      fs.mkdirSync(file);
      break;
    case 'rename':
      fs.renameSync(file, path.join(directory, operation.to));
      break;
    case 'link':
      fs.linkSync(file, path.join(directory, operation.to));
  }
}

async function persist(directory: string, {persist: kind, target}: Workload): Promise<void> {
  if (kind === 'sync') {
    await run('sync', ['-f', directory]);
    return;
  }

  const fd = fs.openSync(kind === 'directory' ? directory : path.join(directory, target), 'r');
  try {
    if (kind === 'fdatasync') fs.fdatasyncSync(fd);
    else fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}
