/** The disk at a position of the log, over an image that nobody may write to. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {createNodeFiles} from '../../../src/core/files.js';
import {BLOCK_BYTES} from '../../../src/core/limits.js';
import {LayeredDisk, layerMemory} from '../../../src/disk/fsck/layered-disk.js';
import {ERRNO} from '../../../src/fuse/handler.js';
import {createRandom} from '../../sim/random.js';

const BLOCKS = 100;
const DISK_BYTES = BLOCKS * BLOCK_BYTES;
/** The image is shorter than the disk, as after a RESIZE that is not replayed. */
const BASE_BYTES = 70 * BLOCK_BYTES + 100;

interface Context {
  directory: string;
  base: Buffer;
  make: (limitBytes?: number) => LayeredDisk;
}

const test = suite<Context>('layered disk');

test.before.each((context) => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'mars-layers-'));
  const base = Buffer.alloc(BASE_BYTES, 'b');
  fs.writeFileSync(path.join(directory, 'base'), base);
  context.directory = directory;
  context.base = base;
  context.make = (limitBytes = 2 * DISK_BYTES) => {
    const disk = new LayeredDisk({
      files: createNodeFiles(),
      memory: layerMemory(DISK_BYTES),
      descriptors: {
        base: fs.openSync(path.join(directory, 'base'), 'r'),
        log: fs.openSync(path.join(directory, 'log'), 'w+'),
        overlay: fs.openSync(path.join(directory, 'overlay'), 'w+'),
      },
      limitBytes,
    });
    disk.resize(DISK_BYTES);
    return disk;
  };
});

test.after.each(({directory}) => {
  fs.rmSync(directory, {recursive: true, force: true});
});

function contentOf(disk: LayeredDisk): Buffer {
  const bytes = Buffer.alloc(DISK_BYTES, 0xee);
  assert.is(disk.read(0, DISK_BYTES, bytes, 0), 0);
  return bytes;
}

test('whatever is written, zeroed and applied in any order, a model reads the same', ({
  base,
  make,
}) => {
  const random = createRandom(7);
  const below = (limit: number): number => Math.floor(random() * limit);
  const disk = make();
  const log = Buffer.alloc(DISK_BYTES);
  base.copy(log);
  let model = Buffer.from(log);
  for (let step = 0; step < 600; step += 1) {
    const block = below(BLOCKS);
    const count = 1 + below(Math.min(40, BLOCKS - block));
    const [start, end] = [block * BLOCK_BYTES, (block + count) * BLOCK_BYTES];
    const bytes = Buffer.alloc(BLOCK_BYTES * count, step + 1);
    const kind = below(10);
    if (kind < 3) {
      disk.clearOverlay();
      disk.applyWrite(start, bytes, 0, bytes.length);
      bytes.copy(log, start);
      model = Buffer.from(log);
    } else if (kind < 5) {
      disk.clearOverlay();
      disk.applyZero(start, bytes.length);
      log.fill(0, start, end);
      model = Buffer.from(log);
    } else if (kind < 8) {
      const offset = start + 512 * below(8);
      const length = Math.min(512 * (1 + below(20)), DISK_BYTES - offset);
      assert.is(disk.write(offset, length, Buffer.alloc(length, step + 7), 0), 0);
      model.fill(step + 7, offset, offset + length);
    } else if (kind < 9) {
      assert.is(disk.zero(start, bytes.length), 0);
      model.fill(0, start, end);
    }

    if (step % 20 === 0) assert.ok(contentOf(disk).equals(model), `step ${step}`);
    const offset = below(DISK_BYTES - 3000);
    const part = Buffer.alloc(3000, 0xee);
    disk.read(offset, part.length, part, 0);
    assert.ok(part.equals(model.subarray(offset, offset + 3000)), `step ${step} at ${offset}`);
  }

  disk.clearOverlay();
  assert.ok(contentOf(disk).equals(log));
});

test('the image is only read', ({directory, base, make}) => {
  const disk = make();
  const bytes = Buffer.alloc(BLOCK_BYTES, 'x');
  disk.applyWrite(0, bytes, 0, BLOCK_BYTES);
  assert.is(disk.write(BLOCK_BYTES, BLOCK_BYTES, bytes, 0), 0);
  assert.ok(fs.readFileSync(path.join(directory, 'base')).equals(base));
});

test('at its limit a write is refused for want of room, and nothing else changes', ({make}) => {
  const disk = make(3 * BLOCK_BYTES);
  const bytes = Buffer.alloc(2 * BLOCK_BYTES, 'x');
  disk.applyWrite(0, bytes, 0, bytes.length);
  assert.not(disk.isFull);
  assert.is(disk.write(8 * BLOCK_BYTES, BLOCK_BYTES, bytes, 0), 0);
  assert.ok(disk.isFull);
  const before = contentOf(disk);
  assert.is(disk.write(9 * BLOCK_BYTES, BLOCK_BYTES, bytes, 0), ERRNO.ENOSPC);
  assert.ok(contentOf(disk).equals(before));
  disk.clearOverlay();
  assert.not(disk.isFull);
});

test.run();
