import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {INIT_FLAG, OPCODE} from '../../src/fuse/abi.js';
import {loadInit, negotiate, saveInit} from '../../src/fuse/init.js';
import {createRig, golden, makeRequest} from '../helpers/fuse-bytes.js';

const OFFER = {
  major: 7,
  minor: 45,
  maxReadaheadBytes: 131072,
  flags: 0xffffffff,
  flags2: 0xffffffff,
};

test('of everything that a kernel offers only what we use is taken', () => {
  const result = negotiate(OFFER);
  assert.is(result.flags, 0x40408021);
  assert.is(result.flags & INIT_FLAG.WRITEBACK_CACHE, 0);
  assert.is(result.flags2, 128);
  assert.is(result.canResend, true);
  assert.is(result.maxWriteBytes, 1048576);
  assert.is(result.maxPages, 256);
});

test('nothing is taken that the kernel did not offer', () => {
  const result = negotiate({...OFFER, flags: 1, flags2: 0, minor: 31});
  assert.is(result.flags, 1);
  assert.is(result.canResend, false);
  assert.is(result.minor, 31);
});

test('a kernel newer than the protocol that we know gets our minor', () => {
  assert.is(negotiate({...OFFER, minor: 99}).minor, 45);
});

test('a kernel that is too old is FUSE_PROTOCOL', () => {
  for (const [major, minor] of [
    [7, 30],
    [6, 99],
  ] as const) {
    assert.throws(
      () => negotiate({...OFFER, major, minor}),
      (error: unknown) => isDiskError(error, 'FUSE_PROTOCOL'),
    );
  }
});

test('INIT is answered with the golden bytes, after it was told', () => {
  const rig = createRig();
  const [reply] = rig.ask(golden('request init'));
  assert.is(reply?.bytes.toString('hex'), golden('reply init').toString('hex'));
  assert.is(rig.inits.length, 1);
  assert.is(rig.inits[0]?.canResend, true);
});

test('INIT is not answered where it cannot be kept', () => {
  const rig = createRig(1024 * 1024, {
    onInit: () => {
      throw new Error('no space');
    },
  });
  assert.throws(() => rig.ask(golden('request init')), 'no space');
  assert.is(rig.replies.length, 0);
});

test('the old INIT of 16 bytes has no second flags', () => {
  const rig = createRig();
  const body = Buffer.alloc(16);
  body.writeUInt32LE(7, 0);
  body.writeUInt32LE(31, 4);
  body.writeUInt32LE(0xffffffff, 12);
  const [reply] = rig.ask(makeRequest(OPCODE.INIT, 0, [], body));
  assert.is(reply?.errno, 0);
  assert.is(rig.inits[0]?.flags2, 0);
});

test('a kernel with a larger major is answered with ours and asked again', () => {
  const rig = createRig();
  const request = golden('request init');
  request.writeUInt32LE(8, 40);
  const [reply] = rig.ask(request);
  assert.is(reply?.errno, 0);
  assert.is(reply?.body.readUInt32LE(0), 7);
  assert.is(rig.inits.length, 0);
});

test('what was saved is read back; a missing file is undefined, a bad one refused', () => {
  const directory = fs.mkdtempSync('/var/tmp/mars-init-');
  try {
    const file = path.join(directory, 'init');
    assert.is(loadInit(file), undefined);
    const result = negotiate(OFFER);
    saveInit(file, result);
    assert.equal(loadInit(file), result);
    fs.writeFileSync(file, '{"schema":1,"kernelMajor":7');
    assert.throws(
      () => loadInit(file),
      (error: unknown) => isDiskError(error, 'STATE_UNREADABLE'),
    );
    fs.writeFileSync(file, '{"schema":1,"kernelMajor":"7"}');
    assert.throws(
      () => loadInit(file),
      (error: unknown) => isDiskError(error, 'STATE_UNREADABLE'),
    );
  } finally {
    fs.rmSync(directory, {recursive: true});
  }
});

test.run();
