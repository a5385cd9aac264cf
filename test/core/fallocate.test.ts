/** fallocate(2) by a helper: what is asked, what is made of the answer, and what without one. */
import {execFileSync, spawn} from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {errnoOf} from '../../src/core/errors.js';
import {
  allocateRange,
  helperFromEnvironment,
  HELPERS_VARIABLE,
  punchRanges,
} from '../../src/core/fallocate.js';

const directory = fs.mkdtempSync(join(os.tmpdir(), 'mars-ranges-'));

test.after(() => {
  fs.rmSync(directory, {recursive: true});
});

/** A helper that writes down what it is asked and answers `answer`, or ends without one. */
async function withHelper(answer: string, use: (asked: () => string) => void): Promise<void> {
  const [requests, replies] = [join(directory, 'requests'), join(directory, 'replies')];
  execFileSync('mkfifo', [requests, replies]);
  const script = `exec 3<"$0" 4>"$1"; head -n 2 <&3 >"$2"; printf '%s' '${answer}' >&4`;
  const asked = join(directory, 'asked');
  const child = spawn('sh', ['-c', script, requests, replies, asked], {stdio: 'ignore'});
  const ended = new Promise((resolve) => child.once('exit', resolve));
  const fds = [fs.openSync(requests, 'w'), fs.openSync(replies, 'r')];
  process.env[HELPERS_VARIABLE] = `9:9,${fds.join(':')}`;
  try {
    use(() => fs.readFileSync(asked, 'utf8'));
  } finally {
    for (const fd of fds) fs.closeSync(fd);
    await ended;
    fs.rmSync(requests);
    fs.rmSync(replies);
    Reflect.deleteProperty(process.env, HELPERS_VARIABLE);
  }
}

test('a helper is asked by descriptor, and 0 is done', async () => {
  await withHelper('0\n', (asked) => {
    punchRanges(7, [4096, 8192], [], helperFromEnvironment(1));
    assert.is(asked(), 'punch 7 1\n4096 8192\n');
  });
});

test('an errno of the helper is thrown', async () => {
  await withHelper('28\n', () => {
    try {
      allocateRange(7, 4096, helperFromEnvironment(1));
      assert.unreachable();
    } catch (error) {
      assert.is(errnoOf(error), 'ENOSPC');
    }
  });
});

test('a helper that is gone is done without', async () => {
  const path = join(directory, 'file');
  const fd = fs.openSync(path, 'w+');
  try {
    await withHelper('', () => {
      allocateRange(fd, 8192, helperFromEnvironment(1));
    });
    assert.is(fs.fstatSync(fd).size, 8192);
    assert.is(fs.fstatSync(fd).blocks, 16);
    punchRanges(fd, [0, 4096], [], undefined);
    assert.is(fs.fstatSync(fd).blocks, 8);
  } finally {
    fs.closeSync(fd);
  }
});

test('without the variable there is no helper', () => {
  assert.is(helperFromEnvironment(0), undefined);
});

test.run();
