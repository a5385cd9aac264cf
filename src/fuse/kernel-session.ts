/**
 * The kernel driver: a thread that blocks in read(2) on /dev/fuse, handles the request to its end and
 * writes the reply, which beats every asynchronous design. Writes that wait at the same time are gathered
 * (write-stage), where there is a descriptor to look for them without blocking. It ends when the mount is gone, or when
 * `isStopped` says so after a request (the doorbell: a spawned `stat MOUNT/.bell-N`).
 */
import fs from 'node:fs';
import type {ErrorCode} from '../core/codes.js';
import type {Severity} from '../core/disk-status.js';
import type {ErrorDetails} from '../core/errors.js';
import {errnoOf} from '../core/errors.js';
import {OPCODE, REQUEST_OFFSET, REQUEST_READ_BYTES, UNIQUE_HIGH_RESENT} from './abi.js';
import {RequestDispatcher} from './dispatcher.js';
import {ERRNO} from './handler.js';
import type {DiskHandler} from './handler.js';
import type {InitResult} from './init.js';
import {loadInit, saveInit} from './init.js';
import {ResentGuard} from './resent.js';
import {isSecond, notifyResend, sendReply, uniqueOf} from './responder.js';
import {WriteStage, type SendReply} from './write-stage.js';

/** Results of a read that brought no request. */
const GONE = 0;
const AGAIN = -1;
const NOTHING = -2;

/** Lowest byte of the unique in a reply. */
const UNIQUE_BYTE = 8;

export interface KernelSessionOptions {
  /** /dev/fuse, with which the mount was made. */
  readonly fd: number;
  /** A second descriptor of the same connection that does not block: writes are then gathered. */
  readonly secondFd?: number;
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
  /** Called when what was read is answered or handed on, and nothing more was read: it may wait. */
  readonly betweenRequests?: () => void;
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
  const session = new KernelSession(options);
  if (options.resend) takeOver(options);
  return session.run();
}

class KernelSession {
  readonly #options: KernelSessionOptions;
  readonly #dispatcher: RequestDispatcher;
  readonly #guard: ResentGuard;
  readonly #secondFd: number;
  /** Undefined where requests are handled one by one only. */
  readonly #stage: WriteStage | undefined;
  readonly #sendStaged: SendReply;

