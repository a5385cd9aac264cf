/** Which part of the log slots.json keeps: the lowest slot counts, doubt keeps everything. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {resourcePaths} from '../../src/core/home.js';
import {formatPosition} from '../../src/core/position.js';
import {readRetain} from '../../src/disk/retained.js';

const home = fs.mkdtempSync(path.join(os.tmpdir(), 'mars-retained-'));
const {directory, slotsFile} = resourcePaths(home, 'vol0');
fs.mkdirSync(directory, {recursive: true});

test.after(() => {
  fs.rmSync(home, {recursive: true, force: true});
});

test('without slots nothing is retained, else the lowest slot counts', () => {
  assert.is(readRetain(home, 'vol0'), Infinity);
  fs.writeFileSync(slotsFile, JSON.stringify({schema: 1, slots: {}}));
  assert.is(readRetain(home, 'vol0'), Infinity);
  const slot = (position: number) => ({name: 'x', position: formatPosition(position), at: ''});
  const slots = {a: slot(5000), b: slot(4224), c: slot(2 ** 40)};
  fs.writeFileSync(slotsFile, JSON.stringify({schema: 1, slots}));
  assert.is(readRetain(home, 'vol0'), 4224);
});

for (const [what, text] of [
  ['no JSON', '{'],
  ['no slots', '{"schema": 1}'],
  ['a slot without position', '{"schema": 1, "slots": {"a": {}}}'],
  ['a position that is none', '{"schema": 1, "slots": {"a": {"position": "x"}}}'],
] as const) {
  test(`${what}: refused, not guessed`, () => {
    fs.writeFileSync(slotsFile, text);
    assert.throws(
      () => readRetain(home, 'vol0'),
      (error: unknown) => isDiskError(error, 'STATE_UNREADABLE'),
    );
  });
}

test.run();
