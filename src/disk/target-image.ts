/** The image as a sync writes it: chunk by chunk, each at most once, durable when `sync` returns. */
import {assert} from '../core/assert.js';
import {DiskError, errnoOf, storeError} from '../core/errors.js';
import {ChunkMap, type OnExtent} from '../core/extents.js';
import type {FileIdentity, Files} from '../core/files.js';

/** Ranges that wait for one child that punches them all. */
const RANGES_MAX = 4096;
/** Shorter runs of zeros are written into holes: a file in many pieces is slow. */
const SPARSE_BYTES = 65_536;
/** As in replay: these do not say that the image cannot be punched. */
const PUNCH_AGAIN = new Set(['EAGAIN', 'ENOMEM', 'EIO', 'EROFS']);

/** Tells where the open file `fd` may have data in its first `sizeBytes`. */
export type ScanImage = (fd: number, sizeBytes: number, onExtent: OnExtent) => Promise<unknown>;

/** What a copy writes to. Errors are DiskErrors, and `hasFailed` tells of them. */
export interface SyncImage {
  /** Written since the last sync. */
  readonly dirtyBytes: number;
  /** The image itself failed, not the peer. */
  readonly hasFailed: boolean;
  /** What was written is read again, to be compared. */
  readonly isReadBack: boolean;
  identify(): FileIdentity;
  /** @param doneChunks that count already, as the source agrees */
  setSize(sizeBytes: number, doneChunks: number): void;
  scan(scan: ScanImage): Promise<ChunkMap>;
  lengthOf(chunk: number): number;
  read(chunk: number, target: Buffer): Buffer;
  isZero(bytes: Buffer): boolean;
  write(chunk: number, bytes: Buffer, wasHole: boolean): void;
  writeAt(offset: number, bytes: Buffer): void;
  zero(first: number, count: number): void;
  /** Chunks are as the source has them. */
  keep(first: number, count: number): void;
  sync(): void;
  close(): void;
}

/** An image that is open for a sync. */
export class TargetImage implements SyncImage {
  dirtyBytes = 0;
  hasFailed = false;
  readonly isReadBack = true;
  readonly #files: Files;
  readonly #path: string;
  readonly #fd: number;
  readonly #chunkBytes: number;
  readonly #zeros: Buffer;
  #sizeBytes = 0;
  /** Offset and length in turn, zeroed with the next sync. */
  #ranges: number[] = [];

  /** @throws DiskError STORE_IO and the like */
  constructor(files: Files, path: string, chunkBytes: number) {
    this.#files = files;
    this.#path = path;
    this.#chunkBytes = chunkBytes;
    this.#zeros = Buffer.alloc(chunkBytes);
    this.#fd = this.#guard('open', () => files.open(path, 'write'));
  }

  identify(): FileIdentity {
    return this.#guard('identify', () => this.#files.identify(this.#fd));
  }

  /**
   * Makes room for the disk of the source, before anything else is done.
   *
   * @throws DiskError IMAGE_TOO_SMALL where it is a block device with less
   */
  setSize(sizeBytes: number): void {
    const {kind, sizeBytes: found} = this.identify();
    this.#sizeBytes = sizeBytes;
    if (found >= sizeBytes) return;
    if (kind === 'block') {
      const text = `the image ${this.#path} has ${found} bytes, the disk of the source ${sizeBytes}`;
      throw new DiskError('IMAGE_TOO_SMALL', text, {path: this.#path, found, sizeBytes});
    }

    this.#guard('grow', () => {
      this.#files.truncate(this.#fd, sizeBytes);
    });
  }

  /** Where the image may have data. */
  async scan(scan: ScanImage): Promise<ChunkMap> {
    const map = new ChunkMap(this.#sizeBytes, this.#chunkBytes);
    await scan(this.#fd, this.#sizeBytes, (start, end) => {
      map.mark(start, end);
    });
    return map;
  }