  constructor(options: KernelSessionOptions) {
    const {fd, secondFd, handler, initFile} = options;
    const wallMs = options.wallMs ?? Date.now;
    this.#options = options;
    this.#guard = new ResentGuard(initFile, options.resend);
    this.#secondFd = secondFd ?? -1;
    const canStage = secondFd !== undefined && handler.writeBatch !== undefined;
    this.#stage = canStage ? new WriteStage() : undefined;
    this.#dispatcher = new RequestDispatcher({
      handler,
      send:
        secondFd === undefined
          ? (reply, offset, lengthBytes) => {
              sendReply(fd, reply, offset, lengthBytes);
            }
          : (reply, offset, lengthBytes) => {
              sendWhereRead(fd, secondFd, reply, offset, lengthBytes);
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
    this.#sendStaged = (reply, offset, lengthBytes, isSecond) => {
      sendReply(isSecond ? this.#secondFd : fd, reply, offset, lengthBytes);
    };
  }

  run(): 'unmounted' | 'stopped' {
    const {betweenRequests, isStopped = () => false} = this.#options;
    for (;;) {
      if (!this.#round(this.#stage)) return 'unmounted';
      betweenRequests?.();
      if (isStopped()) return 'stopped';
    }
  }

  /** One request, or one batch. @returns false when the mount is gone */
  #round(stage: WriteStage | undefined): boolean {
    const {fd} = this.#options;
    if (stage?.isBusy === true) {
      const lengthBytes = readRequest(fd, stage.bytes, stage.requestOffset);
      return lengthBytes === GONE ? false : this.#gather(stage, lengthBytes, false);
    }

    const dispatcher = this.#dispatcher;
    const lengthBytes = readRequest(fd, dispatcher.request, REQUEST_OFFSET);
    if (lengthBytes === GONE) return false;
    if (lengthBytes < 0) return true;
    const isWrite = dispatcher.opcode === OPCODE.WRITE;
    this.#handle(lengthBytes);
    if (stage === undefined || !isWrite || !stage.isProbeDue()) return true;
    const waitingBytes = readRequest(this.#secondFd, stage.bytes, stage.requestOffset);
    if (waitingBytes === NOTHING) stage.noneWaited();
    return waitingBytes === GONE ? false : this.#gather(stage, waitingBytes, true);
  }

  /**
   * Stages a request and those that wait behind it, up to the first that is no plain write; then has
   * all of them done.
   */
  #gather(stage: WriteStage, firstBytes: number, firstIsSecond: boolean): boolean {
    const {handler} = this.#options;
    let lengthBytes = firstBytes;
    let isSecond = firstIsSecond;
    while (lengthBytes > 0) {
      const at = stage.requestOffset;
      if (!stage.take(lengthBytes, handler.sizeBytes(), isSecond)) {
        // Kept first: what the handler does with the batch may overwrite it.
        const {request} = this.#dispatcher;
        if (stage.count === 0) {
          stage.bytes.copy(request, REQUEST_OFFSET, at, at + lengthBytes);
        } else {
          const other = Buffer.from(stage.bytes.subarray(at, at + lengthBytes));
          this.#finish(stage);
          other.copy(request, REQUEST_OFFSET);
        }

        this.#handleFrom(lengthBytes, isSecond);
        return true;
      }

      if (stage.isFull) break;
      lengthBytes = readRequest(this.#secondFd, stage.bytes, stage.requestOffset);
      isSecond = true;
    }

    this.#finish(stage);
    return lengthBytes !== GONE;
  }

  /** Has the handler do what is staged, and answers. */
  #finish(stage: WriteStage): void {
    if (stage.count === 0) return;
    const {handler} = this.#options;
    if (handler.writeBatch?.(stage) === true) {
      this.#dispatcher.noteChange();
      stage.answerAll(this.#sendStaged);
      handler.afterRequest();
      return;
    }

    stage.handleEach(this.#dispatcher.request, (lengthBytes, isSecond) => {
      this.#handleFrom(lengthBytes, isSecond);
    });
  }

  /** Handles the request in the dispatcher's buffer, which was copied there. */
  #handleFrom(lengthBytes: number, isSecond: boolean): void {
    if (isSecond) this.#dispatcher.markSecond();
    this.#handle(lengthBytes);
  }

  #handle(lengthBytes: number): void {
    const dispatcher = this.#dispatcher;
    if ((dispatcher.uniqueHigh & UNIQUE_HIGH_RESENT) === 0) {
      dispatcher.handle(lengthBytes);
    } else {
      this.#options.onResent?.();
      handleResent(dispatcher, this.#guard, lengthBytes, this.#options.report);
    }
  }
}

/** The descriptor is in the unique; the kernel gets it without that. */
function sendWhereRead(
  fd: number,
  secondFd: number,
  reply: Buffer,
  offset: number,
  lengthBytes: number,
): void {
  const low = reply[offset + UNIQUE_BYTE] ?? 0;
  if (!isSecond(low)) {
    sendReply(fd, reply, offset, lengthBytes);
    return;
  }

  reply[offset + UNIQUE_BYTE] = uniqueOf(low);
  sendReply(secondFd, reply, offset, lengthBytes);
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
  if (guard.begin(uniqueOf(uniqueLow), uniqueHigh)) {
    dispatcher.handle(lengthBytes);
    guard.end();
    return;
  }

  const file = guard.keep(dispatcher.request, REQUEST_OFFSET, lengthBytes);
  const text = `a request made the process die again and again and was answered with EIO: ${file}`;
  dispatcher.refuse(ERRNO.EIO);
  report('FUSE_RESENT', 'critical', text, {file, opcode});
}

/**
 * @returns the length of the request, GONE when the mount is, AGAIN to read again, NOTHING where
 *   nothing waits and the descriptor does not block
 */
function readRequest(fd: number, target: Buffer, offset: number): number {
  // Nobody looks at the stack of an error that only says that nothing waits.
  const stackTraceLimit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return fs.readSync(fd, target, offset, REQUEST_READ_BYTES, null);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'EAGAIN') return NOTHING;
    if (errno === 'ENODEV') return GONE;
    // ENOENT: the request was aborted while it was copied to us.
    if (errno === 'ENOENT' || errno === 'EINTR') return AGAIN;
    throw error;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}
