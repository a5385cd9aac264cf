/** The log of another node, received on a simulated disk: what is stored, cut, recovered, replayed. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {formatPosition} from '../../src/core/position.js';
import {activate, type ActiveDisk} from '../../src/disk/activation.js';
import {readLineage} from '../../src/log/lineage.js';
import {Shared, SHARED_BYTES, WORD} from '../../src/disk/shared.js';
import {emptySyncState, removeSyncState, writeSyncState} from '../../src/disk/sync-state.js';
import {TwoSlotFile} from '../../src/core/two-slot.js';
import {formatChain} from '../../src/log/record.js';
import {endOf, primaryWith, write} from './follow-primary.js';
import {diskAt, FollowRig, recordsOf, type SourceRecord} from './follow-rig.js';
import {HOME, NAME, PATHS} from './rig.js';

function refused(code: string, work: () => void): void {
  assert.throws(work, (error: unknown) => isDiskError(error) && error.code === code);
}

test('what is received is stored as at the origin, and replayed to the same image', () => {
  const rig = primaryWith(60);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  follower.feed(records);
  assert.is(follower.log.position, endOf(records));
  assert.is(follower.log.position, rig.life.shared.appended.get());
  follower.log.noteOriginDurable(rig.life.shared.durable.get());
  follower.settle();
  assert.is(follower.shared.replayed.get(), endOf(records));
  follower.assertImage(records);
  assert.ok(follower.image().equals(rig.model));
  for (const name of follower.logNames().filter((found) => found.startsWith('log-'))) {
    const path = `${PATHS.logDirectory}/${name}`;
    const header = follower.files.peek(path, 0, 1024);
    assert.ok(header.equals(rig.files.peek(path, 0, 1024)), name);
  }

  const lineage = readLineage(follower.files, PATHS.lineageFile);
  assert.equal(lineage, readLineage(rig.files, PATHS.lineageFile));
});

test('nothing is replayed that is not durable here and at the origin', () => {
  const rig = primaryWith(40);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  const middle = records[20]?.end ?? 0;
  follower.feed(records, middle);
  follower.shared.originDurable.set(records[10]?.end ?? 0);
  follower.settle();
  assert.is(follower.shared.replayed.get(), records[10]?.end);
  follower.log.noteOriginDurable(endOf(records));
  assert.is(follower.shared.replayLimit, middle);
  follower.feed(records, records[30]?.end);
  follower.log.noteOriginDurable(endOf(records));
  assert.ok(follower.shared.replayLimit < follower.log.position);
  follower.settle();
  assert.is(follower.shared.replayed.get(), records[30]?.end);
  follower.assertImage(records);
});

test('a new source may have lost what the old one had durable', () => {
  const rig = primaryWith(30);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  follower.feed(records, records[10]?.end);
  follower.log.noteOriginDurable(endOf(records));
  follower.log.beginStream([]);
  assert.is(follower.shared.originDurable.get(), records[10]?.end);
});

test('a record that is not right is refused, and nothing of its frame is stored', () => {
  const rig = primaryWith(30);
  const records = recordsOf(rig);
  const [first, second, third] = records.slice(3, 6);
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  const follower = new FollowRig(rig);
  follower.feed(records, first.position);
  const before = follower.log.position;
  const flipped = (at: number): Buffer => {
    const bytes = Buffer.concat([first.bytes, second.bytes]);
    bytes.writeUInt8((bytes[at] ?? 0) ^ 4, at);
    return bytes;
  };
  const payload = first.bytes.length + 200;
  const bad: [string, Buffer][] = [
    ['magic', flipped(0)],
    ['durable', flipped(57)],
    ['header CRC', flipped(126)],
    ['payload', flipped(payload)],
    ['left out', Buffer.concat([first.bytes, third.bytes])],
    ['cut short', Buffer.concat([first.bytes, second.bytes.subarray(0, -8)])],
    ['twice', Buffer.concat([first.bytes, first.bytes])],
    ['half a header', first.bytes.subarray(0, 64)],
  ];
  for (const [what, bytes] of bad) {
    const calls = follower.files.calls;
    refused('PEER_PROTOCOL', () => follower.log.takeRecords(before, bytes));
    assert.is(follower.log.position, before, what);
    assert.is(follower.files.calls, calls, `${what}: the disk is not touched`);
  }

  refused('PEER_PROTOCOL', () => follower.log.takeRecords(second.position, second.bytes));
  follower.log.takeRecords(before, Buffer.concat([first.bytes, second.bytes]));
  assert.is(follower.log.position, second.end);
  follower.log.beginStream([]);
  refused('PEER_PROTOCOL', () => follower.log.takeRecords(third.position, third.bytes));
});

test('a segment that does not join is refused', () => {
  const rig = primaryWith(60);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  const next = records.find(({segment}, at) => at > 0 && segment !== records[at - 1]?.segment);
  assert.ok(next !== undefined);
  follower.feed(records, next.position);
  const {position, segment} = next;
  const {header, bytes} = segment;
  const other = {...header, chain: {low: 1, high: 2}};
  refused('PEER_PROTOCOL', () => {
    follower.log.takeSegment({position, bytes, header: other});
  });
  const foreign = {...header, resourceId: 'd'.repeat(32)};
  refused('PEER_PROTOCOL', () => {
    follower.log.takeSegment({position, bytes, header: foreign});
  });
  const huge = {...header, capacityBytes: 2 ** 40};
  refused('PEER_PROTOCOL', () => {
    follower.log.takeSegment({position, bytes, header: huge});
  });
  const epoch = {...header, epoch: 'e'.repeat(32)};
  refused('PEER_PROTOCOL', () => {
    follower.log.takeSegment({position, bytes, header: epoch});
  });
  refused('PEER_PROTOCOL', () => {
    follower.log.takeSegment({position: position + 8, bytes, header});
  });
  follower.feed(records);
  assert.is(follower.log.position, endOf(records));
});

test('new epochs reach the lineage before anything of theirs reaches the log', () => {
  const rig = primaryWith(20);
  rig.kill();
  rig.life.shared.set(WORD.replayPaused, 1);
  rig.kill();
  rig.life.shared.set(WORD.replayPaused, 1);
  write(rig, 10);
  const records = recordsOf(rig);
  const source = readLineage(rig.files, PATHS.lineageFile);
  assert.is(source.length, 3);
  const follower = new FollowRig(rig);
  follower.files.beforeCall = (_actor, call, path) => {
    if (call !== 'write' || !path.includes('/log-')) return;
    const known = readLineage(follower.files, PATHS.lineageFile).map(({epoch}) => epoch);
    assert.ok(known.includes(follower.log.epoch ?? ''), path);
  };
  follower.feed(records);
  follower.files.beforeCall = undefined;
  // The epoch in which nothing was written is not in the log: without the source nobody tells.
  assert.equal(readLineage(follower.files, PATHS.lineageFile), [source[0], source[2]]);
  follower.kill();
  assert.is(follower.log.position, endOf(records));
  follower.log.noteOriginDurable(endOf(records));
  follower.settle();
  follower.assertImage(records);
});

test('the lineage of the source names epochs in which nothing was written', () => {
  const rig = primaryWith(5);
  rig.kill();
  rig.kill();
  write(rig, 5);
  const records = recordsOf(rig);
  const source = readLineage(rig.files, PATHS.lineageFile);
  const follower = new FollowRig(rig);
  follower.log.beginStream(source);
  let segment: SourceRecord['segment'] | undefined;
  for (const {position, bytes, segment: found} of records) {
    if (found !== segment) follower.log.takeSegment({position, ...found});
    segment = found;
    follower.log.takeRecords(position, bytes);
  }

  assert.equal(readLineage(follower.files, PATHS.lineageFile), source);
});

test('files are used again once they are replayed and nobody fetches them', () => {
  const rig = primaryWith(200);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  follower.log.noteOriginDurable(endOf(records));
  let most = 0;
  for (let at = 4; at < records.length + 4; at += 4) {
    follower.feed(records, records[Math.min(at, records.length - 1)]?.end);
    follower.log.noteOriginDurable(endOf(records));
    follower.settle();
    follower.work();
    most = Math.max(most, follower.logNames().length);
  }

  assert.ok(most <= 6, `${most} files`);
  assert.ok(follower.files.descriptorCount <= 6);
  follower.assertImage(records);
});

test('what others fetch from here is kept by name, also by the next life', () => {
  const rig = primaryWith(120);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  const from = records[30]?.end ?? 0;
  follower.shared.retain(from);
  follower.feed(records);
  follower.log.noteOriginDurable(endOf(records));
  follower.settle();
  follower.work();
  const names = new Set(
    records.filter(({end}) => end > from).map(({segment}) => segment.header.number),
  );
  const kept = follower.logNames().filter((name) => name.startsWith('log-'));
  assert.is(kept.length, names.size);
  assert.ok((follower.log.retained[0]?.start ?? Infinity) <= from);
  follower.shared.retain(Infinity);
  follower.work();
  assert.is(follower.logNames().filter((name) => name.startsWith('log-')).length, 1);
});

test('after a copy of the image the log begins in the middle of a segment', () => {
  const rig = primaryWith(60);
  const records = recordsOf(rig);
  const [begin, end] = [records[20], records[25]];
  assert.ok(begin !== undefined && end !== undefined);
  const sync = {
    schema: 1 as const,
    state: 'done' as const,
    epoch: rig.life.disk.epoch,
    begin: begin.end,
    chain: formatChain(begin.chain),
    end: end.end,
    endChain: formatChain(end.chain),
    sizeBytes: rig.model.length,
    chunkBytes: 2 ** 20,
    doneChunks: 1,
    distrustEnd: 0,
    lineage: readLineage(rig.files, PATHS.lineageFile),
    image: null,
  };
  const make = (state: typeof sync): FollowRig =>
    new FollowRig(rig, 1, ({files, sizeBytes}) => {
      const fd = files.open(PATHS.image, 'write');
      // A mixture of `begin` and `end`.
      const copy = diskAt(records, begin.end, sizeBytes);
      diskAt(records, end.end, sizeBytes).copy(copy, 0, 0, sizeBytes / 2);
      files.write(fd, copy, 0, sizeBytes, 0);
      files.sync(fd);
      const image = files.identify(fd);
      files.close(fd);
      const replay = {schema: 1, from: begin.end, to: end.end, image};
      TwoSlotFile.create(files, PATHS.replayFile, replay).close();
      writeSyncState(files, HOME, NAME, state);
    });
  const follower = make(sync);
  assert.is(follower.log.position, begin.end);
  assert.not(follower.log.isConsistent);
  assert.is(follower.log.hello('c').chain, formatChain(begin.chain));
  follower.feed(records, records[22]?.end);
  follower.crash('none');
  assert.ok(follower.log.position >= begin.end);
  follower.feed(records);
  follower.log.noteOriginDurable(endOf(records));
  follower.settle();
  follower.assertImage(records);
  assert.ok(follower.log.isConsistent);
  follower.crash('random');
  assert.is(follower.log.position, endOf(records));
  for (const change of [{endChain: 'f'.repeat(16)}, {end: end.end + 8}]) {
    const other = make({...sync, ...change});
    refused('SYNC_MISMATCH', () => {
      other.feed(records);
    });
    assert.ok(other.log.position < end.end + 8);
  }
});

test('after a copy of a disk at rest the log begins with a segment that power loss cannot take', () => {
  const rig = primaryWith(20);
  const records = recordsOf(rig);
  const last = records.at(-1);
  assert.ok(last !== undefined);
  const follower = new FollowRig(rig, 1, ({files, sizeBytes}) => {
    const fd = files.open(PATHS.image, 'write');
    files.write(fd, diskAt(records, last.end, sizeBytes), 0, sizeBytes, 0);
    files.sync(fd);
    const image = files.identify(fd);
    files.close(fd);
    const replay = {schema: 1, from: last.end, to: last.end, image};
    TwoSlotFile.create(files, PATHS.replayFile, replay).close();
    const lineage = readLineage(rig.files, PATHS.lineageFile);
    writeSyncState(files, HOME, NAME, {
      ...emptySyncState(sizeBytes, 2 ** 20),
      state: 'done',
      begin: last.end,
      chain: formatChain(last.chain),
      end: last.end,
      lineage,
    });
  });
  assert.is(follower.log.currentName, null);
  follower.log.beginStream([]);
  follower.log.takeSegment({position: last.end, ...last.segment});
  removeSyncState(follower.files, HOME, NAME);
  follower.crash('none');
  assert.is(follower.log.position, last.end);
  assert.equal(follower.log.chain, last.chain);
  write(rig, 5);
  const more = recordsOf(rig);
  follower.feed(more);
  follower.log.noteOriginDurable(endOf(more));
  follower.settle();
  follower.assertImage(more);
});

test('hazard 3: a promoted follower makes durable what only its origin had durable', () => {
  const rig = primaryWith(60);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  follower.feed(records);
  follower.files.kill();
  const serve = (): ActiveDisk => {
    const {files, clock, config} = follower;
    const shared = new Shared(new ArrayBuffer(SHARED_BYTES));
    return activate({files, clock, config, shared, acceptImage: false, serve: true});
  };
  assert.is(serve().recovered.position, endOf(records));
  follower.files.crash({mode: 'none', cut: 0, keepProbability: 0.5, tearProbability: 0.2});
  const disk = serve();
  assert.is(disk.recovered.position, endOf(records));
  assert.is(disk.recovered.tornRecords, 0);
});

test('an image that is being copied is not served', () => {
  const rig = primaryWith(3);
  const follower = new FollowRig(rig);
  const {files, clock, config} = follower;
  writeSyncState(files, HOME, NAME, emptySyncState(follower.sizeBytes, 2 ** 20));
  const shared = new Shared(new ArrayBuffer(SHARED_BYTES));
  refused('REPLICA_INCONSISTENT', () => {
    activate({files, clock, config, shared, acceptImage: false, serve: true});
  });
});

test('a file system that is full ends the stream, nothing else', () => {
  const rig = primaryWith(60);
  const records = recordsOf(rig);
  const follower = new FollowRig(rig);
  follower.feed(records, records[5]?.end);
  follower.files.capacityBytes = follower.files.usedBytes();
  assert.throws(() => {
    follower.feed(records);
  }, /ENOSPC/u);
  const {position} = follower.log;
  assert.ok(position < endOf(records));
  follower.files.capacityBytes = Infinity;
  follower.feed(records);
  assert.is(follower.log.position, endOf(records));
  assert.is(formatPosition(position).length, 16);
});

test.run();
