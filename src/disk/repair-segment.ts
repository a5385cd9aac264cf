/**
 * The repair segment (docs/FILES.md): content for blocks of an image, as a copy brings it, kept
 * beside the image until it is whole. Pieces follow each other, a later one counts more; each has a
 * header of 32 bytes, little-endian:
 *
 *   0   u32  magic "MRR1"
 *   4   u32  CRC-32 of bytes 8 to 31
 *   8   u64  offset on the disk
 *   16  u32  length of the content, which follows
 *   20  u32  CRC-32 of the content
 *   24  u64  0
 *
 * What a death or a power loss left behind the last whole piece is cut off when it is opened again.
 */
import {dirname} from 'node:path';
import {setImmediate as pause} from 'node:timers/promises';
import {crc32} from 'node:zlib';
import {assert} from '../core/assert.js';
import {DiskError, storeError} from '../core/errors.js';
import {ChunkMap} from '../core/extents.js';
import type {FileIdentity, Files} from '../core/files.js';
import {MIB} from '../core/units.js';
import {mergeRanges, type ByteRange} from '../log/changes.js';
import type {SyncImage} from './target-image.js';

const MAGIC = 0x31_52_52_4d;
const HEADER_BYTES = 32;
const CONTENT_BYTES_MAX = 4 * MIB;
/** Read before others get their turn. */
const TURN_BYTES = 16 * MIB;

/** What a copy writes to in the place of the image. */
export class RepairSegment implements SyncImage {
  dirtyBytes = 0;
  hasFailed = false;
  /** What was written and not made durable is not read back to be compared: it comes again. */
  readonly isReadBack = false;
  readonly #files: Files;
  readonly #path: string;
  readonly #image: FileIdentity;
  readonly #chunkBytes: number;
  readonly #fd: number;
  #end: number;
  #sizeBytes = 0;

  /**
   * Opens it, or begins it.
   *
   * @param image that it is for
   * @throws DiskError STORE_IO and the like
   */
  constructor(files: Files, path: string, image: FileIdentity, chunkBytes: number) {
    this.#files = files;
    this.#path = path;
    this.#image = image;
    this.#chunkBytes = chunkBytes;
    this.#fd = this.#guard('open', () => {
      if (files.exists(path)) return files.open(path, 'write');
      const fd = files.open(path, 'exclusive');
      files.syncDirectory(dirname(path));
      return fd;
    });
    this.#end = this.#guard('read', () => {
      const end = endOfPieces(files, this.#fd);
      if (files.sizeOf(this.#fd) > end) files.truncate(this.#fd, end);
      return end;
    });
  }

  identify(): FileIdentity {
    return this.#image;
  }

  setSize(sizeBytes: number): void {
    this.#sizeBytes = sizeBytes;
  }

  /** It is told what is asked for, and does not look. */
  scan(): Promise<ChunkMap> {
    return Promise.resolve(new ChunkMap(this.#sizeBytes, this.#chunkBytes));
  }

  lengthOf(chunk: number): number {
    const length = Math.min(this.#chunkBytes, this.#sizeBytes - chunk * this.#chunkBytes);
    assert(length > 0, 'the chunk is in the disk');
    return length;
  }

  read(): Buffer {
    throw new DiskError('PEER_PROTOCOL', 'a repair compares nothing');
  }

  isZero(): boolean {
    return false;
  }

  write(): void {
    throw new DiskError('PEER_PROTOCOL', 'a repair takes no whole chunks');
  }

  keep(): void {
    return undefined;
  }

  zero(): void {
    throw new DiskError('PEER_PROTOCOL', 'a repair takes no whole chunks');
  }

  writeAt(offset: number, bytes: Buffer): void {
    assert(offset + bytes.length <= this.#sizeBytes, 'the bytes are in the disk');
    const piece = Buffer.alloc(HEADER_BYTES + bytes.length);
    piece.writeUInt32LE(MAGIC, 0);
    piece.writeBigUInt64LE(BigInt(offset), 8);
    piece.writeUInt32LE(bytes.length, 16);
    bytes.copy(piece, HEADER_BYTES);
    piece.writeUInt32LE(crc32(bytes), 20);
    piece.writeUInt32LE(crc32(piece.subarray(8, HEADER_BYTES)), 4);
    this.#guard('write', () => {
      this.#files.write(this.#fd, piece, 0, piece.length, this.#end);
    });
    this.#end += piece.length;
    this.dirtyBytes += piece.length;
  }

  sync(): void {
    this.#guard('sync', () => {
      this.#files.sync(this.#fd);
    });
    this.dirtyBytes = 0;
  }

  close(): void {
    this.#files.close(this.#fd);
  }

  #guard<T>(what: string, act: () => T): T {
    try {
      return act();
    } catch (error) {
      this.hasFailed = true;
      throw storeError(error, `${what} the repair segment ${this.#path}`);
    }
  }
}

