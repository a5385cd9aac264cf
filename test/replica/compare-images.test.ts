/**
 * P8, H20: two replicas of one log whose replay goes on at random while they are compared. What is equal
 * is never called different, whatever is written meanwhile, and what rots is found to the block.
 */
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {DiskError, isDiskError} from '../../src/core/errors.js';
import type {ErrorCode} from '../../src/core/codes.js';
import {BLOCK_BYTES} from '../../src/core/limits.js';
import {formatChain, RECORD} from '../../src/log/record.js';
import {SEGMENT_HEADER_BYTES, segmentName} from '../../src/log/segment.js';
import {
  answerQuestion,
  compareImages,
  type Answer,
  type CompareOptions,
  type Comparison,
  type Question,
} from '../../src/replica/compare-images.js';
import {ImageView, VIEW_CHUNK_BYTES, type ViewPositions} from '../../src/replica/image-view.js';
import {systemClock} from '../../src/core/clock.js';
import {
  blocksOf,
  DIRECTORY,
  LogBuilder,
  makeSimDisk,
  planFor,
  RESOURCE_ID,
} from '../log/log-builder.js';
import {below, chance, createRandom, type Random} from '../sim/random.js';
import type {SimDisk} from '../sim/sim-disk.js';

const test = suite('compare images');

const CHUNKS = 3;
const SIZE = CHUNKS * VIEW_CHUNK_BYTES;
const BLOCKS = SIZE / BLOCK_BYTES;
const SEEDS = 12;

interface Written {
  readonly start: number;
  readonly end: number;
  readonly stamp: number | undefined;
}

/** One log that both replicas have, each up to where it is. */
class World {
  readonly files: SimDisk = makeSimDisk();
  readonly builder: LogBuilder;
  readonly random: Random;
  readonly changes: Written[] = [];
  /** Ends of records. */
  readonly ends: number[] = [0];
  #stamp = 0;
  #segment = 1;

