/**
 * What is measured, in the three forms that a workload may ask for: a file, a device, a directory
 * with a file system. Raw has the host's own file system as its directory, and no loop device.
 */
import fs from 'node:fs';
import path from 'node:path';
import {attachLoop, freeLoop} from '../test/helpers/loops.js';
import {run, until} from '../test/helpers/run.js';
import type {TempHome} from '../test/helpers/temp-home.js';

export type Label = 'raw' | 'loop' | 'mars' | 'nbdfuse';

export interface Subject {
  readonly label: Label;
  /** The image as a file; undefined for `loop`, which is raw's file behind a device. */
  readonly file: string | undefined;
  withDevice<T>(work: (device: string) => Promise<T>): Promise<T>;
  /** Makes an ext4 on the device first, except for raw. The content before is lost. */
  withDirectory<T>(work: (directory: string) => Promise<T>): Promise<T>;
  /** Waits until nothing that was written before is still under way. */
  settle(): Promise<void>;
  /** Processes to charge with CPU time. */
  pids(): Promise<number[]>;
}

export interface Bed {
  readonly directory: string;
  /** Bytes of every subject's disk. */
  readonly sizeBytes: number;
}

const SETTLE_MS_MAX = 120_000;

/** A plain file on the host's file system: the limit. */
export function rawSubject(bed: Bed, file: string): Subject {
  return {
    label: 'raw',
    file,
    withDevice: (work) => work(file),
    withDirectory: async (work) => {
      const directory = path.join(bed.directory, 'raw-files');
      fs.mkdirSync(directory, {mode: 0o755});
      try {
        return await work(directory);
      } finally {
        fs.rmSync(directory, {recursive: true});
      }
    },
    settle: () => syncHost(bed),
    pids: () => Promise.resolve([]),
  };
}

/** A loop device with direct I/O over `file`, attached only while it is measured. */
export function loopSubject(bed: Bed, label: Label, file: string, servers: number[]): Subject {
  const withDevice: Subject['withDevice'] = async (work) => {
    const device = await attachLoop(file, true);
    try {
      return await work(device);
    } finally {
      await freeLoop(device);
    }
  };
  return {
    label,
    file: label === 'loop' ? undefined : file,
    withDevice,
    withDirectory: (work) => withDevice((device) => withExt4(bed, device, work)),
    settle: () => syncHost(bed),
    pids: () => Promise.resolve(servers),
  };
}

/** A resource of a node; its device stays up. */
export function marsSubject(bed: Bed, node: TempHome, name: string): Subject {
  return {
    label: 'mars',
    file: node.imageFile(name),
    withDevice: (work) => work(node.device(name)),
    withDirectory: (work) => withExt4(bed, node.device(name), work),
    settle: async () => {
      await node.replayed(name, SETTLE_MS_MAX);
      await syncHost(bed);
    },
    pids: async () => {
      const {pid, holderPid} = await node.diskProcesses(name);
      return [pid, holderPid];
    },
  };
}

async function withExt4<T>(
  bed: Bed,
  device: string,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  const directory = path.join(bed.directory, 'ext4');
  fs.mkdirSync(directory, {recursive: true});
  // All tables are written now, and nothing is discarded: the measurement shall find a quiet disk.
  const options = 'nodiscard,lazy_itable_init=0,lazy_journal_init=0';
  await run('mkfs.ext4', ['-q', '-F', '-E', options, device], {timeoutMs: 60_000});
  await run('mount', [device, directory]);
  try {
    await run('sync', ['-f', directory]);
    return await work(directory);
  } finally {
    await unmountInTime(directory);
  }
}

/** A program that was told to end may keep a file open for a moment. */
async function unmountInTime(directory: string): Promise<void> {
  await until(
    () =>
      run('umount', [directory]).then(
        () => true,
        () => false,
      ),
    15_000,
    `unmounting of ${directory}`,
  );
}

/** Writes back the host's file system, by a program: no thread of ours does such a thing. */
async function syncHost(bed: Bed): Promise<void> {
  await run('sync', ['-f', bed.directory], {timeoutMs: SETTLE_MS_MAX});
}
