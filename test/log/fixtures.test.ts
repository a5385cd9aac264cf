/** The golden logs: what is stored is read as it always was, and by a reader that shares no code. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fs from 'node:fs';
import {join} from 'node:path';
import {gunzipSync} from 'node:zlib';
import {formatPosition} from '../../src/core/position.js';
import {TwoSlotFile} from '../../src/core/two-slot.js';
import {DURABLE_FILE_BYTES, encodeDurableWord} from '../../src/log/durable-word.js';
import {RECORD} from '../../src/log/record.js';
import {FIXTURE_CASES, makeFixture} from './fixture-cases.js';
import {recordsOf, recoverFixture, type Fixture} from './fixture-results.js';
import {
  isBound,
  readHeader,
  readDurable,
  readIndex,
  readLog,
  readRecords,
  readTwoSlots,
} from './independent-reader.js';
import {makeSimDisk, readFile, RESOURCE_ID} from './log-builder.js';

const ROOT = join(import.meta.dirname, '../../fixtures/log');
const fixtures = JSON.parse(fs.readFileSync(join(ROOT, 'expected.json'), 'utf8')) as Fixture[];

function load(name: string): Map<string, Buffer> {
  const directory = join(ROOT, name);
  return new Map(
    fs
      .readdirSync(directory)
      .sort()
      .map((file) => [
        file.replace(/\.gz$/u, ''),
        gunzipSync(fs.readFileSync(join(directory, file))),
      ]),
  );
}

test('every case is stored, and every stored one is a case', () => {
  const names = fixtures.map(({name}) => name).sort();
  assert.equal(names, FIXTURE_CASES.map(({name}) => name).sort());
  assert.equal(
    names,
    fs
      .readdirSync(ROOT)
      .filter((name) => name !== 'expected.json')
      .sort(),
  );
});

for (const {name, what, from, to, expected, records} of fixtures) {
  test(`${name}: ${what}`, () => {
    const files = load(name);
    assert.equal(recoverFixture(files, from, to), expected);
    assert.equal(recordsOf(files), records);
  });

  test(`${name}: the reader written from the document agrees`, () => {
    const files = load(name);
    const found = readLog(files, RESOURCE_ID, {from, to});
    const verdicts = {end: 'end', LOG_CORRUPT: 'damaged', LOG_FORMAT: 'refused'} as const;
    assert.is(found.verdict, verdicts[expected.outcome]);
    if (expected.outcome === 'LOG_FORMAT') return;
    assert.is(formatPosition(found.position), expected.position);
    if (expected.outcome === 'LOG_CORRUPT') return;
    assert.is(found.chain, expected.chain);
    assert.is(found.disk, expected.diskSizeBytes);
    assert.equal(found.segments, expected.segments);
  });

  test(`${name}: both readers list the same records of each file`, () => {
    const files = load(name);
    const types = Object.entries(RECORD);
    for (const [file, described] of Object.entries(records)) {
      const segment = readHeader(file, files.get(file) ?? Buffer.alloc(0));
      assert.ok(segment !== undefined && segment !== 'refuse');
      const found = readRecords(segment).map((record) => ({
        position: formatPosition(record.position),
        type: types.find(([, type]) => type === record.type)?.[0].toUpperCase() ?? '',
        diskOffset: record.disk,
        lengthBytes: record.length,
        storedBytes: record.stored,
        durable: formatPosition(record.durable),
        time: new Date(record.time).toISOString(),
        chain: record.chain,
      }));
      assert.equal(found, described);
    }
  });
}

/** Behind the end of a log in a file that was used before lies what no format promises. */
function usedBytes(fixture: string, bytes: Buffer): number {
  if (fixture !== 'recycled') return bytes.length;
  const segment = readHeader('', bytes);
  if (segment === undefined || segment === 'refuse') return bytes.length;
  const last = readRecords(segment).at(-1);
  return last === undefined ? bytes.length : 4096 + last.end - segment.start;
}

test('this version still writes what is stored, byte for byte', () => {
  for (const fixture of FIXTURE_CASES) {
    const stored = load(fixture.name);
    const {files} = makeFixture(fixture);
    assert.equal([...files.keys()], [...stored.keys()], fixture.name);
    for (const [name, bytes] of files) {
      const before = stored.get(name) ?? Buffer.alloc(0);
      const used = usedBytes(fixture.name, bytes);
      assert.ok(
        bytes.subarray(0, used).equals(before.subarray(0, used)),
        `${fixture.name}/${name}`,
      );
      assert.is(bytes.length, before.length);
    }
  }
});

test('index file and binding are as the document says', () => {
  const files = load('indexed');
  const [first, second] = [files.get('log-000000001-alpha'), files.get('log-000000002-alpha')];
  const index = readIndex(files.get('log-000000001-alpha.idx') ?? Buffer.alloc(0));
  assert.ok(first && second && index);
  assert.ok(isBound(second, first));
  assert.not(isBound(second, second));
  const next = readHeader('', second);
  const segment = readHeader('', first);
  assert.ok(typeof next === 'object' && typeof segment === 'object');
  assert.is(index.end, next.start);
  assert.is(index.chain, next.chain);
  assert.is(index.disk, next.disk);
  const blocks = new Map<number, number>();
  for (const {type, disk, stored, position} of readRecords(segment, next.start)) {
    for (let at = 0; type === 1 && at < stored; at += 4096) {
      blocks.set((disk + at) / 4096, position + 128 + at);
    }
  }

  const sorted = (map: ReadonlyMap<number, number>): unknown => [...map].sort(([a], [b]) => a - b);
  assert.equal(sorted(index.blocks), sorted(blocks));
  assert.equal(
    index.extents.map(([start, end]) => [start, end]),
    [
      [0, 2],
      [2, 3],
      [3, 4],
    ],
  );
});

test('the file `durable` is as the document says', () => {
  const bytes = Buffer.alloc(DURABLE_FILE_BYTES);
  const epoch = '0123456789abcdef'.repeat(2);
  encodeDurableWord(bytes, {epoch, position: 2 ** 33 + 8});
  const lineage = [
    {epoch: 'f'.repeat(32), start: 0},
    {epoch, start: 64},
  ];
  assert.is(readDurable(bytes, lineage), 2 ** 33 + 8);
  assert.is(readDurable(bytes, lineage.slice(0, 1)), 0);
  assert.is(readDurable(bytes, [...lineage, {epoch: 'a'.repeat(32), start: 2 ** 33}]), 0);
  assert.is(
    readDurable(bytes, [...lineage, {epoch: 'a'.repeat(32), start: 2 ** 33 + 8}]),
    2 ** 33 + 8,
  );
});

test('what only the file `durable` proves is damage for both readers', () => {
  const files = load('rot-last-commit');
  const end = 4224;
  const found = readLog(files, RESOURCE_ID, {from: 0, to: 0, durable: end});
  assert.equal([found.verdict, found.position], ['damaged', 0]);
  assert.equal(recoverFixture(files, 0, 0, end), {
    outcome: 'LOG_CORRUPT',
    position: formatPosition(0),
  });
});

test('two-slot files are as the document says', () => {
  const disk = makeSimDisk();
  const file = TwoSlotFile.create(disk, '/log/replay', {schema: 1, from: 0});
  for (let from = 1; from < 6; from += 1) {
    file.write({schema: 1, from});
    const bytes = readFile(disk, '/log/replay');
    assert.is(bytes.length, 8192);
    assert.equal(readTwoSlots(bytes), {schema: 1, from});
  }
});

test.run();
