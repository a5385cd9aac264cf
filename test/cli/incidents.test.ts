/** The ten incidents of OPERATING.md: their words can be explained, and their tests are there. */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {explainWord} from '../../src/cli/explanation.js';

const ROOT = path.join(import.meta.dirname, '..', '..');
const page = fs.readFileSync(path.join(ROOT, 'docs/OPERATING.md'), 'utf8');
const section = page.slice(page.indexOf('### Ten incidents'), page.indexOf('## Backup and moving'));

/** Cells of the rows that begin with a number. */
function rows(columns: number): string[][] {
  return section
    .split('\n')
    .filter((line) => /^\| \d/u.test(line))
    .map((line) => line.split(' | ').map((cell) => cell.replace(/^\| | *\|?$/gu, '').trim()))
    .filter((cells) => cells.length === columns);
}

test('each of the ten has words that mars explain knows', () => {
  const incidents = rows(4);
  assert.is(incidents.length, 10);
  for (const [name = '', , words = ''] of incidents) {
    for (const word of words.split(', ')) {
      assert.ok(explainWord(word).meaning.length > 0, `${name}: ${word}`);
    }
  }
});

test('each of the ten has tests that exist under the names that the page gives', () => {
  const tests = rows(2);
  assert.equal(
    tests.map(([number]) => Number(number)),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  );
  for (const [, words = ''] of tests) {
    for (const word of words.split(/_; /u)) {
      const [, file = '', title = ''] = /^([\w/-]+): _(.*?)_?$/u.exec(word.trim()) ?? [];
      const kind = file.startsWith('e2e/') ? 'e2e' : 'test';
      const text = fs.readFileSync(path.join(ROOT, `test/${file}.${kind}.ts`), 'utf8');
      assert.ok(text.includes(`test('${title}`), `${file}: ${title}`);
    }
  }
});

test.run();
