/** Replay: order of calls, failures, interruptions, and the image against a model. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fs from 'node:fs';
import {createNodeFiles} from '../../src/core/files.js';
import {FLAG, RECORD} from '../../src/log/record.js';
import {flipBit} from '../log/log-builder.js';
import {below, createRandom, type Random} from '../sim/random.js';
import {SimDisk} from '../sim/sim-disk.js';
import type {SimCall, SimFaultKind} from '../sim/sim-faults.js';
import {IMAGE_BYTES, ReplayRig} from './replay-rig.js';

const BLOCKS = IMAGE_BYTES / 4096;

function makeRig(seed = 1): {rig: ReplayRig; disk: SimDisk} {
  const disk = new SimDisk({random: createRandom(seed)});
  disk.makeDirectory('/r');
  for (const path of ['/', '/r']) disk.syncDirectory(path);
  return {rig: new ReplayRig(disk, '/r'), disk};
}

function fill(rig: ReplayRig, random: Random, count = 40): void {
  for (let at = 0; at < count; at += 1) {
    const block = below(random, BLOCKS - 12);
    if (below(random, 4) === 0) rig.zero(block, 1 + below(random, 12));
    else rig.write(block, 1 + below(random, 4));
    if (at % 20 === 19) rig.segment();
  }
}

/** Calls on image and state file, in order. */
function trace(disk: SimDisk): string[] {
  const lines: string[] = [];
  const kept: readonly SimCall[] = ['write', 'sync', 'syncData', 'punch', 'truncate'];
  disk.beforeCall = (_actor, call, path) => {
    if (kept.includes(call)) lines.push(`${call} ${path.split('/').at(-1) ?? ''}`);
  };
  return lines;
}

test('the image becomes what the records say, over segments, and the state says so', () => {
  for (let seed = 1; seed <= 10; seed += 1) {
    const {rig} = makeRig(seed);
    fill(rig, createRandom(seed), 60);
    rig.flush();
    const replayer = rig.open();
    assert.is(replayer.step(), 0);
    rig.assertImage(`seed ${seed}`);
    const end = rig.durable;
    assert.is(replayer.position, end);
    assert.equal([rig.state().from, rig.state().to], [end, end]);
    assert.equal(rig.published, [
      [0, end],
      [end, end],
    ]);
    assert.is(replayer.step(), 250);
    assert.is(rig.states.at(-1), 'idle');
  }
});

test('on real files: writes, discards and zeros, and what was discarded takes no space', () => {
  const directory = fs.mkdtempSync('/var/tmp/mars-replay-');
  try {
    const rig = new ReplayRig(createNodeFiles(), directory);
    fill(rig, createRandom(7));
    rig.zero(0, BLOCKS / 2, RECORD.discard);
    rig.write(3, 2);
    rig.flush();
    assert.is(rig.open().step(), 0);
    rig.assertImage();
    assert.ok(fs.statSync(rig.imagePath).blocks * 512 < IMAGE_BYTES * 0.75);
  } finally {
    fs.rmSync(directory, {recursive: true});
  }
});

test('hazards 2 and 10: {from, to} before the first change, zeros before writes, sync before {to, to}', () => {
  const {rig, disk} = makeRig();
  rig.write(1);
  rig.zero(20, 4);
  rig.write(22);
  rig.write(40);
  rig.flush();
  const replayer = rig.open();
  const lines = trace(disk);
  const seen: string[] = [];
  const {beforeCall} = disk;
  disk.beforeCall = (actor, call, path) => {
    beforeCall?.(actor, call, path);
    if (path === rig.imagePath && call !== 'close') {
      disk.beforeCall = beforeCall;
      const {from, to} = rig.state();
      seen.push(`${from} ${to}`);
    }
  };
  replayer.step();
  assert.equal(seen, [`0 ${rig.durable}`]);
  assert.equal(lines, [
    'write replay',
    'syncData replay',
    'punch image',
    'write image',
    'write image',
    'write image',
    'syncData image',
    'write replay',
    'syncData replay',
  ]);
  rig.assertImage();
});

test('nothing above the durable position reaches the image', () => {
  const {rig} = makeRig();
  rig.write(1);
  rig.flush();
  const durable = Buffer.from(rig.model);
  rig.write(2);
  rig.write(1);
  const replayer = rig.open();
  replayer.step();
  assert.ok(rig.image().equals(durable));
  assert.is(replayer.position, rig.durable);
  assert.is(replayer.step(), 250);
});

