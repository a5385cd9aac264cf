import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {formatPosition} from '../../src/core/position.js';
import type {LineageEntry} from '../../src/log/lineage.js';
import {formatChain, type Chain} from '../../src/log/record.js';
import {SEGMENT_HEADER_BYTES} from '../../src/log/segment.js';
import {exportLog, type ExportedLog, type FolderEnd} from '../../src/replica/export-log.js';
import {FolderLog, type FolderStand, type FolderView} from '../../src/replica/folder-log.js';
import {createRandom} from '../sim/random.js';
import type {SimDisk} from '../sim/sim-disk.js';
import {
  DIRECTORY,
  DISK_BYTES,
  epochOf,
  flipBit,
  LogBuilder,
  makeSimDisk,
  ORIGIN_ID,
  planFor,
  readFile,
  RESOURCE_ID,
} from '../log/log-builder.js';

const FOLLOWER_ID = '33'.repeat(16);
const OUTBOX = '/outbox';
const INBOX = '/inbox';
const FILE_BYTES = SEGMENT_HEADER_BYTES + 32 * 1024;
const START: Chain = {low: 0, high: 0};

interface Origin {
  readonly files: SimDisk;
  readonly builder: LogBuilder;
  readonly lineage: LineageEntry[];
  had: FolderEnd | undefined;
}

function makeOrigin(): Origin {
  const files = makeSimDisk();
  for (const folder of [OUTBOX, INBOX]) files.makeDirectory(folder);
  const builder = new LogBuilder({files, plan: planFor(FILE_BYTES)});
  const origin: Origin = {files, builder, lineage: [], had: undefined};
  beginEpoch(origin, 1, 1);
  return origin;
}

function beginEpoch({builder, lineage}: Origin, count: number, number: number): void {
  const {position, chain} = builder.writer;
  const start = formatPosition(position);
  const named = {epoch: epochOf(count), node: ORIGIN_ID, nodeName: 'alpha'};
  lineage.push({...named, start, chain: formatChain(chain)});
  builder.beginEpoch(count, number);
}

/** Four logfiles, the third of a new epoch; the last is still written to. */
function fill(origin: Origin): void {
  const {builder} = origin;
  for (let block = 0; block < 5; block += 1) builder.write(block, block);
  builder.beginSegment(2);
  for (let block = 0; block < 4; block += 1) builder.write(block, 10 + block);
  beginEpoch(origin, 2, 3);
  for (let block = 0; block < 6; block += 1) builder.write(block, 20 + block);
  builder.beginSegment(4);
  for (let block = 0; block < 3; block += 1) builder.write(block, 30 + block);
}

/** @param durable where what may be exported ends; default: all */
async function exportNow(
  origin: Origin,
  withOpen: boolean,
  durable?: number,
): Promise<ExportedLog> {
  const {files, builder, lineage} = origin;
  const result = await exportLog({
    ...{files, folder: OUTBOX, nodeId: ORIGIN_ID, begin: 0, had: origin.had, withOpen},
    place: {files, directory: DIRECTORY, resourceId: RESOURCE_ID},
    source: {lineage, position: durable ?? builder.writer.position, sizeBytes: DISK_BYTES},
    epoch: builder.epoch,
  });
  origin.had = result.end;
  return result;
}

function exported({files}: Origin): string[] {
  return files.list(OUTBOX).filter((name) => name.startsWith('log-'));
}

function bring({files}: Origin, name: string, bytes?: Buffer, as = name): void {
  const content = bytes ?? readFile(files, join(OUTBOX, name));
  const path = join(INBOX, as);
  if (files.exists(path)) files.unlink(path);
  const fd = files.open(path, 'exclusive');
  files.write(fd, content, 0, content.length, 0);
  files.close(fd);
}

function standAt(origin: Origin, position = 0, chain: Readonly<Chain> = START): FolderStand {
  const at = formatPosition(position);
  const lineage = origin.lineage.filter(({start}) => start <= at);
  return {nodeId: FOLLOWER_ID, position, chain, to: 0, lineage};
}

function look(log: FolderLog, origin: Origin): Promise<FolderView> {
  return log.look(standAt(origin), undefined);
}

test('only whole logfiles are exported, and the open one as far as it is durable where wanted', async () => {
  const origin = makeOrigin();
  fill(origin);
  const {files, builder} = origin;
  const first = await exportNow(origin, false);
  assert.equal(first.written, [
    'log-000000001-alpha',
    'log-000000002-alpha',
    'log-000000003-alpha',
  ]);
  assert.is(first.end.position, builder.records[15]?.position);
  const durable = builder.records[16]?.position;
  const second = await exportNow(origin, true, durable);
  assert.equal(second.written, ['log-000000004-alpha']);
  assert.is(second.end.position, durable);
  assert.equal((await exportNow(origin, true, durable)).written, []);
  const third = await exportNow(origin, true);
  assert.equal(third.written, ['log-000000004-alpha']);
  for (const name of exported(origin)) {
    const copy = readFile(files, join(OUTBOX, name));
    assert.is(copy.compare(readFile(files, join(DIRECTORY, name)).subarray(0, copy.length)), 0);
  }

  assert.equal(files.list(OUTBOX), exported(origin), 'no temporary file is left');
});

