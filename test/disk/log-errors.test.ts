/** Hazard 19: I/O errors of the log. Nothing acknowledged is lost, no flush is answered falsely. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {WORD} from '../../src/disk/shared.js';
import {ERRNO, PENDING} from '../../src/fuse/handler.js';
import {PATHS, Rig} from './rig.js';

function currentFile(rig: Rig): string {
  return `log-00000000${rig.life.shared.get(WORD.currentNumber)}-alpha`;
}

function fill(rig: Rig, count: number): void {
  for (let at = 0; at < count; at += 1) {
    rig.write(at * 9000, 5000);
    rig.until(() => !rig.parked);
  }
}

test('fdatasync fails: the tail moves, and the flush is answered after the sync of the new file', () => {
  const rig = new Rig();
  fill(rig, 3);
  rig.flushed();
  fill(rig, 6);
  const bad = currentFile(rig);
  rig.files.faults.add({
    path: new RegExp(bad, 'u'),
    calls: ['syncData', 'sync'],
    kind: 'EIO',
    count: 99,
  });
  const [result, unique] = rig.flush();
  assert.is(result, PENDING);
  rig.trace = [];
  rig.life.committer.step();
  assert.not(rig.answers.has(unique), 'no answer out of a failed fdatasync');
  assert.is(rig.life.committer.step(), Infinity);
  rig.until(() => rig.answers.has(unique));
  assert.is(rig.answers.get(unique), 0);
  const moved = currentFile(rig);
  assert.is.not(moved, bad);
  assert.ok(rig.trace.indexOf(`syncData ${moved}`) < rig.trace.indexOf(`answer ${unique}`));
  assert.ok(rig.trace.indexOf(`syncData ${moved}`) >= 0);
  rig.assertReads('after the move');
  rig.crash('none');
  rig.assertReads('after power loss');
});

test('a segment that failed is never used again, nor is one that failed before it', () => {
  const rig = new Rig();
  const bad: string[] = [];
  for (let round = 0; round < 3; round += 1) {
    fill(rig, 4);
    bad.push(currentFile(rig));
    rig.files.faults.add({
      path: new RegExp(`/${currentFile(rig)}$`, 'u'),
      calls: round === 1 ? ['write'] : ['syncData'],
      kind: 'EIO',
      count: 99,
    });
    fill(rig, 4);
    rig.flushed();
    rig.keep();
  }

  rig.assertReads();
  rig.replay();
  rig.keep();
  for (const name of bad) {
    assert.ok(rig.logNames().includes(`bad-${name}`), `${name}: ${rig.logNames().join(' ')}`);
  }

  const before = bad.map((name) => rig.files.peek(`${PATHS.logDirectory}/bad-${name}`, 0, 8192));
  for (let round = 0; round < 6; round += 1) {
    fill(rig, 20);
    rig.replay();
    rig.keep();
  }

  const after = bad.map((name) => rig.files.peek(`${PATHS.logDirectory}/bad-${name}`, 0, 8192));
  assert.equal(after, before);
});

test('write fails: the log goes on in the next segment, and a flush syncs both', () => {
  const rig = new Rig();
  fill(rig, 5);
  const bad = currentFile(rig);
  rig.files.faults.add({path: new RegExp(bad, 'u'), calls: ['write'], kind: 'EIO', count: 99});
  fill(rig, 9);
  assert.is.not(currentFile(rig), bad);
  rig.assertReads();
  rig.trace = [];
  rig.flushed();
  assert.ok(rig.trace.includes(`syncData ${bad}`));
  assert.ok(rig.trace.includes(`syncData ${currentFile(rig)}`));
  rig.crash('none');
  rig.assertReads('after power loss');
});

test('the seal of a full segment fails: the log goes on, nothing is lost', () => {
  const rig = new Rig();
  const {front, shared} = rig.life;
  fill(rig, 3);
  const bad = currentFile(rig);
  rig.files.faults.add({path: new RegExp(bad, 'u'), calls: ['write'], kind: 'EIO', count: 99});
  assert.is(front.log.rotate(), true);
  assert.is(currentFile(rig), `log-00000000${shared.get(WORD.currentNumber)}-alpha`);
  fill(rig, 5);
  rig.assertReads();
  rig.kill();
  rig.assertReads('after a kill');
  rig.flushed();
  rig.crash('none');
  rig.assertReads('after power loss');
});

test('the header of the next segment fails: that file is passed over', () => {
  const rig = new Rig();
  const next = rig.life.shared.get(WORD.currentNumber) + 1;
  rig.files.faults.add({
    path: new RegExp(`log-00000000${next}-`, 'u'),
    calls: ['write'],
    kind: 'EIO',
    count: 99,
  });
  fill(rig, 30);
  assert.ok(rig.life.shared.get(WORD.currentNumber) > next);
  rig.assertReads();
  rig.flushed();
  rig.files.faults.clear();
  rig.crash('none');
  rig.assertReads('after power loss');
});

test('every file fails: each write and flush is refused with EIO, reads go on', () => {
  const rig = new Rig();
  fill(rig, 4);
  rig.flushed();
  const acknowledged = Buffer.from(rig.model);
  rig.files.faults.add({
    path: /\/log-/u,
    calls: ['write', 'syncData', 'sync'],
    kind: 'EIO',
    count: 9999,
  });
  const pending: number[] = [];
  for (let count = 0; count < 6; count += 1) {
    const [result, unique] = rig.write(count * 4096, 4096);
    if (result === PENDING) pending.push(unique);
    for (let step = 0; step < 200 && !rig.defective; step += 1) rig.tick(100);
  }

  assert.ok(rig.defective, 'it says so');
  rig.until(() => pending.every((unique) => rig.answers.has(unique)));
  for (const unique of pending) assert.is(rig.answers.get(unique), ERRNO.EIO);
  assert.is(rig.write(0, 512)[0], ERRNO.EIO);
  assert.is(rig.zero(0, 8192)[0], ERRNO.EIO);
  assert.is(rig.flush()[0], ERRNO.EIO);
  assert.ok(rig.read().equals(acknowledged));
});

test('a read that the device refuses is EIO, and the next one is tried again', () => {
  const rig = new Rig();
  rig.write(0, 4096);
  rig.files.faults.add({path: /\/log-/u, calls: ['read'], kind: 'EIO'});
  assert.is(rig.life.front.read(0, 4096, Buffer.alloc(4096), 0), ERRNO.EIO);
  rig.assertReads();
  rig.files.faults.add({path: /\/image$/u, calls: ['read'], kind: 'EIO'});
  assert.is(rig.life.front.read(2 ** 19, 4096, Buffer.alloc(4096), 0), ERRNO.EIO);
  rig.assertReads();
});

test('power may go at any moment of a move: what was flushed is there', () => {
  for (let calls = 1; calls <= 60; calls += 1) {
    const rig = new Rig({seed: calls, sizeBytes: 2 ** 18});
    fill(rig, 3);
    rig.flushed();
    const flushed = Buffer.from(rig.model.subarray(0, 4096));
    rig.files.faults.add({path: /\/log-/u, calls: ['syncData'], kind: 'EIO'});
    rig.write(100_000, 30_000);
    rig.flush();
    rig.files.crashAfter(calls);
    try {
      for (let count = 0; count < 20; count += 1) rig.tick(10);
    } catch {
      // The process is dead.
    }

    rig.crash('random');
    assert.ok(rig.read(0, 4096).equals(flushed), `call ${calls}`);
    assert.ok(rig.read(0, 90_000).equals(rig.model.subarray(0, 90_000)), `call ${calls}`);
  }
});

test.run();
