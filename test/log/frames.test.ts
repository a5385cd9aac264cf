import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fc from 'fast-check';
import {isDiskError} from '../../src/core/errors.js';
import {FrameReader, type Frame} from '../../src/log/frame-reader.js';
import {
  decodeAck,
  decodeAnswer,
  decodeChunkRange,
  decodeEnd,
  decodeHello,
  decodeMark,
  decodeRecords,
  decodeSegment,
  decodeSyncAsk,
  decodeSyncBegin,
  decodeSyncData,
  decodeSyncEnd,
  decodeSyncHello,
  DIGEST_BYTES,
  encodeAck,
  encodeAnswer,
  encodeChunkRange,
  encodeEnd,
  encodeFrame,
  encodeHello,
  encodeMark,
  encodeRecordsHead,
  encodeSegment,
  encodeSyncAsk,
  encodeSyncBegin,
  encodeSyncData,
  encodeSyncEnd,
  encodeSyncHello,
  encodeSyncMark,
  FRAME,
  FRAME_HEADER_BYTES,
  FRAME_PAYLOAD_MAX,
  type FrameType,
  type Hello,
} from '../../src/log/frames.js';
import {checkLineage, LINEAGE_ENTRIES_MAX} from '../../src/log/lineage.js';
import {encodeSegmentHeader} from '../../src/log/segment.js';
import {epochOf, LogBuilder, makeSimDisk, ORIGIN_ID, RESOURCE_ID} from './log-builder.js';

const CHAIN = 'deadbeefcafebabe';
const POSITION = '0000000000001000';
const LINEAGE = [
  {epoch: epochOf(1), node: ORIGIN_ID, nodeName: 'alpha', start: '0'.repeat(16), chain: CHAIN},
  {epoch: epochOf(2), node: ORIGIN_ID, nodeName: 'beta', start: POSITION, chain: CHAIN},
];
const HELLO: Hello = {
  version: 1,
  resourceId: RESOURCE_ID,
  nodeId: ORIGIN_ID,
  epoch: epochOf(2),
  position: POSITION,
  chain: CHAIN,
  to: '0000000000000800',
  lineage: LINEAGE,
};
const RESUME = {epoch: epochOf(1), begin: POSITION, chain: CHAIN, doneChunks: 7};
const HEADER = new LogBuilder({files: makeSimDisk()}).beginSegment(1);
const HEADER_BYTES = encodeSegmentHeader(HEADER);
const RECORDS = Buffer.alloc(300, 5);
const DIGESTS = Buffer.alloc(3 * DIGEST_BYTES, 9);

interface Case {
  readonly name: string;
  readonly type: FrameType;
  readonly bytes: Buffer;
  readonly decode: (payload: Buffer) => unknown;
  readonly value: unknown;
}

const MARK = {durable: 1, end: 2 ** 53 - 1, timeMs: 1_763_842_000_123, recordMs: 4};
const ACK = {received: 4, durable: 3, from: 1, to: 2 ** 40};
const BEGIN = {sizeBytes: 2 ** 20, ...RESUME, resumed: true, lineage: LINEAGE};
const SYNC_START = {
  version: 1,
  resourceId: RESOURCE_ID,
  nodeId: ORIGIN_ID,
  chunkBytes: 2 ** 20,
  resume: {...RESUME, end: POSITION, endChain: null},
} as const;
const RANGE = {first: 2 ** 40, count: 17};

