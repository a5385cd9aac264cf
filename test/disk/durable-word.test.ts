/**
 * The last commit of a process has no record behind it: the file `durable` proves it, so that rot there is
 * damage, whatever ended the process, and a torn tail is what no flush covered.
 */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {WORD} from '../../src/disk/shared.js';
import {decodeDurableWord} from '../../src/log/durable-word.js';
import {flipBit, snapshot} from '../log/log-builder.js';
import {PATHS, Rig} from './rig.js';

const RECORD_BYTES = 4224;
const FIRST = `${PATHS.logDirectory}/log-000000001-alpha`;

/** Replay would note itself what was durable. */
function makeRig(): Rig {
  const rig = new Rig();
  rig.life.shared.set(WORD.replayPaused, 1);
  return rig;
}

/** A bit in the payload of the record with this number in the first logfile. */
function rot({files}: Rig, number: number): void {
  flipBit(files, FIRST, (4096 + number * RECORD_BYTES + 500) * 8);
}

function word({files}: Rig): number | undefined {
  return decodeDurableWord(files.peek(PATHS.durableFile, 0, 64))?.position;
}

function assertDamaged(rig: Rig, position: number): void {
  const before = snapshot(rig.files, PATHS.logDirectory);
  assert.throws(
    () => {
      rig.begin();
    },
    (error: unknown) =>
      isDiskError(error, 'LOG_CORRUPT') &&
      error.details['position'] === position.toString(16).padStart(16, '0'),
  );
  assert.equal(snapshot(rig.files, PATHS.logDirectory), before, 'nothing was cut');
}

test('the word is said behind the fdatasync and in front of the answer, without a sync of its own', () => {
  const rig = makeRig();
  rig.write(0, 4096);
  rig.flushed();
  rig.write(4096, 4096);
  rig.trace = [];
  const [, unique] = rig.flush();
  rig.until(() => rig.answers.has(unique));
  const steps = rig.trace.filter((step) => /log-|durable|answer/u.test(step));
  assert.equal(steps, ['syncData log-000000001-alpha', 'write durable', `answer ${unique}`]);
  assert.is(word(rig), 2 * RECORD_BYTES);
});

for (const number of [0, 1, 2]) {
  test(`rot in flushed record ${number} of 3 of a process that was killed is damage`, () => {
    const rig = makeRig();
    for (const at of [0, 1, 2]) rig.write(at * 4096, 4096);
    rig.flushed();
    rig.files.kill();
    rot(rig, number);
    assertDamaged(rig, number * RECORD_BYTES);
  });
}

test('rot in the header of the only segment of an epoch is damage as well', () => {
  const rig = makeRig();
  rig.write(0, 4096);
  rig.flushed();
  rig.files.kill();
  flipBit(rig.files, FIRST, 100 * 8);
  assertDamaged(rig, 0);
});

test('the words of a process that ended in order are durable: rot after power loss is damage', () => {
  const rig = makeRig();
  rig.write(0, 4096);
  rig.write(4096, 4096);
  rig.life.committer.end();
  rig.files.crash({mode: 'none', cut: 0, keepProbability: 0, tearProbability: 0});
  rot(rig, 1);
  assertDamaged(rig, RECORD_BYTES);
});

test('what no flush covers is a torn tail, with the word or without it, and is cut', () => {
  for (const mode of ['none', 'all'] as const) {
    const rig = makeRig();
    rig.write(0, 4096);
    rig.flushed();
    for (const at of [1, 2, 3]) rig.write(at * 4096, 4096);
    rig.files.crash({mode, cut: 0, keepProbability: 0, tearProbability: 0});
    if (mode === 'all') rot(rig, 2);
    rig.begin();
    const {recovered} = rig.life.disk;
    assert.is(recovered.position, mode === 'all' ? 2 * RECORD_BYTES : RECORD_BYTES);
  }
});

test('a word that rots, is torn or is gone is no word: the disk starts', () => {
  for (const spoil of [
    (rig: Rig) => {
      flipBit(rig.files, PATHS.durableFile, 9 * 8);
    },
    (rig: Rig) => {
      rig.files.unlink(PATHS.durableFile);
    },
    (rig: Rig) => {
      const fd = rig.files.open(PATHS.durableFile, 'write');
      rig.files.truncate(fd, 20);
      rig.files.close(fd);
    },
  ]) {
    const rig = makeRig();
    rig.write(0, 4096);
    rig.flushed();
    rig.files.kill();
    spoil(rig);
    rig.begin();
    rig.assertReads();
    rig.write(4096, 4096);
    rig.flushed();
    assert.is(word(rig), 2 * RECORD_BYTES, 'the next life says its own');
  }
});

for (const kind of ['EIO', 'ENOSPC'] as const) {
  test(`${kind} of its file is no error for the user, and whatever word is left is true`, () => {
    const rig = makeRig();
    rig.write(0, 4096);
    rig.flushed();
    rig.files.faults.add({path: /durable$/u, calls: ['write'], kind, count: 2});
    rig.write(4096, 4096);
    rig.flushed();
    assert.ok((word(rig) ?? 0) <= 2 * RECORD_BYTES);
    rig.kill();
    rig.assertReads();
    rig.files.faults.clear();
    rig.kill();
    rig.assertReads();
    assert.is(word(rig), 2 * RECORD_BYTES);
  });

  test(`${kind} when it is made: the disk serves without words`, () => {
    const rig = makeRig();
    rig.files.kill();
    rig.files.unlink(PATHS.durableFile);
    const before = rig.files.descriptorCount;
    rig.files.faults.add({path: /durable$/u, calls: ['write'], kind});
    rig.begin();
    rig.write(0, 4096);
    rig.flushed();
    assert.is(rig.life.shared.get(WORD.durableFile), 0);
    assert.ok(rig.files.descriptorCount > before);
    rig.kill();
    rig.assertReads();
    assert.is(word(rig), RECORD_BYTES);
  });
}

test('each life says its own words: one of an epoch before never speaks against the next', () => {
  const rig = makeRig();
  rig.write(0, 4096);
  rig.flushed();
  const old = rig.files.peek(PATHS.durableFile, 0, 4096);
  // Not flushed: after power loss the next epoch begins below.
  rig.kill();
  rig.write(4096, 4096);
  rig.flushed();
  // What power loss may have left: the word of the life before.
  const fd = rig.files.open(PATHS.durableFile, 'write');
  rig.files.write(fd, old, 0, old.length, 0);
  rig.files.close(fd);
  rig.kill();
  rig.assertReads();
});

test.run();
