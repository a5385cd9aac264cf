import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {formatPosition} from '../../src/core/position.js';
import type {Answer, Hello} from '../../src/log/frames.js';
import type {LineageEntry} from '../../src/log/lineage.js';
import {formatChain, RECORD, type Chain} from '../../src/log/record.js';
import {SEGMENT_HEADER_BYTES, segmentName} from '../../src/log/segment.js';
import {LogSource, type LogEnd, type SourceBatch} from '../../src/replica/log-source.js';
import type {SimDisk} from '../sim/sim-disk.js';
import {
  bytesOf,
  DIRECTORY,
  DISK_BYTES,
  epochOf,
  flipBit,
  LogBuilder,
  makeSimDisk,
  ORIGIN_ID,
  overwrite,
  planFor,
  readFile,
  RESOURCE_ID,
  type BuiltRecord,
} from '../log/log-builder.js';

const FOLLOWER_ID = '33'.repeat(16);
const START: Chain = {low: 0, high: 0};

interface Rig {
  readonly files: SimDisk;
  readonly builder: LogBuilder;
  readonly lineage: LineageEntry[];
  /** Begins an epoch and notes it. */
  epoch(count: number, number: number): void;
  source(): LogSource;
  /** What the disk process would say now. */
  end(): LogEnd;
  hello(position: number, chain: Readonly<Chain>, changed?: Partial<Hello>): Hello;
  open(source: LogSource, hello: Hello): Promise<Answer>;
}

function makeRig(fileBytes?: number): Rig {
  const files = makeSimDisk();
  const plan = fileBytes === undefined ? {} : {plan: planFor(fileBytes)};
  const builder = new LogBuilder({files, ...plan});
  const lineage: LineageEntry[] = [];
  return {
    files,
    builder,
    lineage,
    epoch(count, number) {
      const {position, chain} = builder.writer;
      const entry = {epoch: epochOf(count), node: ORIGIN_ID, nodeName: 'alpha'};
      lineage.push({...entry, start: formatPosition(position), chain: formatChain(chain)});
      builder.beginEpoch(count, number);
    },
    source: () => new LogSource({files, directory: DIRECTORY, resourceId: RESOURCE_ID}),
    end: () => ({
      appended: builder.writer.position,
      epoch: builder.epoch,
      currentFile: segmentName(builder.writer.header?.number ?? 0, 'alpha'),
    }),
    hello: (position, chain, changed = {}) => ({
      version: 1,
      resourceId: RESOURCE_ID,
      nodeId: FOLLOWER_ID,
      epoch: null,
      position: formatPosition(position),
      chain: formatChain(chain),
      to: formatPosition(0),
      lineage: lineage.filter(({start}) => start <= formatPosition(position)),
      ...changed,
    }),
    open: (source, hello) =>
      source.open(hello, {lineage, position: builder.writer.position, sizeBytes: DISK_BYTES}),
  };
}

/** Reads until there is nothing new. */
function drain(source: LogSource, end: LogEnd): SourceBatch[] {
  const batches: SourceBatch[] = [];
  for (let batch = source.read(end); batch !== undefined; batch = source.read(end)) {
    batches.push(batch);
  }

  return batches;
}

/** The records that batches bring, after a look at whether they join. */
function joined(batches: readonly SourceBatch[], position: number): Buffer {
  let at = position;
  for (const batch of batches) {
    assert.is(batch.position, at);
    if (batch.kind === 'records') at += batch.bytes.length;
  }

  return Buffer.concat(batches.filter(({kind}) => kind === 'records').map(({bytes}) => bytes));
}

function assertSame(found: Buffer, expected: Buffer): void {
  assert.is(found.length, expected.length);
  assert.is(found.compare(expected), 0);
}

const code =
  (wanted: 'LOG_BRANCHED' | 'LOG_GONE' | 'LOG_CORRUPT') =>
  (error: unknown): boolean =>
    isDiskError(error, wanted);

/** Two epochs, five segments. */
function makeLongLog(): Rig {
  const rig = makeRig();
  rig.epoch(1, 1);
  for (let number = 1; number <= 5; number += 1) {
    if (number === 4) rig.epoch(2, 4);
    else if (number > 1) rig.builder.beginSegment(number);
    for (let stamp = 0; stamp < 10; stamp += 1) {
      rig.builder.write(stamp, number * 100 + stamp);
      rig.builder.small(8, stamp);
    }

    rig.builder.plain(RECORD.seal);
    rig.builder.flush();
  }

  return rig;
}

