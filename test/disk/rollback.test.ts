/** A disk goes back to a moment by writes of its own, whatever it dies of meanwhile. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {BLOCK_BYTES} from '../../src/core/limits.js';
import {TIB} from '../../src/core/units.js';
import {openMomentLog} from '../../src/disk/moment/moment-log.js';
import {readBlocks} from '../../src/disk/read.js';
import {COMMAND, REVERT_BYTES_MAX, WORD} from '../../src/disk/shared.js';
import {ERRNO} from '../../src/fuse/handler.js';
import {
  chunkBytesOf,
  markedBytes,
  markedRanges,
  readChangedBlocks,
  type ChangedBlocks,
} from '../../src/log/changed-blocks.js';
import {listSegments} from '../../src/log/walk.js';
import {createRandom} from '../sim/random.js';
import {PATHS, Rig} from './rig.js';

const RESOURCE_ID = 'b'.repeat(32);
const SIZE = 2 ** 20;
/** Small, so that a rollback has many steps. */
const STEP_BYTES = 16 * BLOCK_BYTES;

interface Snapshot {
  readonly position: number;
  readonly content: Buffer;
}

function heldRig(seed: number): Rig {
  const rig = new Rig({seed, reverts: true, retainFrom: 0});
  rig.life.shared.holdReplay(0);
  return rig;
}

function work(rig: Rig, random: () => number, count: number): void {
  for (let step = 0; step < count; step += 1) {
    const offset = Math.floor(random() * (SIZE - 32_768));
    const length = 1 + Math.floor(random() * 32_768);
    if (random() < 0.3) rig.zero(offset, length, random() < 0.5);
    else rig.write(offset, length);
    rig.until(() => !rig.parked);
    rig.clock.advance(10);
  }
}

function snapshot(rig: Rig): Snapshot {
  rig.flushed();
  return {position: rig.life.shared.appended.get(), content: Buffer.from(rig.model)};
}

function changedSince(rig: Rig, position: number): Promise<ChangedBlocks> {
  const segments = listSegments(rig.files, PATHS.logDirectory, RESOURCE_ID);
  const {shared} = rig.life;
  return readChangedBlocks({files: rig.files, segments}, position, shared.appended.get(), SIZE);
}

/** One `revert`, as the main thread asks for it. @returns bytes that were written; undefined: no room */
function revert(rig: Rig, offset: number, length: number): number | undefined {
  const {shared, front} = rig.life;
  shared.set(WORD.revertBytes, length);
  shared.commandArgument.set(offset);
  shared.set(WORD.command, COMMAND.revert);
  front.afterRequest();
  return shared.get(WORD.commandResult) === 1 ? shared.commandArgument.get() : undefined;
}

/** Rolls back as the disk process does. @param dies called before each step: true ends it there */
async function rollBack(rig: Rig, position: number, dies: () => boolean = () => false) {
  const {files} = rig;
  const place = {files, logDirectory: PATHS.logDirectory, resourceId: RESOURCE_ID};
  const changed = await changedSince(rig, position);
  const log = openMomentLog(place, 0, position);
  const imageFd = files.open(PATHS.image, 'read');
  let writtenBytes = 0;
  try {
    for (const [start, end] of markedRanges(changed, STEP_BYTES)) {
      if (dies()) return undefined;
      const {content} = rig.life.shared;
      const disk = {index: log.index, imageFd};
      assert.is(readBlocks(files, disk, log, start, end - start, content, 0), 0);
      for (;;) {
        const written = revert(rig, start, end - start);
        writtenBytes += written ?? 0;
        if (written !== undefined) break;
        rig.tick(10);
      }
    }

    return writtenBytes;
  } finally {
    files.close(imageFd);
    log.close();
  }
}

test('all that was changed since is again as it was, and the disk goes on from there', async () => {
  for (let seed = 1; seed <= 2; seed += 1) {
    const rig = heldRig(seed);
    const random = createRandom(seed);
    work(rig, random, 25);
    const early = snapshot(rig);
    work(rig, random, 25);
    const late = snapshot(rig);
    assert.ok(((await rollBack(rig, early.position)) ?? 0) > 0);
    early.content.copy(rig.model);
    rig.assertReads(`back, ${seed}`);
    assert.ok(rig.life.shared.appended.get() > late.position, 'positions never go back');
    assert.is(await rollBack(rig, early.position), 0, 'once more: nothing is left to write');
    // And forth again: the way back is a moment as any other.
    rig.flushed();
    await rollBack(rig, late.position);
    late.content.copy(rig.model);
    rig.assertReads(`forth, ${seed}`);
    work(rig, random, 10);
    rig.life.shared.holdReplay(Infinity);
    rig.replay();
    rig.assertImage();
  }
});

