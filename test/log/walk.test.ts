/** Walking a stretch of log, where it was flushed, and its form for dm-log-writes. */
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {BLOCK_BYTES} from '../../src/core/limits.js';
import {encodeEntry, encodeSuper, ENTRY_FLAG, writeLogWrites} from '../../src/log/dm-log-writes.js';
import {readMarks} from '../../src/log/marks.js';
import {RECORD} from '../../src/log/record.js';
import {listSegments, walkLog, type WalkedLog} from '../../src/log/walk.js';
import {isDiskError} from '../../src/core/errors.js';
import type {SimDisk} from '../sim/sim-disk.js';
import {
  blocksOf,
  DIRECTORY,
  LogBuilder,
  makeSimDisk,
  overwrite,
  readFile,
  RESOURCE_ID,
} from './log-builder.js';

const PATH = `${DIRECTORY}/writes`;

interface Context {
  files: SimDisk;
  builder: LogBuilder;
  log: () => WalkedLog;
}

const test = suite<Context>('walk');

/** Two segments: two writes, a flush, a write and a discard, a second flush, then a write and a zero. */
test.before.each((context) => {
  const files = makeSimDisk();
  const builder = new LogBuilder({files});
  builder.beginEpoch(1, 1);
  builder.write(0, 1);
  builder.write(1, 2);
  builder.flush();
  builder.write(0, 3);
  builder.beginSegment(2);
  builder.plain(RECORD.discard, 4, 8);
  builder.flush();
  builder.write(5, 4);
  builder.plain(RECORD.zero, 1, 1);
  context.files = files;
  context.builder = builder;
  context.log = () => ({files, segments: listSegments(files, DIRECTORY, RESOURCE_ID)});
});

test('every record is visited once, in order, over the files', async ({builder, log}) => {
  const positions: number[] = [];
  const end = await walkLog(log(), 0, Infinity, ({record}) => {
    positions.push(record.position);
  });
  assert.equal(
    positions,
    builder.records.map(({position}) => position),
  );
  assert.is(end.position, builder.writer.position);
});

test('it begins and ends where it is told, and ends at damage', async ({files, builder, log}) => {
  const [, second, third] = builder.records;
  const seen: number[] = [];
  const visit = ({record}: {record: {position: number}}): void => {
    seen.push(record.position);
  };
  const end = await walkLog(log(), second?.position ?? 0, third?.end ?? 0, visit);
  assert.equal(seen, [second?.position, third?.position]);
  assert.is(end.position, third?.end);
  // In the middle of a record: none ends there.
  const middle = (third?.position ?? 0) + 8;
  assert.is((await walkLog(log(), 0, middle, () => undefined)).position, third?.position);
  overwrite(files, third?.file ?? '', (third?.offset ?? 0) + 200, Buffer.from('rot'));
  assert.is((await walkLog(log(), 0, Infinity, () => undefined)).position, third?.position);
});

test('it ends in front of the record at which it is told to, and knows the size of the disk', async ({
  builder,
  log,
}) => {
  const before = (await walkLog(log(), 0, Infinity, () => undefined)).diskSizeBytes;
  const size = before + 4096;
  const at = builder.writer.position;
  const body = {type: RECORD.resize, logicalLength: 0, diskOffset: size};
  builder.writer.appendPlain(body, builder.durable);
  const sizes = new Set<number>();
  const whole = await walkLog(log(), 0, Infinity, (_, diskSizeBytes) => sizes.add(diskSizeBytes));
  assert.equal([...sizes], [before, size]);
  assert.is(whole.diskSizeBytes, size);
  const ended = await walkLog(log(), 0, Infinity, ({record}) => record.type !== RECORD.resize);
  assert.equal(ended, {position: at, diskSizeBytes: before});
});

test('the marks are where the log was durable, each once', async ({builder, log}) => {
  const [, second, , fourth] = builder.records;
  const {marks, end, records} = await readMarks(log(), 0, Infinity);
  assert.equal(marks, [second?.end, fourth?.end]);
  assert.is(end, builder.writer.position);
  assert.is(records, 6);
  assert.equal((await readMarks(log(), second?.end ?? 0, Infinity)).marks, [fourth?.end]);
});

test('super and entries of dm-log-writes have the bytes of the kernel', () => {
  const super64 = encodeSuper(3);
  assert.is(super64.length, 512);
  assert.is(
    super64.toString('hex', 0, 28),
    '7268737766736a000100000000000000030000000000000000020000',
  );
  assert.ok(super64.subarray(28).every((byte) => byte === 0));
  const entry = encodeEntry(4096, 8192, ENTRY_FLAG.DISCARD);
  assert.is(entry.length, 512);
  assert.is(
    entry.toString('hex', 0, 32),
    '0800000000000000' + '1000000000000000' + '0400000000000000' + '0000000000000000',
  );
  const mark = encodeEntry(0, 0, ENTRY_FLAG.MARK, 'end');
  assert.is(mark.toString('hex', 16, 35), '0800000000000000' + '0300000000000000' + '656e64');
});

test('a log becomes its writes, with a flush where it was durable', async ({
  files,
  builder,
  log,
}) => {
  const {entries, writes, flushes, discards, to} = await writeLogWrites(log(), PATH, 0);
  assert.equal(
    {entries, writes, flushes, discards},
    {entries: 10, writes: 5, flushes: 2, discards: 1},
  );
  assert.is(to, builder.writer.position);
  const bytes = readFile(files, PATH);
  assert.ok(bytes.subarray(0, 512).equals(encodeSuper(10)));
  const data = (stamp: number): Buffer => blocksOf(stamp);
  const write = (block: number): Buffer => encodeEntry(block * BLOCK_BYTES, BLOCK_BYTES, 0);
  const flush = encodeEntry(0, 0, ENTRY_FLAG.FLUSH);
  const expected = Buffer.concat([
    encodeSuper(10),
    encodeEntry(0, 0, ENTRY_FLAG.MARK, 'mars 0000000000000000'),
    ...[write(0), data(1), write(1), data(2), flush],
    ...[
      write(0),
      data(3),
      encodeEntry(4 * BLOCK_BYTES, 8 * BLOCK_BYTES, ENTRY_FLAG.DISCARD),
      flush,
    ],
    ...[write(5), data(4), write(1), Buffer.alloc(BLOCK_BYTES)],
    encodeEntry(0, 0, ENTRY_FLAG.MARK, `mars ${to.toString(16).padStart(16, '0')}`),
  ]);
  assert.ok(bytes.equals(expected));
});

test('a log that does not reach back is refused, and no file is left', async ({files, log}) => {
  const later = {...log(), segments: log().segments.slice(1)};
  let code: unknown;
  await writeLogWrites(later, PATH, 0).catch((error: unknown) => {
    code = isDiskError(error) ? error.code : error;
  });
  assert.is(code, 'LOG_GONE');
  assert.not(files.exists(PATH));
});

test.run();
