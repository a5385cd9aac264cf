/** Moments of a disk: what it was at a position, while it is written to and replayed; clones; and their end. */
import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {
  historyPath,
  loseHistoryMounts,
  readHistoryMounts,
  type HistoryMount,
} from '../../src/core/history-mounts.js';
import {formatPosition} from '../../src/core/position.js';
import {MomentImage} from '../../src/disk/moment/moment-image.js';
import {openMomentLog} from '../../src/disk/moment/moment-log.js';
import {Overlay} from '../../src/disk/moment/overlay.js';
import {COMMAND, WORD} from '../../src/disk/shared.js';
import {ERRNO} from '../../src/fuse/handler.js';
import {findMarks, momentAtPosition, momentAtTime} from '../../src/log/moments.js';
import {createRandom} from '../sim/random.js';
import {PATHS, Rig} from './rig.js';

const RESOURCE_ID = 'b'.repeat(32);
const SIZE = 2 ** 20;
const PLACE = {directory: PATHS.logDirectory, resourceId: RESOURCE_ID};

interface Snapshot {
  readonly position: number;
  readonly timeMs: number;
  readonly content: Buffer;
}

/** Writes, discards and ragged writes at random. */
function work(rig: Rig, random: () => number, count: number): void {
  for (let step = 0; step < count; step += 1) {
    const offset = Math.floor(random() * (SIZE - 32_768));
    const length = 1 + Math.floor(random() * 32_768);
    if (random() < 0.2) rig.zero(offset, length);
    else rig.write(offset, length);
    rig.until(() => !rig.parked);
    rig.clock.advance(10);
  }
}

function snapshot(rig: Rig): Snapshot {
  rig.flushed();
  return {
    position: rig.life.shared.appended.get(),
    timeMs: rig.clock.wallMs(),
    content: Buffer.from(rig.model),
  };
}

function mark(rig: Rig, label: string): number {
  const {shared, front} = rig.life;
  shared.label = label;
  shared.set(WORD.command, COMMAND.mark);
  front.afterRequest();
  assert.is(shared.get(WORD.commandResult), 1);
  return shared.commandArgument.get();
}

async function mountOf(
  rig: Rig,
  position: number,
  more: Partial<HistoryMount> = {},
): Promise<HistoryMount> {
  const {shared} = rig.life;
  const range = {from: shared.replayTo.get(), to: shared.durable.get()};
  const moment = await momentAtPosition({files: rig.files, ...PLACE}, range, position);
  assert.is(moment?.position, position);
  const id = `m${position}`;
  const mount: HistoryMount = {
    ...{schema: 1, id, asked: 'test', position: formatPosition(position)},
    chain: moment?.chain ?? '',
    base: formatPosition(shared.replayed.get()),
    timeMs: moment?.timeMs ?? null,
    sizeBytes: moment?.sizeBytes ?? 0,
    ...{writable: false, overlayBytesMax: SIZE, mountPoint: '/mnt', mountedAt: ''},
    ...more,
  };
  rig.files.makeDirectory(PATHS.historyDirectory);
  const fd = rig.files.open(historyPath(PATHS.historyDirectory, id, 'json'), 'exclusive');
  const bytes = Buffer.from(JSON.stringify(mount));
  rig.files.write(fd, bytes, 0, bytes.length, 0);
  rig.files.close(fd);
  return mount;
}

function serve(rig: Rig, mount: HistoryMount): MomentImage {
  const {files} = rig;
  const place = {files, logDirectory: PATHS.logDirectory, resourceId: RESOURCE_ID};
  const base = Number.parseInt(mount.base, 16);
  const log = openMomentLog(place, base, Number.parseInt(mount.position, 16));
  assert.is(log.chain, mount.chain);
  assert.is(log.sizeBytes, SIZE);
  const overlay = mount.writable
    ? new Overlay({
        files,
        dataFile: historyPath(PATHS.historyDirectory, mount.id, 'overlay'),
        mapFile: historyPath(PATHS.historyDirectory, mount.id, 'map'),
        sizeBytes: SIZE,
        bytesMax: mount.overlayBytesMax,
      })
    : undefined;
  return new MomentImage({
    ...{files, mount, log, overlay, imageFd: files.open(PATHS.image, 'read')},
    mountFile: historyPath(PATHS.historyDirectory, mount.id, 'json'),
  });
}

