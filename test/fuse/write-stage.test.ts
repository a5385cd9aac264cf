/** Requests as bytes in the stage: what it takes, how it lays them out, when it looks for more. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {
  BODY,
  IN,
  OPCODE,
  PAYLOAD_OFFSET,
  REQUEST_OFFSET,
  REQUEST_BUFFER_BYTES,
  REQUEST_READ_BYTES,
  UNIQUE_HIGH_RESENT,
  WRITE_HEADER_BYTES,
} from '../../src/fuse/abi.js';
import {WRITE_BATCH_COUNT_MAX, WRITE_GAP_BYTES} from '../../src/fuse/handler.js';
import {NODE} from '../../src/fuse/tree.js';
import {WriteStage} from '../../src/fuse/write-stage.js';

const DISK_BYTES = 2 ** 40;
const BLOCK = 4096;

interface Fields {
  opcode?: number;
  node?: number;
  unique?: number;
  uniqueHigh?: number;
  sizeBytes?: number;
  lengthBytes?: number;
}

function writeRequest(offset: number, payload: Buffer, fields: Fields = {}): Buffer {
  const request = Buffer.alloc(WRITE_HEADER_BYTES + payload.length);
  const words = new Uint32Array(request.buffer, request.byteOffset, WRITE_HEADER_BYTES / 4);
  words[IN.LENGTH] = fields.lengthBytes ?? request.length;
  words[IN.OPCODE] = fields.opcode ?? OPCODE.WRITE;
  words[IN.UNIQUE_LOW] = fields.unique ?? 2;
  words[IN.UNIQUE_HIGH] = fields.uniqueHigh ?? 0;
  words[IN.NODE_LOW] = fields.node ?? NODE.DISK;
  words[BODY] = NODE.DISK;
  words[BODY + 2] = offset;
  words[BODY + 3] = offset / 2 ** 32;
  words[BODY + 4] = fields.sizeBytes ?? payload.length;
  payload.copy(request, WRITE_HEADER_BYTES);
  return request;
}

function put(stage: WriteStage, request: Buffer, isSecond = false): boolean {
  request.copy(stage.bytes, stage.requestOffset);
  return stage.take(request.length, DISK_BYTES, isSecond);
}

function answersOf(stage: WriteStage): string[] {
  const answers: string[] = [];
  stage.answerAll((reply, offset, lengthBytes, isSecond) => {
    const bytes = reply.subarray(offset, offset + lengthBytes);
    assert.is(bytes.readUInt32LE(0), lengthBytes);
    assert.is(bytes.readInt32LE(4), 0);
    answers.push(`${bytes.readUInt32LE(8)} ${bytes.readUInt32LE(16)} ${isSecond ? 'second' : ''}`);
  });
  return answers;
}

test('payloads lie a record header apart, and the first request of all where a single one would', () => {
  const stage = new WriteStage();
  assert.is(stage.requestOffset, REQUEST_OFFSET);
  assert.ok(put(stage, writeRequest(2 ** 33, Buffer.alloc(BLOCK, 1), {unique: 10})));
  assert.ok(put(stage, writeRequest(BLOCK, Buffer.alloc(2 * BLOCK, 2), {unique: 12}), true));
  assert.ok(put(stage, writeRequest(0, Buffer.alloc(BLOCK, 3), {unique: 14}), true));
  assert.is(stage.count, 3);
  assert.is(stage.payloadBytes, 4 * BLOCK);
  assert.equal([...stage.offsets.subarray(0, 3)], [2 ** 33, BLOCK, 0]);
  assert.equal([...stage.lengths.subarray(0, 3)], [BLOCK, 2 * BLOCK, BLOCK]);
  let at = PAYLOAD_OFFSET;
  for (const [blocks, byte] of [
    [1, 1],
    [2, 2],
    [1, 3],
  ] as const) {
    const payload = stage.bytes.subarray(at, at + blocks * BLOCK);
    assert.ok(payload.every((value) => value === byte));
    at += blocks * BLOCK + WRITE_GAP_BYTES;
  }

  assert.equal(answersOf(stage), ['10 4096 ', '12 8192 second', '14 4096 second']);
  assert.is(stage.count, 0);
  assert.is(stage.requestOffset, REQUEST_OFFSET);
});

const REFUSED: Readonly<Record<string, Buffer>> = {
  'another opcode': writeRequest(0, Buffer.alloc(BLOCK), {opcode: OPCODE.READ}),
  'no data': writeRequest(0, Buffer.alloc(0)),
  'a length that is not its own': writeRequest(0, Buffer.alloc(BLOCK), {lengthBytes: 100}),
  'a size that is not its own': writeRequest(0, Buffer.alloc(BLOCK), {sizeBytes: 2 * BLOCK}),
  'another file': writeRequest(0, Buffer.alloc(BLOCK), {node: NODE.STATUS}),
  'a part of a block': writeRequest(0, Buffer.alloc(512)),
  'a ragged begin': writeRequest(512, Buffer.alloc(BLOCK)),
  'what ends beyond the disk': writeRequest(DISK_BYTES - BLOCK, Buffer.alloc(2 * BLOCK)),
  'an offset beyond 2^53': writeRequest(2 ** 60, Buffer.alloc(BLOCK)),
  'a request that was sent again': writeRequest(0, Buffer.alloc(BLOCK), {
    uniqueHigh: UNIQUE_HIGH_RESENT,
  }),
};

for (const [what, request] of Object.entries(REFUSED)) {
  test(`${what} is not staged`, () => {
    const stage = new WriteStage();
    assert.ok(put(stage, writeRequest(0, Buffer.alloc(BLOCK), {unique: 4})));
    assert.not.ok(put(stage, request));
    assert.equal(answersOf(stage), ['4 4096 ']);
  });
}

test('single handling gets each request as the kernel sent it', () => {
  const stage = new WriteStage();
  const requests = [
    writeRequest(2 ** 35 + BLOCK, Buffer.alloc(BLOCK, 7), {unique: 20, uniqueHigh: 5}),
    writeRequest(0, Buffer.alloc(3 * BLOCK, 8), {unique: 22}),
  ];
  requests.forEach((request, index) => put(stage, request, index === 1));
  // As a handler leaves it that got as far as the headers.
  stage.bytes.fill(0xee, PAYLOAD_OFFSET - WRITE_GAP_BYTES, PAYLOAD_OFFSET);
  const gap = PAYLOAD_OFFSET + BLOCK;
  stage.bytes.fill(0xee, gap, gap + WRITE_GAP_BYTES);
  const target = Buffer.alloc(REQUEST_BUFFER_BYTES, 0xcc);
  const seen: [Buffer, boolean][] = [];
  stage.handleEach(target, (lengthBytes, isSecond) => {
    const end = REQUEST_OFFSET + lengthBytes;
    seen.push([Buffer.from(target.subarray(REQUEST_OFFSET, end)), isSecond]);
  });
  assert.is(seen.length, 2);
  seen.forEach(([bytes, isSecond], index) => {
    const wanted = Buffer.from(requests[index] ?? '');
    wanted.writeUInt32LE(0, 40); // the handle, which nobody looks at
    assert.ok(bytes.equals(wanted));
    assert.is(isSecond, index === 1);
  });
  assert.is(stage.count, 0);
});

test('a full stage still has room for the largest request, and says that it is full', () => {
  const stage = new WriteStage();
  let count = 0;
  while (!stage.isFull) {
    assert.ok(stage.requestOffset + REQUEST_READ_BYTES <= stage.bytes.length);
    put(stage, writeRequest(0, Buffer.alloc(BLOCK)));
    count += 1;
  }

  assert.is(count, WRITE_BATCH_COUNT_MAX);
  const large = new WriteStage();
  put(large, writeRequest(0, Buffer.alloc(252 * 1024)));
  assert.not.ok(large.isFull);
  assert.ok(large.requestOffset + REQUEST_READ_BYTES + 8192 <= large.bytes.length);
  put(large, writeRequest(0, Buffer.alloc(1024 * 1024)));
  assert.ok(large.isFull);
});

test('who never finds anything waiting looks less and less often', () => {
  const stage = new WriteStage();
  let looks = 0;
  for (let write = 0; write < 1000; write += 1) {
    if (!stage.isProbeDue()) continue;
    looks += 1;
    stage.noneWaited();
  }

  assert.ok(looks > 10 && looks < 30, `${looks} looks`);
});

test('a batch of two makes it busy, four batches of one in a row make it shallow again', () => {
  const stage = new WriteStage();
  const round = (count: number): void => {
    for (let write = 0; write < count; write += 1) {
      put(stage, writeRequest(0, Buffer.alloc(BLOCK)));
    }

    answersOf(stage);
  };
  round(1);
  assert.not.ok(stage.isBusy);
  round(2);
  assert.ok(stage.isBusy);
  for (const count of [1, 1, 1, 2, 1, 1, 1]) round(count);
  assert.ok(stage.isBusy);
  round(1);
  assert.not.ok(stage.isBusy);
});

test.run();
