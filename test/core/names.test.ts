import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {checkName, NAME_LENGTH_MAX} from '../../src/core/names.js';
import {isDiskError} from '../../src/core/errors.js';

for (const name of ['a', '0', 'vol0', 'db.main_1-x', 'A'.repeat(NAME_LENGTH_MAX), 'All']) {
  test(`'${name}' is a name`, () => {
    assert.is(checkName('resource', name), name);
  });
}

const BAD = [
  '',
  '.',
  '..',
  '../x',
  'a/b',
  '/',
  '-x',
  '_x',
  '.hidden',
  'all',
  'none',
  'self',
  'local',
  'a b',
  'a\n',
  'a\0',
  'ä',
  'a%',
  'A'.repeat(NAME_LENGTH_MAX + 1),
];
for (const name of BAD) {
  test(`${JSON.stringify(name)} is refused with the rule that it breaks`, () => {
    assert.throws(
      () => checkName('node', name),
      (error: unknown) =>
        isDiskError(error, 'NAME_INVALID') && /cannot name a node: /u.test(error.message),
    );
  });
}

test.run();