test('a follower gets all of a log, segment by segment', async () => {
  const rig = makeLongLog();
  const source = rig.source();
  const answer = await rig.open(source, rig.hello(0, START));
  assert.is(answer.kind, 'follow');
  assert.is(answer.chain, formatChain(START));
  assert.equal(answer.lineage, rig.lineage);
  assert.is(answer.sizeBytes, DISK_BYTES);
  const batches = drain(source, rig.end());
  assertSame(joined(batches, 0), bytesOf(rig.files, rig.builder.records));
  const segments = batches.filter(({kind}) => kind === 'segment');
  assert.is(segments.length, 5);
  for (const [at, {bytes}] of segments.entries()) {
    const path = join(DIRECTORY, segmentName(at + 1, 'alpha'));
    assertSame(bytes, readFile(rig.files, path).subarray(0, 4096));
  }

  assert.is(source.position, rig.builder.writer.position);
  assert.ok(source.timeMs > 0);
  source.close();
  rig.builder.close();
  assert.is(rig.files.descriptorCount, 0);
});

test('a follower goes on from every record of the log', async () => {
  const rig = makeLongLog();
  const {records} = rig.builder;
  for (const [at, record] of records.entries()) {
    const source = rig.source();
    const answer = await rig.open(source, rig.hello(record.end, record.chain));
    assert.is(answer.kind, 'follow', JSON.stringify(answer));
    assert.is(answer.chain, formatChain(record.chain));
    const batches = drain(source, rig.end());
    assert.is(batches[0]?.kind, 'segment');
    assertSame(joined(batches, record.end), bytesOf(rig.files, records.slice(at + 1)));
    assert.equal(await rig.source().chainAt(record.end), record.chain);
    source.close();
  }
});

test('nothing at or above what was appended is sent', async () => {
  const rig = makeLongLog();
  const {records} = rig.builder;
  for (const [at, {end}] of records.entries()) {
    const source = rig.source();
    await rig.open(source, rig.hello(0, START));
    const batches = drain(source, {appended: end, epoch: rig.builder.epoch});
    assertSame(joined(batches, 0), bytesOf(rig.files, records.slice(0, at + 1)));
    source.close();
  }
});

test('records come as they are appended, also across segments and epochs', async () => {
  const rig = makeRig();
  rig.epoch(1, 1);
  const source = rig.source();
  assert.is((await rig.open(source, rig.hello(0, START))).kind, 'follow');
  const all: SourceBatch[] = [];
  const take = (): SourceBatch[] => {
    const batches = drain(source, rig.end());
    all.push(...batches);
    assert.is(source.position, rig.builder.writer.position);
    assert.is(source.read(rig.end()), undefined);
    return batches;
  };

  assert.equal(
    take().map(({kind}) => kind),
    ['segment'],
  );
  for (let step = 0; step < 30; step += 1) {
    if (step % 7 === 6) rig.builder.beginSegment(2 + step);
    // An epoch is told of before anything is written in it.
    if (step % 10 === 9) {
      rig.epoch(2 + step, 2 + step);
      assert.equal(
        take().map(({kind}) => kind),
        ['segment'],
      );
    }

    for (let count = 0; count < step % 4; count += 1) rig.builder.write(count, step);
    rig.builder.small(16, step);
    take();
  }

  assertSame(joined(all, 0), bytesOf(rig.files, rig.builder.records));
  source.close();
});

test('an epoch without a record is told as well, to whoever comes from far behind', async () => {
  const rig = makeLongLog();
  rig.epoch(3, 6);
  const source = rig.source();
  await rig.open(source, rig.hello(0, START));
  const batches = drain(source, rig.end());
  assert.is(batches.filter(({kind}) => kind === 'segment').length, 6);
  assert.is(source.position, rig.builder.writer.position);
  assert.equal(drain(source, rig.end()), []);
});

test('pieces are about a MiB, and records of the largest size fit', async () => {
  const rig = makeRig(16 * 2 ** 20);
  rig.epoch(1, 1);
  for (let stamp = 0; stamp < 8; stamp += 1) {
    rig.builder.write(0, stamp, 258);
    for (let count = 0; count < 20; count += 1) rig.builder.write(0, stamp, 1);
  }

  const source = rig.source();
  await rig.open(source, rig.hello(0, START));
  const batches = drain(source, rig.end());
  assertSame(joined(batches, 0), bytesOf(rig.files, rig.builder.records));
  assert.ok(batches.every(({bytes}) => bytes.length < 2.2 * 2 ** 20));
  assert.ok(batches.length < 20, `${batches.length} batches`);
  source.close();
});

