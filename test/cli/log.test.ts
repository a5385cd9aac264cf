/** `mars log show` and `mars log verify` on real logfiles, without a daemon. */
import fs from 'node:fs';
import path from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import type {LogReport} from '../../src/cli/log-report.js';
import {systemClock} from '../../src/core/clock.js';
import {createNodeFiles} from '../../src/core/files.js';
import {HOME_SCHEMA, resourcePaths} from '../../src/core/home.js';
import {TwoSlotFile} from '../../src/core/two-slot.js';
import {
  DURABLE_FILE_BYTES,
  encodeDurableWord,
  type DurableWord,
} from '../../src/log/durable-word.js';
import {RECORD, RECORD_HEADER_BYTES} from '../../src/log/record.js';
import {SEGMENT_HEADER_BYTES, segmentName, type SegmentHeader} from '../../src/log/segment.js';
import {LEAD_BYTES_MAX, LogWriter, TRAIL_BYTES_MAX} from '../../src/log/writer.js';
import {startFakeNode, type FakeNode} from '../helpers/fake-node.js';

const PAYLOAD_BYTES = 4096;
const RECORD_BYTES = RECORD_HEADER_BYTES + PAYLOAD_BYTES;
const RESOURCE_ID = 'ab'.repeat(16);
const FILE_1 = segmentName(1, 'alpha');

interface Context {
  node: FakeNode;
  log: string;
}

interface VerifyDocument {
  readonly ok: boolean;
  readonly logs: readonly LogReport[];
}

const test = suite<Context>('log');

test.before.each(async (context) => {
  context.node = await startFakeNode();
  // Neither command may need it.
  await context.node.daemon.stop();
  context.log = resourcePaths(context.node.home, 'web').logDirectory;
  makeLog(context.node.home);
});

test.after.each(async ({node}) => {
  await node.dispose();
});

test('show prints header and counts, and records where asked for', async ({node, log}) => {
  const file = path.join(log, FILE_1);
  const {stdout} = await node.run('log show', file);
  assert.match(stdout, /^log-000000001-alpha\n[\s\S]*records +4 \(WRITE 3, SEAL 1\)/u);
  const {document} = await node.json('log show', file, '--records', '--limit', '2');
  const records = document['records'] as Record<string, unknown>[];
  assert.is(document['number'], 1);
  assert.is(document['resource'], RESOURCE_ID);
  assert.is(document['start'], '0000000000000000');
  assert.equal(
    records.map((record) => [record['type'], record['diskOffset'], record['lengthBytes']]),
    [
      ['WRITE', 0, PAYLOAD_BYTES],
      ['WRITE', PAYLOAD_BYTES, PAYLOAD_BYTES],
    ],
  );
  assert.is((await node.json('log show', file)).document['records'], undefined);
  assert.is((await node.run('log show', file, '-r')).stdout.match(/ WRITE {4}at /gu)?.length, 3);
});

test('show of what is no logfile is refused', async ({node, log}) => {
  const cases: [string, number, string][] = [
    [path.join(log, 'nothing'), 2, 'USAGE'],
    [log, 2, 'USAGE'],
    [path.join(node.home, 'node.json'), 6, 'LOG_CORRUPT'],
  ];
  for (const [file, exit, code] of cases) {
    const result = await node.run('log show', file);
    assert.is(result.exit, exit, file);
    assert.is(result.code, code, file);
  }
});

test('a sound log is verified by name, by path, and with all', async ({node, log}) => {
  for (const words of [['web'], [log], [path.join(log, FILE_1)], ['all'], []]) {
    const {document, exit} = await node.json('log verify', ...words);
    const {ok, logs} = document as unknown as VerifyDocument;
    assert.is(exit, 0);
    assert.ok(ok);
    assert.is(logs[0]?.records, 6);
    assert.is(logs[0]?.files.length, 2);
    assert.equal(logs[0]?.faults, []);
  }

  const {stdout} = await node.run('log verify', 'web');
  assert.match(stdout, /^web: the log is sound: 6 records in 2 files, 0{16} to /u);
});

