/** docs/LOG_FORMAT.md against the code: its example byte for byte, its tables by their numbers. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fs from 'node:fs';
import {join} from 'node:path';
import {PAYLOAD_BYTES_MAX} from '../../src/core/limits.js';
import {formatChain, RECORD} from '../../src/log/record.js';
import {SEGMENT_HEADER_BYTES} from '../../src/log/segment.js';
import {readHeader, readRecords} from './independent-reader.js';
import {LogBuilder, makeSimDisk, planFor, readFile} from './log-builder.js';

const TEXT = fs.readFileSync(join(import.meta.dirname, '../../docs/LOG_FORMAT.md'), 'utf8');

/** The bytes of the example's hex blocks in a file of zeros, with the payload that the text tells. */
function exampleBytes(): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES + 32_768);
  for (let at = 0; at < 4096; at += 4) bytes.writeUInt32LE(at, 0x1080 + at);
  for (const [, block = ''] of TEXT.matchAll(/```hex\n([^`]+)```/gu)) {
    for (const line of block.trim().split('\n')) {
      const [offset = '', ...words] = line.split(/\s+/u);
      bytes.write(words.join(''), Number.parseInt(offset, 16), 16, 'hex');
    }
  }

  return bytes;
}

test('the example is what the writer writes', () => {
  const files = makeSimDisk();
  const plan = planFor(SEGMENT_HEADER_BYTES + 32_768);
  const log = new LogBuilder({files, plan});
  log.beginEpoch(1, 1);
  log.write(3, 0);
  log.flush();
  log.plain(RECORD.discard, 8, 16);
  assert.ok(readFile(files, '/log/log-000000001-alpha').equals(exampleBytes()));
  for (const record of log.records) assert.match(TEXT, `\`${formatChain(record.chain)}\``);
  assert.match(TEXT, `0x${log.writer.position.toString(16)} with chain`);
});

test('the example is read by the reader that was written from the document', () => {
  const segment = readHeader('', exampleBytes());
  assert.ok(typeof segment === 'object');
  const records = readRecords(segment);
  assert.equal(
    records.map(({type, disk, length}) => [type, disk, length]),
    [
      [1, 0x3000, 4096],
      [2, 0x8000, 0x1_0000],
    ],
  );
});

test('the document has every type of record, by number and name, and the bounds', () => {
  for (const [name, type] of Object.entries(RECORD)) {
    assert.match(TEXT, new RegExp(`\\| +${type} \\| ${name.toUpperCase()} +\\|`, 'u'));
  }

  assert.match(TEXT, String(PAYLOAD_BYTES_MAX));
});

test('the tables have no holes and no overlaps', () => {
  for (const [heading, size] of [
    ['## Segment', 4096],
    ['## Record', 128],
  ] as const) {
    const section = TEXT.slice(TEXT.indexOf(`${heading}\n`)).split('**Binding**')[0] ?? '';
    let next = 0;
    for (const [, offset, length] of section.matchAll(/^\| +(\d+) \| +(\d+) \|/gmu)) {
      if (next === size) break;
      assert.is(Number(offset), next, `${heading} at ${String(offset)}`);
      next += Number(length);
    }

    assert.is(next, size, heading);
  }
});

test.run();
