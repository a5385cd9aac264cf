/**
 * The file `durable` of a resource: this node's word on how far its own log is on stable storage, said
 * after each fdatasync and before anybody is told (docs/LOG_FORMAT.md has the bytes).
 *
 * Records carry such words as well, but the last commit of a process has no record behind it. The file
 * is written without a sync of its own: a process that is killed leaves it in the page cache, and power loss leaves an
 * older word, which is as true, or none. So it is proof, and never a reason to trust less.
 *
 * What is said of an epoch holds as long as the log has it up to there. Whoever cuts a log first
 * removes the file; and a word does not count where the lineage knows nothing of it any more.
 */
import {crc32} from 'node:zlib';
import {errnoOf} from '../core/errors.js';
import type {Files} from '../core/files.js';
import type {ResourcePaths} from '../core/home.js';
import {formatPosition} from '../core/position.js';
import {readLineage, type LineageEntry} from './lineage.js';

/** Size of the file; the word lies in its first sector. */
export const DURABLE_FILE_BYTES = 4096;
const MAGIC = 0x5255444d;
const WORD_BYTES = 64;
const CRC_FROM = 8;
const POSITION_AT = 8;
const EPOCH_AT = 16;
const EPOCH_BYTES = 16;
const TWO_32 = 2 ** 32;

export interface DurableWord {
  /** Epoch of this node: 32 hex digits. */
  readonly epoch: string;
  /** Everything below was on stable storage. */
  readonly position: number;
}

/** Puts a word in the first bytes of `bytes`, which are DURABLE_FILE_BYTES. */
export function encodeDurableWord(bytes: Buffer, {epoch, position}: DurableWord): void {
  bytes.fill(0);
  bytes.writeUInt32LE(MAGIC, 0);
  bytes.write(epoch, EPOCH_AT, EPOCH_BYTES, 'hex');
  moveDurableWord(bytes, position);
}

/** Makes the word in `bytes` say another position. */
export function moveDurableWord(bytes: Buffer, position: number): void {
  const high = Math.floor(position / TWO_32);
  bytes.writeUInt32LE(position - high * TWO_32, POSITION_AT);
  bytes.writeUInt32LE(high, POSITION_AT + 4);
  bytes.writeUInt32LE(crcOf(bytes), 4);
}

/** @returns undefined where the bytes are no word: torn, rotten, too short */
export function decodeDurableWord(bytes: Buffer): DurableWord | undefined {
  if (bytes.length < WORD_BYTES || bytes.readUInt32LE(0) !== MAGIC) return undefined;
  if (bytes.readUInt32LE(4) !== crcOf(bytes)) return undefined;
  return {
    epoch: bytes.toString('hex', EPOCH_AT, EPOCH_AT + EPOCH_BYTES),
    position: Number(bytes.readBigUInt64LE(POSITION_AT)),
  };
}

function crcOf(bytes: Buffer): number {
  return crc32(bytes.subarray(CRC_FROM, WORD_BYTES));
}

/** Whether the log whose lineage this is has the epoch of the word up to its position. */
export function isWordOf(lineage: readonly LineageEntry[], word: DurableWord): boolean {
  const at = lineage.findIndex(({epoch}) => epoch === word.epoch);
  const next = lineage[at + 1];
  return at >= 0 && (next === undefined || next.start >= formatPosition(word.position));
}

/**
 * Reads the word, which is as good as none where it cannot be read.
 *
 * @returns the position below which the log of a resource is known to have been durable; 0: no word counts
 * @throws DiskError STATE_UNREADABLE where the lineage is not valid; the error of the file system for that
 */
export function readDurablePosition(
  files: Files,
  {durableFile, lineageFile}: Pick<ResourcePaths, 'durableFile' | 'lineageFile'>,
): number {
  const word = readWord(files, durableFile);
  if (word === undefined) return 0;
  return isWordOf(readLineage(files, lineageFile), word) ? word.position : 0;
}

function readWord(files: Files, path: string): DurableWord | undefined {
  if (!files.exists(path)) return undefined;
  try {
    const fd = files.open(path, 'read');
    try {
      const bytes = Buffer.alloc(WORD_BYTES);
      const got = files.read(fd, bytes, 0, bytes.length, 0);
      return decodeDurableWord(bytes.subarray(0, got));
    } finally {
      files.close(fd);
    }
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}

/** Takes the word back, durably, before the log is cut. @throws the error of the file system */
export function removeDurableWord(
  files: Files,
  {durableFile, directory}: Pick<ResourcePaths, 'durableFile' | 'directory'>,
): void {
  if (!files.exists(durableFile)) return;
  files.unlink(durableFile);
  files.syncDirectory(directory);
}