test('a flipped bit in a sealed file is damage at its position', async ({node, log}) => {
  flipBit(path.join(log, FILE_1), SEGMENT_HEADER_BYTES + RECORD_BYTES + 500);
  const {document, exit} = await node.json('log verify', 'web');
  const [fault] = (document as unknown as VerifyDocument).logs[0]?.faults ?? [];
  assert.is(exit, 6);
  assert.is(document['ok'], false);
  assert.is(fault?.file, FILE_1);
  assert.is(Number.parseInt(fault?.position ?? '', 16), RECORD_BYTES);
  const {stdout} = await node.run('log verify', 'web');
  assert.match(stdout, /DAMAGED[\s\S]*mars explain LOG_CORRUPT/u);
});

test('a torn tail is none, unless the image proves that it was durable', async ({node, log}) => {
  const file = path.join(log, segmentName(2, 'alpha'));
  flipBit(file, SEGMENT_HEADER_BYTES + RECORD_BYTES + 500);
  const torn = await node.json('log verify', 'web');
  const [report] = (torn.document as unknown as VerifyDocument).logs;
  assert.is(torn.exit, 0);
  assert.is(report?.records, 5);
  writeReplay(node.home, 0, Number.parseInt(report?.end ?? '', 16) + 1);
  const damaged = await node.json('log verify', 'web');
  assert.is(damaged.exit, 6);
  assert.match(JSON.stringify(damaged.document), /the image was written up to/u);
});

test('a torn tail is none, unless the node has said that it was durable', async ({node, log}) => {
  const file = path.join(log, segmentName(2, 'alpha'));
  const word = {epoch: 'ef'.repeat(16), position: 5 * RECORD_BYTES + RECORD_HEADER_BYTES};
  writeWord(node.home, word);
  assert.is((await node.run('log verify', 'web')).exit, 0, 'the log is whole');
  flipBit(file, SEGMENT_HEADER_BYTES + RECORD_BYTES + 500);
  const {document, exit} = await node.json('log verify', 'web');
  assert.is(exit, 6);
  const [fault] = (document as unknown as VerifyDocument).logs[0]?.faults ?? [];
  assert.is(fault?.file, segmentName(2, 'alpha'));
  assert.match(fault?.fault ?? '', /this node has made the log durable up to/u);
  writeWord(node.home, {...word, epoch: '99'.repeat(16)});
  assert.is((await node.run('log verify', 'web')).exit, 0, 'the word of a branch that is gone');
});

test('a file that the image needs and that is gone is damage', async ({node, log}) => {
  writeReplay(node.home, RECORD_BYTES, 2 * RECORD_BYTES);
  assert.is((await node.run('log verify', 'web')).exit, 0);
  fs.rmSync(path.join(log, FILE_1));
  const {document, exit} = await node.json('log verify', 'web');
  assert.is(exit, 6);
  assert.match(JSON.stringify(document), /the log begins behind/u);
  fs.rmSync(path.join(log, segmentName(2, 'alpha')));
  assert.match(JSON.stringify((await node.json('log verify', 'web')).document), /no logfile/u);
});

test('verify of what is not there is refused', async ({node}) => {
  const cases: [string, number, string][] = [
    ['nobody', 3, 'RESOURCE_UNKNOWN'],
    ['../x/y', 2, 'USAGE'],
    ['', 2, 'NAME_INVALID'],
  ];
  for (const [word, exit, code] of cases) {
    const result = await node.run('log verify', word);
    assert.is(result.exit, exit, word);
    assert.is(result.code, code, word);
  }

  fs.rmSync(path.join(node.home, 'resources'), {recursive: true});
  assert.is((await node.run('log verify')).code, 'NOT_INITIALISED');
});

test('words of --fsck without it, and positions that are none, are refused', async ({node}) => {
  for (const words of [
    ['--at', '10'],
    ['--fsck', '--at', 'xyz'],
    ['--fsck', '--at', '0', '--every', '2'],
    ['--fsck', '--every', '0'],
  ]) {
    const result = await node.run('log verify', 'web', ...words);
    assert.is(result.exit, 2, words.join(' '));
    assert.is(result.code, 'USAGE', words.join(' '));
  }

  const {code} = await node.run('log verify', 'web', '--fsck', '--scratch-limit', 'much');
  assert.is(code, 'SIZE_INVALID');
});

