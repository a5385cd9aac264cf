import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fs from 'node:fs';
import {join} from 'node:path';
import {isObject, readJsonFile, writeJsonFile} from '../../src/core/json-file.js';
import {isDiskError} from '../../src/core/errors.js';
import type {ErrorCode} from '../../src/core/codes.js';
import {createRandom} from '../sim/random.js';
import {SimCrash, SimDisk} from '../sim/sim-disk.js';

let directory = '';
let file = '';

test.before.each(() => {
  directory = fs.mkdtempSync('/var/tmp/mars-json-file-');
  file = join(directory, 'state.json');
});
test.after.each(() => {
  fs.rmSync(directory, {recursive: true});
});

function check(value: unknown): {size: number} {
  if (!isObject(value) || typeof value['size'] !== 'number')
    throw new Error('"size" is not a number');
  return {size: value['size']};
}

function throwsCode(code: ErrorCode, act: () => unknown, message = /./u): void {
  assert.throws(act, (error: unknown) => isDiskError(error, code) && message.test(error.message));
}

test('what is written is read, with mode 0600, and nothing else is left', () => {
  writeJsonFile(file, {schema: 1, size: 5});
  writeJsonFile(file, {schema: 1, size: 6});
  assert.equal(readJsonFile(file, check), {size: 6});
  assert.equal(fs.readdirSync(directory), ['state.json']);
  assert.is(fs.statSync(file).mode & 0o777, 0o600);
});

test('what keeps a file from being written is told, also where the remains cannot be removed', () => {
  writeJsonFile(file, {schema: 1, size: 5});
  fs.mkdirSync(join(`${file}.tmp`, 'kept'), {recursive: true});
  throwsCode('STORE_IO', () => {
    writeJsonFile(file, {schema: 1, size: 6});
  });
  assert.equal(readJsonFile(file, check), {size: 5});
});

test('power loss at any call leaves the old file or the new one, whole, and the new one when it was written', () => {
  const path = '/home/state.json';
  let calls = 0;
  for (let isDone = false; !isDone;) {
    calls += 1;
    const disk = new SimDisk({random: createRandom(calls)});
    disk.makeDirectory('/home');
    disk.syncDirectory('/');
    writeJsonFile(path, {schema: 1, size: 5}, disk);
    disk.crashAfter(calls);
    try {
      writeJsonFile(path, {schema: 1, size: 6}, disk);
      isDone = true;
    } catch (error) {
      if (!(error instanceof SimCrash)) throw error;
    }

    for (const death of ['crash', 'kill'] as const) {
      disk[death]();
      const text = disk.peek(path, 0, disk.peekSize(path)).toString();
      const {size} = check(JSON.parse(text));
      assert.ok(isDone ? size === 6 : size === 5 || size === 6, `${size} after call ${calls}`);
    }

    // The next one is not in the way of what this one left.
    writeJsonFile(path, {schema: 1, size: 7}, disk);
    assert.match(disk.peek(path, 0, disk.peekSize(path)).toString(), /"size": 7/u);
  }

  assert.ok(calls > 6, `${calls} calls`);
});

test('a file that does not exist is undefined', () => {
  assert.is(readJsonFile(file, check), undefined);
});

test('a half-written file is unreadable at every length, names its path, and is not touched', () => {
  writeJsonFile(file, {schema: 1, size: 5});
  const whole = fs.readFileSync(file, 'utf8');
  for (let length = 0; length < whole.trimEnd().length; length += 1) {
    fs.writeFileSync(file, whole.slice(0, length));
    throwsCode('STATE_UNREADABLE', () => readJsonFile(file, check), /state\.json is not valid/u);
    assert.is(fs.readFileSync(file, 'utf8'), whole.slice(0, length));
  }
});

test('a newer schema is refused as such, before its content is judged', () => {
  fs.writeFileSync(file, '{"schema": 2, "size": "other"}');
  throwsCode('HOME_NEWER', () => readJsonFile(file, check), /schema 2/u);
});

for (const text of [
  '{"size": 5}',
  '{"schema": 0, "size": 5}',
  '{"schema": "1"}',
  'null',
  '[]',
  '7',
]) {
  test(`${text} is unreadable: no schema of ours`, () => {
    fs.writeFileSync(file, text);
    throwsCode('STATE_UNREADABLE', () => readJsonFile(file, check), /"schema" is not 1/u);
  });
}

test('a fault that the check names is in the message', () => {
  fs.writeFileSync(file, '{"schema": 1, "size": "5"}');
  throwsCode('STATE_UNREADABLE', () => readJsonFile(file, check), /"size" is not a number/u);
});

test('a failed write leaves the old file, and no temporary one', () => {
  writeJsonFile(file, {schema: 1, size: 5});
  const loop: Record<string, unknown> = {schema: 1};
  loop['self'] = loop;
  assert.throws(() => {
    writeJsonFile(file, loop);
  });
  assert.equal(readJsonFile(file, check), {size: 5});
  assert.equal(fs.readdirSync(directory), ['state.json']);
  throwsCode('STORE_IO', () => {
    writeJsonFile(join(directory, 'none', 'x.json'), {schema: 1});
  });
});

test("a temporary file of a crash is in nobody's way", () => {
  fs.writeFileSync(`${file}.tmp`, '{"schema": 1, "si');
  writeJsonFile(file, {schema: 1, size: 5});
  assert.equal(readJsonFile(file, check), {size: 5});
});

test('a file that cannot be read is an I/O error, not an absent one', () => {
  fs.mkdirSync(file);
  throwsCode('STORE_IO', () => readJsonFile(file, check));
});

test.run();
