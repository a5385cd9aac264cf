import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {
  encodeAttrOut,
  encodeDirent,
  encodeEntryOut,
  encodeHeader,
  encodeInitOut,
  encodeLseekOut,
  encodeNotifyInvalInode,
  encodeNotifyResend,
  encodeOpenOut,
  encodeStatfsOut,
  encodeWriteOut,
} from '../../src/fuse/encode.js';
import {readUint64, writeUint64} from '../../src/fuse/abi.js';
import {decodeInit, negotiate} from '../../src/fuse/init.js';
import {UNIQUE_HIGH, UNIQUE_LOW, golden} from '../helpers/fuse-bytes.js';

const ATTRIBUTES = {
  inode: 1001,
  sizeBytes: 0x123456789000,
  blocks: 0x91a2b3c48,
  timeMs: 1_763_800_000_123,
  mode: 0o100600,
  linkCount: 1,
  uid: 7,
  gid: 0,
};

/** Every encoder writes all bytes of its reply: what was there before must not shine through. */
function encoded(encode: (words: Uint32Array) => number): string {
  const words = new Uint32Array(64).fill(0xaaaaaaaa);
  const bodyBytes = encode(words);
  const bytes = encodeHeader(words, bodyBytes, 0, UNIQUE_LOW, UNIQUE_HIGH);
  return Buffer.from(words.buffer, 0, bytes).toString('hex');
}

const REPLIES: Record<string, (words: Uint32Array) => number> = {
  'reply init': (words) => encodeInitOut(words, negotiate(initIn())),
  'reply entry': (words) => encodeEntryOut(words, 2, ATTRIBUTES),
  'reply attr': (words) => encodeAttrOut(words, ATTRIBUTES),
  'reply open': (words) => encodeOpenOut(words, 2, 5, 65),
  'reply write': (words) => encodeWriteOut(words, 4096),
  'reply statfs': encodeStatfsOut,
  'reply lseek': (words) => encodeLseekOut(words, 0x123456789000),
};

function initIn(): ReturnType<typeof decodeInit> {
  const bytes = golden('request init');
  const words = new Uint32Array(bytes.byteLength / 4);
  words.forEach((_, index) => (words[index] = bytes.readUInt32LE(4 * index)));
  return decodeInit(words, bytes.byteLength);
}

for (const [name, encode] of Object.entries(REPLIES)) {
  test(`${name} has the bytes of the kernel's header`, () => {
    assert.is(encoded(encode), golden(name).toString('hex'));
  });
}

test('a refusal is a header with the negative errno', () => {
  const words = new Uint32Array(4);
  assert.is(encodeHeader(words, 0, 5, UNIQUE_LOW, UNIQUE_HIGH), 16);
  assert.is(Buffer.from(words.buffer).toString('hex'), golden('reply EIO').toString('hex'));
});

test('notifications have unique 0 and the code as positive number', () => {
  const words = new Uint32Array(16).fill(0xaaaaaaaa);
  const hex = (bytes: number): string => Buffer.from(words.buffer, 0, bytes).toString('hex');
  assert.is(hex(encodeNotifyResend(words)), golden('notify resend').toString('hex'));
  const bytes = encodeNotifyInvalInode(words, 2, -1, 0);
  assert.is(hex(bytes), golden('notify inval inode').toString('hex'));
});

test('a directory entry has the bytes of the header, padded to 8', () => {
  const target = Buffer.alloc(64, 0xaa);
  assert.is(encodeDirent(target, 8, 64, 0x100000003, 3, 8, 'disk.img'), 32);
  assert.is(target.subarray(8, 40).toString('hex'), golden('dirent').toString('hex'));
  assert.is(encodeDirent(target, 0, 64, 1, 1, 4, '.'), 32);
  assert.is(target.toString('hex', 25, 32), '00000000000000');
});

test('a directory entry that does not fit is not written at all', () => {
  const target = Buffer.alloc(64, 0xaa);
  assert.is(encodeDirent(target, 33, 64, 1, 3, 8, 'disk.img'), 0);
  assert.equal(target, Buffer.alloc(64, 0xaa));
});

test('64-bit fields are exact up to 2^53 and never NaN or negative', () => {
  const words = new Uint32Array(2);
  for (const value of [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 1, Number.MAX_SAFE_INTEGER]) {
    writeUint64(words, 0, value);
    assert.is(Buffer.from(words.buffer).readBigUInt64LE(), BigInt(value));
    assert.is(readUint64(words, 0), value);
  }

  words.fill(0xffffffff);
  assert.is(readUint64(words, 0), 2 ** 64);
  assert.is(readUint64(words, 1), 0xffffffff);
});

test.run();