const CASES: readonly Case[] = [
  {
    name: 'HELLO',
    type: FRAME.hello,
    bytes: encodeHello(HELLO),
    decode: decodeHello,
    value: HELLO,
  },
  {
    name: 'ANSWER',
    type: FRAME.answer,
    bytes: encodeAnswer({kind: 'cut', position: POSITION, lineage: LINEAGE}),
    decode: decodeAnswer,
    value: {kind: 'cut', position: POSITION, lineage: LINEAGE},
  },
  {
    name: 'SEGMENT',
    type: FRAME.segment,
    bytes: encodeSegment(64, HEADER_BYTES),
    decode: decodeSegment,
    value: {position: 64, bytes: HEADER_BYTES, header: HEADER},
  },
  {
    name: 'RECORDS',
    type: FRAME.records,
    bytes: Buffer.concat([encodeRecordsHead(4096, RECORDS), RECORDS]),
    decode: decodeRecords,
    value: {position: 4096, records: RECORDS},
  },
  {name: 'MARK', type: FRAME.mark, bytes: encodeMark(MARK), decode: decodeMark, value: MARK},
  {name: 'ACK', type: FRAME.ack, bytes: encodeAck(ACK), decode: decodeAck, value: ACK},
  {
    name: 'END',
    type: FRAME.end,
    bytes: encodeEnd({code: 'LOG_GONE', text: 'it is gone'}),
    decode: decodeEnd,
    value: {code: 'LOG_GONE', text: 'it is gone'},
  },
  {
    name: 'SYNC_HELLO',
    type: FRAME.syncHello,
    bytes: encodeSyncHello(SYNC_START),
    decode: decodeSyncHello,
    value: SYNC_START,
  },
  {
    name: 'SYNC_BEGIN',
    type: FRAME.syncBegin,
    bytes: encodeSyncBegin(BEGIN),
    decode: decodeSyncBegin,
    value: BEGIN,
  },
  {
    name: 'SYNC_ASK',
    type: FRAME.syncAsk,
    bytes: encodeSyncAsk(5, DIGESTS),
    decode: decodeSyncAsk,
    value: {first: 5, count: 3, digests: DIGESTS},
  },
  ...([FRAME.syncAskZeros, FRAME.syncSame, FRAME.syncZero] as const).map((type) => ({
    name: `range of type ${type}`,
    type,
    bytes: encodeChunkRange(type, RANGE),
    decode: decodeChunkRange,
    value: RANGE,
  })),
  {
    name: 'SYNC_DATA',
    type: FRAME.syncData,
    bytes: encodeSyncData(3, RECORDS),
    decode: decodeSyncData,
    value: {chunk: 3, bytes: RECORDS},
  },
  {
    name: 'SYNC_END',
    type: FRAME.syncEnd,
    bytes: encodeSyncEnd({end: POSITION, endChain: null}),
    decode: decodeSyncEnd,
    value: {end: POSITION, endChain: null},
  },
  {
    name: 'SYNC_MARK',
    type: FRAME.syncMark,
    bytes: encodeSyncMark({end: POSITION, endChain: CHAIN}),
    decode: decodeSyncEnd,
    value: {end: POSITION, endChain: CHAIN},
  },
];

function readAll(reader: FrameReader, ...chunks: readonly Buffer[]): Frame[] {
  const frames: Frame[] = [];
  for (const chunk of chunks) {
    reader.push(chunk);
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) frames.push(frame);
  }

  return frames;
}

const isProtocolError = (error: unknown): boolean => isDiskError(error, 'PEER_PROTOCOL');