  constructor(seed: number) {
    this.random = createRandom(seed);
    // Files of a few records: their ends are met often.
    this.builder = new LogBuilder({
      files: this.files,
      plan: planFor(SEGMENT_HEADER_BYTES + 65_536),
    });
    this.builder.beginEpoch(1, this.#segment);
  }

  write(): void {
    const {builder, random} = this;
    const {writer} = builder;
    const used = writer.position - (writer.header?.start ?? 0);
    if (used > 40_000) builder.beginSegment((this.#segment += 1));
    const start = below(random, BLOCKS / 2);
    const count = 1 + below(random, 4);
    if (chance(random, 0.2)) {
      builder.plain(chance(random, 0.5) ? RECORD.discard : RECORD.zero, start, count * 40);
      this.changes.push({start, end: start + count * 40, stamp: undefined});
    } else {
      this.#stamp += 1;
      builder.write(start, this.#stamp, count);
      this.changes.push({start, end: start + count, stamp: this.#stamp});
    }

    this.ends.push(writer.position);
  }
}

/** An image, and how far it is: replay goes on in pieces of blocks, in any order, as batches do. */
class Replica {
  readonly image = Buffer.alloc(SIZE);
  readonly world: World;
  /** Records that it has. */
  logged = 0;
  /** Records that are in the image, and that the batch ends with. */
  from = 0;
  to = 0;
  /** Another history is told from here on. */
  branchAt = Infinity;
  isStill = false;
  #todo: (() => void)[] = [];

  constructor(world: World) {
    this.world = world;
  }

  step(): void {
    const {random, ends, changes} = this.world;
    if (this.isStill) return;
    this.logged = Math.min(ends.length - 1, this.logged + below(random, 6));
    if (this.#todo.length === 0) {
      this.from = this.to;
      this.to = Math.min(this.logged, this.to + below(random, 8));
      this.#todo = changes.slice(this.from, this.to).flatMap((change) => this.#blocksOf(change));
    }

    const count = below(random, 1 + this.#todo.length);
    for (const act of this.#todo.splice(0, count)) act();
  }

  replayAll(): void {
    this.logged = this.world.ends.length - 1;
    for (const act of this.#todo.splice(0)) act();
    for (const change of this.world.changes.slice(this.to, this.logged)) {
      for (const act of this.#blocksOf(change)) act();
    }

    this.from = this.logged;
    this.to = this.logged;
  }

  #blocksOf({start, end, stamp}: Written): (() => void)[] {
    const bytes = stamp === undefined ? undefined : blocksOf(stamp, end - start);
    return Array.from({length: Math.min(end, BLOCKS) - start}, (_, index) => () => {
      const at = (start + index) * BLOCK_BYTES;
      if (bytes === undefined) this.image.fill(0, at, at + BLOCK_BYTES);
      else bytes.copy(this.image, at, index * BLOCK_BYTES, (index + 1) * BLOCK_BYTES);
    });
  }

  positions(): ViewPositions {
    const {ends, builder} = this.world;
    const number = builder.writer.header?.number ?? 0;
    return {
      from: ends[this.from] ?? 0,
      to: ends[this.to] ?? 0,
      appended: ends[this.logged] ?? 0,
      epoch: builder.epoch,
      currentFile: segmentName(number, 'alpha'),
      endChain: undefined,
    };
  }

  view(): Promise<ImageView> {
    return ImageView.begin({
      place: {files: this.world.files, directory: DIRECTORY, resourceId: RESOURCE_ID},
      sizeBytes: SIZE,
      clock: systemClock,
      waitMs: 5000,
      positions: () => {
        this.step();
        return Promise.resolve(this.positions());
      },
      openImage: () =>
        Promise.resolve({
          read: (offset, target) => {
            this.step();
            this.image.copy(target, 0, offset, offset + target.length);
            this.step();
            return Promise.resolve();
          },
          scan: (_, onExtent) => {
            for (let chunk = 0; chunk < CHUNKS; chunk += 1) {
              const start = chunk * VIEW_CHUNK_BYTES;
              const end = start + VIEW_CHUNK_BYTES;
              if (!isZero(this.image.subarray(start, end))) onExtent(start, end);
              this.step();
            }

            return Promise.resolve();
          },
          close: () => Promise.resolve(),
        }),
    });
  }
}

const ZEROS = Buffer.alloc(VIEW_CHUNK_BYTES);

function isZero(bytes: Buffer): boolean {
  return bytes.equals(ZEROS);
}

interface Pair {
  readonly world: World;
  readonly source: Replica;
  readonly target: Replica;
}

function makePair(seed: number): Pair {
  const world = new World(seed);
  for (let count = 0; count < 30; count += 1) world.write();
  const pair = {world, source: new Replica(world), target: new Replica(world)};
  for (let count = 0; count < 5; count += 1) {
    pair.source.step();
    pair.target.step();
  }

  return pair;
}

async function compare(
  {world, source, target}: Pair,
  changed: Partial<CompareOptions> & {onAsk?: (question: Question) => void} = {},
): Promise<Comparison> {
  const views: ImageView[] = [];
  const open = async (replica: Replica): Promise<ImageView> => {
    const view = await replica.view();
    views.push(view);
    return view;
  };
  let served: ImageView | undefined;
  try {
    return await compareImages({
      sizeBytes: SIZE,
      signal: new AbortController().signal,
      monotonicMs: () => performance.now(),
      openView: () => open(target),
      ask: async (question): Promise<Answer> => {
        served ??= await open(source);
        changed.onAsk?.(question);
        for (let count = below(world.random, 4); count > 0; count -= 1) world.write();
        const answer = await answerQuestion(served, question);
        const isBranched = answer.position >= source.branchAt;
        return isBranched ? {...answer, chain: formatChain({low: 1, high: 1})} : answer;
      },
      ...changed,
    });
  } finally {
    for (const view of new Set(views)) view.close();
    world.builder.close();
  }
}

async function codeOf(act: Promise<unknown>): Promise<ErrorCode | undefined> {
  try {
    await act;
    return undefined;
  } catch (error) {
    if (isDiskError(error)) return error.code;
    throw error;
  }
}

test('equal replicas are equal, however far each is, and whatever is written meanwhile', async () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const pair = makePair(seed);
    const found = await compare(pair);
    assert.is(found.differentBytes, 0, `seed ${seed}: ${JSON.stringify(found)}`);
    assert.is(found.doneChunks, CHUNKS);
    assert.ok((found.fromPosition ?? 0) <= (found.position ?? -1), `seed ${seed}`);
  }
});

test('bytes that rotted at either end, and that nothing writes, are found to the block', async () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const pair = makePair(seed);
    // The log writes to the first half, and 160 blocks behind it.
    const block = BLOCKS / 2 + 200 + below(pair.world.random, BLOCKS / 2 - 200);
    const offset = block * BLOCK_BYTES;
    const {image} = chance(pair.world.random, 0.5) ? pair.source : pair.target;
    image[offset + below(pair.world.random, BLOCK_BYTES)] = 0x5a;
    const found = await compare(pair);
    assert.equal(found.ranges, [[offset, offset + BLOCK_BYTES]], `seed ${seed}`);
    assert.is(found.differentBytes, BLOCK_BYTES);
  }
});

test('a write that got lost at one end is found once the log does not cover it any more', async () => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const pair = makePair(seed);
    const {source, target, world} = pair;
    // The other one has not replayed yet: both images hold the same, and one of them is wrong.
    const [lost, late] = chance(world.random, 0.5) ? [source, target] : [target, source];
    const before = Buffer.from(late.image);
    lost.replayAll();
    const block = world.changes.at(-1)?.start ?? 0;
    const at = block * BLOCK_BYTES;
    const right = Buffer.from(lost.image.subarray(at, at + BLOCK_BYTES));
    before.copy(lost.image, at, at, at + BLOCK_BYTES);
    if (right.equals(lost.image.subarray(at, at + BLOCK_BYTES))) continue;
    late.logged = lost.logged;
    for (const one of [lost, late]) one.isStill = true;
    const found = await compare(pair);
    assert.ok(
      found.ranges.some(([start, end]) => start <= at && at < end),
      `seed ${seed}: ${JSON.stringify(found.ranges)}`,
    );
  }
});

test('a chunk that was a hole at both ends is looked at when the log has written to it since', async () => {
  const world = new World(8);
  const pair = {world, source: new Replica(world), target: new Replica(world)};
  world.write();
  let block = -1;
  const found = await compare(pair, {
    onAsk: () => {
      if (block >= 0) return;
      while (block < 0) {
        world.write();
        const {stamp, start} = world.changes.at(-1) ?? {};
        if (stamp !== undefined && start !== undefined) block = start;
      }

      for (const one of [pair.source, pair.target]) {
        one.replayAll();
        one.isStill = true;
      }

      pair.target.image.fill(0, block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
    },
  });
  assert.equal(found.ranges, [[block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES]]);
});

test('only what is asked for is looked at', async () => {
  const pair = makePair(3);
  for (const chunk of [0, 2]) pair.target.image[(chunk + 1) * VIEW_CHUNK_BYTES - 1] = 0x5a;
  const asked: number[] = [];
  const found = await compare(pair, {
    only: [[3 * VIEW_CHUNK_BYTES - BLOCK_BYTES, 3 * VIEW_CHUNK_BYTES]],
    onAsk: ({first}) => asked.push(first),
  });
  assert.equal([...new Set(asked)], [2]);
  assert.is(found.differentBytes, BLOCK_BYTES);
});

test('two histories are told, not compared', async () => {
  const pair = makePair(4);
  pair.source.branchAt = 0;
  assert.is(await codeOf(compare(pair)), 'SPLIT_BRAIN');
});

test('a replica whose log does not get there is waited for, and then told', async () => {
  const pair = makePair(5);
  pair.source.replayAll();
  pair.target.isStill = true;
  const act = compare(pair, {
    openView: () =>
      ImageView.begin({
        place: {files: pair.world.files, directory: DIRECTORY, resourceId: RESOURCE_ID},
        ...{sizeBytes: SIZE, clock: systemClock, waitMs: 0},
        positions: () => Promise.resolve({...pair.target.positions(), appended: 0, from: 0, to: 0}),
        openImage: () =>
          Promise.resolve({
            read: (offset, target) => {
              pair.target.image.copy(target, 0, offset, offset + target.length);
              return Promise.resolve();
            },
            scan: (_, onExtent) => {
              onExtent(0, SIZE);
              return Promise.resolve();
            },
            close: () => Promise.resolve(),
          }),
      }),
  });
  assert.is(await codeOf(act), 'VERIFY_BEHIND');
});

test('what passes is tried again, and counts once; what does not pass ends it', async () => {
  for (const [code, isPassing] of [
    ['TIMEOUT', true],
    ['PEER_PROTOCOL', false],
  ] as const) {
    const pair = makePair(6);
    pair.target.image[VIEW_CHUNK_BYTES * 2 - 1] = 0x5a;
    pair.target.image[SIZE - 1] = 0x5a;
    let asked = 0;
    const act = compare(pair, {
      onAsk: ({unit}) => {
        if (unit === 'blocks') asked += 1;
        if (unit === 'blocks' && asked === 2) throw new DiskError(code, 'for a test');
      },
    });
    if (!isPassing) {
      assert.is(await codeOf(act), code);
      continue;
    }

    assert.is((await act).differentBytes, 2 * BLOCK_BYTES);
    assert.is(asked, 4);
  }
});

test('it ends at once when it is told to, and says so', async () => {
  const pair = makePair(7);
  const abort = new AbortController();
  const act = compare(pair, {
    signal: abort.signal,
    onAsk: () => {
      abort.abort();
    },
  });
  assert.is(await codeOf(act), 'VERIFY_STOPPED');
});

test.run();
