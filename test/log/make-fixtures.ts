/**
 * Writes fixtures/log: `node --import tsx test/log/make-fixtures.ts`. Only cases that are not there
 * yet are written: what is stored stays as it is, so that every later version has to read it.
 */
import fs from 'node:fs';
import {join} from 'node:path';
import {gzipSync} from 'node:zlib';
import {FIXTURE_CASES, makeFixture} from './fixture-cases.js';
import {recordsOf, recoverFixture, type Fixture} from './fixture-results.js';

const ROOT = join(import.meta.dirname, '../../fixtures/log');
const EXPECTED = join(ROOT, 'expected.json');

fs.mkdirSync(ROOT, {recursive: true});
const stored: Fixture[] = fs.existsSync(EXPECTED)
  ? (JSON.parse(fs.readFileSync(EXPECTED, 'utf8')) as Fixture[])
  : [];
for (const fixture of FIXTURE_CASES) {
  if (stored.some(({name}) => name === fixture.name)) continue;
  const {name, what} = fixture;
  const {from, to, files} = makeFixture(fixture);
  fs.mkdirSync(join(ROOT, name));
  for (const [file, bytes] of files) {
    fs.writeFileSync(join(ROOT, name, `${file}.gz`), gzipSync(bytes, {level: 9}));
  }

  const expected = recoverFixture(files, from, to);
  stored.push({name, what, from, to, expected, records: recordsOf(files)});
  process.stdout.write(`${name}: ${expected.outcome} ${expected.position ?? ''}\n`);
}

fs.writeFileSync(EXPECTED, `${JSON.stringify(stored, null, 2)}\n`);
