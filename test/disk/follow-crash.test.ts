/** A log that is followed, after power loss at any point and after damage. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {activateFollow} from '../../src/disk/follow-activation.js';
import {Shared, SHARED_BYTES, WORD} from '../../src/disk/shared.js';
import {readLogDirectory} from '../../src/log/directory.js';
import {SimCrash} from '../sim/sim-disk.js';
import {endOf, primaryWith, write} from './follow-primary.js';
import {diskAt, FollowRig, recordsOf, type SourceRecord} from './follow-rig.js';
import {PATHS, type Rig} from './rig.js';

/** Feeds, commits and replays in turn; ends by SimCrash wherever the disk dies. */
function run(follower: FollowRig, records: readonly SourceRecord[], durable: number): void {
  let step = 0;
  while (follower.log.position < endOf(records) || follower.shared.replayed.get() < durable) {
    const at = records.findIndex(({end}) => end > follower.log.position);
    follower.feed(records, records[Math.min(at + 5, records.length - 1)]?.end ?? Infinity, 2);
    follower.log.noteOriginDurable(Math.min(durable, follower.log.position + 40_000));
    step += 1;
    if (step % 2 === 0) follower.committer.commit();
    follower.clock.advance((follower.replayer?.step() ?? 0) + 1);
    follower.log.step();
    assert.ok(step < 5000);
  }
}

test('power loss at any point: image and log are a state that the origin had durable', () => {
  const rig = primaryWith(70);
  const records = recordsOf(rig);
  // What a MARK tells, or a record that came later.
  const durable = Math.max(records[60]?.end ?? 0, ...records.map((record) => record.durable));
  let crashes = 0;
  for (let calls = 3; ; calls += 7) {
    const follower = new FollowRig(rig, calls);
    follower.files.crashAfter(calls);
    try {
      run(follower, records, durable);
      break;
    } catch (error) {
      if (!(error instanceof SimCrash)) throw error;
      crashes += 1;
    }

    for (const mode of ['random', 'none'] as const) {
      follower.crash(mode);
      const {state} = follower.disk;
      assert.ok(state.to <= durable, "log before image, also the origin's");
      assert.ok(follower.log.position >= state.to, `crash after ${calls} calls`);
      // All that the image needs is here: without the origin it becomes a state of the disk.
      follower.settle();
      assert.ok(follower.shared.replayed.get() >= state.to);
      follower.assertImage(records, `crash after ${calls} calls, ${mode}`);
    }

    run(follower, records, durable);
    follower.settle();
    follower.assertImage(records);
    follower.log.noteOriginDurable(endOf(records));
    follower.settle();
    assert.ok(follower.image().equals(diskAt(records, endOf(records), follower.sizeBytes)));
  }

  assert.ok(crashes > 50, `${crashes} crashes`);
});

test('power loss at any point of a cut: it is done, or can be done again', () => {
  const rig = primaryWith(20);
  rig.kill();
  rig.life.shared.set(WORD.replayPaused, 1);
  write(rig, 30);
  const records = recordsOf(rig);
  const [target, low] = [records[14], records[4]];
  assert.ok(target !== undefined && low !== undefined);
  let crashes = 0;
  for (let calls = 1; ; calls += 1) {
    const follower = new FollowRig(rig, calls);
    follower.feed(records);
    follower.shared.originDurable.set(low.end);
    follower.settle();
    follower.files.crashAfter(calls);
    try {
      follower.log.cut(target.end);
      break;
    } catch (error) {
      if (!(error instanceof SimCrash)) throw error;
      crashes += 1;
    }

    follower.crash('random');
    assert.ok(follower.log.position >= target.end);
    assert.is(follower.log.cut(target.end), true);
    follower.crash('none');
    assert.is(follower.log.position, target.end);
    assert.equal(follower.log.chain, target.chain);
    assert.is(follower.log.lineage.length, 1);
    follower.feed(records);
    follower.log.noteOriginDurable(endOf(records));
    follower.settle();
    follower.assertImage(records);
  }

  assert.ok(crashes > 5, `${crashes} crashes`);
});