test('a block that many records wrote is written once, blocks side by side in one call', () => {
  const {rig, disk} = makeRig();
  for (let count = 0; count < 30; count += 1) rig.write(10 + (count % 3));
  rig.write(13, 4);
  rig.flush();
  const replayer = rig.open();
  const lines = trace(disk);
  replayer.step();
  assert.is(lines.filter((line) => line === 'write image').length, 1);
  rig.assertImage();
});

for (const [name, type, flags] of [
  ['VERIFY', RECORD.verify, FLAG.ignorable],
  ['the end of a group', RECORD.group, FLAG.groupEnd],
] as const) {
  test(`a batch ends at ${name}`, () => {
    const {rig} = makeRig();
    rig.write(1);
    rig.log.plain(type, 0, 0, flags);
    const end = rig.log.writer.position;
    rig.write(2);
    rig.flush();
    const replayer = rig.open();
    replayer.step();
    assert.is(replayer.position, end);
    replayer.step();
    assert.is(replayer.position, rig.durable);
    rig.assertImage();
  });
}

test('no log leads over a GAP: replay stops in front of it, says so, and goes no further', () => {
  const {rig} = makeRig();
  rig.write(1);
  const end = rig.log.writer.position;
  rig.log.plain(RECORD.gap, 0, 0);
  rig.log.write(2, 77);
  rig.flush();
  const replayer = rig.open();
  replayer.step();
  assert.is(replayer.position, end);
  rig.assertImage();
  for (const again of [replayer, rig.open()]) {
    again.step();
    assert.is(again.position, end);
    assert.is(rig.reports.at(-1)?.code, 'REPLICA_GAP');
    rig.assertImage();
  }
});

test('a batch ends at RESIZE, and the image has grown before a block behind its old end is written', () => {
  const {rig} = makeRig();
  rig.write(1);
  rig.log.plain(RECORD.resize, BLOCKS * 2);
  const end = rig.log.writer.position;
  rig.log.write(BLOCKS * 2 - 1, 77);
  rig.flush();
  const replayer = rig.open();
  replayer.step();
  assert.is(replayer.position, end);
  assert.is(rig.image().length, 2 * IMAGE_BYTES);
  replayer.step();
  assert.is(replayer.position, rig.durable);
  assert.ok(
    rig
      .image()
      .subarray(-4096)
      .some((byte) => byte !== 0),
  );
});

const FAULTS: readonly [SimCall, SimFaultKind, string][] = [
  ['write', 'ENOSPC', 'STORE_FULL'],
  ['write', 'EIO', 'IMAGE_IO'],
  ['syncData', 'EIO', 'IMAGE_IO'],
];
for (const [call, kind, code] of FAULTS) {
  test(`hazard 19: ${kind} in ${call} of the image: from stays, the whole batch is written again`, () => {
    const {rig, disk} = makeRig();
    fill(rig, createRandom(3));
    rig.flush();
    const replayer = rig.open();
    const lines = trace(disk);
    disk.faults.add({path: /\/image$/u, calls: [call], kind, count: 2});
    for (let attempt = 0; attempt < 2; attempt += 1) {
      replayer.step();
      assert.is(rig.reports.at(-1)?.code, code);
      assert.is(rig.states.at(-1), 'failed');
      assert.is(replayer.position, 0);
      assert.is(rig.state().from, 0);
      assert.is(rig.state().to, rig.durable);
    }

    lines.length = 0;
    assert.is(replayer.step(), 0);
    assert.is(rig.reports.at(-1), undefined);
    const again = lines.filter((line) => line === 'write image').length;
    assert.ok(again > 3, 'all of it, not what was missing');
    // What the failed sync called clean was written again: power loss takes nothing.
    disk.crash({mode: 'none', cut: 0, keepProbability: 0, tearProbability: 0});
    rig.assertImage();
    assert.is(rig.state().from, rig.durable);
  });
}

test('an image that cannot punch gets zeros written', () => {
  const {rig, disk} = makeRig();
  rig.zero(3, 200);
  rig.write(50);
  rig.flush();
  disk.faults.add({path: /\/image$/u, calls: ['punch'], kind: 'EOPNOTSUPP', count: 9});
  const replayer = rig.open();
  assert.is(replayer.step(), 0);
  rig.assertImage();
});