test('kills and power losses in the middle: the next life goes on, and ends the same', async () => {
  for (let seed = 1; seed <= 3; seed += 1) {
    const rig = heldRig(seed);
    const random = createRandom(seed + 100);
    work(rig, random, 25);
    const early = snapshot(rig);
    work(rig, random, 25);
    rig.flushed();
    let deaths = 0;
    for (;;) {
      let steps = 1 + Math.floor(random() * 4);
      const done = await rollBack(rig, early.position, () => deaths < 5 && (steps -= 1) < 0);
      if (done !== undefined) break;
      deaths += 1;
      if (random() < 0.5) rig.kill();
      else rig.crash('random');
      rig.life.shared.holdReplay(0);
    }

    assert.ok(deaths > 0);
    early.content.copy(rig.model);
    rig.assertReads(`after ${deaths} deaths, ${seed}`);
    rig.flushed();
    rig.life.shared.holdReplay(Infinity);
    rig.replay();
    rig.assertImage();
  }
});

test('what was zeros then is discarded, not written', async () => {
  const rig = heldRig(1);
  const empty = snapshot(rig);
  for (let block = 0; block < 64; block += 8) rig.write(block * BLOCK_BYTES, 8 * BLOCK_BYTES);
  rig.flushed();
  const before = rig.life.shared.appended.get();
  assert.is(await rollBack(rig, empty.position), 64 * BLOCK_BYTES);
  assert.ok(rig.life.shared.appended.get() - before < BLOCK_BYTES, 'records without payload');
  empty.content.copy(rig.model);
  rig.assertReads();
});

test('who opens the disk meanwhile is refused', () => {
  const {shared, front} = heldRig(1).life;
  assert.is(front.openErrno(), 0);
  shared.set(WORD.closed, 1);
  assert.is(front.openErrno(), ERRNO.EBUSY);
});

test('every block that a record is about is marked, in ranges within the bound', async () => {
  const rig = heldRig(1);
  rig.write(0, BLOCK_BYTES);
  const {position} = snapshot(rig);
  rig.write(8 * BLOCK_BYTES + 1, 1);
  rig.write(2 * BLOCK_BYTES, 3 * BLOCK_BYTES);
  rig.zero(4 * BLOCK_BYTES, 2 * BLOCK_BYTES);
  rig.flushed();
  const changed = await changedSince(rig, position);
  assert.is(changed.records, 3);
  assert.is(markedBytes(changed), 5 * BLOCK_BYTES);
  assert.equal(
    [...markedRanges(changed, 3 * BLOCK_BYTES)].map((range) => range.map((at) => at / BLOCK_BYTES)),
    [
      [2, 5],
      [5, 6],
      [8, 9],
    ],
  );
  assert.is(markedBytes(await changedSince(rig, rig.life.shared.appended.get())), 0);
});

test('a log that does not reach from the moment to the end is said to', async () => {
  const rig = heldRig(1);
  rig.write(0, BLOCK_BYTES);
  const {position} = snapshot(rig);
  const segments = listSegments(rig.files, PATHS.logDirectory, RESOURCE_ID);
  try {
    await readChangedBlocks({files: rig.files, segments}, 0, position + 4096, SIZE);
    assert.unreachable('it ends before');
  } catch (error) {
    assert.ok(isDiskError(error, 'HISTORY_GONE'), String(error));
  }
});

test('large disks are marked in larger parts, and no part is more than a revert brings', () => {
  assert.is(chunkBytesOf(SIZE), BLOCK_BYTES);
  assert.is(chunkBytesOf(TIB), BLOCK_BYTES);
  assert.is(chunkBytesOf(15 * TIB), 16 * BLOCK_BYTES);
  assert.ok(chunkBytesOf(15 * TIB) < REVERT_BYTES_MAX);
});

test.run();