  lengthOf(chunk: number): number {
    const length = Math.min(this.#chunkBytes, this.#sizeBytes - chunk * this.#chunkBytes);
    assert(length > 0, 'the chunk is in the disk');
    return length;
  }

  /** Fills the start of `target` with the chunk. @returns that part of it */
  read(chunk: number, target: Buffer): Buffer {
    const bytes = target.subarray(0, this.lengthOf(chunk));
    const offset = chunk * this.#chunkBytes;
    const got = this.#guard('read', () => {
      return this.#files.read(this.#fd, bytes, 0, bytes.length, offset);
    });
    return bytes.fill(0, got);
  }

  isZero(bytes: Buffer): boolean {
    return bytes.equals(this.#zeros.subarray(0, bytes.length));
  }

  /** @param wasHole zeros in it are left out: what is sparse at the source stays sparse here */
  write(chunk: number, bytes: Buffer, wasHole: boolean): void {
    assert(bytes.length === this.lengthOf(chunk), 'a whole chunk');
    const step = wasHole ? SPARSE_BYTES : bytes.length;
    this.#guard('write', () => {
      for (let at = 0; at < bytes.length; at += step) {
        const length = Math.min(step, bytes.length - at);
        if (wasHole && this.isZero(bytes.subarray(at, at + length))) continue;
        this.#files.write(this.#fd, bytes, at, length, chunk * this.#chunkBytes + at);
        this.dirtyBytes += length;
      }
    });
  }

  /** Bytes anywhere in the disk. */
  writeAt(offset: number, bytes: Buffer): void {
    assert(offset + bytes.length <= this.#sizeBytes, 'the bytes are in the disk');
    this.#guard('write', () => {
      this.#files.write(this.#fd, bytes, 0, bytes.length, offset);
    });
    this.dirtyBytes += bytes.length;
  }

  /** Makes chunks read as zeros, at the latest with the next sync. */
  zero(first: number, count: number): void {
    const start = first * this.#chunkBytes;
    const end = Math.min(start + count * this.#chunkBytes, this.#sizeBytes);
    const last = this.#ranges.length - 2;
    if (last >= 0 && (this.#ranges[last] ?? 0) + (this.#ranges[last + 1] ?? 0) === start) {
      this.#ranges[last + 1] = end - (this.#ranges[last] ?? 0);
    } else {
      this.#ranges.push(start, end - start);
    }

    if (this.#ranges.length >= 2 * RANGES_MAX) this.#punch();
  }

  keep(): void {
    return undefined;
  }

  /** Gives up all behind. */
  truncate(sizeBytes: number): void {
    this.#guard('cut', () => {
      this.#files.truncate(this.#fd, sizeBytes);
    });
  }

  /** All that was written and zeroed is durable when this returns. */
  sync(): void {
    this.#punch();
    this.#guard('sync', () => {
      this.#files.syncData(this.#fd);
    });
    this.dirtyBytes = 0;
  }

  close(): void {
    this.#files.close(this.#fd);
  }

  #punch(): void {
    const ranges = this.#ranges;
    if (ranges.length === 0) return;
    this.#ranges = [];
    this.#guard('zero', () => {
      try {
        this.#files.punch(this.#fd, ranges);
      } catch (error) {
        const errno = errnoOf(error);
        if (errno === undefined || PUNCH_AGAIN.has(errno)) throw error;
        // The file system or device cannot. Only chunks with data are zeroed: it needs no new room.
        this.#writeZeros(ranges);
      }
    });
  }

  #writeZeros(ranges: readonly number[]): void {
    for (let index = 0; index < ranges.length; index += 2) {
      const start = ranges[index] ?? 0;
      const end = start + (ranges[index + 1] ?? 0);
      for (let offset = start; offset < end; offset += this.#chunkBytes) {
        const length = Math.min(this.#chunkBytes, end - offset);
        this.#files.write(this.#fd, this.#zeros, 0, length, offset);
      }
    }
  }

  #guard<T>(what: string, act: () => T): T {
    try {
      return act();
    } catch (error) {
      this.hasFailed = true;
      throw storeError(error, `${what} the image ${this.#path}`);
    }
  }
}
