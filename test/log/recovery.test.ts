/** The decision table, and recovery over logs that are whole, torn or damaged. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {RECORD} from '../../src/log/record.js';
import {decideTail} from '../../src/log/recovery.js';
import {epochOf, flipBit, makeSimDisk, overwrite, readFile} from './log-builder.js';
import {assertStops, at, isDamage, makeLog, recover, type Made} from './recover.js';

test('the decision table holds for every row', () => {
  for (let validEnd = 0; validEnd < 5; validEnd += 1) {
    for (let proven = 0; proven < 5; proven += 1) {
      for (const peerEnd of [undefined, 0, 1, 2, 3, 4, 5]) {
        const decision = decideTail({validEnd, proven, peerEnd});
        const reach = peerEnd ?? -1;
        // Never an end in front of what is proven, and never a stop where somebody can help.
        if (decision === 'end') assert.ok(validEnd >= proven && reach <= validEnd);
        else if (decision === 'take') assert.ok(validEnd >= proven && reach > validEnd);
        else if (decision === 'fetch') assert.ok(validEnd < proven && reach >= proven);
        else assert.ok(validEnd < proven && reach < proven);
      }
    }
  }
});

test('an empty directory is a new log', () => {
  const result = recover(makeSimDisk());
  assert.is(result.position, 0);
  assert.equal(result.chain, {low: 0, high: 0});
  assert.is(result.epoch, undefined);
  assert.is(result.segments.length, 0);
  assert.is(result.numberMax, 0);
});

test('a whole log is walked to its end over segments and epochs', () => {
  const {files, log, records} = makeLog((log) => {
    log.beginEpoch(1, 1);
    log.small(40, 1);
    log.plain(RECORD.resize, 512);
    log.plain(RECORD.seal);
    log.beginSegment(2);
    log.write(3, 2, 2);
    log.flush();
    log.beginEpoch(2, 3);
    log.plain(RECORD.discard, 1, 2);
  });
  const result = recover(files);
  assert.equal(
    result.ends,
    records.map(({end}) => end),
  );
  assert.is(result.position, log.writer.position);
  assert.equal(result.chain, {...log.writer.chain});
  assert.is(result.diskSizeBytes, 512 * 4096);
  assert.is(result.epoch, epochOf(2));
  assert.is(result.tornRecords, 0);
  assert.is(result.numberMax, 3);
  assert.is(result.proven, at(records, -2).end);
  assert.is(result.timeMs, Date.UTC(2026, 10, 22) + records.length - 1);
});

test('the walk begins at the segment that holds the replay position', () => {
  const {files, records} = makeLog((log) => {
    log.beginEpoch(1, 1);
    log.small(40, 1);
    log.beginSegment(2);
    for (const stamp of [1, 2, 3]) log.small(40, stamp);
    log.flush();
    log.beginSegment(3);
    log.small(40, 1);
  });
  for (const record of records.slice(1)) {
    const result = recover(files, {from: record.end, to: record.end});
    assert.equal(result.fromChain, record.chain);
    assert.is(result.position, at(records, -1).end);
    assert.is(result.older[0]?.header.number, 1);
  }

  // Where one segment ends the next begins: no need to read the one before.
  const between = recover(files, {from: at(records, 0).end, to: at(records, 0).end});
  assert.equal(
    between.segments.map(({header}) => header.number),
    [2, 3],
  );
  assert.equal(between.fromChain, at(records, 0).chain);
});

/** Three flushed records, then three that no flush covers. */
function makeTail(): Made {
  return makeLog((log) => {
    log.beginEpoch(1, 1);
    for (const stamp of [1, 2, 3]) log.small(40, stamp);
    log.flush();
    for (const stamp of [4, 5, 6]) log.small(40, stamp);
  });
}

test('a tail torn at any byte is cut to its last whole record, nothing durable is lost', () => {
  const {files, records} = makeTail();
  const path = at(records, 0).file;
  const whole = readFile(files, path);
  const flushed = at(records, 2).end;
  const end = at(records, -1);
  const zeros = Buffer.alloc(whole.length);
  const garbage = Buffer.alloc(whole.length, 0xa5);
  const from = at(records, 3).offset;
  for (let cut = end.offset + 168; cut >= from; cut -= 1) {
    const expected = records.filter(({offset}) => offset + 168 <= cut).at(-1);
    for (const filler of [zeros, garbage]) {
      overwrite(files, path, cut, filler.subarray(cut, end.offset + 168));
      const result = recover(files, {from: 0, to: flushed});
      assert.is(result.position, expected?.end, `cut at ${cut}`);
      assert.equal(result.chain, expected?.chain);
      assert.ok(result.position >= flushed);
      overwrite(files, path, 0, whole);
    }
  }
});

test('a file torn off at any byte of its tail, as by truncation, ends at its last whole record', () => {
  const {files, records} = makeTail();
  const path = at(records, 0).file;
  const fd = files.open(path, 'write');
  for (let cut = at(records, -1).offset + 168; cut >= at(records, 3).offset; cut -= 1) {
    files.truncate(fd, cut);
    const expected = records.filter(({offset}) => offset + 168 <= cut).at(-1);
    assert.is(recover(files, {from: 0, to: at(records, 2).end}).position, expected?.end);
  }
});

