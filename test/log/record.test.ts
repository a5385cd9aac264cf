import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {crc32} from 'node:zlib';
import fc from 'fast-check';
import {PAYLOAD_BYTES_MAX} from '../../src/core/limits.js';
import {
  chainAfter,
  crcOf,
  decodeRecord,
  emptyRecord,
  encodeRecord,
  FLAG,
  formatChain,
  parseChain,
  RECORD,
  RECORD_HEADER_BYTES,
  type Chain,
  type RecordFields,
} from '../../src/log/record.js';

const EXAMPLE: RecordFields = {
  type: RECORD.write,
  flags: FLAG.groupEnd,
  storedLength: 4096,
  payloadCrc: 0x12345678,
  logicalLength: 4096,
  diskOffset: 0x1_0000_2000,
  position: 0x2_0000_0080,
  epochLow0: 0x89abcdef,
  epochLow1: 0x01234567,
  durable: 0x2_0000_0000,
  timeMs: 1_763_842_000_123,
  headSkip: 512,
  tailSkip: 3072,
  chainLow: 0xdeadbeef,
  chainHigh: 0xcafebabe,
};

function encode(record: RecordFields): {bytes: Buffer; chain: Chain} {
  const bytes = Buffer.alloc(RECORD_HEADER_BYTES);
  const chain = {low: record.chainLow, high: record.chainHigh};
  encodeRecord(bytes, 0, record, chain);
  return {bytes, chain};
}

test('a header is these bytes in every version of format 1', () => {
  const {bytes, chain} = encode(EXAMPLE);
  assert.equal(bytes.toString('hex').match(/.{32}/gu), [
    '4d524543010080000400000000000000',
    '00100000785634120010000000000000',
    '00200000010000008000000002000000',
    'efcdab89674523010000000002000000',
    '00f53e31f46c7a180000000000000000',
    '00020000000c00000000000000000000',
    '0000000000000000efbeaddebebafeca',
    '000000000000000000000000f1170090',
  ]);
  assert.is(bytes.readUInt32LE(124), crc32(bytes.subarray(0, 124)));
  // 1763842000123 ms, as near as a double holds it in nanoseconds.
  assert.is(bytes.readBigUInt64LE(64) / 1000n, 1_763_842_000_123_000n);
  assert.is(formatChain(chain), formatChain(chainByTheBook(bytes)));
});

/** The chain function again, in other words: the one of docs/LOG_FORMAT.md. */
function chainByTheBook(header: Buffer): Chain {
  let mix = 0x9747b28cn;
  for (let offset = 0; offset < 128; offset += 4) {
    mix = ((mix ^ BigInt(header.readUInt32LE(offset))) * 0x5bd1e995n) % 2n ** 32n;
    mix ^= mix >> 15n;
  }

  return {low: header.readUInt32LE(124), high: Number(mix)};
}

test('every single bit flipped in a header is refused', () => {
  const {bytes} = encode(EXAMPLE);
  for (let bit = 0; bit < RECORD_HEADER_BYTES * 8; bit += 1) {
    const damaged = Buffer.from(bytes);
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.is(decodeRecord(damaged, 0, emptyRecord()), false, `bit ${bit}`);
  }
});

test('a header that does not fit the buffer, or of zeros, is refused', () => {
  const {bytes} = encode(EXAMPLE);
  for (let length = 0; length < RECORD_HEADER_BYTES; length += 1) {
    assert.is(decodeRecord(bytes.subarray(0, length), 0, emptyRecord()), false);
  }

  assert.is(decodeRecord(Buffer.alloc(RECORD_HEADER_BYTES), 0, emptyRecord()), false);
});

test('a payload that no version may write is refused, right checksum or not', () => {
  const {bytes} = encode(EXAMPLE);
  for (const length of [PAYLOAD_BYTES_MAX + 8, 0xffff_fff8, 4097, 4]) {
    bytes.writeUInt32LE(length, 16);
    bytes.writeUInt32LE(crcOf(bytes, 0, 124), 124);
    assert.is(decodeRecord(bytes, 0, emptyRecord()), false, `${length} bytes`);
  }
});

test('what is encoded is decoded, field by field', () => {
  const word = fc.integer({min: 0, max: 2 ** 32 - 1});
  const number = fc.maxSafeNat();
  const eights = fc.integer({min: 0, max: 2 ** 49}).map((value) => value * 8);
  const record = fc.record<RecordFields>({
    type: fc.integer({min: 0, max: 0xffff}),
    flags: word,
    storedLength: fc.integer({min: 0, max: PAYLOAD_BYTES_MAX / 8}).map((value) => value * 8),
    payloadCrc: word,
    logicalLength: number,
    diskOffset: number,
    position: eights,
    epochLow0: word,
    epochLow1: word,
    durable: number,
    timeMs: fc.integer({min: 0, max: 4_102_444_800_000}),
    headSkip: word,
    tailSkip: word,
    chainLow: word,
    chainHigh: word,
  });
  fc.assert(
    fc.property(record, fc.integer({min: 0, max: 3}), (fields, index) => {
      const bytes = Buffer.alloc(4 * RECORD_HEADER_BYTES, 0xff);
      const offset = index * RECORD_HEADER_BYTES;
      encodeRecord(bytes, offset, fields, {low: 0, high: 0});
      const decoded = emptyRecord();
      assert.is(decodeRecord(bytes, offset, decoded), true);
      assert.equal(decoded, {...fields});
    }),
  );
});

test('any change of a record changes the chain behind it', () => {
  const {chain, bytes} = encode(EXAMPLE);
  const seen = new Set([formatChain(chain)]);
  for (const key of Object.keys(EXAMPLE) as (keyof RecordFields)[]) {
    const changed = encode({...EXAMPLE, [key]: key === 'timeMs' ? EXAMPLE[key] + 1 : 64});
    seen.add(formatChain(changed.chain));
  }

  assert.is(seen.size, Object.keys(EXAMPLE).length + 1);
  const again = {low: 0, high: 0};
  chainAfter(bytes, 0, again);
  assert.equal(again, chain);
});

test('chain values are sixteen hex digits, high word first', () => {
  assert.is(formatChain({low: 1, high: 0xab}), '000000ab00000001');
  assert.equal(parseChain('000000ab00000001'), {low: 1, high: 0xab});
  for (const text of ['', '1', '000000AB00000001', '000000ab0000000100', ' 00000ab00000001']) {
    assert.is(parseChain(text), undefined);
  }
});

test.run();
