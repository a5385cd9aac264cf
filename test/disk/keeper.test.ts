/** Segments ahead of the writer: order of recycling, bounds, and a full file system. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {KEEPER_FAILED, KEEPER_NO_ROOM, WORD} from '../../src/disk/shared.js';
import {PENDING} from '../../src/fuse/handler.js';
import {PATHS, Rig} from './rig.js';

const FILE_BYTES = 128 * 1024;

function indexOfAll(trace: readonly string[], lines: readonly string[]): number[] {
  let from = 0;
  return lines.map((line) => {
    const at = trace.indexOf(line, from);
    assert.ok(at >= 0, `${line} comes, after what was before it:\n${trace.join('\n')}`);
    from = at + 1;
    return at;
  });
}

test('hazard 11: a used segment becomes a new one in the order that power loss cannot break', () => {
  const rig = new Rig();
  const first = rig.life.shared.get(WORD.currentNumber);
  for (let count = 0; count < 12; count += 1) rig.write(count * 16_384, 16_384);
  rig.replay();
  rig.trace = [];
  rig.keep();
  const old = `log-00000000${first}-alpha`;
  const spare = `spare-${old}`;
  const trace = rig.trace.map((line) => line.replace(/^syncData /u, 'sync '));
  indexOfAll(trace, [
    `rename ${old}`,
    `write ${spare}`,
    `sync ${spare}`,
    `rename ${spare}`,
    'syncDirectory log',
  ]);
  assert.not(
    rig.trace.some((line) => line.startsWith('unlink')),
    'the file is used again',
  );
});

test('no record goes to a segment before its directory entry is durable', () => {
  const rig = new Rig();
  const started = new Set(rig.logNames());
  const durable = new Set(started);
  const {beforeCall} = rig.files;
  rig.files.beforeCall = (actor, call, path) => {
    const name = path.split('/').at(-1) ?? '';
    if (call === 'write' && name.startsWith('log-')) assert.ok(durable.has(name), name);
    beforeCall?.(actor, call, path);
    // What the directory holds when its fsync is called is durable when it returns.
    if (call === 'syncDirectory') for (const known of rig.logNames()) durable.add(known);
  };
  for (let count = 0; count < 60; count += 1) {
    rig.write((count % 20) * 16_384, 16_384);
    rig.tick(100);
    rig.until(() => !rig.parked);
  }

  assert.ok(durable.size > started.size + 3);
  rig.assertReads();
});

test('a segment is kept until everything in it is in the image', () => {
  const rig = new Rig();
  for (let count = 0; count < 12; count += 1) rig.write(count * 16_384, 16_384);
  rig.flushed();
  rig.trace = [];
  const before = rig.life.shared.segmentFirst;
  rig.keep();
  assert.is(rig.life.shared.segmentFirst, before);
  assert.not(rig.trace.some((line) => /^rename log-/u.test(line)));
  rig.assertReads();
});

test('files stay bounded, however much is written', () => {
  const rig = new Rig();
  for (let count = 0; count < 200; count += 1) {
    rig.write((count % 50) * 16_384, 16_384);
    rig.until(() => !rig.parked);
    if (count % 10 === 9) {
      rig.replay();
      rig.keep();
    }
  }

  assert.ok(rig.logNames().length <= 12, rig.logNames().join(' '));
  assert.ok(rig.files.descriptorCount < 12);
  rig.assertReads();
});

for (const [kind, trouble] of [
  ['ENOSPC', KEEPER_NO_ROOM],
  ['EIO', KEEPER_FAILED],
] as const) {
  test(`a keeper that meets ${kind} says whether room would help`, () => {
    const rig = new Rig();
    const {shared} = rig.life;
    rig.files.faults.add({path: /log-/u, calls: ['rename'], kind, count: 99});
    for (let count = 0; count < 100 && shared.get(WORD.keeperTroubled) === 0; count += 1) {
      rig.write((count * 16_384) % 500_000, 16_384);
      rig.tick(100);
    }

    assert.is(shared.get(WORD.keeperTroubled), trouble);
  });
}

test('the log has no room: writes wait, reads and flushes go on, and all goes on by itself', () => {
  const rig = new Rig();
  rig.write(500_000, 3000);
  rig.flushed();
  rig.life.shared.set(WORD.replayPaused, 1);
  rig.files.capacityBytes = rig.files.usedBytes();
  let parkedUnique = 0;
  for (let count = 0; count < 40; count += 1) {
    const before = Buffer.from(rig.model);
    const [result, unique] = rig.write(count * 16_384, 16_384);
    if (result !== PENDING) continue;
    parkedUnique = unique;
    rig.tick(10);
    assert.ok(rig.read().equals(before), 'what is not acknowledged is not seen');
    break;
  }

  assert.ok(parkedUnique > 0 && rig.parked);
  const [, second] = rig.write(parkedUnique * 4096, 512);
  const [, third] = rig.zero(0, 8192);
  const [flushing, flush] = rig.flush();
  for (let count = 0; count < 50; count += 1) rig.tick(100);
  assert.ok(flushing === 0 || rig.answers.get(flush) === 0, 'a flush covers what was acknowledged');
  for (const unique of [parkedUnique, second, third]) assert.not(rig.answers.has(unique));
  assert.ok(rig.notes.some((note) => note.includes('ENOSPC')));
  rig.files.capacityBytes = Infinity;
  rig.until(() => !rig.parked);
  assert.is(rig.answers.get(parkedUnique), -16_384);
  assert.is(rig.answers.get(second), -512);
  assert.is(rig.answers.get(third), 0);
  const order = [parkedUnique, second, third].map((unique) =>
    rig.trace.indexOf(`answer ${unique}`),
  );
  assert.equal(
    order,
    order.toSorted((a, b) => a - b),
  );
  rig.assertReads();
  assert.ok(rig.notes.includes('keeper: well again'));
  assert.is(rig.life.shared.get(WORD.replayForced), 0);
});

test('replay gives segments back: a full file system is left without help from outside', () => {
  const rig = new Rig();
  // A preallocated image: replay needs no space of its own.
  for (let offset = 0; offset < 2 ** 20; offset += 65_536) {
    rig.write(offset, 65_536);
    rig.until(() => !rig.parked);
  }

  rig.replay();
  rig.keep();
  rig.files.capacityBytes = rig.files.usedBytes() + FILE_BYTES / 2;
  for (let count = 0; count < 300; count += 1) {
    rig.write(((count * 7) % 60) * 16_384, 16_384);
    rig.until(() => !rig.parked);
  }

  rig.assertReads();
  rig.replay();
  rig.assertImage();
});

test('a half-made file of an earlier life gives its space back, one of the right size is used', () => {
  const rig = new Rig();
  const directory = PATHS.logDirectory;
  for (const [name, bytes] of [
    ['spare-new-90-1', 5000],
    ['spare-new-91-1', FILE_BYTES],
  ] as const) {
    const fd = rig.files.open(`${directory}/${name}`, 'create');
    rig.files.truncate(fd, bytes);
    rig.files.close(fd);
  }

  rig.trace = [];
  rig.kill();
  assert.ok(rig.trace.includes('unlink spare-new-90-1'));
  assert.not(rig.trace.includes('unlink spare-new-91-1'));
  rig.assertReads();
});

test('a sealed segment that stays gets its index and is bound into the next one', () => {
  const rig = new Rig();
  rig.life.shared.set(WORD.replayPaused, 1);
  for (let count = 0; count < 20; count += 1) rig.write(count * 16_384, 16_384);
  rig.flushed();
  rig.clock.advance(6000);
  rig.until(() => rig.logNames().some((name) => name.endsWith('.idx')));
  rig.kill();
  rig.assertReads('with the index');
  rig.life.shared.set(WORD.replayPaused, 0);
  rig.replay();
  rig.assertImage();
  rig.keep();
  assert.not(rig.logNames().some((name) => name.endsWith('.idx')));
});

function segmentNames(rig: Rig): string[] {
  return rig.logNames().filter((name) => /^log-\d+-[a-z]+$/u.test(name));
}

/** Fills many segments and replays them all. */
function fill(rig: Rig, rounds = 40): void {
  for (let count = 0; count < rounds; count += 1) {
    rig.write((count % 50) * 16_384, 16_384);
    rig.until(() => !rig.parked);
    if (count % 8 === 7) {
      rig.replay();
      rig.keep();
    }
  }

  rig.replay();
  rig.keep();
}

