import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fs from 'node:fs';
import {DiskError, errnoOf, isDiskError, storeError} from '../../src/core/errors.js';
import {CODES, EXIT, isErrorCode} from '../../src/core/codes.js';
import {EVENT_CODES} from '../../src/core/events.js';
import {assert as invariant, unreachable} from '../../src/core/assert.js';

function systemError(code: string): Error {
  return Object.assign(new Error(code), {code, syscall: 'write'});
}

const STORE_CODES: Readonly<Record<string, string>> = {
  ENOSPC: 'STORE_FULL',
  EDQUOT: 'STORE_FULL',
  EROFS: 'STORE_READ_ONLY',
  EIO: 'STORE_IO',
  EACCES: 'STORE_IO',
};
for (const [errno, code] of Object.entries(STORE_CODES)) {
  test(`${errno} of the file system becomes ${code} with its cause`, () => {
    const cause = systemError(errno);
    const error = storeError(cause, 'write /x');
    if (!isDiskError(error)) throw new Error('not a DiskError');
    assert.is(error.code, code);
    assert.is(error.message, `cannot write /x: ${errno}`);
    assert.equal(error.details, {errno});
    assert.is(error.cause, cause);
  });
}

test('what is no error of the system is passed on as it is', () => {
  const bug = new TypeError('bug');
  assert.is(storeError(bug, 'write'), bug);
  assert.is(errnoOf(bug), undefined);
  assert.is(errnoOf('EIO'), undefined);
  assert.is(errnoOf(Object.assign(new Error('x'), {code: 5, syscall: 'read'})), undefined);
  assert.is(errnoOf(new DiskError('BUG', 'x')), undefined);
});

test('errors of node:fs carry their errno', () => {
  try {
    fs.readFileSync('/nonexistent/file');
    assert.unreachable();
  } catch (error) {
    assert.is(errnoOf(error), 'ENOENT');
  }
});

test('isDiskError tells DiskErrors from others, and codes from each other', () => {
  const error = new DiskError('LOG_IO', 'x', {}, {cause: new Error('y')});
  assert.ok(isDiskError(error));
  assert.ok(isDiskError(error, 'LOG_IO'));
  assert.not(isDiskError(error, 'IMAGE_IO'));
  assert.not(isDiskError(new Error('LOG_IO')));
  assert.is(error.name, 'DiskError');
});

test('every code has an exit status, a meaning and a remedy that are sentences', () => {
  for (const [code, entry] of Object.entries(CODES)) {
    assert.match(code, /^[A-Z][A-Z_]+[A-Z]$/u);
    assert.type(EXIT[entry.exit], 'number');
    for (const text of [entry.meaning, entry.remedy]) {
      assert.ok(text.length > 10, `${code}: ${text}`);
    }
  }
});

test('codes of events and of errors do not collide, and are known as what they are', () => {
  for (const code of Object.keys(EVENT_CODES)) assert.not(isErrorCode(code), code);
  assert.ok(isErrorCode('BUG'));
  assert.not(isErrorCode('toString'));
});

test('exit statuses differ', () => {
  assert.is(new Set(Object.values(EXIT)).size, Object.keys(EXIT).length);
});

test('a broken invariant is an AssertionError with its message', () => {
  invariant(true, 'fine');
  assert.throws(() => {
    invariant(false, 'index < length');
  }, /index < length/u);
  assert.throws(() => unreachable('x' as never), /unreachable: x/u);
});

test.run();