for (const {name, type, bytes, decode, value} of CASES) {
  test(`${name}: what is decoded is what was encoded, however it is cut into chunks`, () => {
    const twice = Buffer.concat([bytes, bytes]);
    const sizes = [1, 2, 7, 16, 17, 1000, twice.length];
    for (const size of sizes) {
      const chunks = Array.from({length: Math.ceil(twice.length / size)}, (_, at) =>
        twice.subarray(at * size, (at + 1) * size),
      );
      const reader = new FrameReader();
      const frames = readAll(reader, ...chunks);
      assert.equal(
        frames.map((frame) => frame.type),
        [type, type],
      );
      for (const {payload} of frames) {
        assert.equal(decode(payload), value);
        assert.is(payload.byteOffset % 8, 0);
      }

      assert.is(reader.pendingBytes, 0);
    }
  });

  test(`${name}: a reader waits at every byte where the frame is cut off`, () => {
    for (let length = 0; length < bytes.length; length += 1) {
      const reader = new FrameReader();
      assert.equal(readAll(reader, bytes.subarray(0, length)), []);
      assert.is(reader.pendingBytes, length);
    }
  });

  test(`${name}: every byte that is not right is noticed`, () => {
    for (let at = 0; at < bytes.length; at += 1) {
      // Every bit of the header, and of a payload as many as there is time for.
      const masks = at < FRAME_HEADER_BYTES ? [1, 2, 4, 8, 16, 32, 64, 128, 255] : [1, 255];
      for (const mask of masks) {
        const broken = Buffer.from(bytes);
        broken[at] = (broken[at] ?? 0) ^ mask;
        const reader = new FrameReader();
        let frames: Frame[] = [];
        try {
          frames = readAll(reader, broken);
        } catch (error) {
          assert.ok(isProtocolError(error), String(error));
        }

        // It waits only where the length became larger; then the checksum is still to come.
        assert.equal(frames, [], `byte ${at}`);
        assert.ok(reader.pendingBytes <= FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX);
      }
    }
  });

  test(`${name}: a payload that is shorter or of other bytes is refused, not misread`, () => {
    const payload = bytes.subarray(FRAME_HEADER_BYTES);
    const damaged = fc.oneof(
      fc.nat(payload.length - 1).map((length) => payload.subarray(0, length)),
      fc.tuple(fc.nat(payload.length - 1), fc.integer({min: 1, max: 255})).map(([at, mask]) => {
        const copy = Buffer.from(payload);
        copy[at] = (copy[at] ?? 0) ^ mask;
        return copy;
      }),
      fc.uint8Array({maxLength: 200}).map((words) => Buffer.from(words)),
    );
    const check = (broken: Buffer): void => {
      try {
        decode(broken);
      } catch (error) {
        const isKnown = isProtocolError(error) || isDiskError(error, 'LOG_FORMAT');
        assert.ok(isKnown, String(error));
      }
    };

    fc.assert(fc.property(damaged, check), {numRuns: 300});
  });
}

test('a reader that has met an error takes nothing any more', () => {
  const reader = new FrameReader();
  assert.throws(() => readAll(reader, Buffer.alloc(64, 0x4d)), isProtocolError);
  assert.throws(() => readAll(reader, encodeMark(MARK)), isProtocolError);
  assert.throws(() => reader.next(), isProtocolError);
});

test('garbage is an error or is waited with, and never more than a frame is held', () => {
  const start = Buffer.from(encodeMark(MARK).subarray(0, 8));
  const garbage = fc.uint8Array({maxLength: 4096}).map((words) => Buffer.from(words));
  const check = (chunks: readonly Buffer[], begin: boolean): void => {
    const reader = new FrameReader();
    let frames: Frame[] = [];
    try {
      frames = readAll(reader, ...(begin ? [start] : []), ...chunks);
    } catch (error) {
      assert.ok(isProtocolError(error), String(error));
    }

    assert.equal(frames, []);
    assert.ok(reader.pendingBytes <= FRAME_HEADER_BYTES + FRAME_PAYLOAD_MAX);
  };

  fc.assert(fc.property(fc.array(garbage, {maxLength: 8}), fc.boolean(), check), {numRuns: 500});
});

test('a length beyond the bounds of its type is refused before any payload has come', () => {
  for (let type = 0; type < 256; type += 1) {
    for (const length of [0, 1, FRAME_PAYLOAD_MAX + 1, 2 ** 32 - 1]) {
      const header = Buffer.from(encodeMark(MARK).subarray(0, FRAME_HEADER_BYTES));
      header[4] = type;
      header.writeUInt32LE(length, 8);
      assert.throws(() => readAll(new FrameReader(), header), isProtocolError, `${type} ${length}`);
    }
  }
});