test('what a peer still fetches is kept by name only, whole, until its slot has passed it', () => {
  const rig = new Rig({retainFrom: 0});
  fill(rig);
  const {shared, keeper} = rig.life;
  const names = segmentNames(rig);
  assert.ok(names.includes('log-000000001-alpha'), 'the first segment is there');
  assert.ok(keeper.retained.length >= 4);
  assert.is(keeper.retained[0]?.start, 0);
  assert.ok(shared.segmentEnd - shared.segmentFirst <= 3, 'the ring holds what is open');
  assert.ok(rig.files.descriptorCount < 12, 'and nobody else holds a descriptor');
  const last = keeper.retained.at(-1);
  assert.is(last?.end, shared.segment(shared.segmentFirst).start, 'no gap in what is kept');
  // Inside the second segment: the first alone is not needed, as its end lies at or below.
  const [first, second] = keeper.retained;
  assert.ok(first !== undefined && second !== undefined);
  rig.retain(first.end - 1);
  assert.is(keeper.retained[0], first);
  rig.retain(first.end);
  assert.is(keeper.retained[0], second);
  assert.not(segmentNames(rig).includes(first.name));
  rig.retain(Infinity);
  assert.is(keeper.retained.length, 0);
  fill(rig);
  assert.ok(rig.logNames().length <= 12, 'all of them were used again');
  rig.assertReads();
});