function contentOf(image: MomentImage): Buffer {
  const target = Buffer.alloc(SIZE);
  assert.is(image.read(0, SIZE, target, 0), 0);
  return target;
}

test('any position is the disk of then, while it is written to and replay goes on up to there', async () => {
  for (let seed = 1; seed <= 4; seed += 1) {
    const rig = new Rig({seed});
    const random = createRandom(seed);
    // Held at once: what lies behind is history.
    rig.life.shared.holdReplay(0);
    rig.life.shared.retain(0);
    const snapshots: Snapshot[] = [];
    for (let round = 0; round < 6; round += 1) {
      work(rig, random, 15);
      snapshots.push(snapshot(rig));
    }

    const images = [];
    for (const one of snapshots) images.push(serve(rig, await mountOf(rig, one.position)));
    for (const [index, image] of images.entries()) {
      assert.ok(snapshots[index]?.content.equals(contentOf(image)), `${seed}: ${index}`);
    }

    // Replay up to the last one that is held still, writes behind all of them.
    for (let held = 0; held < snapshots.length; held += 1) {
      rig.life.shared.holdReplay(snapshots[held]?.position ?? 0);
      work(rig, random, 5);
      for (let tick = 0; tick < 60; tick += 1) rig.tick(50);
      assert.is(rig.life.shared.replayed.get(), snapshots[held]?.position);
      for (const [index, image] of images.entries()) {
        if (index < held) continue;
        assert.ok(snapshots[index]?.content.equals(contentOf(image)), `${seed}: ${index}`);
      }
    }

    rig.assertReads();
  }
});

test('a moment is found by its time and by its mark, also in sealed logfiles', async () => {
  const rig = new Rig();
  const random = createRandom(7);
  rig.life.shared.holdReplay(0);
  rig.life.shared.retain(0);
  const snapshots: Snapshot[] = [];
  const marks: number[] = [];
  for (let round = 0; round < 5; round += 1) {
    work(rig, random, 12);
    snapshots.push(snapshot(rig));
    rig.clock.advance(1000);
    marks.push(mark(rig, `round-${round % 4}`));
    rig.flushed();
    rig.clock.advance(1000);
  }

  const place = {files: rig.files, ...PLACE};
  const range = {from: 0, to: rig.life.shared.durable.get()};
  const found = await findMarks(place, range);
  assert.equal(
    found.map(({position}) => position),
    marks,
  );
  assert.is(found.at(-1)?.label, 'round-0');
  for (const {position, timeMs, content} of snapshots) {
    const moment = await momentAtTime(place, range, timeMs);
    assert.is(moment?.position, position);
    assert.ok(contentOf(serve(rig, await mountOf(rig, position))).equals(content));
  }

  assert.is((await momentAtTime(place, range, 0))?.position, 0);
  const later = {from: snapshots[2]?.position ?? 0, to: range.to};
  assert.is((await findMarks(place, later)).length, 3);
});

test('what is let go is answered with an I/O error before anything else', async () => {
  const rig = new Rig();
  const random = createRandom(3);
  rig.life.shared.holdReplay(0);
  rig.life.shared.retain(0);
  work(rig, random, 20);
  const early = snapshot(rig);
  work(rig, random, 20);
  const late = snapshot(rig);
  const images = [
    serve(rig, await mountOf(rig, early.position)),
    serve(rig, await mountOf(rig, late.position)),
  ];
  const lost = loseHistoryMounts(rig.files, PATHS.historyDirectory, early.position);
  assert.equal(
    lost.map(({id}) => id),
    [`m${late.position}`],
  );
  const target = Buffer.alloc(SIZE);
  assert.is(images[1]?.read(0, SIZE, target, 0), ERRNO.EIO);
  assert.is(images[0]?.read(0, SIZE, target, 0), 0);
  assert.ok(target.equals(early.content));
  const states = readHistoryMounts(rig.files, PATHS.historyDirectory);
  assert.equal(states.map(({isLost}) => isLost).sort(), [false, true]);
});

