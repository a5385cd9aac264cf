import fs from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../../src/core/errors.js';
import {Slots, capInForce} from '../../../src/daemon/replication/slots.js';
import {readRetain} from '../../../src/disk/retained.js';

const BETA = 'b'.repeat(32);
const GAMMA = 'c'.repeat(32);

let home = '';
let nowMs = 0;
const clock = {wallMs: () => nowMs, monotonicMs: () => nowMs};
const path = (): string => join(home, 'resources', 'web', 'slots.json');

test.before.each(() => {
  home = fs.mkdtempSync(join(tmpdir(), 'mars-slots-'));
  fs.mkdirSync(join(home, 'resources', 'web'), {recursive: true});
  nowMs = 1000;
});
test.after.each(() => {
  fs.rmSync(home, {recursive: true, force: true});
});

test('without slots nothing is retained', () => {
  const slots = new Slots(path(), clock);
  assert.is(slots.retainFrom, undefined);
  assert.is(readRetain(home, 'web'), Infinity);
});

test('a pinned slot is in the file when pin returns, and the disk process reads it', () => {
  const slots = new Slots(path(), clock);
  slots.pin(BETA, 'beta', 4096);
  slots.pin(GAMMA, 'gamma', 512);
  assert.is(slots.retainFrom, 512);
  assert.is(readRetain(home, 'web'), 512);
  assert.is(new Slots(path(), clock).all.get(BETA)?.position, 4096);
});

test('an advance is in memory at once, in the file later, and never goes back', () => {
  const slots = new Slots(path(), clock);
  slots.pin(BETA, 'beta', 100);
  slots.advance(BETA, 300);
  slots.advance(BETA, 200);
  slots.flush();
  assert.is(slots.retainFrom, 300);
  assert.is(readRetain(home, 'web'), 100);
  nowMs += 5000;
  slots.flush();
  assert.is(readRetain(home, 'web'), 300);
});

test('an advance of a replica without a slot makes none', () => {
  const slots = new Slots(path(), clock);
  slots.advance(BETA, 300);
  assert.is(slots.retainFrom, undefined);
});

test('a dropped replica is remembered until it begins again', () => {
  const slots = new Slots(path(), clock);
  slots.pin(BETA, 'beta', 100);
  slots.drop(BETA);
  assert.is(new Slots(path(), clock).isDropped(BETA), true);
  assert.is(readRetain(home, 'web'), Infinity);
  slots.pin(BETA, 'beta', 900);
  assert.is(new Slots(path(), clock).isDropped(BETA), false);
});

test('a replica that left is forgotten', () => {
  const slots = new Slots(path(), clock);
  slots.pin(BETA, 'beta', 100);
  assert.is(slots.forget(BETA), true);
  assert.is(slots.forget(BETA), false);
  assert.is(new Slots(path(), clock).all.size, 0);
});

test('a pin that cannot be written leaves the slot as it was', () => {
  const slots = new Slots(path(), clock);
  slots.pin(BETA, 'beta', 100);
  fs.rmSync(join(home, 'resources'), {recursive: true});
  assert.throws(
    () => {
      slots.pin(BETA, 'beta', 50);
    },
    (error: unknown) => isDiskError(error, 'STORE_IO'),
  );
  assert.is(slots.all.get(BETA)?.position, 100);
});

test('a damaged file is an error, not an empty list', () => {
  fs.writeFileSync(path(), '{"schema": 1, "slots": {"x": {"position": "zz"}}}');
  assert.throws(
    () => new Slots(path(), clock),
    (error: unknown) => isDiskError(error, 'STATE_UNREADABLE'),
  );
});

test('the cap in force leaves half of the space', () => {
  assert.is(capInForce({capBytes: 1000, freeBytes: 5000, logBytes: 0}), 1000);
  assert.is(capInForce({capBytes: 1000, freeBytes: 300, logBytes: 500}), 400);
});

test.run();
