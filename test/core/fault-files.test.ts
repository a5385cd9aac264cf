import {test} from 'uvu';
import * as assert from 'uvu/assert';
import fs from 'node:fs';
import {join} from 'node:path';
import {
  createFaultFiles,
  createFilesFromEnvironment,
  FAULTS_VARIABLE,
  parseFaultPlan,
} from '../../src/core/fault-files.js';
import {createNodeFiles} from '../../src/core/files.js';
import type {Files} from '../../src/core/files.js';
import {errnoOf, storeError} from '../../src/core/errors.js';

let directory = '';
let plan = '';
let files: Files;
let fd = -1;

test.before.each(() => {
  directory = fs.mkdtempSync('/var/tmp/mars-fault-files-');
  plan = join(directory, 'plan.json');
  files = createFaultFiles(createNodeFiles(), plan);
  fd = files.open(join(directory, 'log-1'), 'create');
});
test.after.each(() => {
  files.close(fd);
  fs.rmSync(directory, {recursive: true});
});

function write(): void {
  files.write(fd, Buffer.from('x'), 0, 1, 0);
}

function hasErrno(code: string): (error: unknown) => boolean {
  return (error) => errnoOf(error) === code;
}

/** The content differs in size, so that the plan is seen even within one tick of the clock. */
function setPlan(rules: readonly object[]): void {
  fs.writeFileSync(plan, JSON.stringify(rules));
}

test('without a plan every call passes', () => {
  write();
  files.syncData(fd);
  files.sync(fd);
  files.truncate(fd, 10);
  assert.is(files.sizeOf(fd), 10);
  assert.is(files.read(fd, Buffer.alloc(4), 0, 4, 0), 4);
  files.makeDirectory(join(directory, 'sub'));
  files.rename(join(directory, 'log-1'), join(directory, 'log-2'));
  assert.equal(files.list(directory), ['log-2', 'sub']);
  files.syncDirectory(directory);
  assert.ok(files.exists(join(directory, 'log-2')));
  assert.is(files.identify(fd).sizeBytes, 10);
  files.punch(fd, [0, 4096]);
  files.unlink(join(directory, 'log-2'));
});

test('a rule lets `after` calls pass and fails `count` of them', () => {
  setPlan([{path: 'log-', call: 'write', after: 1, count: 2, errno: 'ENOSPC'}]);
  write();
  assert.throws(write, hasErrno('ENOSPC'));
  assert.throws(write, hasErrno('ENOSPC'));
  write();
});

test('a rule meets only its call and its path', () => {
  setPlan([
    {path: 'image$', call: 'write', errno: 'EIO'},
    {path: 'log-', call: 'syncData', errno: 'EIO'},
  ]);
  write();
  files.sync(fd);
  assert.throws(() => {
    files.syncData(fd);
  }, hasErrno('EIO'));
});

test('a plan is switched on, changed and off while the process runs', () => {
  write();
  setPlan([{path: '.', call: 'write', errno: 'EIO'}]);
  assert.throws(write, hasErrno('EIO'));
  setPlan([{path: '.', call: 'write', errno: 'ENOSPC', after: 0}]);
  assert.throws(write, hasErrno('ENOSPC'));
  fs.writeFileSync(plan, '[{"path": ".", "ca');
  assert.throws(write, hasErrno('ENOSPC'), 'half written: the plan before it stays');
  fs.rmSync(plan);
  write();
});

test('a delay holds the call up and lets it pass', () => {
  setPlan([{path: '.', call: 'read', delayMs: 30}]);
  const before = performance.now();
  assert.is(files.read(fd, Buffer.alloc(1), 0, 1, 0), 0);
  assert.ok(performance.now() - before >= 29);
});

test('descriptors that another thread opened are known by their path', () => {
  setPlan([{path: 'log-1$', call: 'write', errno: 'EIO'}]);
  const foreign = fs.openSync(join(directory, 'log-1'), 'r+');
  try {
    assert.throws(() => {
      files.write(foreign, Buffer.from('x'), 0, 1, 0);
    }, hasErrno('EIO'));
  } finally {
    fs.closeSync(foreign);
  }
});

test('an injected error becomes a DiskError like a real one', () => {
  setPlan([{path: '.', call: 'open', errno: 'EROFS'}]);
  try {
    files.open(join(directory, 'log-1'), 'read');
    assert.unreachable();
  } catch (error) {
    const wrapped = storeError(error, 'open the log');
    assert.match(String(wrapped), 'cannot open the log: EROFS');
  }
});

for (const text of [
  '{}',
  '[1]',
  '[{"path": 1, "call": "read"}]',
  '[{"path": "."}]',
  '[{"path": "(", "call": "read"}]',
  '[{"path": ".", "call": "read", "after": "1"}]',
  '[{"path": ".", "call": "read", "errno": "EWRONG"}]',
]) {
  test(`the plan ${text} is refused`, () => {
    assert.throws(() => parseFaultPlan(text), /./u);
  });
}

test('the environment decides whether files are wrapped', () => {
  const before = process.env[FAULTS_VARIABLE];
  try {
    process.env[FAULTS_VARIABLE] = plan;
    setPlan([{path: '.', call: 'list', errno: 'EIO'}]);
    assert.throws(() => createFilesFromEnvironment().list(directory), hasErrno('EIO'));
    process.env[FAULTS_VARIABLE] = '';
    assert.equal(createFilesFromEnvironment().list(directory), ['log-1', 'plan.json']);
  } finally {
    if (before === undefined) Reflect.deleteProperty(process.env, FAULTS_VARIABLE);
    else process.env[FAULTS_VARIABLE] = before;
  }
});

test.run();
