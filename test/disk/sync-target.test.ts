/** The target of a sync alone: power loss and faults at every step, and sources that lie. */
import type {Duplex} from 'node:stream';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {resourcePaths} from '../../src/core/home.js';
import {formatPosition} from '../../src/core/position.js';
import {TwoSlotFile} from '../../src/core/two-slot.js';
import {
  emptySyncState,
  readSyncState,
  removeSyncState,
  writeSyncState,
} from '../../src/disk/sync-state.js';
import {runSyncTarget} from '../../src/disk/sync-target.js';
import type {ReplayState} from '../../src/image/replay-state.js';
import {readFrames} from '../../src/log/frame-stream.js';
import {
  encodeChunkRange,
  encodeSyncBegin,
  encodeSyncData,
  encodeSyncEnd,
  encodeSyncMark,
  FRAME,
} from '../../src/log/frames.js';
import {duplexPair} from '../helpers/duplex-pair.js';
import {
  CHUNK,
  entry,
  HOME,
  imageOf,
  makeConfig,
  makeTarget,
  NAME,
  randomImage,
  SourceModel,
  stateOf,
  syncOnce,
} from '../replica/sync-rig.js';
import {below, createRandom} from '../sim/random.js';
import {SimCrash, SimDisk} from '../sim/sim-disk.js';

const PATHS = resourcePaths(HOME, NAME);

function replayOf(disk: SimDisk): ReplayState | undefined {
  if (!disk.exists(PATHS.replayFile)) return undefined;
  return TwoSlotFile.peek(disk, PATHS.replayFile) as ReplayState;
}

/** What sync.json promises of the image, whatever has happened. */
function checkPromise(disk: SimDisk, source: SourceModel, start: Buffer, text: string): void {
  const state = stateOf(disk);
  if (state === undefined) throw new Error(`${text}: sync.json is gone`);
  if (state.state === 'empty') return;
  const end = state.end ?? state.begin;
  const done = Math.min(source.sizeBytes, state.doneChunks * CHUNK);
  const image = imageOf(disk, source.sizeBytes);
  const replayed = source.replayUpon(image, state.begin, end).subarray(0, done);
  assert.ok(replayed.equals(source.stateAt(start, end).subarray(0, done)), text);
  if (state.state !== 'done') return;
  assert.is(state.doneChunks, Math.ceil(source.sizeBytes / CHUNK));
  const replay = replayOf(disk);
  assert.equal([replay?.from, replay?.to], [state.begin, state.end], text);
}

test('power loss at every call: what sync.json counts is there, and the next stream ends well', async () => {
  const size = 5 * CHUNK + 8192;
  let points = 0;
  for (let call = 1, isOver = false; !isOver; call += 1) {
    const random = createRandom(call);
    const start = randomImage(random, size, 0.6);
    const source = new SourceModel(size, Buffer.from(start));
    source.append(random, 8);
    source.step(random);
    source.random = random;
    const disk = makeTarget(call, size, randomImage(random, size, 0.5));
    disk.crashAfter(call);
    const {error, state} = await syncOnce(source, disk, {target: {persistMs: 2}});
    isOver = state !== undefined;
    if (!isOver) assert.instance(error, SimCrash);
    points += 1;
    disk.crash();
    checkPromise(disk, source, start, `call ${call}`);
    const next = await syncOnce(source, disk);
    assert.is(next.error, undefined, `call ${call}`);
    disk.crash();
    checkPromise(disk, source, start, `call ${call}, next`);
    assert.is(stateOf(disk)?.state, 'done');
  }

  assert.ok(points > 60, `${points} calls`);
});

test('the process dies at any call, again and again, until it is done', async () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const random = createRandom(seed);
    const size = 6 * CHUNK;
    const start = randomImage(random, size, 0.8);
    const source = new SourceModel(size, Buffer.from(start));
    source.append(random, 8);
    source.random = random;
    const disk = makeTarget(seed, size);
    for (let lives = 0; stateOf(disk)?.state !== 'done' && lives < 60; lives += 1) {
      disk.crashAfter(1 + below(random, 60));
      await syncOnce(source, disk, {target: {persistMs: 2}});
      if (random() < 0.5) disk.crash();
      else disk.kill();
      checkPromise(disk, source, start, `seed ${seed}`);
    }

    assert.is(stateOf(disk)?.state, 'done', `seed ${seed}`);
  }
});

test('a sync of the image that fails: the page cache lies, and is not believed again', async () => {
  for (const isJsonLost of [false, true]) {
    for (let seed = 1; seed <= 15; seed += 1) {
      const random = createRandom(seed);
      const size = 6 * CHUNK;
      const source = new SourceModel(size, randomImage(random, size));
      const disk = makeTarget(seed, size);
      const after = below(random, 4);
      disk.faults.add({path: /image$/u, calls: ['syncData'], kind: 'EIO', after});
      const first = await syncOnce(source, disk, {
        target: {
          persistMs: 2,
          onProgress: () => {
            if (!isJsonLost || disk.faults.injected > 0) return;
            disk.faults.clear();
            disk.faults.add({path: /image$/u, calls: ['syncData'], kind: 'EIO'});
            disk.faults.add({path: /sync\.json/u, calls: ['sync'], kind: 'EIO', count: 2});
          },
        },
      });
      if (first.state !== undefined) continue;
      assert.ok(isDiskError(first.error, 'STORE_IO'));
      disk.faults.clear();
      const {state} = await syncOnce(source, disk);
      assert.is(state?.distrustEnd, 0);
      disk.evict();
      disk.crash({mode: 'none', cut: 0, keepProbability: 0, tearProbability: 0});
      assert.ok(imageOf(disk, size).equals(source.image), `seed ${seed}`);
    }
  }
});

