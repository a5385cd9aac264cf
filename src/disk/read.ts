import {errnoOf} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {BLOCK_BYTES} from '../core/limits.js';
import {ERRNO} from '../fuse/handler.js';
import {IN_IMAGE, IS_ZERO, type BlockIndex} from '../image/block-index.js';

/** Where positions of the log can be read. */
export interface LogReader {
  /** Reads whole or fails: throws the error of read(2). */
  readAt(position: number, target: Buffer, targetOffset: number, length: number): void;
}

export interface ReadableDisk {
  readonly index: BlockIndex;
  readonly imageFd: number;
}

/**
 * Fills `target` with bytes [offset, offset + length) of the disk, each block from wherever its
 * newest copy is. Runs of blocks that lie together are read together.
 *
 * @returns 0 or an errno
 */
export function readBlocks(
  files: Files,
  disk: ReadableDisk,
  log: LogReader,
  offset: number,
  length: number,
  target: Buffer,
  targetOffset: number,
): number {
  const {index, imageFd} = disk;
  try {
    if (index.isVoid) {
      readImage(files, imageFd, offset, length, target, targetOffset);
      return 0;
    }

    const end = offset + length;
    let at = offset;
    while (at < end) {
      const block = Math.floor(at / BLOCK_BYTES);
      const place = index.find(block);
      let next = Math.min(end, (block + 1) * BLOCK_BYTES);
      // Extend the run while the place goes on.
      while (next < end && index.find(next / BLOCK_BYTES) === placeAfter(place, block, next)) {
        next = Math.min(end, next + BLOCK_BYTES);
      }

      const to = targetOffset + at - offset;
      if (place === IN_IMAGE) readImage(files, imageFd, at, next - at, target, to);
      else if (place === IS_ZERO) target.fill(0, to, to + next - at);
      else log.readAt(place + at - block * BLOCK_BYTES, target, to, next - at);
      at = next;
    }

    return 0;
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return ERRNO.EIO;
  }
}

function placeAfter(place: number, block: number, next: number): number {
  return place < 0 ? place : place + next - block * BLOCK_BYTES;
}

/** A sparse image may end before the disk does: what is not there reads as zeros. */
function readImage(
  files: Files,
  imageFd: number,
  offset: number,
  length: number,
  target: Buffer,
  targetOffset: number,
): void {
  const got = files.read(imageFd, target, targetOffset, length, offset);
  if (got < length) target.fill(0, targetOffset + got, targetOffset + length);
}

/** Reads bytes of the disk as it is now. @returns 0 or an errno */
export type BlockReader = (
  offset: number,
  length: number,
  target: Buffer,
  targetOffset: number,
) => number;

/**
 * Reads what a ragged write leaves of its first and last block, in place around the payload.
 *
 * @param around bytes in front of the payload in its first block, and behind it in its last
 * @returns offset of the first whole block in `request`, or -1 where it cannot be read
 */
export function completeBlocks(
  read: BlockReader,
  offset: number,
  length: number,
  request: Buffer,
  payloadOffset: number,
  {headSkip, tailSkip}: {readonly headSkip: number; readonly tailSkip: number},
): number {
  let start = payloadOffset - headSkip;
  if (start % 8 !== 0) {
    // Records begin at multiples of 8 in the log, and so does the header in front of this.
    start = payloadOffset - BLOCK_BYTES;
    request.copyWithin(start + headSkip, payloadOffset, payloadOffset + length);
  }

  if (headSkip > 0 && read(offset - headSkip, headSkip, request, start) !== 0) return -1;
  const behind = start + headSkip + length;
  if (tailSkip > 0 && read(offset + length, tailSkip, request, behind) !== 0) return -1;
  return start;
}
