/** From whatever the last life left to a disk that may answer, or to a refusal that changed nothing. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {readLineage} from '../../src/log/lineage.js';
import {activate} from '../../src/disk/activation.js';
import {Shared, SHARED_BYTES, WORD} from '../../src/disk/shared.js';
import type {ErrorCode} from '../../src/core/codes.js';
import {FLAG} from '../../src/log/record.js';
import {flipBit, snapshot} from '../log/log-builder.js';
import {PATHS, Rig} from './rig.js';

/** Everything that an activation could have changed. */
function everything({files}: Rig): unknown {
  const states = [PATHS.replayFile, PATHS.lineageFile].filter((path) => files.exists(path));
  return [
    snapshot(files, PATHS.logDirectory),
    states.map((path) => files.peek(path, 0, files.peekSize(path)).toString('base64')),
    files.peekNames(PATHS.directory),
  ];
}

function assertRefused(rig: Rig, code: ErrorCode): void {
  rig.files.kill();
  const before = everything(rig);
  assert.throws(
    () => {
      rig.begin();
    },
    (error: unknown) => isDiskError(error, code),
  );
  rig.files.kill();
  assert.equal(everything(rig), before, 'nothing was changed');
}

function removeLog(rig: Rig, name: string): void {
  rig.files.unlink(`${PATHS.logDirectory}/${name}`);
}

test('each activation begins an epoch where the log ends, and the lineage tells all', () => {
  const rig = new Rig();
  const epochs: string[] = [];
  for (let count = 0; count < 4; count += 1) {
    epochs.push(rig.life.disk.epoch);
    rig.write(count * 4096, 4096);
    rig.kill();
  }

  const entries = readLineage(rig.files, PATHS.lineageFile);
  assert.equal(
    entries.slice(0, 4).map(({epoch}) => epoch),
    epochs,
  );
  assert.is(new Set(epochs).size, 4);
  assert.equal(
    entries.map(({start}) => Number.parseInt(start, 16)),
    [0, 4224, 2 * 4224, 3 * 4224, 4 * 4224],
  );
  rig.assertReads();
});

test('damage below a durable position stops the disk, and nothing was changed', () => {
  const rig = new Rig();
  rig.write(0, 4096);
  rig.write(4096, 4096);
  rig.flushed();
  rig.write(8192, 4096);
  flipBit(rig.files, `${PATHS.logDirectory}/log-000000001-alpha`, (4096 + 4224 + 500) * 8);
  assertRefused(rig, 'LOG_CORRUPT');
});

test('a segment that is needed and gone stops the disk', () => {
  const rig = new Rig();
  rig.life.shared.set(WORD.replayPaused, 1);
  for (let count = 0; count < 20; count += 1) rig.write(count * 16_384, 16_384);
  rig.flushed();
  rig.write(0, 512);
  removeLog(rig, 'log-000000001-alpha');
  assertRefused(rig, 'LOG_CORRUPT');
});

test('a lost or unreadable replay state is not guessed at', () => {
  const lost = new Rig();
  lost.write(0, 4096);
  lost.files.unlink(PATHS.replayFile);
  assertRefused(lost, 'STATE_UNREADABLE');
  const damaged = new Rig();
  damaged.write(0, 4096);
  for (const slot of [0, 4096]) flipBit(damaged.files, PATHS.replayFile, (slot + 30) * 8);
  assertRefused(damaged, 'STATE_UNREADABLE');
});

test('an image that is not the recorded one is refused, unless the user takes it', () => {
  const rig = new Rig();
  rig.write(0, 4096);
  rig.flushed();
  rig.files.unlink(PATHS.image);
  const fd = rig.files.open(PATHS.image, 'exclusive');
  rig.files.truncate(fd, rig.model.length);
  rig.files.close(fd);
  assertRefused(rig, 'IMAGE_CHANGED');
  const {files, clock, config} = rig;
  const shared = new Shared(new ArrayBuffer(SHARED_BYTES));
  activate({files, clock, config, shared, acceptImage: true, serve: true});
  files.kill();
  rig.begin();
  rig.assertReads();
});

test('without room an epoch does not take what a peer still fetches', () => {
  const rig = new Rig({retainFrom: 0});
  for (let count = 0; count < 40; count += 1) {
    rig.write(count * 16_384, 16_384);
    rig.until(() => !rig.parked);
  }

  rig.replay();
  rig.write(0, 512);
  rig.flushed();
  rig.files.kill();
  for (const name of rig.logNames()) if (name.startsWith('spare-')) removeLog(rig, name);
  const ready = `log-${String(rig.life.shared.get(WORD.currentNumber)).padStart(9, '0')}-alpha`;
  for (const name of rig.logNames()) if (name > ready) removeLog(rig, name);
  rig.files.capacityBytes = rig.files.usedBytes() + 8192;
  const before = rig.logNames();
  assert.throws(
    () => {
      rig.begin();
    },
    (error: unknown) => isDiskError(error, 'LOG_SPACE'),
  );
  rig.files.kill();
  assert.equal(
    rig.logNames().filter((name) => name.startsWith('log-')),
    before,
  );
  rig.retainFrom = Infinity;
  rig.begin();
  rig.assertReads();
});

