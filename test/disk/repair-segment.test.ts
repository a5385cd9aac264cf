/** The repair segment: content for blocks of an image, on a simulated disk that loses power. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {formatPosition} from '../../src/core/position.js';
import {repairPath} from '../../src/disk/next-state.js';
import {applyRepair, isWholeRepair, RepairSegment} from '../../src/disk/repair-segment.js';
import {writeSyncState} from '../../src/disk/sync-state.js';
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
  type SyncResult,
} from '../replica/sync-rig.js';
import {createRandom} from '../sim/random.js';
import {SimCrash, type SimDisk} from '../sim/sim-disk.js';

const SIZE = 3 * CHUNK + 65_536;
const CONTENT = randomImage(createRandom(7), SIZE);
const PATH = `${HOME}/repair`;
/** One of them in two chunks, one all of the last chunk. */
const ONLY = [
  [4096, 12_288],
  [CHUNK - 4096, CHUNK + 8192],
  [2 * CHUNK + 65_536, 2 * CHUNK + 131_072],
  [3 * CHUNK, 3 * CHUNK + 65_536],
] as const;

/** A target that knows what differs, from 0 on. */
function makeRepair(seed: number): SimDisk {
  const disk = makeTarget(seed, SIZE, randomImage(createRandom(seed + 1000), SIZE));
  writeSyncState(disk, HOME, NAME, {
    ...{schema: 1, state: 'copying', epoch: entry(1, 0).epoch, begin: 0, chain: formatPosition(0)},
    ...{end: null, endChain: null, sizeBytes: SIZE, chunkBytes: CHUNK, doneChunks: 0},
    ...{distrustEnd: 0, lineage: [entry(1, 0)], image: null, only: ONLY},
  });
  return disk;
}

function open(disk: SimDisk): RepairSegment {
  const fd = disk.open(makeConfig(SIZE).resource.imagePath, 'read');
  const identity = disk.identify(fd);
  disk.close(fd);
  return new RepairSegment(disk, PATH, identity, CHUNK);
}

/** One life: the segment is opened, and content is fetched to it. */
async function fetchTo(disk: SimDisk, source: SourceModel): Promise<SyncResult | undefined> {
  try {
    const image = open(disk);
    return await syncOnce(source, disk, {target: {image, isPartial: true, persistMs: 2}});
  } catch (error) {
    if (error instanceof SimCrash) return undefined;
    throw error;
  }
}

test('power loss at every call: what is counted is in the segment, and the next life ends well', async () => {
  let points = 0;
  for (let call = 1, isOver = false; !isOver; call += 1) {
    const source = new SourceModel(SIZE, Buffer.from(CONTENT));
    const disk = makeRepair(call);
    const before = imageOf(disk, SIZE);
    disk.crashAfter(call);
    isOver = (await fetchTo(disk, source))?.state !== undefined;
    points += 1;
    disk.crash();
    // What was counted is not fetched again: were it not there, the segment would not be whole.
    const state = stateOf(disk)?.state;
    if (state === 'done') assert.ok(await isWholeRepair(disk, PATH, ONLY), `call ${call}`);
    else await fetchTo(disk, source);
    assert.is(stateOf(disk)?.state, 'done', `call ${call}`);
    assert.ok(await isWholeRepair(disk, PATH, ONLY), `call ${call}: whole`);
    assert.ok(imageOf(disk, SIZE).equals(before), 'the image is not touched');
    assert.is([...applyRepair(disk, PATH, makeConfig(SIZE).resource.imagePath)].length > 0, true);
    const wanted = Buffer.from(before);
    for (const [start, end] of ONLY) source.image.copy(wanted, start, start, end);
    disk.crash({mode: 'none', cut: 0, keepProbability: 0, tearProbability: 0});
    assert.ok(imageOf(disk, SIZE).equals(wanted), `call ${call}: what differs, and nothing else`);
  }

  assert.ok(points > 20, `${points} calls`);
});

test('a segment with a byte changed is not whole, and stops where it is put in place', async () => {
  const source = new SourceModel(SIZE, Buffer.from(CONTENT));
  const disk = makeRepair(1);
  await fetchTo(disk, source);
  const fd = disk.open(PATH, 'write');
  disk.write(fd, Buffer.of(0xff, 0x01, 0xff), 0, 3, disk.sizeOf(fd) - 5000);
  disk.close(fd);
  assert.not(await isWholeRepair(disk, PATH, ONLY));
  const {imagePath} = makeConfig(SIZE).resource;
  assert.throws(
    () => [...applyRepair(disk, PATH, imagePath)],
    (error: unknown) => isDiskError(error, 'STORE_IO'),
  );
});

test('a sync of the segment that fails tells of it, and nothing is counted', async () => {
  const source = new SourceModel(SIZE, Buffer.from(CONTENT));
  const disk = makeRepair(1);
  disk.faults.add({path: /repair$/u, calls: ['sync'], kind: 'EIO'});
  const image = open(disk);
  const {error} = await syncOnce(source, disk, {target: {image, isPartial: true, persistMs: 2}});
  assert.ok(isDiskError(error, 'STORE_IO'));
  assert.ok(image.hasFailed);
  assert.equal([stateOf(disk)?.doneChunks, stateOf(disk)?.distrustEnd], [0, 0]);
});

test('a source that cannot give only what differs is refused; one that is behind, for now', async () => {
  const source = new SourceModel(SIZE, Buffer.from(CONTENT));
  for (const [begin, code] of [
    [4224, 'SOURCE_BEHIND'],
    [0, 'LOG_GONE'],
  ] as const) {
    const disk = makeRepair(1);
    const known = stateOf(disk);
    assert.ok(known);
    writeSyncState(disk, HOME, NAME, {...known, begin, chain: 'f'.repeat(16)});
    const result = await fetchTo(disk, source);
    assert.ok(isDiskError(result?.error, code), String(result?.error));
    assert.is(disk.exists(repairPath(HOME, NAME)), false);
  }
});

test.run();
