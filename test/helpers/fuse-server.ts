/**
 * A process that serves a disk in a file, for e2e tests: on descriptor 3 with the kernel driver, or
 * with fuse-native at a mount point. With the kernel driver it can be killed and started again on the
 * same mount. status.json tells the counted calls.
 *
 * argv[2] is a JSON ServerOptions.
 */
import fs from 'node:fs';
import {pathToFileURL} from 'node:url';
import type {DiskHandler, Responder} from '../../src/fuse/handler.js';
import {ERRNO, PENDING} from '../../src/fuse/handler.js';
import {runKernelSession} from '../../src/fuse/kernel-session.js';
import {FUSE_FD} from '../../src/fuse/mount.js';
import {startNativeSession} from '../../src/fuse/native-session.js';
import {createKernelResponder} from '../../src/fuse/responder.js';

export interface ServerOptions {
  readonly driver: 'kernel' | 'fuse-native';
  readonly mountPoint: string;
  /** File with the contents; it has the size of the disk. */
  readonly file: string;
  readonly initFile: string;
  readonly resend: boolean;
  readonly openFlags?: number;
  /** Errno that FSYNC is answered with. */
  readonly flushErrno?: number;
  /** FSYNC and WRITE are left pending and answered after the handler has returned. */
  readonly later?: boolean;
  /** Dies by SIGKILL while it handles a WRITE at this offset. */
  readonly dieAtOffset?: number;
}

const {constants} = fs;

/** What is answered after the request: errno (<= 0, negative) or bytes written. */
type Later = [uniqueLow: number, uniqueHigh: number, result: number];

interface Served {
  readonly handler: DiskHandler;
  readonly calls: {resent: number};
  readonly laters: Later[];
}

function createFileHandler(options: ServerOptions): Served {
  const disk = fs.openSync(options.file, constants.O_RDWR);
  const calls = {reads: 0, writes: 0, flushes: 0, zeros: 0, requests: 0, resent: 0};
  const laters: Later[] = [];
  const handler: DiskHandler = {
    sizeBytes: () => fs.fstatSync(disk).size,
    inode: () => 4711,
    read: (offset, length, target, targetOffset) => {
      calls.reads += 1;
      fs.readSync(disk, target, targetOffset, length, offset);
      return 0;
    },
    write: (offset, length, request, payloadOffset, uniqueLow, uniqueHigh) => {
      calls.writes += 1;
      if (offset === options.dieAtOffset) process.kill(process.pid, 'SIGKILL');
      fs.writeSync(disk, request, payloadOffset, length, offset);
      if (options.later !== true) return 0;
      laters.push([uniqueLow, uniqueHigh, length]);
      return PENDING;
    },
    flush: (uniqueLow, uniqueHigh) => {
      calls.flushes += 1;
      if (options.later !== true) return options.flushErrno ?? 0;
      laters.push([uniqueLow, uniqueHigh, -(options.flushErrno ?? 0)]);
      return PENDING;
    },
    zero: (offset, length) => {
      calls.zeros += 1;
      if (length > 64 * 2 ** 20) return ERRNO.EOPNOTSUPP;
      fs.writeSync(disk, Buffer.alloc(length), 0, length, offset);
      return 0;
    },
    statusJson: () => JSON.stringify(calls),
    allocatedBytes: () => 0,
    afterRequest: () => {
      calls.requests += 1;
    },
  };
  return {handler, calls, laters};
}

function answerAll(laters: Later[], responder: Responder): void {
  for (const [uniqueLow, uniqueHigh, result] of laters.splice(0)) {
    if (result > 0) responder.answerWrite(uniqueLow, uniqueHigh, result);
    else responder.answer(uniqueLow, uniqueHigh, -result);
  }
}

function serveKernel(options: ServerOptions): void {
  const {handler, calls, laters} = createFileHandler(options);
  const responder = createKernelResponder(FUSE_FD);
  const afterRequest = handler.afterRequest.bind(handler);
  handler.afterRequest = () => {
    afterRequest();
    answerAll(laters, responder);
  };
  const end = runKernelSession({
    fd: FUSE_FD,
    handler,
    initFile: options.initFile,
    resend: options.resend,
    onInit: (init) => {
      process.stdout.write(`init ${JSON.stringify(init)}\n`);
    },
    onResent: () => {
      calls.resent += 1;
    },
    report: (code, severity, text) => {
      process.stdout.write(`report ${code} ${severity} ${text}\n`);
    },
    ...(options.openFlags === undefined ? {} : {openFlags: options.openFlags}),
  });
  process.stdout.write(`end ${end}\n`);
}

async function serveNative(options: ServerOptions): Promise<void> {
  const {handler, laters} = createFileHandler(options);
  const {mountPoint} = options;
  const session = await startNativeSession({mountPoint, handler});
  const afterRequest = handler.afterRequest.bind(handler);
  handler.afterRequest = () => {
    afterRequest();
    setImmediate(() => {
      answerAll(laters, session.responder);
    });
  };
  process.stdout.write('init by libfuse\n');
  process.stdout.write(`end ${await session.ended}\n`);
  process.exit(0);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const options = JSON.parse(process.argv[2] ?? '{}') as ServerOptions;
  if (options.driver === 'fuse-native') await serveNative(options);
  else serveKernel(options);
}
