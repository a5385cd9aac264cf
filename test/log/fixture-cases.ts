/**
 * The golden logs of fixtures/log: one per kind of log or damage, made with fixed ids and times.
 * Later versions must read what is stored there as expected.json says; a case is never changed,
 * only added (test/log/make-fixtures.ts).
 */
import {crc32} from 'node:zlib';
import {SegmentIndex} from '../../src/image/segment-index.js';
import {encodeIndexFile, sealSegment} from '../../src/log/index-file.js';
import {FLAG, RECORD} from '../../src/log/record.js';
import {makeReady} from '../../src/log/segment-files.js';
import {
  encodeBinding,
  encodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
} from '../../src/log/segment.js';
import type {SimDisk} from '../sim/sim-disk.js';
import {
  DIRECTORY,
  flipBit,
  LogBuilder,
  makeSimDisk,
  overwrite,
  planFor,
  readFile,
  type BuiltRecord,
} from './log-builder.js';

export interface FixtureCase {
  readonly name: string;
  readonly what: string;
  /** Fills the directory; returns the replay positions that go with it. */
  readonly make: (log: LogBuilder, files: SimDisk) => {from: number; to: number} | undefined;
  readonly alignmentBytes?: number;
}

const CAPACITY_BYTES = 32 * 1024;

function path(number: number): string {
  return `${DIRECTORY}/log-00000000${number}-alpha`;
}

/** Two flushed writes, then three records that no flush covers. */
function makeTail(log: LogBuilder): BuiltRecord[] {
  log.beginEpoch(1, 1);
  log.write(1, 1);
  log.write(2, 2, 2);
  log.flush();
  log.write(3, 3);
  log.plain(RECORD.discard, 1, 2);
  log.write(4, 4);
  return log.records;
}

function recordAt(records: readonly BuiltRecord[], index: number): BuiltRecord {
  const record = records.at(index);
  if (record === undefined) throw new RangeError(`no record ${index}`);
  return record;
}

/** Everything that a log may hold, over three segments and two epochs. */
function makeWhole(log: LogBuilder): {first: SegmentHeader; end: number} {
  const first = log.beginSegment(1);
  log.write(7, 1, 2);
  log.flush();
  log.write(8, 2);
  log.plain(RECORD.discard, 0, 4);
  log.plain(RECORD.zero, 2, 1);
  log.plain(RECORD.mark, 0, 0, FLAG.ignorable);
  log.plain(RECORD.resize, 512);
  log.plain(RECORD.seal);
  log.flush();
  const end = log.writer.position;
  log.beginSegment(2);
  log.write(500, 3);
  log.write(501, 5);
  log.flush();
  log.beginEpoch(2, 3);
  log.write(9, 4);
  return {first, end};
}

function putIndexAndBinding(files: SimDisk, first: SegmentHeader, end: number): void {
  const builder = new SegmentIndex(first.capacityBytes);
  builder.reset(first.start);
  const work = sealSegment(files, path(1), first, end, builder);
  let step = work.next();
  while (step.done !== true) step = work.next();
  if (step.value === undefined) throw new Error('the segment is whole');
  const bytes = encodeIndexFile(first, step.value.index);
  const fd = files.open(`${path(1)}.idx`, 'create');
  files.write(fd, bytes, 0, bytes.length, 0);
  files.close(fd);
  const {sha256} = step.value;
  const binding = encodeBinding({number: 1, bytes: step.value.bytes, sha256});
  overwrite(files, path(2), binding.offset, binding.bytes);
}

/** Puts a header with a right checksum in front of a file. */
function putHeader(files: SimDisk, to: string, header: Buffer): void {
  header.writeUInt32LE(crc32(header.subarray(0, 1020)), 1020);
  overwrite(files, to, 0, header);
}

function currentHeader(log: LogBuilder): SegmentHeader {
  const {header} = log.writer;
  if (header === undefined) throw new Error('a segment was begun');
  return header;
}

