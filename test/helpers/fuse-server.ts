/**
 * A process that serves a disk in a file on descriptor 3 with the kernel driver, for e2e tests. It
 * can be killed and started again on the same mount. status.json tells the counted calls.
 *
 * argv[2] is a JSON ServerOptions.
 */
import fs from 'node:fs';
import {pathToFileURL} from 'node:url';
import type {DiskHandler} from '../../src/fuse/handler.js';
import {ERRNO} from '../../src/fuse/handler.js';
import {runKernelSession} from '../../src/fuse/kernel-session.js';
import {FUSE_FD} from '../../src/fuse/mount.js';

export interface ServerOptions {
  /** File with the contents; it has the size of the disk. */
  readonly file: string;
  readonly initFile: string;
  readonly resend: boolean;
  readonly openFlags?: number;
  /** Errno that FSYNC is answered with. */
  readonly flushErrno?: number;
  /** Dies by SIGKILL while it handles a WRITE at this offset. */
  readonly dieAtOffset?: number;
}

const {constants} = fs;

function serve(options: ServerOptions): void {
  const disk = fs.openSync(options.file, constants.O_RDWR);
  const calls = {reads: 0, writes: 0, flushes: 0, zeros: 0, requests: 0, resent: 0};
  const handler: DiskHandler = {
    sizeBytes: () => fs.fstatSync(disk).size,
    inode: () => 4711,
    read: (offset, length, target, targetOffset) => {
      calls.reads += 1;
      fs.readSync(disk, target, targetOffset, length, offset);
      return 0;
    },
    write: (offset, length, request, payloadOffset) => {
      calls.writes += 1;
      if (offset === options.dieAtOffset) process.kill(process.pid, 'SIGKILL');
      fs.writeSync(disk, request, payloadOffset, length, offset);
      return 0;
    },
    flush: () => {
      calls.flushes += 1;
      return options.flushErrno ?? 0;
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

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  serve(JSON.parse(process.argv[2] ?? '{}') as ServerOptions);
}
