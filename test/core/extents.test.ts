import {execFileSync} from 'node:child_process';
import fs from 'node:fs';
import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {ChunkMap, scanExtents} from '../../src/core/extents.js';
import {GIB, MIB, TIB} from '../../src/core/units.js';
import {below, createRandom} from '../sim/random.js';

let directory = '';

test.before(() => {
  directory = fs.mkdtempSync('/var/tmp/mars-extents-');
});

test.after(() => {
  fs.rmSync(directory, {recursive: true});
});

/** A sparse file with 64 KiB of data at each of `places`. */
function makeFile(sizeBytes: number, places: readonly number[]): number {
  const fd = fs.openSync(join(directory, `file-${fs.readdirSync(directory).length}`), 'w+');
  fs.ftruncateSync(fd, sizeBytes);
  for (const place of places) fs.writeSync(fd, Buffer.alloc(65_536, 1), 0, 65_536, place);
  return fd;
}

async function scan(fd: number, sizeBytes: number, granularityBytes: number): Promise<number[]> {
  const found: number[] = [];
  const isKnown = await scanExtents(fd, sizeBytes, granularityBytes, (start, end) => {
    found.push(start, end);
  });
  assert.ok(isKnown);
  fs.closeSync(fd);
  return found;
}

test('an empty file of 1 TiB has no data, and that is known at once', async () => {
  const startMs = performance.now();
  assert.equal(await scan(makeFile(TIB, []), TIB, MIB), []);
  assert.ok(performance.now() - startMs < 10_000);
});

test('data is found at the start, far away and at the end', async () => {
  const places = [0, 700 * GIB, TIB - 65_536];
  const expected = places.flatMap((place) => [place, place + 65_536]);
  assert.equal(await scan(makeFile(TIB, places), TIB, MIB), expected);
});

test('short holes are passed over', async () => {
  const fd = makeFile(16 * MIB, [0, MIB / 2, 4 * MIB]);
  assert.equal(await scan(fd, 16 * MIB, MIB), [0, MIB / 2 + 65_536, 4 * MIB, 4 * MIB + 65_536]);
});

test('nothing is told beyond the size that was asked for', async () => {
  assert.equal(await scan(makeFile(16 * MIB, [0, 8 * MIB]), 8 * MIB + 4096, MIB), [
    0,
    65_536,
    8 * MIB,
    8 * MIB + 4096,
  ]);
});

test('a file that is shorter than asked has a hole behind its end', async () => {
  assert.equal(await scan(makeFile(65_536, [0]), TIB, MIB), [0, 65_536]);
});

test('what cannot tell has data everywhere', async () => {
  const found: number[] = [];
  // lseek(2) of a pipe is ESPIPE.
  const fifo = join(directory, 'fifo');
  execFileSync('mkfifo', [fifo]);
  const fd = fs.openSync(fifo, fs.constants.O_RDWR);
  const isKnown = await scanExtents(fd, TIB, MIB, (start, end) => {
    found.push(start, end);
  });
  fs.closeSync(fd);
  assert.is(isKnown, false);
  assert.equal(found, [0, TIB]);
});

test('a map of chunks has what was marked, in runs', () => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const random = createRandom(seed);
    const count = 1 + below(random, 200);
    const map = new ChunkMap(count * 10 - below(random, 10), 10);
    const model = new Array<boolean>(map.count).fill(false);
    for (let round = below(random, 6); round > 0; round -= 1) {
      const start = below(random, count * 10 - 10);
      const end = start + 1 + below(random, 300);
      map.mark(start, end);
      for (let chunk = Math.floor(start / 10); chunk * 10 < end; chunk += 1) {
        if (chunk < map.count) model[chunk] = true;
      }
    }

    for (let chunk = 0; chunk < map.count; chunk += 1) {
      assert.is(map.has(chunk), model[chunk], `seed ${seed}`);
      let end = chunk + 1;
      while (end < map.count && model[end] === model[chunk]) end += 1;
      assert.is(map.runEnd(chunk, map.count), end, `seed ${seed}`);
      assert.is(map.runEnd(chunk, Math.min(end, chunk + 3)), Math.min(end, chunk + 3));
    }
  }
});

test.run();