test('a frame of the largest size goes through', () => {
  const records = Buffer.alloc(FRAME_PAYLOAD_MAX - 8, 3);
  const frames = readAll(new FrameReader(), encodeRecordsHead(8, records), records);
  assert.is(frames.length, 1);
  assert.is(decodeRecords(frames[0]?.payload ?? Buffer.alloc(0)).records.compare(records), 0);
});

test('numbers above 2^53 are no positions', () => {
  const payload = Buffer.alloc(32);
  payload.writeBigUInt64LE(2n ** 53n, 8);
  for (const decode of [decodeMark, decodeAck, decodeChunkRange]) {
    assert.throws(() => decode(payload), isProtocolError);
  }
});

test('JSON with a wrong value is refused with its place', () => {
  const wrong: readonly (readonly [Partial<Record<keyof Hello, unknown>>, RegExp])[] = [
    [{version: 2}, /version/u],
    [{position: '1000'}, /position/u],
    [{position: 'ffffffffffffffff'}, /position/u],
    [{chain: 'xyz'}, /chain/u],
    [{resourceId: '../../etc'}, /resourceId/u],
    [{epoch: 5}, /epoch/u],
    [{lineage: LINEAGE.toReversed()}, /lineage/u],
    [{lineage: [LINEAGE[0], LINEAGE[0]]}, /lineage/u],
    [{lineage: [{...LINEAGE[0], nodeName: 'x'.repeat(64)}]}, /lineage\.0\.nodeName/u],
  ];
  for (const [part, pattern] of wrong) {
    const payload = Buffer.from(JSON.stringify({...HELLO, ...part}));
    assert.throws(() => decodeHello(payload), pattern);
    assert.throws(() => decodeHello(payload), isProtocolError);
  }

  for (const text of [
    '',
    'null',
    '[]',
    '{}',
    '{"kind":"follow"}',
    '{"__proto__":{"kind":"cut"}}',
  ]) {
    assert.throws(() => decodeAnswer(Buffer.from(text)), isProtocolError, text);
  }
});

test('keys of a later version are passed over', () => {
  const payload = Buffer.from(JSON.stringify({...HELLO, later: ['br']}));
  assert.equal(decodeHello(payload), HELLO);
});

test('the longest lineage fits a frame', () => {
  const lineage = Array.from({length: LINEAGE_ENTRIES_MAX}, (_, at) => ({
    epoch: at.toString(16).padStart(32, '0'),
    node: ORIGIN_ID,
    nodeName: 'n'.repeat(63),
    start: POSITION,
    chain: CHAIN,
  }));
  const [frame] = readAll(new FrameReader(), encodeHello({...HELLO, lineage}));
  assert.equal(decodeHello(frame?.payload ?? Buffer.alloc(0)).lineage, lineage);
  assert.equal(checkLineage(lineage), lineage);
  assert.throws(() => checkLineage([...lineage, ...LINEAGE]), /more than 256/u);
});

test('a SYNC_ASK has as many digests as it says', () => {
  const frame = encodeSyncAsk(5, DIGESTS);
  const payload = Buffer.from(frame.subarray(FRAME_HEADER_BYTES));
  payload.writeUInt32LE(2, 8);
  assert.throws(() => decodeSyncAsk(payload), isProtocolError);
  assert.throws(() => decodeSyncAsk(payload.subarray(0, 13)), isProtocolError);
});

test('a SEGMENT must be started, and hold its position', () => {
  const ready = encodeSegmentHeader({...HEADER, started: false});
  const decode = (position: number, header: Buffer): unknown =>
    decodeSegment(encodeSegment(position, header).subarray(FRAME_HEADER_BYTES));
  assert.throws(() => decode(0, ready), isProtocolError);
  assert.throws(() => decode(HEADER.capacityBytes + 8, HEADER_BYTES), isProtocolError);
});

test('the bytes of a frame are these in every version 1', () => {
  const bytes = encodeFrame(FRAME.mark, Buffer.alloc(32, 1));
  const expected = `4d524d310500000020000000613df3f7${'01'.repeat(32)}`;
  assert.is(bytes.toString('hex'), expected);
});

test.run();
