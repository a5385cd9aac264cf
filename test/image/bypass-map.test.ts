import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {GIB, MIB, TIB} from '../../src/core/units.js';
import {
  bitsOfPage,
  bypassFileBytes,
  BypassMap,
  isBypassState,
  makeBypassFile,
  peekBypass,
  REGION_BYTES,
  sealPage,
} from '../../src/image/bypass-map.js';
import {SimCrash, SimDisk} from '../sim/sim-disk.js';
import {below, createRandom} from '../sim/random.js';

const PATHS = {bypassFile: '/bypass', directory: '/'};
const PERIOD = {epoch: 'e'.repeat(32), position: 4096, sinceMs: 1000};

function makeDisk(seed = 1, diskBytes = 64 * GIB): SimDisk {
  const disk = new SimDisk({random: createRandom(seed)});
  makeBypassFile(disk, PATHS, diskBytes);
  return disk;
}

test('a page says its bits, and all of them where it is torn, rotten or short', () => {
  const page = Buffer.alloc(4096);
  page[100] = 0x10;
  sealPage(page);
  assert.is(bitsOfPage(page)[96], 0x10);
  assert.is(bitsOfPage(page)[97], 0);
  page[200] = 1;
  assert.ok(bitsOfPage(page).every((byte) => byte === 0xff));
  assert.ok(bitsOfPage(page.subarray(0, 512)).every((byte) => byte === 0xff));
});

test('what is no state is not taken for one', () => {
  const open = {schema: 1, state: 'open', period: null, gapEnd: 0};
  assert.ok(isBypassState(open));
  assert.ok(isBypassState({...open, state: 'bypassed', period: PERIOD}));
  for (const bad of [
    undefined,
    {...open, schema: 2},
    {...open, state: 'bypassed'},
    {...open, period: PERIOD},
    {...open, gapEnd: undefined},
    {...open, state: 'bypassed', period: {...PERIOD, epoch: 'e'}},
    {...open, state: 'bypassed', period: {...PERIOD, position: 0.5}},
  ]) {
    assert.not.ok(isBypassState(bad), JSON.stringify(bad));
  }
});

test('the file has all its space before it is needed: 2 MiB for the largest disk', () => {
  assert.ok(bypassFileBytes(15 * TIB) < 2.1 * MIB);
  const disk = makeDisk();
  assert.is(disk.peek('/bypass', 0, 10 * MIB).length, bypassFileBytes(64 * GIB));
  disk.capacityBytes = disk.usedBytes();
  const map = BypassMap.open(disk, PATHS);
  map.enter(PERIOD);
  map.mark(63 * GIB, GIB);
  map.leave(9999);
  assert.equal(peekBypass(disk, PATHS), {schema: 1, state: 'open', period: null, gapEnd: 9999});
});

test('there is no state where there is no file, and no guess where it cannot be read', () => {
  const disk = new SimDisk({random: createRandom(1)});
  assert.is(peekBypass(disk, PATHS), undefined);
  const fd = disk.open('/bypass', 'create');
  disk.write(fd, Buffer.alloc(16_384, 7), 0, 16_384, 0);
  assert.throws(
    () => peekBypass(disk, PATHS),
    (error: unknown) => isDiskError(error, 'STATE_UNREADABLE'),
  );
});

test('marked regions are marked across pages, and a map that is made for a larger disk keeps its word', () => {
  const disk = makeDisk();
  const map = BypassMap.open(disk, PATHS);
  map.enter(PERIOD);
  const pageRegions = 32_736;
  map.mark((pageRegions - 1) * REGION_BYTES, 2 * REGION_BYTES);
  assert.is(map.regionCount, 16);
  const digest = map.digest();
  map.mark(pageRegions * REGION_BYTES + 5, 4096);
  assert.equal(map.digest(), digest);
  const again = BypassMap.open(disk, PATHS);
  assert.equal(again.digest(), digest);
  assert.equal(again.state.period, PERIOD);
  assert.ok(again.covers(64 * GIB));
  assert.not.ok(again.covers(128 * GIB));
  again.leave(7777);
  makeBypassFile(disk, PATHS, 128 * GIB);
  const larger = BypassMap.open(disk, PATHS);
  assert.ok(larger.covers(128 * GIB));
  assert.is(larger.state.gapEnd, 7777);
  assert.is(larger.regionCount, 0);
});

test('a new bypass begins with an empty map', () => {
  const disk = makeDisk();
  const map = BypassMap.open(disk, PATHS);
  map.enter(PERIOD);
  map.mark(0, GIB);
  map.leave(1);
  map.enter({...PERIOD, position: 8192});
  assert.is(map.regionCount, 0);
  assert.is(BypassMap.open(disk, PATHS).regionCount, 0);
});

test('bits that a failed sync left behind are asked for again', () => {
  const disk = makeDisk();
  const map = BypassMap.open(disk, PATHS);
  map.enter(PERIOD);
  disk.faults.add({path: /bypass/u, calls: ['syncData'], kind: 'EIO'});
  assert.throws(() => {
    map.mark(0, 1);
  }, /EIO/u);
  map.mark(0, 1);
  disk.crash({mode: 'none', cut: 0, keepProbability: 0, tearProbability: 0});
  assert.is(BypassMap.open(disk, PATHS).regionCount, 8);
});

test('whatever power loss and kills do, a region that was marked stays marked, and the state is one that was written', () => {
  for (let seed = 0; seed < 400; seed += 1) {
    const random = createRandom(seed + 77);
    const disk = makeDisk(seed, 40 * GIB);
    const marked = new Set<number>();
    let entered = false;
    for (let life = 0; life < 4; life += 1) {
      try {
        disk.crashAfter(1 + below(random, 24));
        const map = BypassMap.open(disk, PATHS);
        if (entered) assert.is(map.state.state, 'bypassed', `seed ${seed}`);
        if (map.state.state === 'open') {
          map.enter(PERIOD);
          entered = true;
        } else entered = true;
        for (const region of marked) assertMarked(map, region, `seed ${seed}`);
        for (;;) {
          const region = below(random, 40 * 1024);
          map.mark(region * REGION_BYTES, 1 + below(random, 3 * REGION_BYTES));
          marked.add(region);
        }
      } catch (error) {
        if (!(error instanceof SimCrash)) throw error;
        if (below(random, 2) === 0) disk.kill();
        else disk.crash();
      }
    }
  }
});

/** Marking it once more changes nothing. */
function assertMarked(map: BypassMap, region: number, message: string): void {
  const before = map.regionCount;
  map.mark(region * REGION_BYTES, 1);
  assert.is(map.regionCount, before, message);
}

test.run();