/** One bit in every byte; every single bit is the business of record.test and cursor.test. */
function bitsOf(offset: number, length: number): number[] {
  return Array.from({length}, (_, at) => (offset + at) * 8 + (at % 8));
}

test('every byte of a record below what replay has written down: damage, and nothing is changed', () => {
  const {files, records} = makeTail();
  const {file, offset, position} = at(records, 1);
  for (const bit of bitsOf(offset, 168)) {
    flipBit(files, file, bit);
    const before = readFile(files, file);
    assert.throws(() => recover(files, {from: 0, to: at(records, 2).end}), isDamage(position));
    assert.ok(readFile(files, file).equals(before));
    flipBit(files, file, bit);
  }
});

test('every byte of a record below what later records prove: damage', () => {
  const {files, records} = makeTail();
  const {file, offset, position} = at(records, 2);
  for (const bit of bitsOf(offset, 168)) {
    flipBit(files, file, bit);
    assert.throws(() => recover(files), isDamage(position));
    flipBit(files, file, bit);
  }

  flipBit(files, file, offset * 8);
  assertStops(files, position);
});

test('every byte of a record above the durable position: cut in front of it, told how many', () => {
  const {files, records} = makeTail();
  const {file, offset, position} = at(records, 4);
  for (const bit of bitsOf(offset, 168)) {
    flipBit(files, file, bit);
    const result = recover(files);
    assert.is(result.position, position);
    assert.ok(result.tornRecords === 1 || result.tornRecords === 2);
    flipBit(files, file, bit);
  }
});

test('a hole in the middle of what no flush covers is a torn tail, not damage', () => {
  const {files, records} = makeLog((log) => {
    log.beginEpoch(1, 1);
    for (let stamp = 1; stamp <= 8; stamp += 1) log.write(stamp, stamp);
  });
  const hole = at(records, 3);
  overwrite(files, hole.file, hole.offset, Buffer.alloc(4224));
  const result = recover(files);
  assert.is(result.position, hole.position);
  assert.is(result.tornRecords, 4);
});

test('a hole below the durable position that a record behind it proves stops recovery', () => {
  const {files, records} = makeLog((log) => {
    log.beginEpoch(1, 1);
    for (let stamp = 1; stamp <= 4; stamp += 1) log.write(stamp, stamp);
    log.flush();
    log.write(9, 9);
  });
  const hole = at(records, 3);
  overwrite(files, hole.file, hole.offset, Buffer.alloc(4224));
  assertStops(files, hole.position);
});

test('each witness alone stops recovery in front of all that it proves, and nothing above it', () => {
  const ends = (records: Made['records']): number[] => [0, ...records.map(({end}) => end)];
  for (const witness of ['replay', 'word', 'record', 'header'] as const) {
    for (let flushed = 0; flushed <= 3; flushed += 1) {
      for (let rotten = 0; rotten < 3; rotten += 1) {
        const {files, records} = makeLog((log) => {
          log.beginEpoch(1, 1);
          for (const stamp of [1, 2, 3]) {
            log.small(40, stamp);
            if (stamp === flushed && witness !== 'word' && witness !== 'replay') log.flush();
          }

          if (witness === 'record') log.small(40, 4);
          if (witness === 'header') log.beginSegment(2);
        });
        const proven = ends(records)[flushed] ?? 0;
        const {file, offset, position} = at(records, rotten);
        flipBit(files, file, (offset + 130) * 8);
        const options = {
          ...(witness === 'replay' ? {to: proven} : {}),
          ...(witness === 'word' ? {durable: proven} : {}),
        };
        if (position < proven) assertStops(files, position, options);
        else assert.is(recover(files, options).position, position);
      }
    }
  }
});

test('every byte of the last flushed record: damage where the word of the node proves it', () => {
  const {files, records} = makeLog((log) => {
    log.beginEpoch(1, 1);
    for (const stamp of [1, 2, 3]) log.small(40, stamp);
  });
  const {file, offset, position, end} = at(records, 2);
  for (const bit of bitsOf(offset, 168)) {
    flipBit(files, file, bit);
    assert.throws(() => recover(files, {durable: end}), isDamage(position));
    assert.is(
      recover(files, {durable: position}).position,
      position,
      'a torn tail, as the word ends before',
    );
    flipBit(files, file, bit);
  }

  assert.is(recover(files, {durable: end}).proven, end);
});

test('rot in the last group commit cannot be told from a torn tail without the word: it is cut', () => {
  const {files, records} = makeLog((log) => {
    log.beginEpoch(1, 1);
    log.small(40, 1);
    log.flush();
  });
  flipBit(files, at(records, 0).file, (at(records, 0).offset + 130) * 8);
  assert.is(recover(files).position, 0);
});

test.run();