/** Whether the file has content for all of `ranges`, every byte of it as it was written. */
export async function isWholeRepair(
  files: Files,
  path: string,
  ranges: readonly ByteRange[],
): Promise<boolean> {
  if (!files.exists(path)) return ranges.length === 0;
  const fd = files.open(path, 'read');
  try {
    const found: [number, number][] = [];
    let turnEnd = TURN_BYTES;
    for (const {offset, bytes, end} of piecesOf(files, fd)) {
      found.push([offset, offset + bytes.length]);
      if (end < turnEnd) continue;
      turnEnd = end + TURN_BYTES;
      await pause();
    }

    return JSON.stringify(mergeRanges(found)) === JSON.stringify(mergeRanges(ranges));
  } finally {
    files.close(fd);
  }
}

/**
 * Writes the content to the image it is for, a piece a step; durable when it is done.
 *
 * @throws DiskError STORE_IO where a piece is damaged, or the error of the file system; it may be done again
 */
export function* applyRepair(files: Files, path: string, imagePath: string): Generator<void, void> {
  if (!files.exists(path)) return;
  const fd = files.open(path, 'read');
  try {
    const image = files.open(imagePath, 'write');
    try {
      let done = 0;
      for (const {offset, bytes, end} of piecesOf(files, fd)) {
        files.write(image, bytes, 0, bytes.length, offset);
        done = end;
        yield;
      }

      if (done < files.sizeOf(fd)) throw damagedAt(path, done);

      files.syncData(image);
    } finally {
      files.close(image);
    }
  } finally {
    files.close(fd);
  }
}

interface Piece {
  readonly offset: number;
  /** Valid until the next one is asked for. */
  readonly bytes: Buffer;
  /** Where the next one begins. */
  readonly end: number;
}

/** The whole pieces from the beginning on, up to the first that is not. */
function* piecesOf(files: Files, fd: number): Generator<Piece, void> {
  const header = Buffer.alloc(HEADER_BYTES);
  let buffer = Buffer.alloc(MIB);
  for (let at = 0; ;) {
    if (files.read(fd, header, 0, HEADER_BYTES, at) < HEADER_BYTES) return;
    if (header.readUInt32LE(0) !== MAGIC) return;
    if (header.readUInt32LE(4) !== crc32(header.subarray(8))) return;
    const length = header.readUInt32LE(16);
    if (length > CONTENT_BYTES_MAX) return;
    if (length > buffer.length) buffer = Buffer.alloc(length);
    if (files.read(fd, buffer, 0, length, at + HEADER_BYTES) < length) return;
    if (header.readUInt32LE(20) !== crc32(buffer.subarray(0, length))) return;
    at += HEADER_BYTES + length;
    const offset = Number(header.readBigUInt64LE(8));
    yield {offset, bytes: buffer.subarray(0, length), end: at};
  }
}

function endOfPieces(files: Files, fd: number): number {
  let end = 0;
  for (const piece of piecesOf(files, fd)) ({end} = piece);
  return end;
}

function damagedAt(path: string, offset: number): DiskError {
  const text = `${path} is damaged at ${offset}, after it was whole: the image lacks the rest`;
  return new DiskError('STORE_IO', text, {path, offset});
}