for (const below of [false, true]) {
  test(`damage ${below ? 'below' : 'above'} what is in the image is fetched again`, () => {
    const rig = primaryWith(60);
    const records = recordsOf(rig);
    const follower = new FollowRig(rig);
    follower.feed(records);
    const at = records.findIndex(({segment}, index) => {
      const around = [records[index - 1]?.segment, records[index + 1]?.segment];
      return index >= 40 && around.every((found) => found === segment);
    });
    const bad = records[at - 1];
    assert.ok(bad !== undefined);
    follower.shared.originDurable.set(records[below ? at : 10]?.end ?? 0);
    follower.settle();
    const {header} = bad.segment;
    const name = `log-${String(header.number).padStart(9, '0')}-alpha`;
    follower.files.rot(`${PATHS.logDirectory}/${name}`, 4096 + bad.position - header.start + 60, 3);
    follower.files.kill();
    follower.files.evict();
    follower.begin();
    assert.is(follower.log.position, bad.position);
    assert.is(follower.log.isConsistent, !below);
    assert.is(follower.replayer === undefined, below);
    follower.settle();
    follower.feed(records);
    assert.ok(follower.log.isConsistent);
    follower.log.noteOriginDurable(endOf(records));
    follower.settle();
    assert.is(follower.shared.replayed.get(), endOf(records));
    follower.assertImage(records);
  });
}

test('a lost header in an epoch that has ended is fetched again', () => {
  const rig = primaryWith(30);
  rig.kill();
  rig.life.shared.set(WORD.replayPaused, 1);
  write(rig, 10);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  follower.feed(records);
  follower.committer.commit();
  assert.is(follower.log.lineage.length, 2);
  const last = records.findLast(({segment}) => segment.header.epoch !== follower.log.epoch);
  assert.ok(last !== undefined && last.segment.header.number > 1);
  const {number, start} = last.segment.header;
  const path = `${PATHS.logDirectory}/log-${String(number).padStart(9, '0')}-alpha`;
  follower.files.rot(path, 20, 3);
  follower.files.kill();
  follower.files.evict();
  follower.begin();
  assert.is(follower.log.position, start);
  follower.feed(records);
  assert.is(follower.log.position, endOf(records));
  assert.is(follower.log.lineage.length, 2);
  follower.log.noteOriginDurable(endOf(records));
  follower.settle();
  follower.assertImage(records);
});

test('a damaged log that is our own is not cut: nobody else may have what lies behind', () => {
  const rig = primaryWith(30);
  const records = recordsOf(rig);
  const bad = records[10];
  assert.ok(bad !== undefined);
  const {number, start} = bad.segment.header;
  const path = `${PATHS.logDirectory}/log-${String(number).padStart(9, '0')}-alpha`;
  rig.files.rot(path, 4096 + bad.position - start + 60, 3);
  rig.files.kill();
  rig.files.evict();
  const {files, config} = rig;
  const follow = (): void => {
    const shared = new Shared(new ArrayBuffer(SHARED_BYTES));
    activateFollow({files, config, shared, acceptImage: false});
  };
  const before = recordsBehind(rig, bad.end);
  for (let tries = 0; tries < 2; tries += 1) {
    assert.throws(follow, (error: unknown) => isDiskError(error, 'LOG_CORRUPT'));
  }

  assert.equal(recordsBehind(rig, bad.end), before);
});

/** The bytes of the segment that `position` lies in, from there on. */
function recordsBehind({files, config}: Rig, position: number): Buffer {
  const {segments} = readLogDirectory(files, PATHS.logDirectory, config.resource.id);
  const segment = segments.findLast(({header}) => header.start <= position);
  assert.ok(segment !== undefined);
  return files.peek(segment.path, 4096 + position - segment.header.start, 10_000);
}

test.run();
