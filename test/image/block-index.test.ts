/** The index against a plain Map, while segments begin, fill and are replayed. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fc from 'fast-check';
import {BlockIndex, IN_IMAGE, IS_ZERO} from '../../src/image/block-index.js';
import {SegmentIndex} from '../../src/image/segment-index.js';

const CAPACITY_BYTES = 64 * 1024;
const BLOCKS = 24;

type Action =
  | {readonly kind: 'write'; readonly block: number; readonly count: number}
  | {readonly kind: 'zero'; readonly block: number; readonly count: number}
  | {readonly kind: 'replay'; readonly share: number}
  | {readonly kind: 'segment'};

const block = fc.integer({min: 0, max: BLOCKS - 1});
const action: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      block,
      count: fc.integer({min: 1, max: 3}),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('zero' as const),
      block,
      count: fc.integer({min: 1, max: BLOCKS}),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('replay' as const),
      share: fc.double({min: 0, max: 1, noNaN: true}),
    }),
  },
  {weight: 1, arbitrary: fc.record({kind: fc.constant('segment' as const)})},
);

interface Entry {
  readonly place: number;
  /** Position behind the record. */
  readonly end: number;
}

/** What the index says must be the log's copy, or the image where the record is replayed. */
function assertFound(index: BlockIndex, at: number, entry: Entry | undefined, replayed: number) {
  const found = index.find(at);
  if (entry === undefined) assert.is(found, IN_IMAGE);
  else if (entry.end > replayed) assert.is(found, entry.place);
  // At the very end of a zero both are right: the image holds zeros there.
  else assert.ok(found === IN_IMAGE || (entry.place === IS_ZERO && found === IS_ZERO));
}

function run(actions: readonly Action[], firstPosition: number): void {
  const index = new BlockIndex(CAPACITY_BYTES);
  const model = new Map<number, Entry>();
  const ends = [firstPosition];
  let position = firstPosition;
  let segmentStart = position;
  let replayed = firstPosition;
  const begin = (): void => {
    segmentStart = position;
    index.beginSegment(position, CAPACITY_BYTES);
  };
  begin();
  for (const step of actions) {
    if (step.kind === 'segment' || position - segmentStart > CAPACITY_BYTES - 4 * 4096) begin();
    if (step.kind === 'replay') {
      replayed = Math.max(replayed, ends[Math.floor(step.share * (ends.length - 1))] ?? 0);
      index.setReplayed(replayed);
    } else if (step.kind === 'write') {
      const payload = position + 128;
      index.put(step.block, step.count, payload);
      position = payload + step.count * 4096;
      for (let at = 0; at < step.count; at += 1) {
        model.set(step.block + at, {place: payload + at * 4096, end: position});
      }
    } else if (step.kind === 'zero') {
      position += 128;
      index.putZero(step.block, step.block + step.count, position);
      for (let at = 0; at < step.count; at += 1) {
        model.set(step.block + at, {place: IS_ZERO, end: position});
      }
    }

    ends.push(position);
    for (let at = 0; at < 2 * BLOCKS; at += 1) assertFound(index, at, model.get(at), replayed);
    const newest = Math.max(firstPosition, ...[...model.values()].map(({end}) => end));
    if (index.isVoid) assert.ok(newest <= replayed, 'void means that all is in the image');
  }

  index.setReplayed(position);
  assert.is(index.segmentCount, 1);
  for (let at = 0; at < 2 * BLOCKS; at += 1) {
    assertFound(index, at, model.get(at), position);
  }
}

test('a block is found where its newest copy is, at every moment of replay', () => {
  fc.assert(
    fc.property(
      fc.array(action, {maxLength: 120}),
      fc.constantFrom(0, 8, 2 ** 33, 2 ** 45),
      (actions, start) => {
        run(actions, start);
      },
    ),
    {numRuns: 300},
  );
});

test('what an index file holds is found as if the records had been read', () => {
  const source = new SegmentIndex(CAPACITY_BYTES);
  source.reset(2 ** 40);
  source.put(7, 2 ** 40 + 128);
  source.put(3, 2 ** 40 + 4352);
  source.put(7, 2 ** 40 + 8576);
  source.putZero(3, 6, 2 ** 40 + 12_800);
  assert.equal([...source.toSortedPairs()], [3, 4352 / 8, 7, 8576 / 8]);
  const index = new BlockIndex(CAPACITY_BYTES);
  index.setReplayed(2 ** 40);
  index.beginSegment(2 ** 40, CAPACITY_BYTES);
  index.putLoaded(source.toSortedPairs(), source.toExtents(), 2 ** 40 + 12_800);
  assert.is(index.find(7), 2 ** 40 + 8576);
  assert.is(index.find(3), IS_ZERO);
  assert.is(index.find(5), IS_ZERO);
  assert.is(index.find(6), IN_IMAGE);
  assert.not(index.isVoid);
});

test('a full segment of single blocks fits its table, with blocks at the end of the largest disk', () => {
  const blocks = Math.floor(CAPACITY_BYTES / (4096 + 128));
  const table = new SegmentIndex(CAPACITY_BYTES);
  table.reset(1024);
  const last = 15 * 2 ** 28 - 1;
  for (let at = 0; at < blocks; at += 1) table.put(last - at * 977, 1024 + at * 4224);
  assert.is(table.count, blocks);
  for (let at = 0; at < blocks; at += 1) {
    assert.is(table.findData(last - at * 977), 1024 + at * 4224);
  }

  assert.is(table.findData(0), -1);
  table.reset(0);
  assert.is(table.findData(last), -1);
});

test('memory goes with the segments that are not replayed, and comes back', () => {
  const index = new BlockIndex(CAPACITY_BYTES);
  const one = (): number => {
    index.beginSegment(0, CAPACITY_BYTES);
    return index.memoryBytes;
  };
  const each = one();
  for (let at = 1; at <= 20; at += 1) {
    index.beginSegment(at * CAPACITY_BYTES, CAPACITY_BYTES);
    index.put(at, 1, at * CAPACITY_BYTES + 128);
  }

  assert.is(index.memoryBytes, 21 * each);
  index.setReplayed(20 * CAPACITY_BYTES);
  assert.is(index.segmentCount, 1);
  assert.ok(index.memoryBytes <= 5 * each, 'a few tables are kept to be used again');
  index.beginSegment(21 * CAPACITY_BYTES, CAPACITY_BYTES);
  assert.is(index.find(20), 20 * CAPACITY_BYTES + 128);
  assert.is(index.find(3), IN_IMAGE);
});

test('the table of one segment is found by its start', () => {
  const index = new BlockIndex(CAPACITY_BYTES);
  index.beginSegment(0, CAPACITY_BYTES);
  index.beginSegment(512, CAPACITY_BYTES);
  index.putZero(1, 2, 640);
  assert.is(index.openExtents, 1);
  assert.is(index.segmentAt(512)?.extents.count, 1);
  assert.is(index.segmentAt(0)?.extents.count, 0);
  assert.is(index.segmentAt(8), undefined);
});

test.run();
