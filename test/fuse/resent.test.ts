import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {ResentGuard} from '../../src/fuse/resent.js';

const HIGH = 0x80000000;
let directory = '';
let initFile = '';
let countsFile = '';

test.before.each(() => {
  directory = fs.mkdtempSync('/var/tmp/mars-resent-');
  initFile = path.join(directory, 'init');
  countsFile = `${initFile}.resent`;
});

test.after.each(() => {
  fs.rmSync(directory, {recursive: true, force: true});
});

test('a request that kills its process is refused the third time it is sent again (H16h)', () => {
  // Each guard is a generation; one that does not come to end() died.
  assert.is(new ResentGuard(initFile, true).begin(8, HIGH), true);
  assert.is(new ResentGuard(initFile, true).begin(8, HIGH), true);
  assert.is(new ResentGuard(initFile, true).begin(8, HIGH), false);
});

test('a request that only waits while others kill the process is never refused', () => {
  for (let generation = 0; generation < 10; generation += 1) {
    const guard = new ResentGuard(initFile, true);
    assert.is(guard.begin(8, HIGH), true);
    guard.end(); // PENDING: on the commit thread when the process dies
    if (generation < 2) assert.is(guard.begin(10, HIGH), true); // this one kills
  }
});

test('requests that differ in one bit of either word are counted apart', () => {
  assert.is(new ResentGuard(initFile, true).begin(8, HIGH), true);
  assert.is(new ResentGuard(initFile, true).begin(8, HIGH), true);
  const guard = new ResentGuard(initFile, true);
  assert.is(guard.begin(10, HIGH), true);
  guard.end();
  assert.is(guard.begin(8, HIGH + 1), true);
  guard.end();
  assert.is(guard.begin(8, HIGH), false);
});

test('after a refusal nothing is left, and the next guard begins from none', () => {
  for (let sight = 0; sight < 3; sight += 1) new ResentGuard(initFile, true).begin(8, HIGH);
  assert.not.ok(fs.existsSync(countsFile));
  assert.is(new ResentGuard(initFile, true).begin(8, HIGH), true);
});

test('counts of another mount do not count', () => {
  new ResentGuard(initFile, true).begin(8, HIGH);
  new ResentGuard(initFile, true).begin(8, HIGH);
  new ResentGuard(initFile, false);
  assert.is(new ResentGuard(initFile, true).begin(8, HIGH), true);
});

test('no file is written while nothing is resent', () => {
  new ResentGuard(initFile, false).end();
  assert.equal(fs.readdirSync(directory), []);
});

test('a damaged file of counts begins the counting again', () => {
  for (const text of ['', '{"80', '[1]', 'null', '{"8000000000000008":"x"}', '\0\0']) {
    fs.writeFileSync(countsFile, text);
    const guard = new ResentGuard(initFile, true);
    assert.is(guard.begin(8, HIGH), true);
    guard.end();
  }
});

test('the table is bounded', () => {
  for (let generation = 0; generation < 80; generation += 1) {
    new ResentGuard(initFile, true).begin(2 * generation, HIGH);
  }

  const counts = JSON.parse(fs.readFileSync(countsFile, 'utf8')) as object;
  assert.is(Object.keys(counts).length, 64);
});

test('a full disk loses the counts and nothing else', () => {
  fs.rmSync(directory, {recursive: true});
  const guard = new ResentGuard(initFile, true);
  assert.is(guard.begin(8, HIGH), true);
  guard.end();
  assert.is(guard.keep(Buffer.from('x'), 0, 1), `${countsFile}.request`);
  fs.mkdirSync(directory);
});

test('the first 4096 bytes of a refused request are kept', () => {
  const guard = new ResentGuard(initFile, true);
  const request = Buffer.alloc(10_000, 'r');
  const file = guard.keep(request, 100, 9000);
  assert.is(fs.readFileSync(file).byteLength, 4096);
  assert.is(fs.readFileSync(guard.keep(request, 100, 17)).byteLength, 17);
});

test.run();