test('an image without room breaks off, and goes on where there is room', async () => {
  const size = 6 * CHUNK;
  const source = new SourceModel(size, randomImage(createRandom(1), size));
  const disk = makeTarget(1, size);
  disk.capacityBytes = disk.usedBytes() + 3 * CHUNK;
  const {error} = await syncOnce(source, disk, {target: {persistMs: 1}});
  assert.ok(isDiskError(error, 'STORE_FULL'));
  assert.is(stateOf(disk)?.state, 'copying');
  disk.capacityBytes = Infinity;
  const {state} = await syncOnce(source, disk);
  assert.is(state?.state, 'done');
  assert.equal(imageOf(disk, size), source.image);
});

test('an image that cannot be punched gets zeros', async () => {
  const size = 4 * CHUNK + 4096;
  const source = new SourceModel(size);
  const disk = makeTarget(1, size, randomImage(createRandom(1), size));
  disk.faults.add({path: /image$/u, calls: ['punch'], kind: 'EOPNOTSUPP', count: 9});
  const {state} = await syncOnce(source, disk);
  assert.is(state?.state, 'done');
  assert.is(disk.faults.injected, 1);
  assert.equal(imageOf(disk, size, true), source.image);
});

test('another image in the place of the one that was copied to: from 0', async () => {
  const size = 4 * CHUNK;
  const source = new SourceModel(size, randomImage(createRandom(1), size));
  const disk = makeTarget(1, size);
  await syncOnce(source, disk);
  disk.unlink(PATHS.image);
  const fd = disk.open(PATHS.image, 'exclusive');
  disk.close(fd);
  const {progress} = await syncOnce(source, disk);
  assert.is(progress?.dataBytes, size);
  assert.equal(imageOf(disk, size), source.image);
});

test('a disk that has grown at the source: the short last chunk is asked for again', async () => {
  const image = randomImage(createRandom(1), 5 * CHUNK);
  const before = new SourceModel(
    3 * CHUNK + 4096,
    Buffer.from(image.subarray(0, 3 * CHUNK + 4096)),
  );
  const disk = makeTarget(1, before.sizeBytes);
  const done = await syncOnce(before, disk);
  assert.is(done.state?.doneChunks, 4);
  const after = new SourceModel(5 * CHUNK, image);
  const {state} = await syncOnce(after, disk);
  assert.is(state?.doneChunks, 5);
  assert.equal(imageOf(disk, 5 * CHUNK), image);
});

test('the replay state that was there is void; the owner of its file may write it himself', async () => {
  const size = 2 * CHUNK;
  const source = new SourceModel(size, randomImage(createRandom(1), size));
  source.append(createRandom(1), 5);
  source.replayAll();
  const disk = makeTarget(1, size);
  const image = disk.identify(disk.open(PATHS.image, 'read'));
  TwoSlotFile.create(disk, PATHS.replayFile, {schema: 1, from: 7, to: 9, image}).close();
  await syncOnce(source, disk);
  assert.is(replayOf(disk)?.from, source.from);
  const states: ReplayState[] = [];
  writeSyncState(disk, HOME, NAME, emptySyncState(size, CHUNK));
  source.append(createRandom(1), 5);
  source.replayAll();
  const order: string[] = [];
  await syncOnce(source, disk, {
    target: {
      onBegin: ({state}) => {
        order.push(`${state} ${stateOf(disk)?.state ?? ''}`);
      },
      writeReplayState: (state) => {
        order.push(`replay ${stateOf(disk)?.state ?? ''}`);
        states.push(state);
      },
    },
  });
  assert.equal(order, ['copying copying', 'replay copying']);
  assert.equal([states[0]?.from, states[0]?.to], [source.from, source.to]);
  assert.is(replayOf(disk)?.from === source.from, false, 'nobody else has written it');
});

test('progress goes from nothing to everything', async () => {
  const size = 20 * CHUNK + 4096;
  const source = new SourceModel(size, randomImage(createRandom(1), size));
  const done: number[] = [];
  await syncOnce(source, makeTarget(1, size), {
    target: {
      onProgress: ({doneBytes, totalBytes}) => {
        assert.is(totalBytes, size);
        done.push(doneBytes);
      },
    },
  });
  assert.is(done.at(-1), size);
  assert.equal(
    done,
    [...done].sort((left, right) => left - right),
  );
});

// Sources that lie.

