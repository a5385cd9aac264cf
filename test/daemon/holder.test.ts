import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {fatalIn} from '../../src/daemon/holder.js';

const test = suite('holder output');

test('the last fatal line counts, words of the shell and half lines do not', () => {
  const fatal = (code: string): string =>
    JSON.stringify({fatal: {code, message: `is ${code}`, details: {bytes: 1}}});
  const text = [fatal('LOG_IO'), 'sh: words', fatal('LOG_FORMAT'), '{"fatal": {"code": "LOG'];
  const error = fatalIn(text.join('\n'));
  assert.is(error?.code, 'LOG_FORMAT');
  assert.is(error?.message, 'is LOG_FORMAT');
  assert.equal(error?.details, {bytes: 1});
  assert.is(fatalIn(''), undefined);
  assert.is(fatalIn(fatal('NO_SUCH_CODE')), undefined);
  assert.is(fatalIn('{"level": 30}\n[]\n{}\nnull'), undefined);
});

test.run();