test('a file of a moment that cannot be read is a moment that is lost', () => {
  const rig = new Rig();
  rig.files.makeDirectory(PATHS.historyDirectory);
  const path = join(PATHS.historyDirectory, 'torn.json');
  rig.files.close(rig.files.open(path, 'exclusive'));
  const [found] = readHistoryMounts(rig.files, PATHS.historyDirectory);
  assert.is(found?.isLost, true);
  assert.is(found?.mount.id, 'torn');
  assert.not.ok(rig.files.exists(path));
});

test('a log that does not reach to the moment any more is refused', async () => {
  const rig = new Rig();
  rig.life.shared.holdReplay(0);
  work(rig, createRandom(5), 20);
  const {position} = snapshot(rig);
  const mount = await mountOf(rig, position);
  rig.life.shared.holdReplay(Infinity);
  rig.replay();
  work(rig, createRandom(6), 60);
  rig.replay();
  rig.keep();
  assert.throws(
    () => serve(rig, mount),
    (error: unknown) => isDiskError(error, 'HISTORY_GONE'),
  );
});

test('a clone takes writes of any size, over the death of its process; the moment does not have them', async () => {
  const rig = new Rig();
  const random = createRandom(11);
  rig.life.shared.holdReplay(0);
  rig.life.shared.retain(0);
  work(rig, random, 20);
  const {position, content} = snapshot(rig);
  const mount = await mountOf(rig, position, {writable: true});
  let clone = serve(rig, mount);
  const model = Buffer.from(content);
  for (let step = 0; step < 60; step += 1) {
    const offset = Math.floor(random() * (SIZE - 20_000));
    const length = 1 + Math.floor(random() * 20_000);
    const bytes = Buffer.alloc(length, step + 1);
    assert.is(clone.write(offset, length, bytes, 0), 0);
    bytes.copy(model, offset);
    if (step % 20 === 19) {
      assert.is(clone.flush(), 0);
      clone = serve(rig, mount);
      assert.ok(contentOf(clone).equals(model), `step ${step}`);
    }
  }

  const moment = serve(rig, {...mount, writable: false});
  assert.ok(contentOf(moment).equals(content));
  assert.is(moment.write(0, 4096, Buffer.alloc(4096), 0), ERRNO.EROFS);
  assert.is(clone.write(SIZE - 100, 200, Buffer.alloc(200), 0), ERRNO.ENOSPC);
  const small = serve(rig, {...mount, overlayBytesMax: 0});
  assert.is(small.write(0, 16_384, Buffer.alloc(16_384), 0), ERRNO.ENOSPC);
  rig.assertReads();
});

test('a write that a clone could not note is noted by the next one, before that is answered', async () => {
  // The disk draws whether a part of what fails is written all the same.
  for (let seed = 1; seed <= 8; seed += 1) {
    const rig = new Rig({seed});
    rig.life.shared.holdReplay(0);
    rig.life.shared.retain(0);
    work(rig, createRandom(seed), 5);
    const {position} = snapshot(rig);
    const mount = await mountOf(rig, position, {writable: true});
    const clone = serve(rig, mount);
    rig.files.faults.add({path: /\.map$/u, calls: ['write'], kind: 'EIO'});
    const bytes = Buffer.alloc(4096, 7);
    assert.is(clone.write(8192, 4096, bytes, 0), ERRNO.EIO);
    assert.is(clone.write(8192, 4096, bytes, 0), 0);
    const target = Buffer.alloc(4096);
    assert.is(serve(rig, mount).read(8192, 4096, target, 0), 0);
    assert.ok(target.equals(bytes), `seed ${seed}: answered with 0, and there in the next life`);
  }
});

test('a log that does not reach to the moment leaves no descriptor open', () => {
  const rig = new Rig({seed: 1, retainFrom: 0});
  rig.write(0, 32_768);
  const {position} = snapshot(rig);
  const {files} = rig;
  const place = {files, logDirectory: PATHS.logDirectory, resourceId: RESOURCE_ID};
  const before = files.descriptorCount;
  try {
    openMomentLog(place, 0, position + 8);
    assert.unreachable('it ends before');
  } catch (error) {
    assert.ok(isDiskError(error, 'HISTORY_GONE'), String(error));
  }

  assert.is(files.descriptorCount, before);
});

test.run();