const SIZE = 4 * CHUNK;
const CHAIN = '0'.repeat(16);
const BEGIN = {
  sizeBytes: SIZE,
  epoch: entry(1, 0).epoch,
  begin: formatPosition(0),
  chain: CHAIN,
  resumed: false,
  doneChunks: 0,
  lineage: [entry(1, 0)],
};
const MARK = encodeSyncMark({end: formatPosition(64), endChain: CHAIN});
const SAME = encodeChunkRange(FRAME.syncSame, {first: 0, count: 1});

/** The target against a source that says `frames` whatever it is asked. */
async function runAgainst(frames: readonly Buffer[]): Promise<{error: unknown; disk: SimDisk}> {
  const {left, right} = duplexPair();
  const disk = makeTarget(1, SIZE, randomImage(createRandom(1), SIZE));
  left.on('error', () => undefined);
  const target = runSyncTarget({
    files: disk,
    clock: {wallMs: () => 0, monotonicMs: () => 0},
    config: makeConfig(SIZE),
    stream: right,
    scan: (_, sizeBytes, onExtent) => {
      onExtent(0, sizeBytes);
      return Promise.resolve(true);
    },
    silenceMs: 200,
  });
  const result = target.then(
    () => undefined,
    (error: unknown) => error,
  );
  await speak(left, frames);
  return {error: await result, disk};
}

/** Behind the first question, so that it is the answers that are wrong. */
async function speak(stream: Duplex, frames: readonly Buffer[]): Promise<void> {
  const asked = readFrames(stream, 1000);
  await asked.next();
  const [first, ...rest] = frames;
  if (first !== undefined) stream.write(first);
  await asked.next().catch(() => undefined);
  if (stream.writable) for (const frame of rest) stream.write(frame);
}

const begin = encodeSyncBegin(BEGIN);
const LIES: Record<string, readonly Buffer[]> = {
  'another frame in the place of SYNC_BEGIN': [MARK],
  'a resume of what was not asked for': [encodeSyncBegin({...BEGIN, resumed: true})],
  'an empty disk': [encodeSyncBegin({...BEGIN, sizeBytes: 0})],
  'an answer before the first mark': [begin, SAME],
  'an answer out of order': [begin, MARK, encodeChunkRange(FRAME.syncSame, {first: 1, count: 1})],
  'an answer twice': [begin, MARK, SAME, SAME],
  'an answer to more than was asked': [
    begin,
    MARK,
    encodeChunkRange(FRAME.syncZero, {first: 0, count: 5}),
  ],
  'a chunk that is too short': [begin, MARK, encodeSyncData(0, Buffer.alloc(512))],
  'content of another chunk': [begin, MARK, encodeSyncData(3, Buffer.alloc(CHUNK))],
  'a mark that goes back': [begin, MARK, encodeSyncMark({end: formatPosition(8), endChain: null})],
  'an end before the last chunk': [
    begin,
    MARK,
    SAME,
    encodeSyncEnd({end: formatPosition(64), endChain: null}),
  ],
  'a question': [begin, MARK, encodeChunkRange(FRAME.syncAskZeros, {first: 0, count: 1})],
};

for (const [what, frames] of Object.entries(LIES)) {
  test(`a source that sends ${what} is refused`, async () => {
    const {error, disk} = await runAgainst(frames);
    assert.ok(isDiskError(error, 'PEER_PROTOCOL'), String(error));
    assert.is(stateOf(disk)?.state === 'done', false);
    assert.is(disk.descriptorCount, 0);
    assert.equal(imageOf(disk, SIZE), randomImage(createRandom(1), SIZE));
  });
}

// sync.json.

test('sync.json: what is written is read, and absent is absent', async () => {
  const disk = makeTarget(1, SIZE);
  await syncOnce(new SourceModel(SIZE, randomImage(createRandom(1), SIZE)), disk);
  const state = stateOf(disk);
  assert.is(state?.state, 'done');
  removeSyncState(disk, HOME, NAME);
  removeSyncState(disk, HOME, NAME);
  assert.is(stateOf(disk), undefined);
});

const BAD: Record<string, string> = {
  'no JSON': '{',
  'another schema': JSON.stringify({...emptySyncState(SIZE, CHUNK), schema: 2}),
  'a position that is a number': JSON.stringify(emptySyncState(SIZE, CHUNK)),
  'done without an end': JSON.stringify({
    ...emptySyncState(SIZE, CHUNK),
    state: 'done',
    begin: formatPosition(0),
  }),
  'more chunks than there are': JSON.stringify({
    ...emptySyncState(SIZE, CHUNK),
    begin: formatPosition(0),
    doneChunks: 5,
  }),
};

for (const [what, text] of Object.entries(BAD)) {
  test(`sync.json with ${what} is STATE_UNREADABLE`, () => {
    const disk = makeTarget(1, SIZE);
    const fd = disk.open(PATHS.syncFile, 'write');
    const bytes = Buffer.from(text);
    disk.truncate(fd, bytes.length);
    disk.write(fd, bytes, 0, bytes.length, 0);
    disk.close(fd);
    assert.throws(
      () => readSyncState(disk, HOME, NAME),
      (error: unknown) => isDiskError(error, 'STATE_UNREADABLE'),
    );
  });
}

test.run();
