/**
 * Replies and notifications from any thread of the process: each caller has buffers of its own,
 * and the kernel finds the request by its unique.
 */
import fs from 'node:fs';
import {assert} from '../core/assert.js';
import {errnoOf} from '../core/errors.js';
import {OUT_HEADER_BYTES, UNIQUE_LOW_SECOND} from './abi.js';
import {
  encodeHeader,
  encodeNotifyInvalInode,
  encodeNotifyResend,
  encodeWriteOut,
} from './encode.js';
import type {Responder} from './handler.js';

/**
 * Writes one reply. ENOENT is the kernel's word that nobody waits for it any more: the request was
 * aborted with its connection, or a reply went out before a kill that the resend did not see.
 *
 * @throws AssertionError where the kernel calls the reply malformed, the error of write(2) otherwise
 */
export function sendReply(fd: number, reply: Buffer, offset: number, lengthBytes: number): void {
  try {
    fs.writeSync(fd, reply, offset, lengthBytes);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ENODEV') return;
    assert(errno !== 'EINVAL', `the kernel refused a reply of ${lengthBytes} bytes`);
    throw error;
  }
}

/**
 * For the thread that calls it; make one for each thread. `fd` is /dev/fuse of the mount, `secondFd`
 * the second descriptor of its connection: uniques with UNIQUE_LOW_SECOND are answered there.
 */
export function createKernelResponder(fd: number, secondFd?: number): Responder {
  const reply = Buffer.alloc(OUT_HEADER_BYTES + 8);
  const words = new Uint32Array(reply.buffer, reply.byteOffset, reply.byteLength / 4);
  const send = (bodyBytes: number, errno: number, uniqueLow: number, uniqueHigh: number): void => {
    const second = secondFd !== undefined && isSecond(uniqueLow);
    const low = second ? uniqueOf(uniqueLow) : uniqueLow;
    const lengthBytes = encodeHeader(words, bodyBytes, errno, low, uniqueHigh);
    sendReply(second ? secondFd : fd, reply, 0, lengthBytes);
  };
  return {
    answer: (uniqueLow, uniqueHigh, errno) => {
      send(0, errno, uniqueLow, uniqueHigh);
    },
    answerWrite: (uniqueLow, uniqueHigh, writtenBytes) => {
      send(encodeWriteOut(words, writtenBytes), 0, uniqueLow, uniqueHigh);
    },
  };
}

/** Whether a request came through the second descriptor. */
export function isSecond(uniqueLow: number): boolean {
  return (uniqueLow & UNIQUE_LOW_SECOND) !== 0;
}

/** The low word of the unique as the kernel knows it. */
export function uniqueOf(uniqueLow: number): number {
  return (uniqueLow & ~UNIQUE_LOW_SECOND) >>> 0;
}

/**
 * Asks for the requests that a dead process has read and not answered.
 *
 * @returns false where the kernel does not know how (before 6.9)
 */
export function notifyResend(fd: number): boolean {
  return sendNotification(fd, (words) => encodeNotifyResend(words));
}

/**
 * Lets the kernel forget size and times of a node after a resize or rollback. With `offset` >= 0 also
 * its cached pages: that waits for pages in flight, which only our own fuse thread can bring, so it
 * is for a process that may wait in the kernel while the disk process dies, never for our threads.
 *
 * @param offset first byte of the pages to drop; negative: attributes only
 * @param length bytes; 0: to the end
 * @returns false where the kernel has nothing of that node
 */
export function notifyInvalInode(fd: number, node: number, offset = -1, length = 0): boolean {
  return sendNotification(fd, (words) => encodeNotifyInvalInode(words, node, offset, length));
}

function sendNotification(fd: number, encode: (words: Uint32Array) => number): boolean {
  const words = new Uint32Array(16);
  const lengthBytes = encode(words);
  try {
    fs.writeSync(fd, Buffer.from(words.buffer), 0, lengthBytes);
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'EINVAL' || errno === 'ENODEV') return false;
    throw error;
  }
}
