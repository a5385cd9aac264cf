/**
 * The loop around /dev/fuse, with a regular file in its place: what lies in it is one request, the
 * reply comes behind it, and the end of the file looks like the end of the mount.
 */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {UNIQUE_LOW_SECOND} from '../../src/fuse/abi.js';
import type {InitResult} from '../../src/fuse/init.js';
import type {KernelSessionOptions} from '../../src/fuse/kernel-session.js';
import {runKernelSession} from '../../src/fuse/kernel-session.js';
import {createKernelResponder} from '../../src/fuse/responder.js';
import {golden} from '../helpers/fuse-bytes.js';
import {createMemoryHandler} from '../helpers/memory-handler.js';

const NOTIFICATION = golden('notify resend');
let directory = '';
let initFile = '';

interface Run {
  readonly end: string;
  /** All that was written to the device, in hex: behind the request, or the notification first. */
  readonly written: string;
  readonly inits: InitResult[];
  readonly reports: string[];
  readonly resent: number;
}

function runOnce(request: Buffer, options: Partial<KernelSessionOptions> = {}): Run {
  const device = path.join(directory, 'device');
  const isRestart = options.resend === true;
  // The notification of a restart is written before the first read: it needs room in front.
  fs.writeFileSync(device, isRestart ? Buffer.concat([Buffer.alloc(16), request]) : request);
  const fd = fs.openSync(device, 'r+');
  const inits: InitResult[] = [];
  const reports: string[] = [];
  let resent = 0;
  try {
    const end = runKernelSession({
      fd,
      handler: createMemoryHandler(Buffer.alloc(1024 * 1024)),
      initFile,
      resend: false,
      onInit: (init) => inits.push(init),
      report: (code, severity, text) => reports.push(`${code} ${severity} ${text}`),
      onResent: () => (resent += 1),
      wallMs: () => 1_763_800_000_000,
      ...options,
    });
    const bytes = fs.readFileSync(device);
    const head = isRestart ? bytes.subarray(0, 16) : Buffer.alloc(0);
    const tail = bytes.subarray((isRestart ? 16 : 0) + request.byteLength);
    const written = Buffer.concat([head, tail]).toString('hex');
    return {end, written, inits, reports, resent};
  } finally {
    fs.closeSync(fd);
  }
}

/** As the kernel sends it the first time: without bit 63. */
function firstSent(name: string): Buffer {
  const request = golden(name);
  request.writeUInt32LE(1, 12);
  return request;
}

test.before.each(() => {
  directory = fs.mkdtempSync('/var/tmp/mars-session-');
  initFile = path.join(directory, 'init');
});

test.after.each(() => {
  fs.rmSync(directory, {recursive: true, force: true});
});

test('INIT is in its file before it is answered (H16b)', () => {
  let saved = false;
  const {end, written, inits} = runOnce(firstSent('request init'), {
    onInit: () => {
      saved = fs.existsSync(initFile);
    },
  });
  const reply = golden('reply init');
  reply.writeUInt32LE(1, 12);
  assert.is(written, reply.toString('hex'));
  assert.is(end, 'unmounted');
  assert.ok(saved);
  assert.equal(inits, []);
});

test('INIT is not answered where its file cannot be written', () => {
  initFile = path.join(directory, 'missing', 'init');
  assert.throws(() => runOnce(firstSent('request init')), /cannot write/);
  assert.is(fs.readFileSync(path.join(directory, 'device')).byteLength, 40 + 64);
});

test('a restart reads INIT back, asks for what was left, and answers with bit 63', () => {
  runOnce(firstSent('request init'));
  const run = runOnce(golden('request fsync'), {resend: true});
  const reply = '1000000000000000f6ffffff01000080';
  assert.is(run.written, NOTIFICATION.toString('hex') + reply);
  assert.is(run.inits[0]?.canResend, true);
  assert.is(run.resent, 1);
  assert.equal(run.reports, []);
  assert.not.ok(fs.existsSync(`${initFile}.resent`));
});

test('a restart before INIT was answered gets INIT again', () => {
  const run = runOnce(golden('request init'), {resend: true});
  assert.is(run.written, NOTIFICATION.toString('hex') + golden('reply init').toString('hex'));
  assert.ok(fs.existsSync(initFile));
});

test('a request that the handler dies of is answered with EIO the third time, and kept (H16h)', () => {
  const handler = createMemoryHandler(Buffer.alloc(1024), () => {
    throw new Error('dies');
  });
  handler.sizeBytes = () => 2 ** 40;
  const request = golden('request write');
  assert.throws(() => runOnce(firstSent('request write'), {handler}), /dies/);
  assert.throws(() => runOnce(request, {handler, resend: true}), /dies/);
  assert.throws(() => runOnce(request, {handler, resend: true}), /dies/);
  const healthy = createMemoryHandler(Buffer.alloc(1024));
  const run = runOnce(request, {handler: healthy, resend: true});
  assert.is(run.written, NOTIFICATION.toString('hex') + golden('reply EIO').toString('hex'));
  assert.is(healthy.calls.write, 0);
  assert.match(run.reports[0] ?? '', /^FUSE_RESENT critical .*init\.resent\.request$/);
  assert.equal(fs.readFileSync(`${initFile}.resent.request`), request);
});

test('a session stops after a request when it is told to', () => {
  const {end} = runOnce(golden('request lookup'), {isStopped: () => true});
  assert.is(end, 'stopped');
});

