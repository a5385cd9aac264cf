/**
 * A program of its own: writes 4 KiB at random places of a device, each followed by fdatasync, and
 * prints what that took. In another process than the bench, as it blocks, and the proxies of the
 * bench must not.
 *
 *   node --import tsx bench/replication/writer.ts FILE SECONDS
 */
import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import {alignedBuffer} from '../../test/helpers/hash.js';

export interface WriterReport {
  readonly operations: number;
  readonly seconds: number;
  /** Of write and fdatasync together. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly longestMs: number;
  /** Operations that took longer than STALL_MS. */
  readonly stalls: number;
  /** Time in them, of all the time; 0 to 1. */
  readonly blockedShare: number;
}

export const STALL_MS = 100;
const BLOCK_BYTES = 4096;
const PATTERNS = 64;

if (process.argv[1] === import.meta.filename) {
  const [, , file = '', seconds = '1'] = process.argv;
  process.stdout.write(JSON.stringify(writeFor(file, Number(seconds) * 1000)));
}

function writeFor(file: string, ms: number): WriterReport {
  const fd = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_DIRECT);
  const blocks = Math.floor(sizeOf(fd) / BLOCK_BYTES);
  const buffer = alignedBuffer(BLOCK_BYTES * PATTERNS);
  randomBytes(buffer.length).copy(buffer);
  const tookMs: number[] = [];
  const start = performance.now();
  let now = start;
  while (now - start < ms) {
    const block = Math.floor(Math.random() * blocks);
    const pattern = (tookMs.length % PATTERNS) * BLOCK_BYTES;
    fs.writeSync(fd, buffer, pattern, BLOCK_BYTES, block * BLOCK_BYTES);
    fs.fdatasyncSync(fd);
    const after = performance.now();
    tookMs.push(after - now);
    now = after;
  }

  fs.closeSync(fd);
  return reportOf(tookMs, now - start);
}

function reportOf(tookMs: readonly number[], totalMs: number): WriterReport {
  const sorted = [...tookMs].sort((left, right) => left - right);
  const at = (share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? NaN;
  const stalls = sorted.filter((each) => each > STALL_MS);
  return {
    operations: sorted.length,
    seconds: totalMs / 1000,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    longestMs: at(1),
    stalls: stalls.length,
    blockedShare: stalls.reduce((sum, each) => sum + each, 0) / totalMs,
  };
}

/** A block device has no size in its inode. */
function sizeOf(fd: number): number {
  const {size} = fs.fstatSync(fd);
  if (size > 0) return size;
  let [low, high] = [0, 2 ** 42 / BLOCK_BYTES];
  const probe = alignedBuffer(BLOCK_BYTES);
  while (low + 1 < high) {
    const middle = Math.floor((low + high) / 2);
    if (fs.readSync(fd, probe, 0, BLOCK_BYTES, middle * BLOCK_BYTES) > 0) low = middle;
    else high = middle;
  }

  return (low + 1) * BLOCK_BYTES;
}