test('files that were taken away are not exported again, and the next one is whole', async () => {
  const origin = makeOrigin();
  fill(origin);
  await exportNow(origin, true);
  for (const name of exported(origin)) origin.files.unlink(join(OUTBOX, name));
  origin.builder.write(7, 99);
  const {written, end} = await exportNow(origin, true);
  assert.equal(written, ['log-000000004-alpha']);
  assert.is(end.position, origin.builder.writer.position);
  const copy = readFile(origin.files, join(OUTBOX, 'log-000000004-alpha'));
  const whole = readFile(origin.files, join(DIRECTORY, 'log-000000004-alpha'));
  assert.is(copy.compare(whole.subarray(0, copy.length)), 0, 'from its first record on');
});

test('a folder of another history is refused, and stays as it is', async () => {
  const origin = makeOrigin();
  fill(origin);
  await exportNow(origin, true);
  const other = makeOrigin();
  for (let block = 0; block < 3; block += 1) other.builder.write(block, 70 + block);
  for (const name of exported(origin)) {
    const bytes = readFile(origin.files, join(OUTBOX, name));
    const fd = other.files.open(join(OUTBOX, name), 'create');
    other.files.write(fd, bytes, 0, bytes.length, 0);
    other.files.close(fd);
  }

  const before = exported(other);
  await exportNow(other, true).then(
    () => {
      assert.unreachable('it is not ours');
    },
    (error: unknown) => {
      assert.ok(isDiskError(error, 'SPLIT_BRAIN'), String(error));
    },
  );
  assert.equal(exported(other), before);
});

test('what arrives in any order, half or damaged, counts up to the first record that is missing', async () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const origin = makeOrigin();
    fill(origin);
    await exportNow(origin, true);
    const random = createRandom(seed);
    const log = new FolderLog(origin.files, INBOX, RESOURCE_ID);
    const names = exported(origin);
    const whole = new Set<string>();
    for (let steps = 0; whole.size < names.length; steps += 1) {
      assert.ok(steps < 500, `seed ${seed}: it comes to an end`);
      const name = names[Math.floor(random() * names.length)] ?? '';
      if (whole.has(name)) continue;
      const bytes = readFile(origin.files, join(OUTBOX, name));
      const fate = random();
      if (fate < 0.3) {
        bring(origin, name, bytes.subarray(0, Math.floor(random() * bytes.length)));
      } else if (fate < 0.6) {
        bring(origin, name);
        const bits = 8 * (bytes.length - SEGMENT_HEADER_BYTES);
        flipBit(
          origin.files,
          join(INBOX, name),
          8 * SEGMENT_HEADER_BYTES + Math.floor(random() * bits),
        );
      } else {
        bring(origin, name);
        whole.add(name);
      }

      const view = await look(log, origin);
      const isRecord = origin.builder.records.some((record) => record.end === view.end);
      assert.ok(view.end === 0 || isRecord, `seed ${seed}: ${view.end} is the end of a record`);
      assert.ok(view.reason !== '', 'it says what it waits for');
    }

    const view = await look(log, origin);
    assert.is(view.end, origin.builder.writer.position, `seed ${seed}: ${view.reason}`);
    assert.is(view.isComplete, true);
    assert.is(log.epoch, epochOf(2));
  }
});

test('a gap and a damaged file are told apart, by name and position', async () => {
  const origin = makeOrigin();
  fill(origin);
  await exportNow(origin, true);
  const [one = '', two = '', three = ''] = exported(origin);
  const log = new FolderLog(origin.files, INBOX, RESOURCE_ID);
  bring(origin, three);
  assert.match((await look(log, origin)).reason, /the oldest that is there begins at/u);
  bring(origin, one);
  const gap = await look(log, origin);
  assert.match(gap.reason, /goes on at [0-9a-f]{16}: one later one is there/u);
  assert.is(gap.code, undefined);
  bring(origin, two);
  flipBit(origin.files, join(INBOX, two), 8 * (SEGMENT_HEADER_BYTES + 5000));
  const damaged = await look(log, origin);
  assert.is(damaged.code, 'FOLDER_DAMAGED');
  assert.match(damaged.reason, two);
  bring(origin, two);
  assert.is((await look(log, origin)).code, undefined);
});

test('the same file twice changes nothing, and one of another resource is named', async () => {
  const origin = makeOrigin();
  fill(origin);
  await exportNow(origin, true);
  const [one = '', ...others] = exported(origin);
  const bytes = readFile(origin.files, join(OUTBOX, one));
  bring(origin, one, bytes.subarray(0, bytes.length - 100));
  bring(origin, one, bytes, 'log-000000001-copy');
  for (const name of others) bring(origin, name);
  origin.files.makeDirectory('/other');
  const plan = {...planFor(FILE_BYTES, '/other'), resourceId: '44'.repeat(16)};
  const other = new LogBuilder({files: origin.files, plan});
  other.beginEpoch(9, 9);
  other.write(1, 1);
  bring(origin, one, readFile(origin.files, '/other/log-000000009-alpha'), 'log-000000009-alpha');
  const log = new FolderLog(origin.files, INBOX, RESOURCE_ID);
  const view = await look(log, origin);
  assert.is(view.end, origin.builder.writer.position, view.reason);
  assert.equal(view.foreign, ['log-000000009-alpha']);
});

test('logfiles of another history are told as parted, and none of them counts', async () => {
  const origin = makeOrigin();
  fill(origin);
  await exportNow(origin, true);
  for (const name of exported(origin)) bring(origin, name);
  const log = new FolderLog(origin.files, INBOX, RESOURCE_ID);
  const record = origin.builder.records[2];
  assert.ok(record);
  const stand = standAt(origin, record.end, {low: 1, high: 2});
  const view = await log.look(stand, undefined);
  assert.is(view.kind, 'parted');
  const here = standAt(origin, record.end, record.chain);
  assert.is((await log.look(here, undefined)).kind, 'follow');
});

test.run();