test('segments whose place another has taken are not read', async () => {
  const rig = makeRig();
  rig.epoch(1, 1);
  rig.builder.write(0, 1);
  // An epoch in which nothing was written, and one that begins at the same place.
  rig.epoch(2, 2);
  rig.epoch(3, 3);
  rig.builder.write(0, 3);
  const source = rig.source();
  await rig.open(source, rig.hello(0, START));
  const batches = drain(source, rig.end());
  assert.is(batches.filter(({kind}) => kind === 'segment').length, 2);
  assertSame(joined(batches, 0), bytesOf(rig.files, rig.builder.records));
  source.close();
});

/** What recovery does after power loss: another epoch begins below what was appended. */
function branch(rig: Rig, at: BuiltRecord, count: number, number: number): LogBuilder {
  const {files} = rig;
  const chain = {...at.chain};
  const builder = new LogBuilder({files, plan: rig.builder.plan, position: at.end, chain});
  rig.lineage.push({
    epoch: epochOf(count),
    node: ORIGIN_ID,
    nodeName: 'alpha',
    start: formatPosition(at.end),
    chain: formatChain(chain),
  });
  builder.beginEpoch(count, number);
  return builder;
}

test('a log that was cut below what was sent ends the stream, before anything is told', async () => {
  const rig = makeRig();
  rig.epoch(1, 1);
  const records = Array.from({length: 6}, (_, stamp) => rig.builder.write(0, stamp));
  const source = rig.source();
  await rig.open(source, rig.hello(0, START));
  drain(source, rig.end());
  const [first] = records;
  assert.ok(first);
  const after = branch(rig, first, 2, 2);
  const lower = {appended: after.writer.position, epoch: after.epoch};
  assert.not(source.isOn(lower));
  assert.throws(() => source.read(lower), code('LOG_BRANCHED'));
  // Also when it has grown beyond by then.
  for (let stamp = 0; stamp < 9; stamp += 1) after.write(0, 100 + stamp);
  const higher = {appended: after.writer.position, epoch: after.epoch};
  assert.not(source.isOn(higher));
  assert.throws(() => source.read(higher), code('LOG_BRANCHED'));
  source.close();
  // And the follower learns to cut when it asks again.
  const last = records.at(-1);
  assert.ok(last);
  const hello = rig.hello(last.end, last.chain, {lineage: rig.lineage.slice(0, 1)});
  const log = {lineage: rig.lineage, position: after.writer.position, sizeBytes: DISK_BYTES};
  const answer = await source.open(hello, log);
  assert.is(answer.kind, 'cut');
  assert.is(answer.position, formatPosition(first.end));
  assert.is(answer.chain, formatChain(first.chain));
  assertSame(joined(drain(source, higher), first.end), bytesOf(rig.files, after.records));
  source.close();
});

test('a valid record behind the end of a segment, left by a write that failed, is not sent', async () => {
  const make = (): Rig => {
    const rig = makeRig();
    rig.epoch(1, 1);
    rig.builder.small(40, 1);
    return rig;
  };
  const [rig, other] = [make(), make()];
  const source = rig.source();
  await rig.open(source, rig.hello(0, START));
  const before = drain(source, rig.end());
  const end = rig.builder.writer.position;
  const left = other.builder.small(80, 2);
  const bytes = bytesOf(other.files, [left]);
  const path = join(DIRECTORY, segmentName(1, 'alpha'));
  overwrite(rig.files, path, SEGMENT_HEADER_BYTES + end, bytes);
  rig.builder.beginSegment(2);
  rig.builder.small(40, 3);
  rig.builder.small(40, 4);
  const batches = [...before, ...drain(source, rig.end())];
  assertSame(joined(batches, 0), bytesOf(rig.files, rig.builder.records));
});

test('an epoch that is not in the files yet is waited for', async () => {
  const rig = makeRig();
  rig.epoch(1, 1);
  rig.builder.write(0, 1);
  const source = rig.source();
  await rig.open(source, rig.hello(0, START));
  const end = rig.end();
  assert.is(source.read({...end, epoch: epochOf(9)}), undefined);
  assert.not(source.isOn({...end, epoch: epochOf(9)}));
  assert.is(drain(source, end).length, 2);
  assert.ok(source.isOn(end));
  source.close();
});

test('a tail that was moved to another file is read on there', async () => {
  const rig = makeRig();
  rig.epoch(1, 1);
  const records = Array.from({length: 4}, (_, stamp) => rig.builder.write(0, stamp));
  const source = rig.source();
  await rig.open(source, rig.hello(0, START));
  drain(source, rig.end());
  const [, second, , last] = records;
  assert.ok(second);
  assert.ok(last);
  // The records behind the second are written again to segment 2, then the log goes on there.
  const chain = {...second.chain};
  const moved = new LogBuilder({files: rig.files, position: second.end, chain});
  moved.beginSegment(2);
  const tail = bytesOf(rig.files, records.slice(2));
  overwrite(rig.files, join(DIRECTORY, segmentName(2, 'alpha')), 4096, tail);
  const path = join(DIRECTORY, segmentName(2, 'alpha'));
  const fd = rig.files.open(path, 'write');
  const {header} = moved.writer;
  assert.ok(header);
  rig.builder.writer.adoptSegment(fd, header);
  const before = rig.builder.writer.position;
  rig.builder.small(8, 1);
  const batches = drain(source, rig.end());
  assert.equal(
    batches.map(({kind, position}) => [kind, position]),
    [
      ['segment', before],
      ['records', before],
    ],
  );
  source.close();
});

