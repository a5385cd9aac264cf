/**
 * A moment as a FUSE driver serves it: the image with the log up to there laid over it, and for a clone with
 * what was written to it on top.
 *
 * Whoever changes what a moment stands on takes its file away first (core/history-mounts). It is looked for
 * after each read: while it is there, what was read before is the disk of that moment; else the answer is EIO.
 */
import type {Files} from '../../core/files.js';
import type {HistoryMount} from '../../core/history-mounts.js';
import {errnoOf} from '../../core/errors.js';
import {BLOCK_BYTES} from '../../core/limits.js';
import {ERRNO, type DiskHandler} from '../../fuse/handler.js';
import {readBlocks} from '../read.js';
import type {MomentLog} from './moment-log.js';
import type {Overlay} from './overlay.js';

export interface MomentImageOptions {
  readonly files: Files;
  readonly mount: HistoryMount;
  /** The file that is there while the moment is. */
  readonly mountFile: string;
  readonly imageFd: number;
  readonly log: MomentLog;
  /** undefined: it is read-only. */
  readonly overlay: Overlay | undefined;
}

/** The handler of one mounted moment. */
export class MomentImage implements DiskHandler {
  readonly #options: MomentImageOptions;
  readonly #block = Buffer.alloc(BLOCK_BYTES);
  readonly #inode: number;

  constructor(options: MomentImageOptions) {
    this.#options = options;
    // The same in every life of the process.
    this.#inode = 16 + (Number.parseInt(options.mount.chain.slice(0, 12), 16) || 1);
  }

  sizeBytes(): number {
    return this.#options.mount.sizeBytes;
  }

  inode(): number {
    return this.#inode;
  }

  read(offset: number, length: number, target: Buffer, targetOffset: number): number {
    const {overlay} = this.#options;
    if (overlay === undefined) return this.#readMoment(offset, length, target, targetOffset);
    const end = offset + length;
    let at = offset;
    while (at < end) {
      const isIn = overlay.has(Math.floor(at / BLOCK_BYTES));
      let next = nextBlock(at, end);
      while (next < end && overlay.has(next / BLOCK_BYTES) === isIn) next = nextBlock(next, end);
      const to = targetOffset + at - offset;
      const result = isIn
        ? this.#try(() => {
            overlay.read(at, next - at, target, to);
          })
        : this.#readMoment(at, next - at, target, to);
      if (result !== 0) return result;
      at = next;
    }

    return 0;
  }

  write(offset: number, length: number, request: Buffer, payloadOffset: number): number {
    const {overlay} = this.#options;
    if (overlay === undefined) return ERRNO.EROFS;
    if (offset + length > this.sizeBytes()) return ERRNO.ENOSPC;
    const first = Math.floor(offset / BLOCK_BYTES);
    const last = Math.floor((offset + length - 1) / BLOCK_BYTES);
    if (!overlay.hasRoom((last + 1 - first) * BLOCK_BYTES)) return ERRNO.ENOSPC;
    // A block that is written in part only is completed in the clone first.
    const ragged = [
      ...(offset % BLOCK_BYTES === 0 ? [] : [first]),
      ...((offset + length) % BLOCK_BYTES === 0 ? [] : [last]),
    ];
    for (const block of new Set(ragged)) {
      if (overlay.has(block)) continue;
      const at = block * BLOCK_BYTES;
      const bytes = Math.min(BLOCK_BYTES, this.sizeBytes() - at);
      const result = this.#readMoment(at, bytes, this.#block, 0);
      if (result !== 0) return result;
      const copied = this.#try(() => {
        overlay.write(at, bytes, this.#block, 0);
      });
      if (copied !== 0) return copied;
    }

    return this.#try(() => {
      overlay.write(offset, length, request, payloadOffset);
      overlay.put(first, last + 1);
    });
  }

  flush(): number {
    const {overlay} = this.#options;
    if (overlay === undefined) return 0;
    return this.#try(() => {
      overlay.flush();
    });
  }

  /** A file system on it does without discards. */
  zero(): number {
    return this.#options.overlay === undefined ? ERRNO.EROFS : ERRNO.EOPNOTSUPP;
  }

  statusJson(): string {
    return `${JSON.stringify(this.#options.mount)}\n`;
  }

  allocatedBytes(): number {
    return 0;
  }

  afterRequest(): void {
    // It takes no commands.
  }

  #readMoment(offset: number, length: number, target: Buffer, targetOffset: number): number {
    const {files, imageFd, log, mountFile} = this.#options;
    const disk = {index: log.index, imageFd};
    const result = readBlocks(files, disk, log, offset, length, target, targetOffset);
    return files.exists(mountFile) ? result : ERRNO.EIO;
  }

  #try(work: () => void): number {
    try {
      work();
      return 0;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === undefined) throw error;
      return errno === 'ENOSPC' ? ERRNO.ENOSPC : ERRNO.EIO;
    }
  }
}

function nextBlock(at: number, end: number): number {
  return Math.min(end, (Math.floor(at / BLOCK_BYTES) + 1) * BLOCK_BYTES);
}
