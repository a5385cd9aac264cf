/**
 * An image that is made beside the old one. What the source has as well is copied from the old one, and
 * so is not sent; the rest comes. It grows from its beginning on: what a death left behind the chunks
 * that are counted is cut off when it is opened again, so that holes of it are zeros.
 */
import {errnoOf, storeError} from '../core/errors.js';
import type {ChunkMap} from '../core/extents.js';
import type {FileIdentity, Files} from '../core/files.js';
import {TargetImage, type ScanImage, type SyncImage} from './target-image.js';

export interface BesideImageOptions {
  readonly files: Files;
  /** The new one; it exists. */
  readonly path: string;
  /** The old one: it is only read. */
  readonly oldPath: string;
  readonly chunkBytes: number;
  /** Chunks that count. */
  readonly doneChunks: number;
}

/** What a copy writes to in the place of the old image. */
export class BesideImage implements SyncImage {
  /** Digests are those of the old image. */
  readonly isReadBack = false;
  readonly #options: BesideImageOptions;
  readonly #target: TargetImage;
  readonly #oldFd: number;
  readonly #buffer: Buffer;
  readonly #unreadable = new Set<number>();
  #map: ChunkMap | undefined;
  /** Bytes that were copied from the old image. */
  keptBytes = 0;

  /** @throws DiskError STORE_IO and the like */
  constructor(options: BesideImageOptions) {
    const {files, path, oldPath, chunkBytes, doneChunks} = options;
    this.#options = options;
    this.#buffer = Buffer.allocUnsafeSlow(chunkBytes);
    this.#target = new TargetImage(files, path, chunkBytes);
    try {
      this.#target.truncate(doneChunks * chunkBytes);
      this.#oldFd = files.open(oldPath, 'read');
    } catch (error) {
      this.#target.close();
      throw storeError(error, `open the image ${oldPath}`);
    }
  }

  get dirtyBytes(): number {
    return this.#target.dirtyBytes;
  }

  get hasFailed(): boolean {
    return this.#target.hasFailed;
  }

  identify(): FileIdentity {
    return this.#target.identify();
  }

  /** @param doneChunks that the source agrees to: it may be none, where it begins anew */
  setSize(sizeBytes: number, doneChunks: number): void {
    if (doneChunks < this.#options.doneChunks) {
      this.#target.truncate(doneChunks * this.#options.chunkBytes);
    }

    this.#target.setSize(sizeBytes);
  }

  async scan(scan: ScanImage): Promise<ChunkMap> {
    this.#map = await this.#target.scan((_, sizeBytes, onExtent) => {
      const oldBytes = this.#options.files.sizeOf(this.#oldFd);
      return scan(this.#oldFd, Math.min(oldBytes, sizeBytes), onExtent);
    });
    return this.#map;
  }

  lengthOf(chunk: number): number {
    return this.#target.lengthOf(chunk);
  }

  /** The old content; zeros where it cannot be read, so that it comes from the source. */
  read(chunk: number, target: Buffer): Buffer {
    try {
      return this.#readOld(chunk, target);
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      this.#unreadable.add(chunk);
      return target.subarray(0, this.lengthOf(chunk)).fill(0);
    }
  }

  #readOld(chunk: number, target: Buffer): Buffer {
    const bytes = target.subarray(0, this.lengthOf(chunk));
    const {files, chunkBytes} = this.#options;
    const got = files.read(this.#oldFd, bytes, 0, bytes.length, chunk * chunkBytes);
    return bytes.fill(0, got);
  }

  isZero(bytes: Buffer): boolean {
    return this.#target.isZero(bytes);
  }

  /** Chunks that the source has as the old image has them. */
  keep(first: number, count: number): void {
    for (let chunk = first; chunk < first + count; chunk += 1) {
      // What was told of an unreadable one were zeros, and zeros they are at the source.
      if (this.#map?.has(chunk) !== true || this.#unreadable.has(chunk)) continue;
      const bytes = this.#readOld(chunk, this.#buffer);
      if (this.isZero(bytes)) continue;
      this.#target.write(chunk, bytes, true);
      this.keptBytes += bytes.length;
    }
  }

  write(chunk: number, bytes: Buffer): void {
    this.#target.write(chunk, bytes, true);
  }

  writeAt(offset: number, bytes: Buffer): void {
    this.#target.writeAt(offset, bytes);
  }

  /** They are holes. */
  zero(): void {
    return undefined;
  }

  sync(): void {
    this.#target.sync();
  }

  close(): void {
    this.#target.close();
    this.#options.files.close(this.#oldFd);
  }
}