test('the log becomes a file for dm-log-writes, without a daemon', async ({node}) => {
  const file = path.join(node.home, 'writes');
  const args = ['log export', 'web', file, '--format', 'dm-log-writes'];
  const {document, exit} = await node.json(...(args as [string]));
  assert.is(exit, 0, JSON.stringify(document));
  assert.is(document['writes'], 5);
  assert.is(
    document['to'],
    (5 * RECORD_BYTES + RECORD_HEADER_BYTES).toString(16).padStart(16, '0'),
  );
  assert.is(fs.readFileSync(file).readBigUInt64LE(0), 0x6a736677736872n);
  // It never writes over a file.
  assert.is((await node.run(...(args as [string]))).exit, 2);
  assert.is((await node.run('log export', 'web', `${file}2`, '--from', '0')).code, 'USAGE');
  // A wrong word, not an error of a device.
  const nowhere = path.join(node.home, 'nowhere');
  const wrong = await node.run(
    'log export',
    'web',
    `${nowhere}/writes`,
    '--format',
    'dm-log-writes',
  );
  assert.is(wrong.code, 'USAGE');
  assert.match(wrong.stderr.replaceAll(/\s+/gu, ' '), `nothing is there: ${nowhere}`);
});

/** Two files: three writes and a seal, then two writes. */
function makeLog(home: string): void {
  const files = createNodeFiles();
  const {logDirectory, resourceFile} = resourcePaths(home, 'web');
  fs.mkdirSync(logDirectory, {recursive: true});
  fs.writeFileSync(resourceFile, JSON.stringify({schema: HOME_SCHEMA, id: RESOURCE_ID}));
  const state = {position: 0, chain: {low: 0, high: 0}, timeMs: 0};
  const writer = new LogWriter(files, systemClock, state);
  const payloadOffset = LEAD_BYTES_MAX + RECORD_HEADER_BYTES;
  const bytes = Buffer.alloc(payloadOffset + PAYLOAD_BYTES + TRAIL_BYTES_MAX, 'x');
  const begin = (number: number): number => {
    const fd = files.open(path.join(logDirectory, segmentName(number, 'alpha')), 'create');
    files.truncate(fd, 1024 * 1024);
    writer.beginSegment(fd, headerOf(number, writer));
    return fd;
  };
  const write = (index: number): void => {
    const offset = index * PAYLOAD_BYTES;
    writer.appendWrite(bytes, payloadOffset, PAYLOAD_BYTES, offset, 0, 0, 0);
  };
  const first = begin(1);
  for (const index of [0, 1, 2]) write(index);
  writer.appendPlain({type: RECORD.seal, logicalLength: 0, diskOffset: 0}, 0);
  files.close(first);
  const second = begin(2);
  for (const index of [3, 4]) write(index);
  files.close(second);
}

function headerOf(number: number, writer: LogWriter): SegmentHeader {
  return {
    started: true,
    resourceId: RESOURCE_ID,
    originId: 'cd'.repeat(16),
    epoch: 'ef'.repeat(16),
    originName: 'alpha',
    number,
    start: writer.position,
    chain: {...writer.chain},
    durable: 0,
    epochStart: 0,
    createdMs: Date.parse('2026-11-22T10:00:00Z'),
    diskSizeBytes: 1024 * 1024,
    alignmentBytes: 8,
    capacityBytes: 512 * 1024,
  };
}

function flipBit(file: string, offset: number): void {
  const bytes = fs.readFileSync(file);
  bytes[offset] = (bytes[offset] ?? 0) ^ 1;
  fs.writeFileSync(file, bytes);
}

function writeWord(home: string, word: DurableWord): void {
  const {durableFile, lineageFile} = resourcePaths(home, 'web');
  const [position, chain] = ['0'.repeat(16), '0'.repeat(16)];
  const known = {epoch: 'ef'.repeat(16), node: 'cd'.repeat(16), nodeName: 'alpha'};
  const entries = [{...known, start: position, chain}];
  fs.writeFileSync(lineageFile, JSON.stringify({schema: 1, entries}));
  const bytes = Buffer.alloc(DURABLE_FILE_BYTES);
  encodeDurableWord(bytes, word);
  fs.writeFileSync(durableFile, bytes);
}

function writeReplay(home: string, from: number, to: number): void {
  const {replayFile} = resourcePaths(home, 'web');
  fs.rmSync(replayFile, {force: true});
  TwoSlotFile.create(createNodeFiles(), replayFile, {schema: 1, from, to}).close();
}

test.run();