test('segments that another node has begun are found by their names and given back', () => {
  const rig = new Rig();
  rig.life.shared.set(WORD.replayPaused, 1);
  for (let count = 0; count < 20; count += 1) {
    rig.write(count * 16_384, 16_384);
    rig.until(() => !rig.parked);
  }

  rig.flushed();
  rig.files.kill();
  for (const name of rig.logNames().filter((found) => /^log-.*-alpha$/u.test(found))) {
    const path = `${PATHS.logDirectory}/${name}`;
    rig.files.rename(path, path.replace(/alpha$/u, 'beta'));
  }

  rig.files.syncDirectory(PATHS.logDirectory);
  rig.begin();
  rig.assertReads();
  assert.ok(rig.logNames().some((name) => name.endsWith('-beta')));
  rig.replay();
  rig.write(0, 512);
  rig.replay();
  rig.keep();
  assert.not(rig.logNames().some((name) => /^log-.*-beta$/u.test(name)));
  rig.assertImage();
});

test('without room for a segment the disk says so, and begins when there is room', () => {
  const rig = new Rig();
  rig.write(0, 4096);
  rig.flushed();
  rig.files.kill();
  for (const name of rig.logNames()) {
    if (name !== 'log-000000001-alpha') removeLog(rig, name);
  }

  rig.files.capacityBytes = rig.files.usedBytes() + 8192;
  assert.throws(
    () => {
      rig.begin();
    },
    (error: unknown) => isDiskError(error, 'LOG_SPACE'),
  );
  rig.files.kill();
  rig.files.capacityBytes = Infinity;
  rig.begin();
  rig.assertReads();
});

test('what was cut is gone before the first record of the new epoch', () => {
  const rig = new Rig();
  for (let count = 0; count < 20; count += 1) rig.write(count * 16_384, 16_384);
  // Power loss takes the first segment's tail, the next one survives.
  flipBit(rig.files, `${PATHS.logDirectory}/log-000000001-alpha`, (4096 + 16_512 + 300) * 8);
  rig.files.kill();
  rig.trace = [];
  rig.begin();
  const removed = rig.trace.indexOf('unlink log-000000002-alpha');
  const lineage = rig.trace.indexOf('rename lineage.json.tmp');
  assert.ok(removed >= 0 && removed < lineage, rig.trace.join('\n'));
  assert.ok(rig.trace.indexOf('syncDirectory log', removed) < lineage);
  rig.model.fill(0, 16_384);
  rig.assertReads();
  rig.flushed();
  rig.crash();
  rig.assertReads('and it stays so');
});

test('lives that die at any call before they serve change nothing that was acknowledged', () => {
  for (let calls = 1; calls <= 120; calls += 3) {
    const rig = new Rig({seed: calls});
    for (let count = 0; count < 12; count += 1) rig.write(count * 16_384, 16_000);
    rig.replay();
    rig.write(7000, 9000);
    rig.zero(100_000, 30_000);
    rig.files.kill();
    rig.files.crashAfter(calls);
    try {
      rig.begin();
    } catch {
      // Died while it was starting.
    }

    rig.kill();
    rig.assertReads(`call ${calls}`);
    rig.flushed();
    rig.crash();
    rig.assertReads(`call ${calls}, power loss`);
  }
});

test('a record of an unknown type stops the disk, unless it says that it may be passed over', () => {
  for (const [flags, code] of [
    [FLAG.ignorable, undefined],
    [0, 'LOG_FORMAT'],
  ] as const) {
    const rig = new Rig();
    rig.write(0, 4096);
    rig.life.front.log.appendPlain({type: 99, flags, logicalLength: 0, diskOffset: 0});
    rig.write(4096, 4096);
    if (code !== undefined) {
      assertRefused(rig, code);
      continue;
    }

    rig.kill();
    rig.assertReads();
    rig.replay();
    rig.assertImage();
  }
});

test('a lineage that cannot be read stops the disk', () => {
  const rig = new Rig();
  rig.files.kill();
  const fd = rig.files.open(PATHS.lineageFile, 'write');
  rig.files.truncate(fd, 20);
  rig.files.close(fd);
  assert.throws(
    () => {
      rig.begin();
    },
    (error: unknown) => isDiskError(error, 'STATE_UNREADABLE'),
  );
});

test('with serve off nothing is appended and no epoch begins', () => {
  const rig = new Rig();
  rig.write(0, 4096);
  rig.files.kill();
  const {files, clock, config} = rig;
  const shared = new Shared(new ArrayBuffer(SHARED_BYTES));
  const before = readLineage(files, PATHS.lineageFile).length;
  const disk = activate({files, clock, config, shared, acceptImage: false, serve: false});
  assert.is(disk.epoch, rig.life.disk.epoch);
  assert.is(shared.durable.get(), 4224);
  assert.is(readLineage(files, PATHS.lineageFile).length, before);
});

test('a disk that was used before waits for no zeros, though no spare is left', () => {
  const rig = new Rig({segmentBytes: 4 * 1024 * 1024});
  rig.write(0, 4096);
  rig.files.kill();
  // The keeper makes files ahead: none of them is left.
  for (const name of rig.logNames()) if (name !== 'log-000000001-alpha') removeLog(rig, name);
  rig.trace = [];
  rig.begin();
  const made = 'spare-new-log-000000002-alpha';
  assert.ok(rig.trace.includes(`sync ${made}`), 'a file was made at the start');
  // Its space is reserved, and it has its header.
  assert.is(rig.trace.filter((line) => line === `write ${made}`).length, 2);
  rig.assertReads();
});

test.run();
