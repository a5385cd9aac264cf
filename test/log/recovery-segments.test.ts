/** Recovery where whole segments are missing, foreign, moved, used again, or without a header. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {crc32} from 'node:zlib';
import {isDiskError} from '../../src/core/errors.js';
import {makeReady} from '../../src/log/segment-files.js';
import {encodeSegmentHeader, SEGMENT_HEADER_BYTES} from '../../src/log/segment.js';
import type {SimDisk} from '../sim/sim-disk.js';
import {
  epochOf,
  flipBit,
  LogBuilder,
  makeSimDisk,
  overwrite,
  readFile,
  snapshot,
} from './log-builder.js';
import {assertStops, at, makeLog, recover} from './recover.js';

test('records of the life before in a file that is used again are never believed', () => {
  const files = makeSimDisk();
  const old = new LogBuilder({files});
  old.beginEpoch(1, 1);
  for (let stamp = 1; stamp <= 15; stamp += 1) old.write(stamp, stamp);
  old.flush();
  old.close();
  const log = new LogBuilder({files, position: old.writer.position, chain: old.writer.chain});
  log.epoch = old.epoch;
  files.rename('/log/log-000000001-alpha', '/log/spare-1');
  log.beginSegment(2, '/log/spare-1');
  const from = log.writer.position;
  for (let count = 0; count < 15; count += 1) {
    const result = recover(files, {from, to: from});
    assert.is(result.position, log.writer.position, `${count} records`);
    assert.is(result.tornRecords, 0);
    log.write(count, 100 + count);
  }
});

test('a ready segment full of old records is a spare and no torn tail', () => {
  const files = makeSimDisk();
  const log = new LogBuilder({files});
  log.beginEpoch(1, 1);
  for (let stamp = 1; stamp <= 10; stamp += 1) log.write(stamp, stamp);
  log.flush();
  log.beginSegment(2);
  log.write(1, 20);
  const replayed = at(log.records, 9).end;
  files.rename('/log/log-000000001-alpha', '/log/spare-1');
  makeReady(files, log.plan, '/log/spare-1', 3);
  const result = recover(files, {from: replayed, to: replayed});
  assert.is(result.position, log.writer.position);
  assert.is(result.tornRecords, 0);
  assert.equal(
    result.spares.map(({name}) => name),
    ['log-000000003-alpha'],
  );
});

test('a started header that power loss tore costs nothing: no record in it was durable', () => {
  const {files, records, log} = makeLog((log) => {
    log.beginEpoch(1, 1);
    log.small(40, 1);
    log.flush();
    log.small(40, 2);
    log.beginSegment(2);
    log.small(40, 3);
    log.small(40, 4);
  });
  overwrite(files, '/log/log-000000002-alpha', 0, Buffer.alloc(SEGMENT_HEADER_BYTES));
  const result = recover(files);
  assert.is(result.position, at(records, 1).end);
  assert.is(result.tornRecords, 2);
  assert.is(result.numberMax, 2);
  assert.ok(result.position < log.writer.position);
});

test('a header that rotted is damage where its records prove that they were durable', () => {
  const {files, records} = makeLog((log) => {
    log.beginEpoch(1, 1);
    log.small(40, 1);
    log.beginSegment(2);
    log.small(40, 3);
    log.flush();
    log.small(40, 4);
  });
  flipBit(files, '/log/log-000000002-alpha', 800);
  assertStops(files, at(records, 0).end);
});

test('a rotted header of a new epoch is damage as well', () => {
  const {files, records} = makeLog((log) => {
    log.beginEpoch(1, 1);
    log.small(40, 1);
    log.flush();
    log.beginEpoch(2, 2);
    log.small(40, 3);
    log.flush();
    log.small(40, 4);
  });
  flipBit(files, '/log/log-000000002-alpha', 800);
  assertStops(files, at(records, 0).end);
});

test('a rotted header of the only segment is no new log', () => {
  const {files} = makeLog((log) => {
    log.beginEpoch(1, 1);
    log.small(40, 3);
    log.flush();
    log.small(40, 4);
  });
  flipBit(files, '/log/log-000000001-alpha', 800);
  assertStops(files, 0);
});

test('a segment of another resource is a spare', () => {
  const {files, log, records} = makeLog((log) => {
    log.beginEpoch(1, 1);
    log.small(40, 1);
    log.flush();
  });
  const header = log.writer.header;
  assert.ok(header);
  const foreign = {...header, number: 2, start: 168, resourceId: '99'.repeat(16)};
  const fd = files.open('/log/log-000000002-alpha', 'create');
  files.write(fd, encodeSegmentHeader(foreign), 0, SEGMENT_HEADER_BYTES, 0);
  files.close(fd);
  const result = recover(files);
  assert.is(result.position, at(records, -1).end);
  assert.equal(
    result.spares.map(({name}) => name),
    ['log-000000002-alpha'],
  );
});

test('a segment of a newer format is refused, not taken for a spare', () => {
  const {files, log} = makeLog((log) => {
    log.beginEpoch(1, 1);
  });
  const header = log.writer.header;
  assert.ok(header);
  const bytes = encodeSegmentHeader({...header, number: 2});
  bytes.writeUInt16LE(2, 8);
  overwriteWithCrc(files, '/log/log-000000001-alpha', bytes);
  const before = snapshot(files);
  assert.throws(
    () => recover(files),
    (error: unknown) => isDiskError(error, 'LOG_FORMAT'),
  );
  assert.equal(snapshot(files), before);
});

test('a segment that may only be read is refused by who would go on with it', () => {
  const {files, log} = makeLog((log) => {
    log.beginEpoch(1, 1);
  });
  const header = log.writer.header;
  assert.ok(header);
  const bytes = encodeSegmentHeader(header);
  bytes.writeBigUInt64LE(4n, 24);
  overwriteWithCrc(files, '/log/log-000000001-alpha', bytes);
  assert.throws(
    () => recover(files),
    (error: unknown) => isDiskError(error, 'LOG_FORMAT'),
  );
});

function overwriteWithCrc(files: SimDisk, path: string, header: Buffer): void {
  header.writeUInt32LE(crc32(header.subarray(0, 1020)), 1020);
  overwrite(files, path, 0, header);
}

test('a missing segment in the middle is damage, at the end of the one before it', () => {
  const {files, records} = makeLog((log) => {
    log.beginEpoch(1, 1);
    log.small(40, 1);
    log.beginSegment(2);
    log.small(40, 2);
    log.flush();
    log.beginSegment(3);
    log.small(40, 3);
  });
  files.unlink('/log/log-000000002-alpha');
  assertStops(files, at(records, 0).end);
});

test('a missing segment that the image still needs is damage, and the message says which', () => {
  const {files} = makeLog((log) => {
    log.beginEpoch(1, 1);
    log.small(40, 1);
    log.flush();
    log.beginSegment(2);
    log.small(40, 2);
  });
  files.unlink('/log/log-000000001-alpha');
  assertStops(files, 0);
});

test('a segment whose chain does not join the one before belongs to another history', () => {
  const {files, records, log} = makeLog((log) => {
    log.beginEpoch(1, 1);
    log.small(40, 1);
    log.beginSegment(2);
    log.small(40, 2);
  });
  const header = log.writer.header;
  assert.ok(header);
  const other = {...header, chain: {low: 1, high: 2}};
  overwrite(files, '/log/log-000000002-alpha', 0, encodeSegmentHeader(other));
  assert.is(recover(files).position, at(records, 0).end);
});

test('epochs in which nothing was written are passed over', () => {
  const {files, records} = makeLog((log) => {
    log.beginEpoch(1, 1);
    log.small(40, 1);
    for (let epoch = 2; epoch < 6; epoch += 1) log.beginEpoch(epoch, epoch);
    log.small(40, 2);
  });
  const result = recover(files);
  assert.equal(
    result.segments.map(({header}) => header.number),
    [1, 5],
  );
  assert.is(result.position, at(records, -1).end);
  assert.is(result.epoch, epochOf(5));
  assert.is(result.cut.length, 3);
});

test('a tail that moved to another file after an I/O error is read there', () => {
  const files = makeSimDisk();
  const log = new LogBuilder({files});
  log.beginEpoch(1, 1);
  const first = log.small(40, 1);
  log.flush();
  const tail = [log.small(40, 2), log.small(40, 3)];
  const offset = at(tail, 0).offset;
  const bytes = readFile(files, '/log/log-000000001-alpha').subarray(offset, offset + 336);
  const moved = new LogBuilder({files, position: first.end, chain: first.chain});
  moved.beginSegment(2);
  moved.close();
  overwrite(files, '/log/log-000000002-alpha', SEGMENT_HEADER_BYTES, bytes);
  // The old copies rot: nobody reads them.
  overwrite(files, '/log/log-000000001-alpha', offset, Buffer.alloc(336, 1));
  const result = recover(files);
  assert.is(result.position, at(tail, 1).end);
  assert.equal(result.chain, at(tail, 1).chain);
  assert.is(result.ends.length, 3);
  assert.equal(
    result.segments.map(({header}) => header.number),
    [1, 2],
  );
});

test('a file under two names, as after a rename that power loss undid, is read once', () => {
  const {files, records, log} = makeLog((log) => {
    log.beginEpoch(1, 1);
    log.small(40, 1);
    log.flush();
    log.beginSegment(2);
    log.small(40, 2);
  });
  // The header says 2, the name an older number: the header decides.
  files.rename('/log/log-000000002-alpha', '/log/log-000000000-alpha');
  const result = recover(files);
  assert.is(result.position, at(records, -1).end);
  assert.is(result.numberMax, 2);
  assert.is(result.position, log.writer.position);
});

test('an alignment of 4096 keeps records apart, and recovery walks over the padding', () => {
  const files = makeSimDisk();
  const log = new LogBuilder({files, alignmentBytes: 4096});
  log.beginEpoch(1, 1);
  for (const stamp of [1, 2, 3]) {
    const {position, end} = log.small(40, stamp);
    assert.is(position % 4096, 0);
    assert.is(end % 4096, 0);
  }

  const result = recover(files);
  assert.is(result.position, 3 * 4096);
  assert.is(result.ends.length, 6);
});

test.run();