test('a slot that appears keeps what is still there, also over kill and power loss', () => {
  const rig = new Rig();
  fill(rig);
  const from = rig.life.shared.replayed.get();
  rig.retain(from);
  fill(rig);
  const kept = rig.life.keeper.retained.map(({name}) => name);
  assert.ok(kept.length >= 3);
  rig.kill();
  assert.equal(
    rig.life.keeper.retained.slice(0, kept.length).map(({name}) => name),
    kept,
  );
  rig.crash('none');
  fill(rig);
  const {retained} = rig.life.keeper;
  assert.ok((retained[0]?.start ?? Infinity) <= from);
  for (const [at, {end}] of retained.slice(0, -1).entries())
    assert.is(end, retained[at + 1]?.start);
  rig.retain(Infinity);
  fill(rig);
  assert.not(
    segmentNames(rig).some((name) => kept.includes(name)),
    'all were used again',
  );
  rig.assertReads();
});

test('no room: the keeper does not touch what is retained, writes wait and go on after it', () => {
  const rig = new Rig({retainFrom: 0});
  fill(rig);
  const before = segmentNames(rig).slice(0, rig.life.keeper.retained.length);
  assert.ok(before.length > 3);
  rig.files.capacityBytes = rig.files.usedBytes();
  for (let count = 0; count < 60 && !rig.parked; count += 1) {
    rig.write(count * 16_384, 16_384);
    rig.tick(100);
  }

  assert.ok(rig.parked, 'the log is full');
  for (let count = 0; count < 30; count += 1) rig.tick(1000);
  assert.ok(rig.parked);
  for (const name of before) assert.ok(segmentNames(rig).includes(name), name);
  rig.retain(Infinity);
  rig.until(() => !rig.parked);
  rig.assertReads();
});

test('an error beside it leaves no half-made file behind', () => {
  const rig = new Rig();
  for (let count = 0; count < 12; count += 1) {
    rig.write(count * 16_384, 16_384);
    rig.life.front.afterRequest();
  }

  rig.commit();
  while (!rig.logNames().some((name) => name.startsWith('spare-new'))) rig.life.keeper.step();
  rig.life.replayer.step();
  rig.clock.advance(20_000);
  rig.life.replayer.step();
  rig.files.faults.add({path: /log-/u, calls: ['rename'], kind: 'EIO'});
  const descriptors = rig.files.descriptorCount;
  const before = rig.notes.length;
  rig.life.keeper.step();
  assert.ok(rig.notes.slice(before).includes('keeper: EIO'));
  assert.is(rig.files.descriptorCount, descriptors);
  rig.clock.advance(1000);
  rig.keep();
  assert.ok(rig.files.descriptorCount < descriptors + 1);
  assert.not(rig.logNames().some((name) => name.startsWith('spare-new')));
  rig.assertReads();
});

test.run();
