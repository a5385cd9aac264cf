/**
 * The loop around /dev/fuse, with a regular file in its place: what lies in it is one request, the
 * reply comes behind it, and the end of the file looks like the end of the mount.
 */
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {InitResult} from '../../src/fuse/init.js';
import type {KernelSessionOptions} from '../../src/fuse/kernel-session.js';
import {runKernelSession} from '../../src/fuse/kernel-session.js';
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

test.run();
