/** Both ends of a sync together: what travels, and that the target knows what it has. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {resourcePaths} from '../../src/core/home.js';
import {TwoSlotFile} from '../../src/core/two-slot.js';
import {TIB} from '../../src/core/units.js';
import {PACKINGS_HERE} from '../../src/log/packing.js';
import {below, createRandom} from '../sim/random.js';
import {
  CHUNK,
  entry,
  HOME,
  imageOf,
  makeTarget,
  NAME,
  randomImage,
  SourceModel,
  stateOf,
  syncOnce,
} from './sync-rig.js';

test('an empty target gets all of the image, a short last chunk too', async () => {
  const size = 9 * CHUNK + 12_288;
  const source = new SourceModel(size, randomImage(createRandom(1), size));
  const disk = makeTarget(1, size);
  const {state, progress, error} = await syncOnce(source, disk);
  assert.is(error, undefined);
  assert.is(state?.state, 'done');
  assert.equal(imageOf(disk, size), source.image);
  assert.equal(imageOf(disk, size, true), source.image, 'and durable');
  assert.is(progress?.dataBytes, size);
  assert.equal(stateOf(disk), state);
});

test('an image that is equal costs its digests only', async () => {
  const size = 100 * CHUNK;
  const image = randomImage(createRandom(2), size);
  const source = new SourceModel(size, Buffer.from(image));
  const {state, progress, toTarget, toSource} = await syncOnce(source, makeTarget(2, size, image));
  assert.is(state?.doneChunks, 100);
  assert.is(progress?.dataBytes, 0);
  assert.ok(toTarget + toSource < 100 * 150, `${toTarget} + ${toSource}`);
});

test('of an image that differs in 1 % little more than that travels', async () => {
  const size = 200 * CHUNK;
  const image = randomImage(createRandom(3), size);
  const source = new SourceModel(size, Buffer.from(image));
  source.image.writeUInt8(1, 17 * CHUNK + 5);
  source.image.fill(9, 150 * CHUNK, 150 * CHUNK + 4096);
  const disk = makeTarget(3, size, image);
  const {toTarget, toSource, progress} = await syncOnce(source, disk);
  assert.equal(imageOf(disk, size), source.image);
  assert.is(progress?.dataBytes, 2 * CHUNK);
  assert.ok(toTarget + toSource <= 1.1 * 2 * CHUNK, `${toTarget} + ${toSource}`);
});

for (const name of PACKINGS_HERE) {
  test(`chunks travel compressed with ${name} where the source wishes it`, async () => {
    const size = 3 * CHUNK + 12_288;
    const image = Buffer.alloc(size, 'rows of a table, much the same; ');
    const disk = makeTarget(8, size);
    const source = {compression: () => name};
    const {error, toTarget} = await syncOnce(new SourceModel(size, image), disk, {source});
    assert.is(error, undefined);
    assert.equal(imageOf(disk, size), image);
    assert.ok(toTarget < size / 10, `${toTarget} bytes for ${size}`);
  });
}

test('zeros travel as ranges, and what was data becomes a hole', async () => {
  const size = 40 * CHUNK;
  const source = new SourceModel(size, randomImage(createRandom(4), size, 0.2));
  const image = randomImage(createRandom(5), size, 0.5);
  const disk = makeTarget(4, size, image);
  const isEqual = (chunk: number): boolean => {
    const [start, end] = [chunk * CHUNK, (chunk + 1) * CHUNK];
    return source.image.subarray(start, end).equals(image.subarray(start, end));
  };
  let differing = 0;
  for (let chunk = 0; chunk < 40; chunk += 1) {
    const isZero = source.image[chunk * CHUNK + 5] === 0;
    if (!isZero && !isEqual(chunk)) differing += 1;
  }

  const {progress} = await syncOnce(source, disk);
  assert.equal(imageOf(disk, size), source.image);
  assert.is(progress?.dataBytes, differing * CHUNK);
  const data = source.image.filter((_, at) => at % CHUNK === 5).filter((byte) => byte !== 0).length;
  assert.ok(disk.usedBytes() <= data * CHUNK + 65_536, 'the holes take no room');
});

test('an empty image of 1 TiB is compared by ranges, at once', async () => {
  const source = new SourceModel(TIB, Buffer.alloc(0));
  source.scan = () => Promise.resolve();
  const disk = makeTarget(5, TIB);
  const startMs = performance.now();
  const scan = (): Promise<boolean> => Promise.resolve(true);
  const {state, toTarget, toSource} = await syncOnce(source, disk, {target: {scan}});
  assert.is(state?.state, 'done');
  assert.is(source.reads, 0);
  assert.ok(performance.now() - startMs < 5000);
  assert.ok(toTarget + toSource < 4096);
});

test('holes of the target are filled, holes of the source are made, by ranges of any size', async () => {
  const size = 30 * CHUNK;
  const random = createRandom(6);
  const source = new SourceModel(size, randomImage(random, size, 0.4));
  source.scan = (sizeBytes, onExtent) => {
    for (let at = 0; at < sizeBytes; at += CHUNK) {
      if (source.image[at + 5] !== 0) onExtent(at, at + CHUNK);
    }

    return Promise.resolve();
  };
  const image = randomImage(random, size, 0.4);
  const disk = makeTarget(6, size, image);
  const {error} = await syncOnce(source, disk, {
    target: {
      scan: (_, sizeBytes, onExtent) => {
        for (let at = 0; at < sizeBytes; at += CHUNK) {
          if (image[at + 5] !== 0) onExtent(at, at + CHUNK);
        }

        return Promise.resolve(true);
      },
    },
  });
  assert.is(error, undefined);
  assert.equal(imageOf(disk, size), source.image);
});

test('a block in a hole does not fill the hole', async () => {
  const size = 8 * CHUNK;
  const source = new SourceModel(size);
  for (let chunk = 0; chunk < 8; chunk += 2) {
    const at = chunk * CHUNK + 4096 * chunk * 30;
    source.image.fill(7, at, at + 4096);
  }

  const disk = makeTarget(7, size);
  const scan = (): Promise<boolean> => Promise.resolve(true);
  const {state} = await syncOnce(source, disk, {target: {scan}});
  assert.is(state?.state, 'done');
  assert.equal(imageOf(disk, size), source.image);
  assert.ok(disk.usedBytes() <= 4 * 65_536 + 65_536, `${disk.usedBytes()}`);
});

test('a source that is written meanwhile: with the log of [begin, end) the copy is its state', async () => {
  for (let seed = 1; seed <= 30; seed += 1) {
    const random = createRandom(seed);
    const size = 20 * CHUNK;
    const start = randomImage(random, size, 0.7);
    const source = new SourceModel(size, Buffer.from(start));
    source.append(random, 20);
    for (let step = below(random, 5); step > 0; step -= 1) source.step(random);
    source.random = random;
    const disk = makeTarget(seed, size);
    const {state} = await syncOnce(source, disk);
    if (state?.end === null || state === undefined) throw new Error(`seed ${seed}: no end`);
    assert.ok(source.pins[0] === state.begin, 'pinned first');
    assert.ok(state.end > state.begin, 'replay went on');
    assert.is(state.endChain, source.chainOf(state.end));
    const replayed = source.replayUpon(imageOf(disk, size), state.begin, state.end);
    assert.ok(replayed.equals(source.stateAt(start, state.end)), `seed ${seed}`);
    const replay = TwoSlotFile.peek(disk, resourcePaths(HOME, NAME).replayFile);
    const {from, to} = replay as {from: number; to: number};
    assert.equal([from, to], [state.begin, state.end]);
  }
});

test('cut anywhere and resumed, at the same source or one that is behind: nothing is lost', async () => {
  let resumed = 0;
  for (let seed = 1; seed <= 25; seed += 1) {
    const random = createRandom(seed);
    const size = 12 * CHUNK;
    const start = randomImage(random, size);
    const source = new SourceModel(size, Buffer.from(start));
    const other = new SourceModel(size, Buffer.from(start));
    source.append(random, 30);
    for (let step = below(random, 4); step > 0; step -= 1) source.step(random);
    source.random = random;
    const disk = makeTarget(seed, size);
    let left = below(random, 12 * CHUNK);
    let state;
    for (let tries = 0; state === undefined && tries < 20; tries += 1) {
      const isOther = seed % 2 === 0 && tries > 0;
      if (isOther) {
        // The same history, replayed less far than the first source was.
        const begin = stateOf(disk)?.begin ?? 0;
        other.records.splice(0, Infinity, ...source.records);
        while (other.from < begin) other.step(random);
      }

      const before = stateOf(disk);
      const result = await syncOnce(isOther ? other : source, disk, {
        passing: (chunk, direction) => {
          left -= direction === 'right' ? chunk.length : 0;
          return left < 0 ? undefined : chunk;
        },
      });
      left = below(random, 12 * CHUNK) + CHUNK;
      ({state} = result);
      const after = stateOf(disk);
      if ((before?.doneChunks ?? 0) > 0 && before?.begin === after?.begin) resumed += 1;
      if (state === undefined) assert.ok(isDiskError(result.error, 'PEER_UNREACHABLE'));
    }

    if (state === undefined || state.end === null) throw new Error(`seed ${seed}: no end`);
    const replayed = source.replayUpon(imageOf(disk, size), state.begin, state.end);
    assert.ok(replayed.equals(source.stateAt(start, state.end)), `seed ${seed}`);
  }

  assert.ok(resumed > 10, `${resumed} were resumed`);
});

async function cutHalfway(seed: number): Promise<{
  source: SourceModel;
  disk: ReturnType<typeof makeTarget>;
}> {
  const random = createRandom(seed);
  const size = 10 * CHUNK;
  const source = new SourceModel(size, randomImage(random, size));
  source.append(random, 10);
  source.replayAll();
  const disk = makeTarget(seed, size);
  let left = 5 * CHUNK + CHUNK / 2;
  const {error} = await syncOnce(source, disk, {
    passing: (chunk, direction) => {
      left -= direction === 'right' ? chunk.length : 0;
      return left < 0 ? undefined : chunk;
    },
  });
  assert.ok(isDiskError(error, 'PEER_UNREACHABLE'));
  assert.is(stateOf(disk)?.doneChunks, 5);
  return {source, disk};
}

test('a resume asks only for what is not done', async () => {
  const {source, disk} = await cutHalfway(1);
  const {progress, state} = await syncOnce(source, disk);
  assert.is(progress?.dataBytes, 5 * CHUNK);
  assert.equal(imageOf(disk, source.sizeBytes), source.image);
  assert.is(state?.end, source.to);
});

const NO_RESUME: Record<string, (source: SourceModel) => void> = {
  'the log from begin on is gone': (source) => {
    // A chunk that was not copied yet.
    source.records.push({block: 9 * 256, fill: 1});
    source.replayAll();
    source.oldest = source.to;
  },
  'the source is on another branch inside the epoch': (source) => {
    source.branch = {at: 0, name: 3};
  },
  'the epoch is unknown': (source) => {
    source.lineage = [entry(9, 0)];
  },
  'the epoch ended before': (source) => {
    source.lineage = [entry(1, 0), entry(2, 128)];
  },
  'the image of the source is older than begin': (source) => {
    source.from = 0;
    source.to = 0;
  },
};

for (const [why, change] of Object.entries(NO_RESUME)) {
  test(`no resume where ${why}: all is compared from 0`, async () => {
    const {source, disk} = await cutHalfway(2);
    change(source);
    const {state, progress} = await syncOnce(source, disk);
    assert.is(progress?.begin, source.from);
    assert.is(state?.begin, source.from);
    // What was copied is equal: it does not travel again.
    assert.is(progress?.dataBytes, 5 * CHUNK);
    assert.equal(imageOf(disk, source.sizeBytes), source.image);
  });
}

test('a source whose log ends below what the target holds already is not gone on with', async () => {
  const random = createRandom(3);
  const size = 10 * CHUNK;
  const source = new SourceModel(size, randomImage(random, size));
  source.append(random, 8);
  source.to = 4224 * 8;
  const disk = makeTarget(3, size);
  let left = 4 * CHUNK;
  await syncOnce(source, disk, {
    passing: (chunk, direction) => {
      left -= direction === 'right' ? chunk.length : 0;
      return left < 0 ? undefined : chunk;
    },
  });
  assert.is(stateOf(disk)?.end, source.to);
  const other = new SourceModel(size, Buffer.from(source.image));
  other.records.push(...source.records.slice(0, 4));
  const {state, progress} = await syncOnce(other, disk);
  // From 0: each chunk is compared with what the other has.
  assert.is(state?.end, 0);
  assert.equal(imageOf(disk, size), other.image);
  assert.is(progress?.doneChunks, 10);
});

test('the lineage of the target ends with the epoch of begin', async () => {
  const size = 2 * CHUNK;
  const source = new SourceModel(size);
  source.append(createRandom(1), 10);
  source.lineage = [entry(1, 0), entry(2, 4224), entry(3, 4224 * 5)];
  source.from = 4224 * 2;
  source.to = 4224 * 6;
  const {state} = await syncOnce(source, makeTarget(1, size));
  assert.is(state?.epoch, entry(2, 0).epoch);
  assert.equal(state?.lineage, source.lineage.slice(0, 2));
});

test('where replay gives up the log before it is pinned, the copy begins later', async () => {
  const size = 2 * CHUNK;
  const source = new SourceModel(size);
  source.append(createRandom(1), 10);
  let asked = 0;
  const {state} = await syncOnce(source, makeTarget(1, size), {
    source: {
      positions: () => {
        asked += 1;
        const answer = source.positions();
        if (asked === 1) source.replayAll();
        if (asked === 1) source.oldest = source.from;
        return Promise.resolve(answer);
      },
    },
  });
  assert.equal(source.pins, [0, 4224 * 10]);
  assert.is(state?.begin, 4224 * 10);
});

test('the target gets the code and the words of a source that refuses', async () => {
  const size = 2 * CHUNK;
  const {error, sourceError} = await syncOnce(new SourceModel(size), makeTarget(1, size), {
    source: {resourceId: 'e'.repeat(32)},
  });
  assert.ok(isDiskError(sourceError, 'PEER_REFUSED'));
  assert.ok(isDiskError(error, 'PEER_REFUSED'));
  assert.match(String(error), 'another resource');
});

test('bandwidth is taken before content is sent, and for nothing else', async () => {
  const size = 5 * CHUNK;
  const taken: number[] = [];
  const image = randomImage(createRandom(1), size);
  const source = new SourceModel(size, Buffer.from(image));
  source.image.fill(0, 2 * CHUNK, 3 * CHUNK);
  source.image.fill(3, 4 * CHUNK);
  await syncOnce(source, makeTarget(1, size, image), {
    source: {
      takeBandwidth: (bytes) => {
        taken.push(bytes);
        return Promise.resolve();
      },
    },
  });
  assert.equal(taken, [CHUNK]);
});

test('a bit that flips on the way ends the stream, and the next one ends well', async () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const random = createRandom(seed);
    const size = 4 * CHUNK;
    const source = new SourceModel(size, randomImage(random, size));
    const disk = makeTarget(seed, size);
    let left = below(random, 4 * CHUNK);
    const {error, sourceError} = await syncOnce(source, disk, {
      passing: (chunk) => {
        const at = left;
        left -= chunk.length;
        if (at < 0 || at >= chunk.length) return chunk;
        const copy = Buffer.from(chunk);
        copy[at] = (copy[at] ?? 0) ^ (1 << below(random, 8));
        return copy;
      },
    });
    const codes = [error, sourceError].filter((fault) => isDiskError(fault, 'PEER_PROTOCOL'));
    assert.ok(codes.length > 0, `seed ${seed}: ${String(error)}; ${String(sourceError)}`);
    assert.is(stateOf(disk)?.state === 'done', false);
    const {state} = await syncOnce(source, disk);
    assert.is(state?.state, 'done');
    assert.equal(imageOf(disk, size), source.image);
  }
});

test('a peer that says nothing is given up', async () => {
  const size = 4 * CHUNK;
  const source = new SourceModel(size, randomImage(createRandom(1), size));
  const {error, sourceError} = await syncOnce(source, makeTarget(1, size), {
    passing: (chunk, direction) => (direction === 'left' ? Buffer.alloc(0) : chunk),
    target: {silenceMs: 50},
    source: {silenceMs: 10_000},
  });
  assert.ok(isDiskError(error, 'PEER_SILENT'));
  assert.ok(isDiskError(sourceError, 'PEER_UNREACHABLE'));
});

test.run();
