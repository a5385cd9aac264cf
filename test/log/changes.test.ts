/** What a stretch of log has changed on the disk: for fork diff. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {BLOCK_BYTES} from '../../src/core/limits.js';
import {MIB} from '../../src/core/units.js';
import {
  bytesIn,
  CHANGED_RANGES_MAX,
  mergeRanges,
  RangeCollector,
  readChanges,
} from '../../src/log/changes.js';
import {readLogDirectory} from '../../src/log/directory.js';
import {RECORD} from '../../src/log/record.js';
import {DIRECTORY, flipBit, LogBuilder, makeSimDisk, RESOURCE_ID, START_MS} from './log-builder.js';

const blocks = (start: number, end: number): [number, number] => [
  start * BLOCK_BYTES,
  end * BLOCK_BYTES,
];

test('writes, discards and zeros behind a position are told, merged, over several segments', async () => {
  const files = makeSimDisk();
  const builder = new LogBuilder({files});
  builder.beginEpoch(1, 1);
  const before = builder.write(7, 1);
  builder.write(2, 2, 2);
  builder.plain(RECORD.discard, 4, 3);
  builder.beginSegment(2);
  builder.write(3, 3);
  builder.plain(RECORD.zero, 20, 1);
  const last = builder.plain(RECORD.seal);
  builder.close();
  const {segments} = readLogDirectory(files, DIRECTORY, RESOURCE_ID);
  const changes = await readChanges(files, segments, before.end);
  assert.equal(changes.ranges, [blocks(2, 7), blocks(20, 21)]);
  assert.is(changes.records, 5);
  assert.is(changes.writtenBytes, 7 * BLOCK_BYTES);
  assert.is(changes.end, last.end);
  assert.equal(changes.endChain, last.chain);
  assert.ok(changes.isComplete && changes.isExact);
  assert.ok((changes.firstMs ?? 0) >= START_MS && (changes.lastMs ?? 0) >= (changes.firstMs ?? 0));
  const none = await readChanges(files, segments, last.end);
  assert.equal([none.records, none.ranges, none.firstMs, none.isComplete], [0, [], null, true]);
});

test('damage, and a log that does not reach back, are not complete', async () => {
  const files = makeSimDisk();
  const builder = new LogBuilder({files, position: 4096});
  builder.beginEpoch(1, 1);
  const first = builder.write(1, 1);
  const second = builder.write(2, 2);
  builder.beginSegment(2);
  builder.write(3, 3);
  builder.close();
  const {segments} = readLogDirectory(files, DIRECTORY, RESOURCE_ID);
  assert.not((await readChanges(files, segments, 0)).isComplete);
  flipBit(files, second.file, (second.offset + 200) * 8);
  const changes = await readChanges(files, segments, 4096);
  assert.not(changes.isComplete);
  assert.is(changes.end, first.end);
  assert.equal(changes.ranges, [blocks(1, 2)]);
});

test('too many ranges are widened, never left out', () => {
  const collector = new RangeCollector();
  const count = 40 * CHANGED_RANGES_MAX;
  for (let index = 0; index < count; index += 1) {
    const start = ((index * 7919) % count) * 3 * BLOCK_BYTES;
    collector.add(start, start + BLOCK_BYTES);
  }

  const {ranges, isExact} = collector.finish();
  assert.not(isExact);
  assert.ok(ranges.length <= CHANGED_RANGES_MAX);
  assert.ok(ranges.every(([start, end]) => start % MIB === 0 && end % MIB === 0));
  const first = ranges[0]?.[0] ?? -1;
  const last = ranges.at(-1)?.[1] ?? -1;
  assert.ok(first <= 0 && last >= (count * 3 - 2) * BLOCK_BYTES);
  assert.ok(bytesIn(ranges) >= count * BLOCK_BYTES);
});

test('ranges that touch become one', () => {
  assert.equal(
    mergeRanges([
      [8, 12],
      [0, 4],
      [4, 6],
      [5, 9],
    ]),
    [[0, 12]],
  );
});

test.run();
