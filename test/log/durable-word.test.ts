/** The word of a node on how far its log is durable: what counts, and what is as good as none. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {formatPosition} from '../../src/core/position.js';
import {
  decodeDurableWord,
  DURABLE_FILE_BYTES,
  encodeDurableWord,
  isWordOf,
  moveDurableWord,
  readDurablePosition,
  removeDurableWord,
} from '../../src/log/durable-word.js';
import type {LineageEntry} from '../../src/log/lineage.js';
import type {SimDisk} from '../sim/sim-disk.js';
import {epochOf, makeSimDisk, overwrite} from './log-builder.js';

const PATHS = {durableFile: '/log/durable', lineageFile: '/log/lineage.json', directory: '/log'};

function entry(count: number, start: number): LineageEntry {
  const node = '22'.repeat(16);
  const chain = '0'.repeat(16);
  return {epoch: epochOf(count), node, nodeName: 'alpha', start: formatPosition(start), chain};
}

function wordBytes(epoch: string, position: number): Buffer {
  const bytes = Buffer.alloc(DURABLE_FILE_BYTES);
  encodeDurableWord(bytes, {epoch, position});
  return bytes;
}

function put(files: SimDisk, path: string, bytes: Buffer): void {
  if (files.exists(path)) files.unlink(path);
  files.close(files.open(path, 'create'));
  overwrite(files, path, 0, bytes);
}

function withLineage(entries: readonly LineageEntry[]): SimDisk {
  const files = makeSimDisk();
  put(files, PATHS.lineageFile, Buffer.from(JSON.stringify({schema: 1, entries})));
  return files;
}

test('a word says its epoch and position, also beyond 32 bits', () => {
  const bytes = wordBytes(epochOf(7), 4096);
  assert.is(bytes.length, DURABLE_FILE_BYTES);
  assert.equal(decodeDurableWord(bytes), {epoch: epochOf(7), position: 4096});
  for (const position of [0, 8, 2 ** 32 - 8, 2 ** 32, 2 ** 53 - 8]) {
    moveDurableWord(bytes, position);
    assert.equal(decodeDurableWord(bytes), {epoch: epochOf(7), position});
  }
});

test('the bytes are those of the document', () => {
  const bytes = wordBytes('0123456789abcdef0123456789abcdef', 0x1080);
  assert.is(
    bytes.toString('hex', 0, 32),
    '4d445552' + bytes.toString('hex', 4, 8) + '8010000000000000' + '0123456789abcdef'.repeat(2),
  );
  assert.ok(bytes.subarray(32).every((byte) => byte === 0));
});

test('any bit that rots, a torn word and a short file make it no word', () => {
  const bytes = wordBytes(epochOf(1), 0x123456);
  for (let bit = 0; bit < 64 * 8; bit += 1) {
    const rotten = Buffer.from(bytes);
    rotten[bit >> 3] = (rotten[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.is(decodeDurableWord(rotten), undefined, `bit ${bit}`);
  }

  assert.is(decodeDurableWord(Buffer.alloc(DURABLE_FILE_BYTES)), undefined);
  for (const length of [0, 1, 32, 63]) {
    assert.is(decodeDurableWord(bytes.subarray(0, length)), undefined);
  }
});

test('a word counts while the lineage has its epoch up to there', () => {
  for (const [position, next, counts] of [
    [100, undefined, true],
    [100, 100, true],
    [100, 108, true],
    [100, 92, false],
    [0, 0, true],
  ] as const) {
    const after = next === undefined ? [] : [entry(3, next)];
    const lineage = [entry(1, 0), entry(2, 0), ...after];
    const word = {epoch: epochOf(2), position};
    assert.is(isWordOf(lineage, word), counts, `${position} with ${next ?? 'nothing'} behind`);
  }

  assert.not(isWordOf([entry(1, 0)], {epoch: epochOf(2), position: 8}), 'an epoch that was cut');
  assert.not(isWordOf([], {epoch: epochOf(2), position: 8}));
});

test('what is read is a position, or 0 where no word counts; a word that cannot be read is none', () => {
  const files = withLineage([entry(1, 0), entry(2, 64)]);
  assert.is(readDurablePosition(files, PATHS), 0, 'no file');
  put(files, PATHS.durableFile, wordBytes(epochOf(2), 640));
  assert.is(readDurablePosition(files, PATHS), 640);
  put(files, PATHS.durableFile, wordBytes(epochOf(1), 640));
  assert.is(readDurablePosition(files, PATHS), 0, 'the next epoch began below');
  put(files, PATHS.durableFile, Buffer.alloc(10, 1));
  assert.is(readDurablePosition(files, PATHS), 0, 'rotten');
  put(files, PATHS.durableFile, wordBytes(epochOf(2), 640));
  files.faults.add({path: /durable$/u, calls: ['read'], kind: 'EIO'});
  assert.is(readDurablePosition(files, PATHS), 0, 'EIO');
  assert.is(readDurablePosition(files, PATHS), 640);
  assert.is(files.descriptorCount, 0);
});

test('a lineage that is not valid is not guessed at', () => {
  const files = makeSimDisk();
  put(files, PATHS.lineageFile, Buffer.from('{}'));
  put(files, PATHS.durableFile, wordBytes(epochOf(2), 640));
  assert.throws(
    () => readDurablePosition(files, PATHS),
    (error: unknown) => isDiskError(error, 'STATE_UNREADABLE'),
  );
});

test('a word that was taken back stays away after power loss', () => {
  const files = withLineage([entry(2, 64)]);
  removeDurableWord(files, PATHS);
  put(files, PATHS.durableFile, wordBytes(epochOf(2), 640));
  const fd = files.open(PATHS.durableFile, 'write');
  files.sync(fd);
  files.syncDirectory('/');
  files.syncDirectory('/log');
  removeDurableWord(files, PATHS);
  files.crash({mode: 'none', cut: 0, keepProbability: 0, tearProbability: 0});
  assert.not(files.exists(PATHS.durableFile));
});

test.run();
