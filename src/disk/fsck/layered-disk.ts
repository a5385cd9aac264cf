/**
 * A disk as it was at one position of the log, without a copy of the image: three layers, of which the
 * topmost that has a block counts.
 *
 *   layer    holds                                                   changed by
 *   overlay  what a mount or a checker wrote: void with the next     the thread that serves
 *            position
 *   log      blocks written by records up to the position, and bits  the main thread, while nobody
 *            for those that read as zeros                            has the disk open
 *   base     the image, read only; absent: zeros                     nobody here
 *
 * Overlay and log are sparse files with a block at its own offset, and a bit for each block in memory that
 * both threads share. `limitBytes` bounds what the two files may take.
 */
import {assert} from '../../core/assert.js';
import type {Files} from '../../core/files.js';
import {BLOCK_BYTES} from '../../core/limits.js';
import {ERRNO, type DiskHandler} from '../../fuse/handler.js';

/** What the two threads share. */
export interface LayerMemory {
  readonly logged: SharedArrayBuffer;
  readonly zeroed: SharedArrayBuffer;
  readonly overlaid: SharedArrayBuffer;
  /** Numbers by COUNT. */
  readonly counts: SharedArrayBuffer;
}

const COUNT = {sizeBytes: 0, loggedBlocks: 1, overlaidBlocks: 2} as const;

/** Descriptors; -1 for no base. */
export interface LayerDescriptors {
  readonly base: number;
  readonly log: number;
  readonly overlay: number;
}

/** @param sizeBytesMax what the disk never exceeds */
export function layerMemory(sizeBytesMax: number): LayerMemory {
  const words = Math.ceil(sizeBytesMax / BLOCK_BYTES / 32);
  const bits = (): SharedArrayBuffer => new SharedArrayBuffer(words * 4);
  return {
    logged: bits(),
    zeroed: bits(),
    overlaid: bits(),
    counts: new SharedArrayBuffer(3 * 8),
  };
}

export interface LayeredDiskOptions {
  readonly files: Files;
  readonly memory: LayerMemory;
  readonly descriptors: LayerDescriptors;
  readonly limitBytes: number;
}

/** The three layers; each thread has one of its own over the same memory. */
export class LayeredDisk implements DiskHandler {
  readonly #files: Files;
  readonly #descriptors: LayerDescriptors;
  readonly #logged: Uint32Array;
  readonly #zeroed: Uint32Array;
  readonly #overlaid: Uint32Array;
  readonly #counts: Float64Array;
  readonly #limitBlocks: number;
  readonly #block = Buffer.alloc(BLOCK_BYTES);

  constructor({files, memory, descriptors, limitBytes}: LayeredDiskOptions) {
    this.#files = files;
    this.#descriptors = descriptors;
    this.#logged = new Uint32Array(memory.logged);
    this.#zeroed = new Uint32Array(memory.zeroed);
    this.#overlaid = new Uint32Array(memory.overlaid);
    this.#counts = new Float64Array(memory.counts);
    this.#limitBlocks = Math.floor(limitBytes / BLOCK_BYTES);
  }

  sizeBytes(): number {
    return this.#counts[COUNT.sizeBytes] ?? 0;
  }

