/** Index files of sealed segments: exact, checked, and never believed where they do not fit. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {createHash} from 'node:crypto';
import {SegmentIndex} from '../../src/image/segment-index.js';
import {
  decodeIndexFile,
  encodeIndexFile,
  indexPathOf,
  readIndexFile,
  sealSegment,
  type SealedSegment,
} from '../../src/log/index-file.js';
import {RECORD, RECORD_HEADER_BYTES} from '../../src/log/record.js';
import {SEGMENT_HEADER_BYTES, type SegmentHeader} from '../../src/log/segment.js';
import type {SimDisk} from '../sim/sim-disk.js';
import {
  DIRECTORY,
  epochOf,
  LogBuilder,
  makeSimDisk,
  overwrite,
  readFile,
  type BuiltRecord,
} from './log-builder.js';
import {recover} from './recover.js';

const FIRST = `${DIRECTORY}/log-000000001-alpha`;

interface Made {
  readonly files: SimDisk;
  readonly header: SegmentHeader;
  readonly end: number;
  readonly records: readonly BuiltRecord[];
  readonly sealed: SealedSegment;
}

function makeSealed(): Made {
  const files = makeSimDisk();
  const log = new LogBuilder({files});
  const header = log.beginSegment(1);
  log.write(5, 1, 3);
  log.flush();
  log.write(6, 2);
  log.plain(RECORD.discard, 4, 2);
  log.plain(RECORD.resize, 1024);
  log.plain(RECORD.seal);
  log.flush();
  const end = log.writer.position;
  log.beginSegment(2);
  log.write(9, 9);
  log.close();
  const sealed = seal(files, header, end);
  assert.ok(sealed);
  return {files, header, end, records: log.records, sealed};
}

function seal(files: SimDisk, header: SegmentHeader, end: number): SealedSegment | undefined {
  const builder = new SegmentIndex(header.capacityBytes);
  builder.reset(header.start);
  const work = sealSegment(files, FIRST, header, end, builder);
  for (;;) {
    const {done, value} = work.next();
    if (done === true) return value;
  }
}

function putIndex({files, header, sealed}: Made, change = (bytes: Buffer) => bytes): void {
  const bytes = change(encodeIndexFile(header, sealed.index));
  const fd = files.open(indexPathOf(FIRST), 'create');
  files.write(fd, bytes, 0, bytes.length, 0);
  files.close(fd);
}

test('it tells where the newest copy of each block lies, and everything recovery asks for', () => {
  const {files, header, end, records, sealed} = makeSealed();
  const payload = (record: number, block: number): number =>
    ((records[record]?.position ?? 0) + RECORD_HEADER_BYTES + block * 4096 - header.start) / 8;
  const {index} = sealed;
  assert.equal([...index.pairs], [5, payload(0, 0), 6, payload(1, 0), 7, payload(0, 2)]);
  assert.equal([...index.extents], [4, 6, records[2]?.end]);
  assert.is(index.end, end);
  assert.is(index.diskSizeBytes, 1024 * 4096);
  assert.is(index.durable, records[1]?.position);
  const bytes = readFile(files, FIRST).subarray(SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + end);
  assert.is(sealed.sha256, createHash('sha256').update(bytes).digest('hex'));
  assert.is(sealed.bytes, end);
});

test('what is encoded is decoded; every flipped bit and every length but the right one is refused', () => {
  const {header, sealed} = makeSealed();
  const bytes = encodeIndexFile(header, sealed.index);
  assert.equal(decodeIndexFile(header, bytes), sealed.index);
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const damaged = Buffer.from(bytes);
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.is(decodeIndexFile(header, damaged), undefined, `bit ${bit}`);
  }

  for (let length = 0; length < bytes.length; length += 1) {
    assert.is(decodeIndexFile(header, bytes.subarray(0, length)), undefined);
  }

  assert.is(decodeIndexFile(header, Buffer.concat([bytes, Buffer.alloc(8)])), undefined);
});

test('an index of another epoch, number or start is not used', () => {
  const {header, sealed} = makeSealed();
  const bytes = encodeIndexFile(header, sealed.index);
  for (const other of [{epoch: epochOf(7)}, {number: 2}, {start: 8}]) {
    assert.is(decodeIndexFile({...header, ...other}, bytes), undefined);
  }
});

test('recovery with index files ends where recovery without them does', () => {
  const made = makeSealed();
  const read = recover(made.files);
  putIndex(made);
  const indexed = recover(made.files);
  assert.is(indexed.indexed, 1);
  assert.is(indexed.ends.length, 1);
  for (const key of [
    'position',
    'chain',
    'fromChain',
    'proven',
    'diskSizeBytes',
    'timeMs',
  ] as const)
    assert.equal(indexed[key], read[key], key);
});

test('recovery reads the segment itself where its index is damaged or of another history', () => {
  const made = makeSealed();
  const changes: ((bytes: Buffer) => Buffer)[] = [
    (bytes) => bytes.subarray(0, bytes.length - 1),
    (bytes) => Buffer.alloc(bytes.length),
    () => encodeIndexFile({...made.header, epoch: epochOf(3)}, made.sealed.index),
    () => encodeIndexFile(made.header, {...made.sealed.index, end: made.end - 8}),
    () => encodeIndexFile(made.header, {...made.sealed.index, chain: {low: 1, high: 1}}),
  ];
  for (const change of changes) {
    putIndex(made, change);
    const result = recover(made.files);
    assert.is(result.indexed, 0);
    assert.is(result.ends.length, made.records.length);
    made.files.unlink(indexPathOf(FIRST));
  }
});

test('the segment of the replay position is always read: its chain value is needed', () => {
  const made = makeSealed();
  putIndex(made);
  const record = made.records[1];
  assert.ok(record);
  const result = recover(made.files, {from: record.end, to: record.end});
  assert.is(result.indexed, 0);
  assert.equal(result.fromChain, record.chain);
});

test('a damaged segment gets no index', () => {
  const {files, header, end, records} = makeSealed();
  overwrite(files, FIRST, (records[1]?.offset ?? 0) + 300, Buffer.from('rot'));
  assert.is(seal(files, header, end), undefined);
  assert.is(files.descriptorCount, 0);
  assert.is(readIndexFile(files, FIRST, header), undefined);
});

test.run();
