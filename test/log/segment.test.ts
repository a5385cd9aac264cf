import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {crc32} from 'node:zlib';
import {isDiskError} from '../../src/core/errors.js';
import {checkName} from '../../src/core/names.js';
import {
  decodeBinding,
  decodeSegmentHeader,
  encodeBinding,
  encodeSegmentHeader,
  parseSegmentName,
  SEGMENT_HEADER_BYTES,
  segmentName,
  type SegmentHeader,
} from '../../src/log/segment.js';
import {indexPathOf} from '../../src/log/index-file.js';

const EXAMPLE: SegmentHeader = {
  started: true,
  resourceId: '0123456789abcdef0123456789abcdef',
  originId: 'fedcba9876543210fedcba9876543210',
  epoch: '00112233445566778899aabbccddeeff',
  originName: 'alpha.example-1',
  number: 17,
  start: 2 ** 40 + 8,
  chain: {low: 0xdeadbeef, high: 0x01020304},
  durable: 2 ** 40,
  epochStart: 2 ** 39,
  createdMs: 1_763_842_000_123,
  diskSizeBytes: 2 ** 43,
  alignmentBytes: 4096,
  capacityBytes: 2 ** 26 - 4096,
};
const FIXED_BYTES = 1024;

/** Puts a right checksum behind changed bytes. */
function seal(bytes: Buffer): Buffer {
  bytes.writeUInt32LE(crc32(bytes.subarray(0, FIXED_BYTES - 4)), FIXED_BYTES - 4);
  return bytes;
}

test('a segment header is these bytes in every version of format 1', () => {
  const bytes = encodeSegmentHeader(EXAMPLE);
  assert.is(bytes.length, SEGMENT_HEADER_BYTES);
  assert.equal(bytes.subarray(0, 288).toString('hex').match(/.{64}/gu), [
    '4d4152534c4f4700010000000010000000000000000000000000000000000000',
    '00000000000000000123456789abcdef0123456789abcdeffedcba9876543210',
    'fedcba987654321000112233445566778899aabbccddeeff1100000000000000',
    '0800000000010000efbeadde040302010000000000010000c0f43e31f46c7a18',
    '0000000000080000000000000000000000000000000000000000000000000000',
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0c00010000000000000020008000000000f0ff03000000000000000000000000',
    '000000000000000001000000000000000000000080000000616c7068612e6578',
    '616d706c652d3100000000000000000000000000000000000000000000000000',
  ]);
  assert.is(bytes.readUInt32LE(FIXED_BYTES - 4), crc32(bytes.subarray(0, FIXED_BYTES - 4)));
  assert.is(
    bytes.subarray(FIXED_BYTES).every((byte) => byte === 0),
    true,
  );
  assert.is(bytes.readBigUInt64LE(120), 1_763_842_000_123_000_000n);
});

test('what is encoded is decoded, started or ready', () => {
  for (const started of [true, false]) {
    const header = {...EXAMPLE, started};
    assert.equal(decodeSegmentHeader(encodeSegmentHeader(header)), header);
  }
});

test('every single bit flipped in the fixed part makes the header no header', () => {
  const bytes = encodeSegmentHeader(EXAMPLE);
  for (let bit = 0; bit < FIXED_BYTES * 8; bit += 1) {
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.is(decodeSegmentHeader(bytes), undefined, `bit ${bit}`);
    bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  }
});

test('a header torn at any sector is no header', () => {
  const bytes = encodeSegmentHeader(EXAMPLE);
  for (let kept = 0; kept < FIXED_BYTES; kept += 512) {
    const torn = Buffer.alloc(SEGMENT_HEADER_BYTES);
    bytes.copy(torn, 0, 0, kept);
    assert.is(decodeSegmentHeader(torn), undefined);
    assert.is(decodeSegmentHeader(bytes.subarray(0, kept)), undefined);
  }
});

test('a newer major version and an unknown incompatible feature are refused by name', () => {
  const newer = encodeSegmentHeader(EXAMPLE);
  newer.writeUInt16LE(2, 8);
  assert.throws(
    () => decodeSegmentHeader(seal(newer)),
    (error: unknown) => isDiskError(error, 'LOG_FORMAT') && error.details['major'] === 2,
  );
  const feature = encodeSegmentHeader(EXAMPLE);
  feature.writeBigUInt64LE(2n ** 40n, 32);
  assert.throws(
    () => decodeSegmentHeader(seal(feature)),
    (error: unknown) => isDiskError(error, 'LOG_FORMAT') && error.message.includes('0x10000000000'),
  );
});

test('a newer minor version and unknown compatible features are read', () => {
  const bytes = encodeSegmentHeader(EXAMPLE);
  bytes.writeUInt16LE(9, 10);
  bytes.writeBigUInt64LE(2n ** 63n, 16);
  assert.equal(decodeSegmentHeader(seal(bytes)), EXAMPLE);
});

test('a feature that allows only to read is told', () => {
  const bytes = encodeSegmentHeader(EXAMPLE);
  bytes.writeBigUInt64LE(1n, 24);
  assert.equal(decodeSegmentHeader(seal(bytes)), {...EXAMPLE, isReadOnly: true});
});

test('a binding lies behind the fixed part and is checked by itself', () => {
  const header = encodeSegmentHeader(EXAMPLE);
  assert.is(decodeBinding(header), undefined);
  const binding = {number: 16, bytes: 2 ** 33, sha256: '5a'.repeat(32)};
  const {bytes, offset} = encodeBinding(binding);
  bytes.copy(header, offset);
  assert.is(offset, FIXED_BYTES);
  assert.equal(decodeBinding(header), binding);
  assert.equal(decodeSegmentHeader(header), EXAMPLE);
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const damaged = Buffer.from(header);
    const at = offset + (bit >> 3);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << (bit & 7));
    assert.is(decodeBinding(damaged), undefined, `bit ${bit}`);
  }
});

test('names tell number and origin, and nothing else is a segment', () => {
  assert.is(segmentName(17, 'alpha'), 'log-000000017-alpha');
  assert.is(segmentName(1_234_567_890, 'a.b-c_d'), 'log-1234567890-a.b-c_d');
  for (const [number, origin] of [
    [1, 'alpha'],
    [1_234_567_890, 'a.b-c_d'],
  ] as const) {
    assert.equal(parseSegmentName(segmentName(number, origin)), {number, originName: origin});
  }

  for (const name of [
    'log-17-alpha',
    'log-000000017-',
    'log-000000017',
    'log-000000017--x',
    'log-00000001x-alpha',
    'spare-log-000000017-alpha',
    'bad-log-000000017-alpha',
    'log-000000017-alpha.idx',
    'log-000000017-alpha.idx.tmp',
    'log-000000017-al/pha',
    'log-000000017-alpha\n',
  ]) {
    assert.is(parseSegmentName(name), undefined, name);
  }
});

test('no node can have a name that makes its logfiles look like index files', () => {
  for (const name of ['a.idx', 'a.idx.tmp', 'x.tmp']) {
    assert.throws(
      () => checkName('node', name),
      (error: unknown) => isDiskError(error, 'NAME_INVALID'),
    );
  }

  const path = indexPathOf(segmentName(17, 'alpha'));
  assert.is(parseSegmentName(path), undefined);
});

test.run();
