import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {readLogDirectory} from '../../src/log/directory.js';
import {describeSegment, verifyLog} from '../../src/log/inspect.js';
import {isDiskError} from '../../src/core/errors.js';
import {RECORD} from '../../src/log/record.js';
import {makeReady, makeSpare} from '../../src/log/segment-files.js';
import {SEGMENT_HEADER_BYTES} from '../../src/log/segment.js';
import type {SimCall} from '../sim/sim-faults.js';
import {SimCrash, type SimDisk} from '../sim/sim-disk.js';
import {
  DIRECTORY,
  flipBit,
  LogBuilder,
  makeSimDisk,
  planFor,
  readFile,
  RESOURCE_ID,
  snapshot,
} from './log-builder.js';

function makeEmpty(files: SimDisk, name: string): void {
  files.close(files.open(`${DIRECTORY}/${name}`, 'create'));
}

test('files are what name and header say together', () => {
  const files = makeSimDisk();
  const log = new LogBuilder({files});
  log.beginSegment(2);
  log.small(40, 1);
  log.beginSegment(10);
  makeEmpty(files, 'spare-x');
  makeReady(files, log.plan, `${DIRECTORY}/spare-x`, 11);
  for (const name of [
    'log-000000012-alpha',
    'spare-new-1',
    'bad-log-000000001-alpha',
    'log-000000002-alpha.idx',
    'log-000000002-alpha.idx.tmp',
    'notes.txt',
  ]) {
    makeEmpty(files, name);
  }

  const {segments, spares, numberMax} = readLogDirectory(files, DIRECTORY, RESOURCE_ID);
  assert.equal(
    segments.map(({name}) => name),
    ['log-000000002-alpha', 'log-000000010-alpha'],
  );
  assert.equal(
    spares.map(({name, isUnreadable}) => `${name} ${isUnreadable}`),
    ['log-000000011-alpha false', 'log-000000012-alpha true', 'spare-new-1 false'],
  );
  assert.is(numberMax, 12);
});

/** Every call that changes something, in order, as `call name`. */
function recordChanges(files: SimDisk): string[] {
  const changes: string[] = [];
  const kept: readonly SimCall[] = ['write', 'sync', 'syncData', 'rename', 'unlink'];
  files.beforeCall = (_actor, call, path) => {
    const name = path.split('/').at(-1) ?? '';
    // The size does not change: fdatasync is as good. Nor does it matter in how many pieces it is.
    const change = `${call === 'syncData' ? 'sync' : call} ${name}`;
    if (change === changes.at(-1)) return;
    if (kept.includes(call) || call === 'syncDirectory') changes.push(change);
  };
  return changes;
}

test('a spare becomes ready in the order that power loss cannot break', () => {
  const files = makeSimDisk();
  const plan = planFor(SEGMENT_HEADER_BYTES + 4096);
  const changes = recordChanges(files);
  const making = makeSpare(files, plan, `${DIRECTORY}/spare-new-1`);
  while (making.next().done !== true);
  makeReady(files, plan, `${DIRECTORY}/spare-new-1`, 1);
  assert.equal(changes, [
    'write spare-new-1',
    'sync spare-new-1',
    'write spare-new-1',
    'sync spare-new-1',
    'rename spare-new-1',
    'syncDirectory log',
  ]);
});

test('power may go at any call: a name of a segment always has a header that is durable', () => {
  for (let calls = 1; calls < 20; calls += 1) {
    for (let seed = 0; seed < 20; seed += 1) {
      const files = makeSimDisk(seed);
      const plan = planFor(SEGMENT_HEADER_BYTES + 8192);
      files.crashAfter(calls);
      try {
        const making = makeSpare(files, plan, `${DIRECTORY}/spare-new-1`);
        while (making.next().done !== true);
        makeReady(files, plan, `${DIRECTORY}/spare-new-1`, 1);
        files.crashAfter(undefined);
      } catch (error) {
        if (!(error instanceof SimCrash)) throw error;
      }

      files.crash();
      if (!files.exists(DIRECTORY)) continue;
      const {spares} = readLogDirectory(files, DIRECTORY, RESOURCE_ID);
      assert.not(
        spares.some(({isUnreadable}) => isUnreadable),
        `${calls} ${seed}`,
      );
    }
  }
});