  /** Whether a block more would exceed the limit. */
  get isFull(): boolean {
    const {loggedBlocks, overlaidBlocks} = COUNT;
    const blocks = (this.#counts[loggedBlocks] ?? 0) + (this.#counts[overlaidBlocks] ?? 0);
    return blocks >= this.#limitBlocks;
  }

  resize(sizeBytes: number): void {
    assert(sizeBytes / BLOCK_BYTES <= this.#logged.length * 32, 'the disk has its bits');
    this.#counts[COUNT.sizeBytes] = sizeBytes;
  }

  /** A record of whole blocks. */
  applyWrite(offset: number, bytes: Buffer, start: number, length: number): void {
    assert(offset % BLOCK_BYTES === 0, 'records hold whole blocks');
    assert(length % BLOCK_BYTES === 0, 'records hold whole blocks');
    this.#files.write(this.#descriptors.log, bytes, start, length, offset);
    const first = offset / BLOCK_BYTES;
    for (let block = first; block < first + length / BLOCK_BYTES; block += 1) {
      if (!has(this.#logged, block)) this.#count(COUNT.loggedBlocks, 1);
      put(this.#logged, block);
      remove(this.#zeroed, block);
    }
  }

  /** DISCARD and ZERO of whole blocks: no call, whatever the length. */
  applyZero(offset: number, length: number): void {
    setRange(this.#zeroed, offset / BLOCK_BYTES, (offset + length) / BLOCK_BYTES);
  }

  /** The disk is that of the log again. */
  clearOverlay(): void {
    if (this.#counts[COUNT.overlaidBlocks] === 0) return;
    this.#overlaid.fill(0);
    this.#counts[COUNT.overlaidBlocks] = 0;
    this.#files.truncate(this.#descriptors.overlay, 0);
  }

  inode(): number {
    return 2;
  }

  read(offset: number, length: number, target: Buffer, targetOffset: number): number {
    const end = offset + length;
    for (let at = offset; at < end;) {
      const layer = this.#layerOf(Math.floor(at / BLOCK_BYTES));
      let stop = nextBlock(at);
      while (stop < end && this.#layerOf(stop / BLOCK_BYTES) === layer) stop += BLOCK_BYTES;
      stop = Math.min(stop, end);
      const start = targetOffset + at - offset;
      const got = layer < 0 ? 0 : this.#files.read(layer, target, start, stop - at, at);
      // Behind the end of an image that is shorter, and in no layer at all, are zeros.
      target.fill(0, start + got, start + stop - at);
      at = stop;
    }

    return 0;
  }

  write(offset: number, length: number, request: Buffer, payloadOffset: number): number {
    const end = offset + length;
    for (let at = offset; at < end;) {
      const block = Math.floor(at / BLOCK_BYTES);
      const stop = Math.min(end, nextBlock(at));
      if (!has(this.#overlaid, block)) {
        if (this.isFull) return ERRNO.ENOSPC;
        if (stop - at < BLOCK_BYTES) {
          const start = block * BLOCK_BYTES;
          this.read(start, BLOCK_BYTES, this.#block, 0);
          this.#files.write(this.#descriptors.overlay, this.#block, 0, BLOCK_BYTES, start);
        }

        put(this.#overlaid, block);
        this.#count(COUNT.overlaidBlocks, 1);
      }

      at = stop;
    }

    this.#files.write(this.#descriptors.overlay, request, payloadOffset, length, offset);
    return 0;
  }

  flush(): number {
    return 0; // What a power loss would leave of this copy is nobody's concern.
  }

  zero(offset: number, length: number): number {
    const zeros = Buffer.alloc(Math.min(length, 256 * BLOCK_BYTES));
    for (let done = 0; done < length; done += zeros.length) {
      const errno = this.write(offset + done, Math.min(zeros.length, length - done), zeros, 0);
      if (errno !== 0) return errno;
    }

    return 0;
  }

  statusJson(): string {
    return '{}\n';
  }

  allocatedBytes(): number {
    return 0;
  }

  afterRequest(): void {
    // There are no commands.
  }

  /** Descriptor of the layer that has a block; -1 for zeros. */
  #layerOf(block: number): number {
    if (has(this.#overlaid, block)) return this.#descriptors.overlay;
    if (has(this.#zeroed, block)) return -1;
    return has(this.#logged, block) ? this.#descriptors.log : this.#descriptors.base;
  }

  #count(which: number, blocks: number): void {
    this.#counts[which] = (this.#counts[which] ?? 0) + blocks;
  }
}

function nextBlock(offset: number): number {
  return (Math.floor(offset / BLOCK_BYTES) + 1) * BLOCK_BYTES;
}

function has(bits: Uint32Array, block: number): boolean {
  return (((bits[block >>> 5] ?? 0) >>> (block & 31)) & 1) === 1;
}

function put(bits: Uint32Array, block: number): void {
  bits[block >>> 5] = (bits[block >>> 5] ?? 0) | (1 << (block & 31));
}

function remove(bits: Uint32Array, block: number): void {
  bits[block >>> 5] = (bits[block >>> 5] ?? 0) & ~(1 << (block & 31));
}

/** Sets the bits of [start, end), whole words at once. */
function setRange(bits: Uint32Array, start: number, end: number): void {
  let block = start;
  while (block < end && block % 32 !== 0) put(bits, block++);
  const words = Math.floor((end - block) / 32);
  if (words > 0) {
    bits.fill(0xffff_ffff, block / 32, block / 32 + words);
    block += words * 32;
  }

  while (block < end) put(bits, block++);
}
