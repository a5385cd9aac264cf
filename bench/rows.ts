/**
 * The workloads that are compared: same options on every subject, in turn. A floor is the least
 * ratio to like (loop to loop, file to file, ext4 to ext4) that this project accepts of itself.
 */
import path from 'node:path';
import {pgbenchRate, sqliteRate} from './databases.js';
import {fio} from './fio.js';
import type {Label, Subject} from './subject.js';

export interface RunSettings {
  readonly scratch: string;
  /** Of one fio run. */
  readonly seconds: number;
  /** Region that the workloads use. */
  readonly regionBytes: number;
}

export interface Row {
  readonly name: string;
  readonly title: string;
  readonly unit: 'IOPS' | 'MB/s' | 'tx/s';
  /** What mars' ratio is taken to: the raw file, or the loop device on it. */
  readonly reference: Label;
  readonly subjects: readonly Label[];
  readonly floor: number;
  measure(subject: Subject, settings: RunSettings): Promise<number>;
}

const ON_DEVICE: readonly Label[] = ['raw', 'loop', 'mars', 'nbdfuse'];
const ON_FILE: readonly Label[] = ['raw', 'mars', 'nbdfuse'];
const MEBIBYTE = 1024 * 1024;

export const ROWS: readonly Row[] = [
  deviceRow('write-4k-q1', '4k random write, depth 1', 1.3, 'IOPS', [
    '--rw=randwrite',
    '--bs=4k',
    '--iodepth=1',
  ]),
  deviceRow('write-4k-q32', '4k random write, depth 32', 0.9, 'IOPS', [
    '--rw=randwrite',
    '--bs=4k',
    '--iodepth=32',
  ]),
  deviceRow('read-4k-q32', '4k random read, depth 32', 0.9, 'IOPS', [
    '--rw=randread',
    '--bs=4k',
    '--iodepth=32',
  ]),
  deviceRow('write-1m-q8', '1 MiB write, depth 8', 0.6, 'MB/s', [
    '--rw=write',
    '--bs=1M',
    '--iodepth=8',
  ]),
  deviceRow('write-4k-fdatasync', '4k random write, fdatasync after each', 0.7, 'IOPS', [
    '--rw=randwrite',
    '--bs=4k',
    '--iodepth=1',
    '--fdatasync=1',
  ]),
  {
    name: 'file-4k-fsync',
    title: 'image file: 4k random write, fsync after each',
    unit: 'IOPS',
    reference: 'raw',
    subjects: ON_FILE,
    floor: 0.6,
    measure: async (subject, settings) => {
      if (subject.file === undefined) throw new Error(`${subject.label} has no file`);
      const options = ['--ioengine=psync', '--rw=randwrite', '--bs=4k', '--fsync=1'];
      return (await fio(settings.scratch, subject.file, timed(settings, options))).iops;
    },
  },
  {
    name: 'ext4-4k-fsync',
    title: 'ext4: 4k random write, fsync after each',
    unit: 'IOPS',
    reference: 'loop',
    subjects: ON_DEVICE,
    floor: 0.8,
    measure: (subject, settings) =>
      subject.withDirectory(async (directory) => {
        const file = path.join(directory, 'file');
        const fill = ['--rw=write', '--bs=1M', `--size=${256 * MEBIBYTE}`, '--end_fsync=1'];
        await fio(settings.scratch, file, fill);
        const options = ['--ioengine=psync', '--rw=randwrite', '--bs=4k', '--fsync=1'];
        const small = {...settings, regionBytes: 256 * MEBIBYTE};
        return (await fio(settings.scratch, file, timed(small, options))).iops;
      }),
  },
  {
    name: 'ext4-sqlite',
    title: 'ext4: sqlite, WAL, synchronous FULL',
    unit: 'tx/s',
    reference: 'loop',
    subjects: ON_DEVICE,
    floor: 0.8,
    measure: (subject, settings) =>
      subject.withDirectory((directory) => sqliteRate(directory, settings.seconds * 1000)),
  },
  {
    name: 'ext4-pgbench',
    title: 'ext4: pgbench, 4 clients',
    unit: 'tx/s',
    reference: 'loop',
    subjects: ON_DEVICE,
    floor: 0.8,
    measure: (subject, settings) =>
      subject.withDirectory((directory) =>
        pgbenchRate(directory, settings.scratch, Math.ceil(settings.seconds * 1.5)),
      ),
  },
];

function deviceRow(
  name: string,
  title: string,
  floor: number,
  unit: 'IOPS' | 'MB/s',
  options: readonly string[],
): Row {
  return {
    name,
    title: `device: ${title}`,
    unit,
    reference: 'loop',
    subjects: ON_DEVICE,
    floor,
    measure: (subject, settings) =>
      subject.withDevice(async (device) => {
        const all = timed(settings, ['--ioengine=libaio', '--direct=1', ...options]);
        const result = await fio(settings.scratch, device, all);
        return unit === 'IOPS' ? result.iops : result.megabytesPerSecond;
      }),
  };
}

function timed(settings: RunSettings, options: readonly string[]): string[] {
  return [
    ...options,
    `--size=${settings.regionBytes}`,
    '--time_based',
    `--runtime=${settings.seconds}`,
  ];
}
