/** An image that is made beside the old one, on a simulated disk that loses power. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {BesideImage} from '../../src/disk/beside-image.js';
import {nextImagePath} from '../../src/disk/next-state.js';
import {
  CHUNK,
  HOME,
  imageOf,
  makeConfig,
  makeTarget,
  randomImage,
  SourceModel,
  stateOf,
  syncOnce,
  type SyncResult,
} from '../replica/sync-rig.js';
import {createRandom} from '../sim/random.js';
import {SimCrash, type SimDisk} from '../sim/sim-disk.js';

const CHUNKS = 4;
const SIZE = CHUNKS * CHUNK + 8192;
const {imagePath} = makeConfig(SIZE).resource;
const PATH = nextImagePath(imagePath);

/** The old image: chunks 0 and 2 are as at the source, 1 is not, 3 has data where the source has none. */
function contents(): {source: Buffer; old: Buffer} {
  const source = randomImage(createRandom(5), SIZE);
  const old = Buffer.from(source);
  old.fill(0x55, CHUNK + 4096, CHUNK + 8192);
  source.fill(0, 3 * CHUNK, 4 * CHUNK);
  return {source, old};
}

const CONTENTS = contents();

function makeWorld(seed: number): {disk: SimDisk; source: SourceModel; old: Buffer} {
  const {source, old} = CONTENTS;
  const disk = makeTarget(seed, SIZE, old);
  disk.close(disk.open(PATH, 'create'));
  disk.syncDirectory(HOME);
  return {disk, source: new SourceModel(SIZE, Buffer.from(source)), old};
}

async function copy(disk: SimDisk, source: SourceModel): Promise<SyncResult | undefined> {
  try {
    const doneChunks = stateOf(disk)?.doneChunks ?? 0;
    if (!disk.exists(PATH)) disk.close(disk.open(PATH, 'create'));
    const options = {files: disk, path: PATH, oldPath: imagePath, chunkBytes: CHUNK, doneChunks};
    return await syncOnce(source, disk, {target: {image: new BesideImage(options), persistMs: 2}});
  } catch (error) {
    if (error instanceof SimCrash) return undefined;
    throw error;
  }
}

test('what both have is copied here, and only the rest is sent', async () => {
  const {disk, source, old} = makeWorld(1);
  const result = await copy(disk, source);
  assert.is(result?.progress?.dataBytes, CHUNK, 'one chunk differs, one is zeros');
  assert.ok(disk.peek(PATH, 0, SIZE).equals(source.image));
  assert.ok(imageOf(disk, SIZE).equals(old), 'the old one is not touched');
});

test('power loss at every second call: the old image is what it was, and the next life ends well', async () => {
  let points = 0;
  for (let call = 1, isOver = false; !isOver; call += 2) {
    const {disk, source, old} = makeWorld(call);
    disk.crashAfter(call);
    isOver = (await copy(disk, source))?.state !== undefined;
    points += 1;
    disk.crash();
    assert.ok(imageOf(disk, SIZE).equals(old), `call ${call}: the old image`);
    if (stateOf(disk)?.state !== 'done') await copy(disk, source);
    assert.is(stateOf(disk)?.state, 'done', `call ${call}`);
    disk.crash({mode: 'none', cut: 0, keepProbability: 0, tearProbability: 0});
    assert.ok(disk.peek(PATH, 0, SIZE).equals(source.image), `call ${call}: the new image`);
    assert.ok(imageOf(disk, SIZE).equals(old), `call ${call}: the old image, at the end`);
  }

  assert.ok(points > 12, `${points} calls`);
});

test('a part of the old image that cannot be read comes from the source', async () => {
  const {disk, source} = makeWorld(1);
  disk.faults.add({path: /image$/u, calls: ['read'], kind: 'EIO', after: 2, count: 1});
  const result = await copy(disk, source);
  assert.is(result?.error, undefined);
  assert.is(result?.progress?.dataBytes, 2 * CHUNK);
  assert.ok(disk.peek(PATH, 0, SIZE).equals(source.image));
});

test.run();
