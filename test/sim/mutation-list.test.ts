/** The lists of deliberate bugs keep up with the source; whether seeds find them, `npm run sim:mutation` proves. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fs from 'node:fs';
import {join} from 'node:path';
import {MUTATIONS} from './mutation-list.js';
import {PAIR_MUTATIONS} from './pair-mutation-list.js';

const SOURCE = join(import.meta.dirname, '../../src');
const ALL = [...MUTATIONS, ...PAIR_MUTATIONS];

test('each deliberate bug has its one place in the source, and changes it', () => {
  for (const {name, file, find, replace} of ALL) {
    const parts = fs.readFileSync(join(SOURCE, file), 'utf8').split(find);
    assert.is(parts.length, 2, `${name}: ${parts.length - 1} places in src/${file}`);
    assert.is.not(find, replace, name);
  }
});

test('no two deliberate bugs have one name', () => {
  assert.is(new Set(ALL.map(({name}) => name)).size, ALL.length);
});

test.run();