for (const code of ['EAGAIN', 'EIO']) {
  test(`a punch that fails with ${code} is tried again, not replaced by zeros`, () => {
    const {rig, disk} = makeRig();
    rig.zero(3, 200);
    rig.flush();
    const replayer = rig.open();
    const punch = disk.punch.bind(disk);
    disk.punch = () => {
      throw Object.assign(new Error(`${code}: fallocate`), {code, syscall: 'fallocate'});
    };
    const writes: string[] = [];
    disk.beforeCall = (_actor, call, path) => {
      if (call === 'write' && path.endsWith('/image')) writes.push(path);
    };
    replayer.step();
    assert.is(replayer.position, 0);
    assert.equal(writes, []);
    disk.punch = punch;
    assert.is(replayer.step(), 0);
    rig.assertImage();
  });
}

test('a state file that cannot be written stops the batch before the image is touched', () => {
  const {rig, disk} = makeRig();
  rig.write(1);
  rig.flush();
  const before = rig.image();
  const replayer = rig.open();
  disk.faults.add({path: /\/replay$/u, calls: ['syncData'], kind: 'EIO'});
  replayer.step();
  assert.ok(rig.image().equals(before));
  assert.is(replayer.position, 0);
  replayer.step();
  rig.assertImage();
});

test('a durable record that rotted stops replay with its position, the image stays as it was', () => {
  const {rig} = makeRig();
  rig.write(1);
  rig.write(2);
  rig.flush();
  const replayer = rig.open();
  const before = rig.image();
  const record = rig.log.records[1];
  flipBit(rig.files, record?.file ?? '', ((record?.offset ?? 0) + 1000) * 8);
  assert.is(replayer.step(), 0);
  assert.is(rig.reports.at(-1)?.code, 'LOG_CORRUPT');
  assert.is(rig.reports.at(-1)?.details['position'], '0000000000001080');
  assert.ok(rig.image().equals(before));
  assert.is(rig.state().from, 0);
});

test('interrupted in any call, by a kill or by power loss, the next life ends at the same image', () => {
  for (let calls = 1; calls < 400; calls += 1) {
    const {rig, disk} = makeRig(calls);
    fill(rig, createRandom(11), 24);
    rig.flush();
    const replayer = rig.open();
    disk.crashAfter(calls);
    let died = false;
    try {
      replayer.step();
    } catch {
      died = true;
    }

    if (calls % 2 === 0) disk.kill();
    else disk.crash();
    const state = rig.state();
    assert.ok(state.from === 0 || state.from === rig.durable);
    const next = rig.open();
    if (next.position < rig.durable) next.step();
    rig.assertImage(`call ${calls}`);
    assert.is(rig.state().from, rig.durable);
    if (!died) return;
  }

  assert.unreachable('a batch ends');
});

test('a batch that broke off stays a batch: a shorter one after it does not hide its end', () => {
  const {rig, disk} = makeRig();
  rig.write(1);
  const middle = rig.log.writer.position;
  rig.write(2);
  rig.flush();
  disk.faults.add({path: /\/image$/u, calls: ['syncData'], kind: 'EIO'});
  rig.open().step();
  const end = rig.durable;
  // The next life replays the first record only.
  const replayer = rig.open({quietMs: 0, batchBytes: 100});
  replayer.step();
  assert.is(replayer.position, middle);
  assert.equal([rig.state().from, rig.state().to], [middle, end]);
});

test('it waits for more to merge, but not for ever, and not when it must not', () => {
  const {rig} = makeRig();
  const pacing = {quietMs: 200, latestMs: 1000, backlogBytes: 40_000, retryMs: 50};
  const replayer = rig.open(pacing);
  rig.write(1);
  rig.flush();
  assert.is(replayer.step(), 200);
  for (let at = 0; at < 9; at += 1) {
    rig.clock.advance(100);
    rig.log.small(8, at);
    assert.ok(replayer.step() > 0, `${at}`);
  }

  rig.clock.advance(100);
  rig.paused = true;
  assert.is(replayer.step(), Infinity);
  assert.is(rig.states.at(-1), 'paused');
  rig.paused = false;
  assert.is(replayer.step(), 0);
  assert.is(replayer.position, rig.durable);
});

test('a large backlog or a wish for room begins a batch at once', () => {
  const large = makeRig().rig;
  const replayer = large.open({backlogBytes: 9000});
  large.write(1);
  large.flush();
  assert.ok(replayer.step() > 0);
  large.write(2, 2);
  large.flush();
  assert.is(replayer.step(), 0);
  assert.is(replayer.position, large.durable);
  const {rig} = makeRig();
  const other = rig.open({});
  rig.write(1);
  rig.flush();
  rig.forced = true;
  assert.is(other.step(), 0);
  assert.is(other.position, rig.durable);
});

test.run();
