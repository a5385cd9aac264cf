/** Whatever the bytes are: at most one reply, exactly one where one is due, with the right unique. */
import fc from 'fast-check';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {OPCODE} from '../../src/fuse/abi.js';
import {ERRNO} from '../../src/fuse/handler.js';
import type {Rig} from '../helpers/fuse-bytes.js';
import {GOLDEN, createRig, golden, makeRequest} from '../helpers/fuse-bytes.js';

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 4000);
const SILENT: ReadonlySet<number> = new Set([
  OPCODE.FORGET,
  OPCODE.BATCH_FORGET,
  OPCODE.NOTIFY_REPLY,
]);
const NEVER_ENOSYS: ReadonlySet<number> = new Set([
  OPCODE.FSYNC,
  OPCODE.FSYNCDIR,
  OPCODE.FLUSH,
  OPCODE.FALLOCATE,
  OPCODE.OPEN,
]);
const rig: Rig = createRig(64 * 1024);

function checkRequest(request: Buffer): void {
  rig.replies.length = 0;
  const calls = rig.handler.calls.afterRequest;
  const opcode = request.byteLength >= 8 ? request.readUInt32LE(4) : -1;
  let replies;
  try {
    replies = rig.ask(request);
  } catch (error) {
    // The one thing that may be thrown: there is no serving such a kernel.
    assert.ok(opcode === OPCODE.INIT && isDiskError(error, 'FUSE_PROTOCOL'), String(error));
    return;
  }

  assert.is(rig.handler.calls.afterRequest, calls + 1);
  const due =
    request.byteLength >= 16 && !SILENT.has(opcode) && request.readBigUInt64LE(8) !== 0n ? 1 : 0;
  assert.is(replies.length, due, `replies to opcode ${opcode}`);
  const [reply] = replies;
  if (reply === undefined) return;
  assert.is(reply.bytes.readUInt32LE(0), reply.bytes.byteLength);
  assert.is(reply.bytes.readBigUInt64LE(8), request.readBigUInt64LE(8));
  assert.ok(reply.errno >= 0 && reply.errno < 512, `errno ${reply.errno}`);
  if (reply.errno !== 0) assert.is(reply.bytes.byteLength, 16);
  if (NEVER_ENOSYS.has(opcode)) assert.is.not(reply.errno, ERRNO.ENOSYS);
}

const word = fc.oneof(
  fc.constantFrom(0, 1, 2, 3, 4, 8, 4096, 65536, 0x7fffffff, 0x80000000, 0xffffffff),
  fc.integer({min: 0, max: 0xffffffff}),
);
const opcode = fc.oneof(fc.integer({min: 0, max: 60}), word);
const node = fc.oneof(
  {weight: 5, arbitrary: fc.constantFrom(1, 2, 3)},
  {weight: 1, arbitrary: word},
);

test('random bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({maxLength: 256}), (bytes) => {
      checkRequest(Buffer.from(bytes));
    }),
    {numRuns: RUNS},
  );
});

test('well-formed headers with random bodies', () => {
  fc.assert(
    fc.property(opcode, node, fc.array(word, {maxLength: 40}), (code, id, words) => {
      const body = Buffer.alloc(4 * words.length);
      words.forEach((value, index) => body.writeUInt32LE(value, 4 * index));
      checkRequest(makeRequest(code, id, [], body));
    }),
    {numRuns: RUNS},
  );
});

test('golden requests with any words changed, and cut anywhere', () => {
  const names = Object.keys(GOLDEN).filter((name) => name.startsWith('request '));
  fc.assert(
    fc.property(
      fc.constantFrom(...names),
      fc.array(fc.tuple(fc.nat(63), word), {maxLength: 4}),
      fc.option(fc.nat(130), {nil: undefined}),
      fc.boolean(),
      (name, changes, cut, honest) => {
        const bytes = golden(name);
        for (const [index, value] of changes) {
          if (4 * index + 4 <= bytes.byteLength) bytes.writeUInt32LE(value, 4 * index);
        }

        const request = bytes.subarray(0, cut ?? bytes.byteLength);
        if (honest && request.byteLength >= 4) request.writeUInt32LE(request.byteLength, 0);
        checkRequest(request);
      },
    ),
    {numRuns: RUNS},
  );
});

test('every opcode at every length up to 200 bytes', () => {
  for (let code = 0; code <= 60; code += 1) {
    for (let length = 0; length <= 160; length += 1) {
      checkRequest(makeRequest(code, 2, [], Buffer.alloc(length, 0xff)));
    }
  }
});

test('a disk is never written outside its size', () => {
  fc.assert(
    fc.property(word, word, fc.nat(200), (low, high, length) => {
      const data = Buffer.alloc(length, 7);
      const offset = BigInt(low) + (BigInt(high) << 32n);
      checkRequest(makeRequest(OPCODE.WRITE, 2, [2, offset, length, 0, 0], data));
    }),
    {numRuns: RUNS},
  );
});

test.run();