/** A session on calls of the device that fail with these codes, in order. */
function runFailing(resend: boolean, reads: string[], writes: string[]): [string, string[]] {
  const {readSync, writeSync} = fs;
  const reports: string[] = [];
  const failWith = (codes: string[], syscall: string) => (): never => {
    const code = codes.shift() ?? 'EBADF';
    throw Object.assign(new Error(code), {code, syscall});
  };

  fs.readSync = failWith(reads, 'read');
  fs.writeSync = failWith(writes, 'write');
  try {
    const end = runKernelSession({
      fd: -1,
      handler: createMemoryHandler(Buffer.alloc(4096)),
      initFile,
      resend,
      onInit: () => undefined,
      report: (code, severity) => reports.push(`${code} ${severity}`),
    });
    return [end, reports];
  } finally {
    fs.readSync = readSync;
    fs.writeSync = writeSync;
  }
}

test('a kernel that cannot resend is reported, and served', () => {
  assert.equal(runFailing(true, ['ENODEV'], ['EINVAL']), ['unmounted', ['KERNEL_OLD critical']]);
});

test('reading goes on after an aborted request, and ends when the mount is gone', () => {
  const codes = ['ENOENT', 'EINTR', 'EAGAIN', 'ENODEV', 'EIO'];
  assert.equal(runFailing(false, codes, []), ['unmounted', []]);
  assert.equal(codes, ['EIO']);
  assert.throws(() => runFailing(false, codes, []), /EIO/);
});

interface Second {
  /** What the handler was asked. */
  readonly asked: string[];
  /** Replies behind the request of each descriptor: `unique errno`. */
  readonly first: string[];
  readonly second: string[];
  readonly disk: Buffer;
}

/** One request on each of the two descriptors, then the end of the mount. */
function runSecond(first: Buffer, second: Buffer, takesBatches = true): Second {
  const paths = ['device', 'second'].map((name) => path.join(directory, name));
  [first, second].forEach((request, index) => {
    fs.writeFileSync(paths[index] ?? '', request);
  });
  const [fd = -1, secondFd = -1] = paths.map((file) => fs.openSync(file, 'r+'));
  const asked: string[] = [];
  const handler = createMemoryHandler(Buffer.alloc(1024 * 1024), (name) => asked.push(name));
  handler.writeBatch = ({count, payloadOffset, bytes, offsets, lengths}) => {
    asked.push(`batch of ${count}`);
    if (!takesBatches) return false;
    assert.is(count, 1, 'the other request is of another kind, or has its own turn');
    bytes.copy(handler.disk, offsets[0], payloadOffset, payloadOffset + (lengths[0] ?? 0));
    return true;
  };
  try {
    runKernelSession({
      ...{fd, secondFd, handler, initFile, resend: false, wallMs: () => 0},
      onInit: () => undefined,
      report: () => undefined,
    });
  } finally {
    fs.closeSync(fd);
    fs.closeSync(secondFd);
  }

  const replies = [first, second].map((request, index) => {
    const bytes = fs.readFileSync(paths[index] ?? '').subarray(request.length);
    const found: string[] = [];
    for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at)) {
      found.push(`${bytes.readUInt32LE(at + 8)} ${bytes.readInt32LE(at + 4)}`);
    }

    return found;
  });
  return {asked, first: replies[0] ?? [], second: replies[1] ?? [], disk: handler.disk};
}

function writeRequest(unique: number, offset: number, fill: number): Buffer {
  const request = Buffer.concat([Buffer.alloc(80), Buffer.alloc(4096, fill)]);
  request.writeUInt32LE(request.length, 0);
  request.writeUInt32LE(16, 4);
  request.writeUInt32LE(unique, 8);
  request.writeUInt32LE(2, 16);
  request.writeUInt32LE(offset, 48);
  request.writeUInt32LE(4096, 56);
  return request;
}

function flushRequest(unique: number): Buffer {
  const request = firstSent('request fsync');
  request.writeUInt32LE(unique, 8);
  return request;
}

test('a write that waits behind another is staged, and each is answered where it was read', () => {
  const run = runSecond(writeRequest(10, 0, 1), writeRequest(12, 8192, 2));
  assert.equal(run.first, ['10 0']);
  assert.equal(run.second, ['12 0']);
  assert.equal(run.asked, ['write', 'afterRequest', 'batch of 1', 'afterRequest']);
  assert.is(run.disk[0], 1);
  assert.is(run.disk[8192], 2);
});

test('a flush that waits behind a write is answered on its own descriptor, its unique as it was', () => {
  const run = runSecond(writeRequest(10, 0, 1), flushRequest(14));
  assert.equal(run.asked, ['write', 'afterRequest', 'flush', 'afterRequest']);
  assert.equal(run.first, ['10 0']);
  assert.equal(run.second, ['14 0']);
});

test('a batch that the handler does not take is written one by one', () => {
  const run = runSecond(writeRequest(10, 0, 1), writeRequest(12, 8192, 2), false);
  assert.equal(run.asked, ['write', 'afterRequest', 'batch of 1', 'write', 'afterRequest']);
  assert.equal(run.second, ['12 0']);
  assert.is(run.disk[8192], 2);
});

test('whoever answers later finds the descriptor in the unique', () => {
  const paths = ['device', 'second'].map((name) => path.join(directory, name));
  for (const file of paths) fs.writeFileSync(file, '');
  const [fd = -1, secondFd = -1] = paths.map((file) => fs.openSync(file, 'r+'));
  const responder = createKernelResponder(fd, secondFd);
  responder.answer(10, 0, 0);
  responder.answerWrite(12 | UNIQUE_LOW_SECOND, 7, 4096);
  fs.closeSync(fd);
  fs.closeSync(secondFd);
  const [one, other] = paths.map((file) => fs.readFileSync(file).toString('hex'));
  assert.is(one, '10000000000000000a00000000000000');
  assert.is(other, '18000000000000000c000000070000000010000000000000');
});

test.run();
