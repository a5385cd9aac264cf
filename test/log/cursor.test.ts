import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {MIB} from '../../src/core/units.js';
import {findRemains, findStrayRecords, RecordCursor, type Remains} from '../../src/log/cursor.js';
import {crcOf, RECORD, RECORD_HEADER_BYTES} from '../../src/log/record.js';
import {SEGMENT_HEADER_BYTES, type SegmentHeader} from '../../src/log/segment.js';
import {
  blocksOf,
  epochOf,
  flipBit,
  LogBuilder,
  makeSimDisk,
  overwrite,
  planFor,
  readFile,
  type BuiltRecord,
} from './log-builder.js';
import type {SimDisk} from '../sim/sim-disk.js';

interface Segment {
  readonly files: SimDisk;
  readonly header: SegmentHeader;
  readonly records: readonly BuiltRecord[];
  readonly path: string;
}

function makeSegment(fill: (log: LogBuilder) => void, fileBytes = 64 * 1024): Segment {
  const files = makeSimDisk();
  const log = new LogBuilder({files, plan: planFor(SEGMENT_HEADER_BYTES + fileBytes)});
  const header = log.beginSegment(1);
  fill(log);
  log.close();
  return {files, header, records: log.records, path: '/log/log-000000001-alpha'};
}

/** Ends of the records that a cursor finds. */
function walk({files, header, path}: Segment, end = header.start + header.capacityBytes): number[] {
  const fd = files.open(path, 'read');
  const cursor = new RecordCursor(files);
  cursor.open(fd, header, header.start, header.chain, end);
  const ends: number[] = [];
  while (cursor.next()) ends.push(cursor.position);
  files.close(fd);
  return ends;
}

function threeSmall(log: LogBuilder): void {
  for (const stamp of [1, 2, 3]) log.small(40, stamp);
}

test('records come in order with their payload, also where they cross the buffer', () => {
  const counts = Array.from({length: 60}, (_, at) => 1 + ((at * 37) % 258));
  const segment = makeSegment((log) => {
    for (const [at, count] of counts.entries()) log.write(at, at, count);
    log.plain(RECORD.seal);
  }, 40 * MIB);
  const {files, header, path, records} = segment;
  const fd = files.open(path, 'read');
  const cursor = new RecordCursor(files);
  cursor.open(fd, header, header.start, header.chain, header.start + header.capacityBytes);
  for (const [at, count] of counts.entries()) {
    assert.ok(cursor.next());
    const {payloadOffset, bytes, record, payloadPosition, position, chain} = cursor;
    const payload = bytes.subarray(payloadOffset, payloadOffset + record.storedLength);
    assert.ok(payload.equals(blocksOf(at, count)), `payload ${at}`);
    assert.is(payloadPosition, (records[at]?.position ?? 0) + RECORD_HEADER_BYTES);
    assert.is(position, records[at]?.end);
    assert.equal({...chain}, records[at]?.chain);
  }

  assert.ok(cursor.next());
  assert.is(cursor.record.type, RECORD.seal);
  assert.not(cursor.next());
  assert.is(cursor.position, records.at(-1)?.end);
});

test('a bit flipped anywhere in a record ends the walk in front of it', () => {
  const segment = makeSegment(threeSmall);
  const [first, second] = segment.records;
  assert.ok(first && second);
  for (let bit = second.offset * 8; bit < (second.offset + 168) * 8; bit += 1) {
    flipBit(segment.files, segment.path, bit);
    assert.equal(walk(segment), [first.end], `bit ${bit}`);
    flipBit(segment.files, segment.path, bit);
  }

  assert.is(walk(segment).length, 3);
});

test('a file that ends at any byte of a record has the records before it', () => {
  const segment = makeSegment(threeSmall);
  const whole = readFile(segment.files, segment.path);
  const end = (segment.records.at(-1)?.offset ?? 0) + 168;
  for (let length = end; length >= SEGMENT_HEADER_BYTES; length -= 1) {
    const fd = segment.files.open(segment.path, 'write');
    segment.files.truncate(fd, length);
    segment.files.close(fd);
    const expected = segment.records.filter(({offset}) => offset + 168 <= length);
    assert.is(walk(segment).length, expected.length, `${length} bytes`);
  }

  assert.is(whole.length, SEGMENT_HEADER_BYTES + 64 * 1024);
});

test('no record reaches beyond the end that the cursor was given', () => {
  const segment = makeSegment(threeSmall);
  const last = segment.records.at(-1)?.end ?? 0;
  assert.is(walk(segment, last).length, 3);
  for (const less of [1, 8, 40, 41, 167]) assert.is(walk(segment, last - less).length, 2);
});

