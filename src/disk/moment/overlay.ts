/**
 * What is written to a clone of a moment: a sparse file of the size of the disk, and a file with one bit for
 * each block that is in it. Both are of no use after a reboot. A block counts only when its content is in
 * the file, so a process that dies between the two has written nothing.
 */
import type {Files} from '../../core/files.js';
import {BLOCK_BYTES} from '../../core/limits.js';
import {MIB} from '../../core/units.js';

/** Room on the file system is looked at again after so much. */
const LOOK_BYTES = MIB;
/** Never the last of it: the log needs it more. */
const FREE_BYTES_MIN = 64 * MIB;

export interface OverlayOptions {
  readonly files: Files;
  /** Both are made where they are missing. */
  readonly dataFile: string;
  readonly mapFile: string;
  readonly sizeBytes: number;
  /** Blocks may take so much. */
  readonly bytesMax: number;
}

/** The blocks of a clone that were written. */
export class Overlay {
  readonly #files: Files;
  readonly #dataFile: string;
  readonly #bytesMax: number;
  readonly #data: number;
  readonly #map: number;
  readonly #bits: Buffer;
  #usedBytes = 0;
  #lookedBytes = -Infinity;

  constructor({files, dataFile, mapFile, sizeBytes, bytesMax}: OverlayOptions) {
    this.#files = files;
    this.#dataFile = dataFile;
    this.#bytesMax = bytesMax;
    this.#data = files.open(dataFile, 'create');
    if (files.sizeOf(this.#data) < sizeBytes) files.truncate(this.#data, sizeBytes);
    this.#map = files.open(mapFile, 'create');
    this.#bits = Buffer.alloc(Math.ceil(sizeBytes / BLOCK_BYTES / 8));
    if (files.sizeOf(this.#map) < this.#bits.length) files.truncate(this.#map, this.#bits.length);
    files.read(this.#map, this.#bits, 0, this.#bits.length, 0);
    for (const byte of this.#bits) this.#usedBytes += countBits(byte) * BLOCK_BYTES;
  }

  has(block: number): boolean {
    return ((this.#bits[block >>> 3] ?? 0) & (1 << (block & 7))) !== 0;
  }

  /** Whether blocks with so many bytes may be added. */
  hasRoom(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.#bytesMax) return false;
    if (this.#usedBytes < this.#lookedBytes + LOOK_BYTES) return true;
    if (this.#files.freeBytes(this.#dataFile) < FREE_BYTES_MIN + bytes) return false;
    this.#lookedBytes = this.#usedBytes;
    return true;
  }

  read(offset: number, length: number, target: Buffer, targetOffset: number): void {
    const got = this.#files.read(this.#data, target, targetOffset, length, offset);
    target.fill(0, targetOffset + got, targetOffset + length);
  }

  /** The blocks that the range touches become part of the clone; they have to be whole in the file by `put`. */
  write(offset: number, length: number, source: Buffer, sourceOffset: number): void {
    this.#files.write(this.#data, source, sourceOffset, length, offset);
  }

  /**
   * Blocks [first, end) are whole in the file: they count from here on.
   *
   * @throws the error of the file system: none of them counts that did not before
   */
  put(first: number, end: number): void {
    const from = first >>> 3;
    const bits = Buffer.from(this.#bits.subarray(from, ((end - 1) >>> 3) + 1));
    let added = 0;
    for (let block = first; block < end; block += 1) {
      if (this.has(block)) continue;
      const at = (block >>> 3) - from;
      bits[at] = (bits[at] ?? 0) | (1 << (block & 7));
      added += 1;
    }

    if (added === 0) return;
    // In the file first: a block that counts in memory only would be lost with the process.
    this.#files.write(this.#map, bits, 0, bits.length, from);
    bits.copy(this.#bits, from);
    this.#usedBytes += added * BLOCK_BYTES;
  }

  flush(): void {
    this.#files.syncData(this.#data);
    this.#files.syncData(this.#map);
  }
}

function countBits(byte: number): number {
  let count = 0;
  for (let rest = byte; rest !== 0; rest >>>= 1) count += rest & 1;
  return count;
}
