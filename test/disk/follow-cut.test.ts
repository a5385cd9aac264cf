/** What a follower gives up, what it takes back, and how it orders what comes; on a simulated disk. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {formatPosition} from '../../src/core/position.js';
import {writeLineage} from '../../src/disk/lineage.js';
import {readLineage} from '../../src/log/lineage.js';
import {WORD} from '../../src/disk/shared.js';
import {DURABLE_FILE_BYTES, encodeDurableWord} from '../../src/log/durable-word.js';
import {encodeSegmentHeader} from '../../src/log/segment.js';
import {endOf, primaryWith, write} from './follow-primary.js';
import {FollowRig, recordsOf} from './follow-rig.js';
import {PATHS} from './rig.js';

const LATER = {
  epoch: 'e'.repeat(32),
  node: 'f'.repeat(32),
  nodeName: 'gamma',
  start: formatPosition(0),
  chain: '0'.repeat(16),
};

function refused(code: string, work: () => void): void {
  assert.throws(work, (error: unknown) => isDiskError(error) && error.code === code);
}

test('a cut drops records, segments and epochs behind it, and they stay away', () => {
  const rig = primaryWith(40);
  rig.kill();
  rig.life.shared.set(WORD.replayPaused, 1);
  write(rig, 30);
  const records = recordsOf(rig);
  const source = readLineage(rig.files, PATHS.lineageFile);
  const epochStart = Number.parseInt(source[1]?.start ?? '', 16);
  const inFirst = records.filter(({end}) => end <= epochStart);
  for (const target of [inFirst.at(-3), inFirst.at(-1), records.at(-2), inFirst.at(5)]) {
    assert.ok(target !== undefined);
    const follower = new FollowRig(rig);
    follower.feed(records);
    follower.log.noteOriginDurable(records[3]?.end ?? 0);
    follower.shared.originDurable.set(records[3]?.end ?? 0);
    follower.settle();
    follower.committer.commit();
    assert.is(follower.log.cut(target.end), true);
    assert.is(follower.log.position, target.end);
    assert.equal(follower.log.chain, target.chain);
    assert.is(follower.shared.appended.get(), target.end);
    const epochs = target.end <= epochStart ? 1 : 2;
    assert.is(readLineage(follower.files, PATHS.lineageFile).length, epochs);
    follower.crash('none');
    assert.is(follower.log.position, target.end, 'after power loss');
    assert.is(follower.disk.recovered.tornRecords, 0);
    follower.feed(records);
    follower.log.noteOriginDurable(endOf(records));
    follower.settle();
    assert.is(follower.shared.replayed.get(), endOf(records));
    follower.assertImage(records);
  }
});

test('what the node said of a log of its own is taken back before that is cut, and not before', () => {
  const rig = primaryWith(12);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  follower.feed(records);
  follower.committer.commit();
  const word = Buffer.alloc(DURABLE_FILE_BYTES);
  const epoch = follower.log.epoch ?? '';
  encodeDurableWord(word, {epoch, position: follower.log.position});
  const {files} = follower;
  const fd = files.open(PATHS.durableFile, 'create');
  files.write(fd, word, 0, word.length, 0);
  files.sync(fd);
  files.close(fd);
  files.syncDirectory(PATHS.directory);
  follower.kill();
  assert.ok(files.exists(PATHS.durableFile));
  const target = records.at(-3)?.end ?? 0;
  files.beforeCall = (_actor, call, path) => {
    const changes = call === 'rename' || (call === 'write' && path.startsWith(PATHS.logDirectory));
    if (changes) assert.not(files.exists(PATHS.durableFile), `${call} ${path}`);
  };
  assert.is(follower.log.cut(target), true);
  files.beforeCall = undefined;
  follower.crash('none');
  assert.not(files.exists(PATHS.durableFile));
  assert.is(follower.log.position, target);
});

test('a cut below what the image may hold is refused, and changes nothing', () => {
  const rig = primaryWith(30);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  follower.feed(records);
  follower.log.noteOriginDurable(records[20]?.end ?? 0);
  follower.settle();
  refused('ORIGIN_LOST_DATA', () => follower.log.cut(records[10]?.end ?? 0));
  refused('PEER_PROTOCOL', () => follower.log.cut((records.at(-2)?.end ?? 0) + 8));
  refused('PEER_PROTOCOL', () => follower.log.cut(endOf(records) + 8));
  assert.is(follower.log.position, endOf(records));
  follower.shared.set(WORD.replayLock, 1);
  assert.is(follower.log.cut(records.at(-2)?.end ?? 0), false);
  follower.shared.set(WORD.replayLock, 0);
  follower.shared.set(WORD.commitLock, 1);
  assert.is(follower.log.cut(records.at(-2)?.end ?? 0), false);
  assert.is(follower.shared.get(WORD.replayLock), 0);
});

test('a segment with a number that is not above the one before counts behind it all the same', () => {
  const rig = primaryWith(60);
  const records = recordsOf(rig);
  const next = records.find(({segment}, at) => at > 0 && segment !== records[at - 1]?.segment);
  assert.ok(next !== undefined);
  // The origin of the one before has moved a tail to a file with a number that the next primary
  // did not know of when it began.
  const header = {...next.segment.header, number: 1};
  const segment = {header, bytes: encodeSegmentHeader(header)};
  const renumbered = records.map((each) =>
    each.segment === next.segment ? {...each, segment} : each,
  );
  const follower = new FollowRig(rig);
  follower.feed(renumbered, next.end);
  follower.crash('random');
  follower.feed(renumbered);
  assert.is(follower.log.position, endOf(records));
  follower.crash('random');
  follower.feed(records);
  follower.log.noteOriginDurable(endOf(records));
  follower.settle();
  assert.is(follower.shared.replayed.get(), endOf(records));
  follower.assertImage(records);
});

test('what is cut is removed, and never used again', () => {
  const rig = primaryWith(60);
  const records = recordsOf(rig);
  const first = records.filter(({segment}) => segment === records[0]?.segment);
  const follower = new FollowRig(rig);
  const cut = follower.logNames();
  follower.feed(records);
  const written = follower.logNames().filter((name) => !cut.includes(name));
  assert.ok(written.length > 2);
  follower.log.cut(first.at(-2)?.end ?? 0);
  assert.equal(
    follower.logNames().filter((name) => name.includes('log-')),
    ['log-000000001-alpha'],
  );
  follower.feed(records);
  follower.files.kill();
  // A cut that died behind the lineage: the next life does the rest.
  writeLineage(follower.config, [LATER], follower.files);
  follower.begin();
  assert.equal(follower.logNames(), []);
});

test('a segment that is kept for others is the last of the log again where all behind is cut', () => {
  const rig = primaryWith(120);
  const records = recordsOf(rig);
  const parting = records[70];
  assert.ok(parting !== undefined);
  const follower = new FollowRig(rig);
  follower.feed(records, parting.end);
  // Another epoch begins there, in which nothing is written, and this node starts again.
  const header = {
    ...parting.segment.header,
    epoch: LATER.epoch,
    number: parting.segment.header.number + 1,
    start: parting.end,
    epochStart: parting.end,
    chain: parting.chain,
  };
  const bytes = encodeSegmentHeader(header);
  follower.log.takeSegment({position: parting.end, bytes, header});
  follower.log.noteOriginDurable(parting.end);
  follower.settle();
  follower.retainFrom = parting.position;
  follower.kill();
  assert.is(follower.log.retained.length, 1);
  const [kept] = follower.log.retained;
  assert.is(follower.log.cut(parting.end), true);
  assert.is(follower.log.currentName, kept?.name);
  assert.equal(follower.log.retained, []);
  follower.feed(records, records[72]?.end);
  // Nobody fetches it any more: it is the log's own all the same.
  follower.shared.retain(Infinity);
  follower.work();
  follower.crash('random');
  assert.ok(follower.log.position >= parting.end);
  follower.feed(records);
  follower.log.noteOriginDurable(endOf(records));
  follower.settle();
  assert.is(follower.shared.replayed.get(), endOf(records));
  follower.assertImage(records);
});

test.run();