for (const [field, offset] of [
  ['position', 40],
  ['epoch', 48],
  ['epoch', 52],
  ['chain', 104],
  ['chain', 108],
] as const) {
  test(`a valid record with another ${field} at byte ${offset} does not belong here`, () => {
    const segment = makeSegment(threeSmall);
    const record = segment.records[1];
    assert.ok(record);
    const bytes = readFile(segment.files, segment.path).subarray(
      record.offset,
      record.offset + 128,
    );
    bytes.writeUInt32LE((bytes.readUInt32LE(offset) ^ 8) >>> 0, offset);
    bytes.writeUInt32LE(crcOf(bytes, 0, 124), 124);
    overwrite(segment.files, segment.path, record.offset, bytes);
    assert.equal(walk(segment), [segment.records[0]?.end]);
  });
}

function lookBehind(segment: Segment, position: number): Remains {
  const fd = segment.files.open(segment.path, 'read');
  try {
    return findRemains(segment.files, fd, segment.header, position);
  } finally {
    segment.files.close(fd);
  }
}

function remainsOf(segment: Segment, position: number): unknown {
  const {count, durable} = lookBehind(segment, position);
  return {count, durable};
}

test('the first record behind a hole tells where the log goes on, and after what', () => {
  const segment = makeSegment((log) => {
    for (const stamp of [1, 2, 3, 4]) log.small(40, stamp);
  });
  const {records, files, path} = segment;
  const second = records[1];
  assert.ok(second);
  // In the header, and in the payload only: then the header is still one that is right by itself.
  for (const at of [10, 140]) {
    flipBit(files, path, (second.offset + at) * 8);
    const {first} = lookBehind(segment, second.position);
    assert.equal(first, {position: second.end, chain: second.chain});
    flipBit(files, path, (second.offset + at) * 8);
  }

  assert.is(lookBehind(segment, records.at(-1)?.position ?? 0).first, undefined);
});

test('what lies behind a hole is found, with the highest durable position it proves', () => {
  const segment = makeSegment((log) => {
    log.small(40, 1);
    log.flush();
    threeSmall(log);
    log.flush();
    log.small(40, 5);
  });
  const {records} = segment;
  const end = records[0]?.end ?? 0;
  flipBit(segment.files, segment.path, (records[1]?.offset ?? 0) * 8);
  assert.equal(walk(segment), [end]);
  assert.equal(remainsOf(segment, end), {count: 3, durable: records[3]?.end});
  const behind = records.at(-1)?.end ?? 0;
  assert.equal(remainsOf(segment, behind), {count: 0, durable: 0});
});

test('remains are found wherever they lie to the pieces in which the file is read', () => {
  for (const shift of [-256, -136, -128, -120, -8, 0, 8, 128]) {
    const segment = makeSegment((log) => {
      // The header of the last record begins so many bytes from the end of the first piece.
      log.write(0, 1, 254);
      log.small(MIB - 255 * 4096 + shift + 4096 - 2 * RECORD_HEADER_BYTES, 2);
      log.small(40, 3);
    }, 4 * MIB);
    const last = segment.records.at(-1);
    assert.is(last?.position, MIB + shift);
    assert.equal(remainsOf(segment, 0), {count: 3, durable: 0});
    flipBit(segment.files, segment.path, ((last?.offset ?? 0) + 60) * 8);
    assert.equal(remainsOf(segment, 0), {count: 2, durable: 0});
  }
});

test('a record of another life proves nothing where positions are known', () => {
  const segment = makeSegment((log) => {
    log.flush();
    threeSmall(log);
  });
  // The same bytes as they would lie in a file that is used again for a later segment.
  const later = {...segment, header: {...segment.header, start: 2 ** 20}};
  assert.equal(walk(later), []);
  assert.equal(remainsOf(later, 2 ** 20), {count: 0, durable: 0});
  const other = {...segment, header: {...segment.header, epoch: epochOf(9)}};
  assert.equal(walk(other), []);
  assert.equal(remainsOf(other, 0), {count: 0, durable: 0});
});

test('in a file without header every record tells what it knows', () => {
  const segment = makeSegment((log) => {
    log.small(40, 1);
    log.flush();
    log.small(40, 2);
  });
  const fd = segment.files.open(segment.path, 'read');
  const [first, second] = segment.records.map(({position}) => position);
  assert.ok(first !== undefined && second !== undefined);
  assert.equal(findStrayRecords(segment.files, fd, 0), {count: 2, durable: second});
  assert.equal(findStrayRecords(segment.files, fd, second), {count: 1, durable: second});
  assert.equal(findStrayRecords(segment.files, fd, 2 ** 20), {count: 0, durable: second});
});

test.run();