test('a spare that cannot be made whole gives its space back', () => {
  const files = makeSimDisk();
  files.capacityBytes = 2 ** 20;
  const making = makeSpare(files, planFor(2 ** 22), `${DIRECTORY}/spare-new-1`);
  assert.throws(() => {
    while (making.next().done !== true);
  }, /ENOSPC/u);
  assert.equal(files.list(DIRECTORY), []);
  assert.is(files.descriptorCount, 0);
});

function makeTwoSegments(): {files: SimDisk; log: LogBuilder} {
  const files = makeSimDisk();
  const log = new LogBuilder({files});
  log.beginSegment(1);
  log.write(1, 1, 2);
  log.plain(RECORD.discard, 8, 4);
  log.plain(RECORD.seal);
  log.beginSegment(2);
  log.write(3, 3);
  log.flush();
  log.write(4, 4);
  log.close();
  return {files, log};
}

test('a segment is described without a change to it', () => {
  const {files, log} = makeTwoSegments();
  const before = snapshot(files);
  const told: string[] = [];
  const found = describeSegment(files, `${DIRECTORY}/log-000000001-alpha`, (record) => {
    told.push(`${record.type} ${record.diskOffset} ${record.lengthBytes}`);
    return told.length < 2;
  });
  assert.equal(told, ['WRITE 4096 8192', 'DISCARD 32768 16384']);
  assert.equal(found.recordsByType, {WRITE: 1, DISCARD: 1, SEAL: 1});
  assert.is(found.records, 3);
  assert.is(found.payloadBytes, 8192);
  assert.is(Number.parseInt(found.end, 16), log.records[2]?.end);
  assert.equal(snapshot(files), before);
});

test('a sound log has no faults, a torn tail is none, and damage is named with its place', () => {
  const {files, log} = makeTwoSegments();
  assert.equal(verifyLog(files, DIRECTORY, RESOURCE_ID).faults, []);
  const last = log.records.at(-1);
  flipBit(files, last?.file ?? '', ((last?.offset ?? 0) + 200) * 8);
  assert.equal(verifyLog(files, DIRECTORY).faults, []);
  const first = log.records[1];
  flipBit(files, first?.file ?? '', ((first?.offset ?? 0) + 20) * 8);
  const {faults} = verifyLog(files, DIRECTORY, RESOURCE_ID);
  assert.is(faults.length, 1);
  assert.is(faults[0]?.file, 'log-000000001-alpha');
  assert.is(Number.parseInt(faults[0]?.position ?? '', 16), first?.position);
});

test('a header that rotted is a fault where its records tell that they were durable', () => {
  const {files} = makeTwoSegments();
  flipBit(files, `${DIRECTORY}/log-000000002-alpha`, 800);
  const {faults} = verifyLog(files, DIRECTORY, RESOURCE_ID);
  assert.equal(
    faults.map(({file, position}) => `${file} ${position}`),
    ['log-000000002-alpha 0000000000002180'],
  );
});

test('what was moved to another file is no fault where it lay before', () => {
  const files = makeSimDisk();
  const log = new LogBuilder({files});
  log.beginSegment(1);
  const {end, chain} = log.write(1, 1);
  log.flush();
  const torn = log.write(2, 2);
  log.beginSegment(2);
  log.write(3, 3);
  // The tail from `end` on is written again to segment 3; its old copies rot.
  const moved = new LogBuilder({files, position: end, chain});
  moved.beginSegment(3);
  moved.write(2, 2);
  flipBit(files, torn.file, (torn.offset + 500) * 8);
  flipBit(files, `${DIRECTORY}/log-000000002-alpha`, (SEGMENT_HEADER_BYTES + 500) * 8);
  const {faults, end: last} = verifyLog(files, DIRECTORY, RESOURCE_ID);
  assert.equal(faults, []);
  assert.is(Number.parseInt(last ?? '', 16), moved.writer.position);
});

test('what is no segment is refused, not guessed at', () => {
  const {files, log} = makeTwoSegments();
  makeEmpty(files, 'spare-x');
  const ready = makeReady(files, log.plan, `${DIRECTORY}/spare-x`, 3);
  for (const path of [ready, `${DIRECTORY}/log-000000001-alpha`]) {
    if (path !== ready) flipBit(files, path, 100);
    assert.throws(
      () => describeSegment(files, path),
      (error: unknown) => isDiskError(error, 'LOG_CORRUPT'),
    );
  }

  assert.is(readFile(files, ready).length, SEGMENT_HEADER_BYTES);
});

test.run();
