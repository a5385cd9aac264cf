/**
 * The kernel driver: a thread that blocks in read(2) on /dev/fuse, handles the request to its end and
 * writes the reply, which beats every asynchronous design. It ends when the mount is gone, or when
 * `isStopped` says so after a request (the doorbell: a spawned `stat MOUNT/.bell-N`).
 */
import fs from 'node:fs';
import type {ErrorCode} from '../core/codes.js';
import type {Severity} from '../core/disk-status.js';
import type {ErrorDetails} from '../core/errors.js';
import {errnoOf} from '../core/errors.js';
import {REQUEST_OFFSET, REQUEST_READ_BYTES, UNIQUE_HIGH_RESENT} from './abi.js';
import {RequestDispatcher} from './dispatcher.js';
import {ERRNO} from './handler.js';
import type {DiskHandler} from './handler.js';
import type {InitResult} from './init.js';
import {loadInit, saveInit} from './init.js';
import {ResentGuard} from './resent.js';
import {notifyResend, sendReply} from './responder.js';

export interface KernelSessionOptions {
  /** /dev/fuse, with which the mount was made. */
  readonly fd: number;
  readonly handler: DiskHandler;
  /** Where the INIT result is kept for the next generation. */
  readonly initFile: string;
  /** True for a process that takes over a mount from a dead one. */
  readonly resend: boolean;
  /** INIT was negotiated, or read back. */
  readonly onInit: (init: InitResult) => void;
  readonly report: (
    code: ErrorCode,
    severity: Severity,
    text: string,
    details: ErrorDetails,
  ) => void;
  /** Called for each resent request that is handled. */
  readonly onResent?: () => void;
  /** Looked at after each request. */
  readonly isStopped?: () => boolean;
  /** OPEN_FLAG bits for disk.img. */
  readonly openFlags?: number;
  readonly wallMs?: () => number;
}

/**
 * Serves the disk on the calling thread until the mount is gone.
 *
 * @throws DiskError FUSE_PROTOCOL, STATE_UNREADABLE or STORE_*; whatever the handler throws. The
 *   process is to end then: requests that it has read come again in its next generation.
 */
export function runKernelSession(options: KernelSessionOptions): 'unmounted' | 'stopped' {
  const {fd, handler, initFile, resend, report} = options;
  const wallMs = options.wallMs ?? Date.now;
  const guard = new ResentGuard(initFile, resend);
  const dispatcher = new RequestDispatcher({
    handler,
    send: (reply, offset, lengthBytes) => {
      sendReply(fd, reply, offset, lengthBytes);
    },
    onInit: (init) => {
      saveInit(initFile, init);
      options.onInit(init);
    },
    uid: process.getuid?.() ?? 0,
    generation: Math.trunc(wallMs() / 1000),
    wallMs,
    ...(options.openFlags === undefined ? {} : {openFlags: options.openFlags}),
  });
  if (resend) takeOver(options);
  const isStopped = options.isStopped ?? (() => false);
  const {request} = dispatcher;
  for (;;) {
    const lengthBytes = readRequest(fd, request);
    if (lengthBytes === 0) return 'unmounted';
    if (lengthBytes < 0) continue;
    if ((dispatcher.uniqueHigh & UNIQUE_HIGH_RESENT) === 0) {
      dispatcher.handle(lengthBytes);
    } else {
      options.onResent?.();
      handleResent(dispatcher, guard, lengthBytes, report);
    }

    if (isStopped()) return 'stopped';
  }
}

/** Reads back what INIT agreed upon and asks for what the dead process left unanswered. */
function takeOver(options: KernelSessionOptions): void {
  const init = loadInit(options.initFile);
  if (init !== undefined) options.onInit(init);
  if (notifyResend(options.fd)) return;
  options.report(
    'KERNEL_OLD',
    'critical',
    'the kernel cannot send requests again: those under way when the process died stay unanswered',
    {kernelMinor: init?.kernelMinor ?? 0},
  );
}

function handleResent(
  dispatcher: RequestDispatcher,
  guard: ResentGuard,
  lengthBytes: number,
  report: KernelSessionOptions['report'],
): void {
  const {opcode, uniqueLow, uniqueHigh} = dispatcher;
  if (guard.begin(uniqueLow, uniqueHigh)) {
    dispatcher.handle(lengthBytes);
    guard.end();
    return;
  }

  const file = guard.keep(dispatcher.request, REQUEST_OFFSET, lengthBytes);
  const text = `a request made the process die again and again and was answered with EIO: ${file}`;
  dispatcher.refuse(ERRNO.EIO);
  report('FUSE_RESENT', 'critical', text, {file, opcode});
}

/** @returns the length of the request, 0 when the mount is gone, -1 to read again */
function readRequest(fd: number, request: Buffer): number {
  try {
    return fs.readSync(fd, request, REQUEST_OFFSET, REQUEST_READ_BYTES, null);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENODEV') return 0;
    // ENOENT: the request was aborted while it was copied to us.
    if (errno === 'ENOENT' || errno === 'EINTR' || errno === 'EAGAIN') return -1;
    throw error;
  }
}