export const FIXTURE_CASES: readonly FixtureCase[] = [
  {
    name: 'whole',
    what: 'three segments and two epochs, each type of record that this version writes',
    make: (log) => {
      makeWhole(log);
      return undefined;
    },
  },
  {
    name: 'indexed',
    what: 'the same, with index file and binding of the first segment',
    make: (log, files) => {
      const {first, end} = makeWhole(log);
      putIndexAndBinding(files, first, end);
      return undefined;
    },
  },
  {
    name: 'replayed',
    what: 'the image is that of the middle of the second segment',
    make: (log) => {
      makeWhole(log);
      const {end} = recordAt(log.records, -3);
      return {from: end, to: end};
    },
  },
  {
    name: 'aligned',
    what: 'records padded to 4096 bytes',
    alignmentBytes: 4096,
    make: (log) => {
      makeTail(log);
      return undefined;
    },
  },
  {
    name: 'torn-payload',
    what: 'the last record ends in the middle of its payload',
    make: (log, files) => {
      const last = recordAt(makeTail(log), -1);
      overwrite(files, last.file, last.offset + 1000, Buffer.alloc(4224 - 1000));
      return undefined;
    },
  },
  {
    name: 'torn-header',
    what: 'the last record ends in the middle of its header',
    make: (log, files) => {
      const last = recordAt(makeTail(log), -1);
      overwrite(files, last.file, last.offset + 60, Buffer.alloc(4224 - 60));
      return undefined;
    },
  },
  {
    name: 'truncated',
    what: 'the file ends in the middle of the last record',
    make: (log, files) => {
      const last = recordAt(makeTail(log), -1);
      const fd = files.open(last.file, 'write');
      files.truncate(fd, last.offset + 2000);
      files.close(fd);
      return undefined;
    },
  },
  {
    name: 'hole-above-durable',
    what: 'power loss kept a later page and lost an earlier one: a torn tail',
    make: (log, files) => {
      const lost = recordAt(makeTail(log), 2);
      overwrite(files, lost.file, lost.offset, Buffer.alloc(4224));
      return undefined;
    },
  },
  {
    name: 'hole-below-durable',
    what: 'a flushed record is gone and a later one proves that it was durable: damage',
    make: (log, files) => {
      const lost = recordAt(makeTail(log), 0);
      overwrite(files, lost.file, lost.offset, Buffer.alloc(4224));
      return undefined;
    },
  },
  {
    name: 'rot-payload',
    what: 'one bit of a flushed payload has flipped',
    make: (log, files) => {
      const record = recordAt(makeTail(log), 1);
      flipBit(files, record.file, (record.offset + 5000) * 8 + 3);
      return undefined;
    },
  },
  {
    name: 'rot-replayed',
    what: 'nothing in the log proves it, but replay has written down that it was durable',
    make: (log, files) => {
      log.beginEpoch(1, 1);
      log.write(1, 1);
      log.flush();
      flipBit(files, path(1), (SEGMENT_HEADER_BYTES + 40) * 8);
      return {from: 0, to: log.writer.position};
    },
  },
  {
    name: 'rot-last-commit',
    what: 'the same without a proof: cannot be told from a torn tail',
    make: (log, files) => {
      log.beginEpoch(1, 1);
      log.write(1, 1);
      log.flush();
      flipBit(files, path(1), (SEGMENT_HEADER_BYTES + 40) * 8);
      return undefined;
    },
  },
  {
    name: 'recycled',
    what: 'a file that is used again, with records of its earlier life behind the end',
    make: (log, files) => {
      log.beginEpoch(1, 1);
      for (let stamp = 1; stamp <= 7; stamp += 1) log.write(stamp, stamp);
      log.flush();
      const from = log.writer.position;
      files.rename(path(1), `${DIRECTORY}/spare-1`);
      log.beginSegment(2, `${DIRECTORY}/spare-1`);
      log.write(1, 11);
      return {from, to: from};
    },
  },
  {
    name: 'ready-ahead',
    what: 'a ready segment made of a used file, and a spare',
    make: (log, files) => {
      log.beginEpoch(1, 1);
      log.write(1, 1);
      log.flush();
      const from = log.writer.position;
      log.beginSegment(2);
      log.write(2, 2);
      files.rename(path(1), `${DIRECTORY}/spare-1`);
      makeReady(files, log.plan, `${DIRECTORY}/spare-1`, 3);
      files.close(files.open(`${DIRECTORY}/spare-new-4-1`, 'create'));
      return {from, to: from};
    },
  },
  {
    name: 'torn-started-header',
    what: 'power loss took the header of a segment in which nothing was durable',
    make: (log, files) => {
      makeTail(log);
      log.beginSegment(2);
      log.write(5, 5);
      overwrite(files, path(2), 0, Buffer.alloc(SEGMENT_HEADER_BYTES));
      return undefined;
    },
  },
  {
    name: 'rot-segment-header',
    what: 'a header rotted, and its records prove that they were durable',
    make: (log, files) => {
      log.beginEpoch(1, 1);
      log.write(1, 1);
      log.beginEpoch(2, 2);
      log.write(2, 2);
      log.flush();
      log.write(3, 3);
      flipBit(files, path(2), 100 * 8);
      return undefined;
    },
  },
  {
    name: 'missing-segment',
    what: 'a segment in the middle is gone',
    make: (log, files) => {
      makeTail(log);
      log.beginSegment(2);
      log.write(5, 5);
      log.flush();
      log.beginSegment(3);
      log.write(6, 6);
      files.unlink(path(2));
      return undefined;
    },
  },
  {
    name: 'foreign-segment',
    what: 'a segment of another resource lies in the directory',
    make: (log, files) => {
      makeTail(log);
      const foreign = {...currentHeader(log), number: 2, start: 0, resourceId: '99'.repeat(16)};
      files.close(files.open(path(2), 'create'));
      overwrite(files, path(2), 0, encodeSegmentHeader(foreign));
      return undefined;
    },
  },
  {
    name: 'newer-format',
    what: 'a segment of format 2',
    make: (log, files) => {
      makeTail(log);
      const header = encodeSegmentHeader(currentHeader(log));
      header.writeUInt16LE(2, 8);
      putHeader(files, path(1), header);
      return undefined;
    },
  },
  {
    name: 'empty-epochs',
    what: 'three activations in which nothing was written',
    make: (log) => {
      log.beginEpoch(1, 1);
      log.write(1, 1);
      log.flush();
      for (const epoch of [2, 3, 4]) log.beginEpoch(epoch, epoch);
      log.write(2, 2);
      return undefined;
    },
  },
  {
    name: 'moved-tail',
    what: 'after an I/O error the tail went to another file; the old copy rots',
    make: (log, files) => {
      const records = makeTail(log);
      const [durable, first] = [recordAt(records, 1), recordAt(records, 2)];
      const bytes = readFile(files, path(1)).subarray(first.offset, first.offset + 2 * 4224 + 128);
      const {end, chain} = durable;
      const moved = new LogBuilder({files, plan: log.plan, position: end, chain});
      moved.beginSegment(2);
      moved.close();
      overwrite(files, path(2), SEGMENT_HEADER_BYTES, bytes);
      overwrite(files, path(1), first.offset, Buffer.alloc(5000, 0xee));
      return undefined;
    },
  },
];

export interface MadeFixture {
  readonly from: number;
  readonly to: number;
  readonly files: ReadonlyMap<string, Buffer>;
}

export function makeFixture({make, alignmentBytes = 8}: FixtureCase): MadeFixture {
  const disk = makeSimDisk();
  const plan = planFor(SEGMENT_HEADER_BYTES + CAPACITY_BYTES);
  const log = new LogBuilder({files: disk, plan, alignmentBytes});
  const {from, to} = make(log, disk) ?? {from: 0, to: 0};
  const names = disk.list(DIRECTORY);
  const files = new Map(names.map((name) => [name, readFile(disk, `${DIRECTORY}/${name}`)]));
  return {from, to, files};
}