test('a file that is used again under the reader is gone, never wrong data', async () => {
  const rig = makeLongLog();
  const first = join(DIRECTORY, segmentName(1, 'alpha'));
  const at = rig.builder.records[3];
  assert.ok(at);
  const source = rig.source();
  await rig.open(source, rig.hello(at.end, at.chain));
  assert.is(source.read({appended: at.end, epoch: rig.builder.epoch})?.kind, 'segment');
  // Recycled as the segment that is written now, over the old records.
  const spare = join(DIRECTORY, 'spare-1');
  rig.files.rename(first, spare);
  rig.builder.beginSegment(6, spare);
  for (let stamp = 0; stamp < 8; stamp += 1) rig.builder.write(0, stamp);
  assert.throws(() => drain(source, rig.end()), code('LOG_GONE'));
  source.close();
  const answer = await rig.open(rig.source(), rig.hello(at.end, at.chain));
  assert.is(answer.kind, 'gone');
  const second = rig.builder.records.find(({file}) => file.includes('000002'));
  assert.is(answer.oldest, formatPosition(second?.position ?? -1));
  assert.is(await rig.source().chainAt(at.end), undefined);
});

test('files that vanish while the directory is read do no harm', async () => {
  const rig = makeLongLog();
  const last = rig.builder.records.at(-1);
  assert.ok(last);
  const {files} = rig;
  const open = files.open.bind(files);
  let vanished = false;
  files.open = (path, mode) => {
    if (!vanished && path.endsWith(segmentName(1, 'alpha'))) {
      vanished = true;
      files.rename(path, join(DIRECTORY, 'spare-1'));
    }

    return open(path, mode);
  };

  const source = rig.source();
  assert.is((await rig.open(source, rig.hello(last.end, last.chain))).kind, 'follow');
  assert.ok(vanished);
  source.close();
});

test('another chain value at the position of the follower is a fork', async () => {
  const rig = makeLongLog();
  const {records} = rig.builder;
  for (const at of [records[5], records.at(-1)]) {
    assert.ok(at);
    const chain = {low: at.chain.low ^ 1, high: at.chain.high};
    const answer = await rig.open(rig.source(), rig.hello(at.end, chain));
    assert.is(answer.kind, 'forked');
    const epoch = at === records[5] ? rig.lineage[0] : rig.lineage[1];
    assert.is(answer.position, epoch?.start);
  }
});

test('a position inside a record is no place to follow from', async () => {
  const rig = makeLongLog();
  const [first, second] = rig.builder.records;
  assert.ok(first);
  assert.ok(second);
  const answer = await rig.open(rig.source(), rig.hello(second.position + 8, first.chain));
  assert.is(answer.kind, 'forked');
  assert.is(await rig.source().chainAt(second.position + 8), undefined);
});

test('a damaged record is not sent: the stream ends with its position', async () => {
  const rig = makeLongLog();
  const {records} = rig.builder;
  for (const at of [0, 3, 19, 40]) {
    const record = records[at];
    assert.ok(record);
    const bit = (record.offset + 132) * 8;
    flipBit(rig.files, record.file, bit);
    const source = rig.source();
    await rig.open(source, rig.hello(0, START));
    const batches: SourceBatch[] = [];
    const read = (): void => {
      for (let batch = source.read(rig.end()); batch; batch = source.read(rig.end())) {
        batches.push(batch);
      }
    };

    assert.throws(read, code('LOG_CORRUPT'));
    assertSame(joined(batches, 0), bytesOf(rig.files, records.slice(0, at)));
    source.close();
    flipBit(rig.files, record.file, bit);
  }
});

test('histories that do not match get no records', async () => {
  const rig = makeLongLog();
  const at = rig.builder.records[3];
  assert.ok(at);
  const unknown = await rig.open(rig.source(), rig.hello(at.end, at.chain, {lineage: []}));
  assert.is(unknown.kind, 'unknown');
  const position = rig.builder.writer.position + 4096;
  const behind = await rig.open(rig.source(), rig.hello(position, at.chain));
  assert.is(behind.kind, 'behind');
  assert.is(behind.sizeBytes, DISK_BYTES);
});

test.run();
