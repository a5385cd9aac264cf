import {randomBytes} from 'node:crypto';
import zlib from 'node:zlib';
import fc from 'fast-check';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import type {PackingName} from '../../src/core/packing-names.js';
import {FrameReader} from '../../src/log/frame-reader.js';
import {
  decodeRecords,
  encodeFrame,
  encodePacked,
  encodeRecordsHead,
  FRAME,
  FRAME_HEADER_BYTES,
  FRAME_PAYLOAD_MAX,
} from '../../src/log/frames.js';
import {choosePacking, pack, PACKINGS_HERE} from '../../src/log/packing.js';

const MIB = 1024 * 1024;
/** What the decoders of frames are for is tested elsewhere: any bytes will do as records. */
const RECORDS = Buffer.concat([Buffer.alloc(40_000, 'text of a database '), randomBytes(4096)]);
const PAYLOAD = Buffer.concat([encodeRecordsHead(64, RECORDS).subarray(16), RECORDS]);

const isProtocolError = (error: unknown): boolean => isDiskError(error, 'PEER_PROTOCOL');

function read(bytes: Buffer, unpacks: readonly PackingName[] = PACKINGS_HERE) {
  const reader = new FrameReader({unpacks});
  reader.push(bytes);
  return reader.next();
}

/** A PACKED frame with any content. */
function packedFrame(type: number, number: number, length: number, bytes: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head[0] = type;
  head[1] = number;
  head.writeUInt32LE(length, 4);
  return encodeFrame(FRAME.packed, head, bytes);
}

test('this Node has gzip and brotli, and zstd where zlib has it', () => {
  const zstd = 'zstdCompress' in zlib ? ['zstd'] : [];
  assert.equal([...PACKINGS_HERE], [...zstd, 'brotli', 'gzip']);
});

for (const name of PACKINGS_HERE) {
  test(`${name}: records come out as they went in, and are smaller on the way`, async () => {
    const packed = await pack(name, PAYLOAD);
    const bytes = Buffer.concat(encodePacked(FRAME.records, name, PAYLOAD.length, packed));
    assert.ok(bytes.length < PAYLOAD.length / 4, `${bytes.length} of ${PAYLOAD.length}`);
    const frame = read(bytes);
    assert.is(frame?.type, FRAME.records);
    assert.equal(decodeRecords(frame?.payload ?? Buffer.alloc(0)), {
      position: 64,
      records: RECORDS,
    });
    assert.is((frame?.payload.byteOffset ?? 1) % 8, 0);
  });

  test(`${name}: a bomb is refused, and takes no more memory than it says`, async () => {
    const bomb = await pack(name, Buffer.alloc(64 * MIB));
    const number = encodePacked(FRAME.records, name, 9, Buffer.alloc(1))[0]?.[17] ?? 0;
    const before = process.memoryUsage();
    for (const length of [PAYLOAD.length, MIB, FRAME_PAYLOAD_MAX]) {
      const frame = packedFrame(FRAME.records, number, length, bomb.subarray(0, length - 1));
      assert.throws(() => read(frame), isProtocolError, `${length}`);
    }

    const {arrayBuffers} = process.memoryUsage();
    assert.ok(arrayBuffers - before.arrayBuffers < 32 * MIB, `${arrayBuffers} bytes`);
  });

  test(`${name}: what is shorter or longer than it says is refused`, async () => {
    const packed = await pack(name, PAYLOAD);
    for (const length of [PAYLOAD.length - 1, PAYLOAD.length + 1]) {
      const frame = encodePacked(FRAME.records, name, length, packed);
      assert.throws(() => read(Buffer.concat(frame)), isProtocolError, `${length}`);
    }
  });

  test(`${name}: who did not offer it gets none`, async () => {
    const packed = await pack(name, PAYLOAD);
    const frame = Buffer.concat(encodePacked(FRAME.records, name, PAYLOAD.length, packed));
    const others = PACKINGS_HERE.filter((other) => other !== name);
    for (const unpacks of [[], others]) {
      assert.throws(() => read(frame, unpacks), isProtocolError);
    }
  });
}

test('only large frames are compressed, within the bounds of their type', async () => {
  const packed = await pack('gzip', PAYLOAD);
  const {records, syncData, packed: again, hello, ack} = FRAME;
  for (const [type, number, length] of [
    [again, 1, PAYLOAD.length],
    [hello, 1, PAYLOAD.length],
    [ack, 1, PAYLOAD.length],
    [0, 1, PAYLOAD.length],
    [records, 0, PAYLOAD.length],
    [records, 9, PAYLOAD.length],
    [records, 1, FRAME_PAYLOAD_MAX + 1],
    [records, 1, 2 ** 32 - 1],
    [records, 1, packed.length],
    [records, 1, 0],
    [syncData, 1, MIB + 9],
  ] as const) {
    const frame = packedFrame(type, number, length, packed);
    assert.throws(() => read(frame), isProtocolError, `${type} ${number} ${length}`);
  }

  const flagged = packedFrame(records, 1, PAYLOAD.length, packed);
  const inside = flagged.subarray(FRAME_HEADER_BYTES);
  inside[2] = 1;
  assert.throws(() => read(encodeFrame(FRAME.packed, inside)), isProtocolError);
});

test('fuzz: whatever stands in a compressed frame is taken whole or refused', async () => {
  const samples = await Promise.all(PACKINGS_HERE.map((name) => pack(name, PAYLOAD)));
  const bytes = fc.oneof(
    fc.uint8Array({minLength: 1, maxLength: 2000}).map((some) => Buffer.from(some)),
    // Nearly right: a change in the middle gets further than noise.
    fc
      .tuple(fc.constantFrom(...samples), fc.nat(), fc.integer({min: 1, max: 255}), fc.nat(3))
      .map(([sample, at, mask, cut]) => {
        const broken = Buffer.from(sample);
        broken[at % broken.length] = (broken[at % broken.length] ?? 0) ^ mask;
        return broken.subarray(0, broken.length - cut);
      }),
  );
  const type = fc.oneof(fc.constant(FRAME.records), fc.nat(30));
  const length = fc.oneof(fc.constant(PAYLOAD.length), fc.nat(2 ** 21), fc.nat(2 ** 32 - 1));
  fc.assert(
    fc.property(type, fc.nat(4), length, bytes, (inside, number, told, content) => {
      let frame;
      try {
        frame = read(packedFrame(inside, number, told, content));
      } catch (error) {
        assert.ok(isProtocolError(error), String(error));
        return;
      }

      assert.is(frame?.payload.length, told);
    }),
    {numRuns: 1500},
  );
});

test('the best that both have is chosen, the one that was named, or none', () => {
  assert.is(choosePacking('auto', ['gzip', 'brotli', 'later']), 'brotli');
  assert.is(choosePacking('auto', ['later']), undefined);
  assert.is(choosePacking('gzip', ['gzip', 'brotli']), 'gzip');
  assert.is(choosePacking('gzip', ['brotli']), undefined);
  assert.is(choosePacking('none', ['gzip', 'brotli']), undefined);
  assert.is(choosePacking('auto', undefined), undefined, 'an older peer');
});

test.run();
