/**
 * Brings a part of the disk back to a content of before, as ordinary writes and discards: only the blocks
 * that differ, and blocks of zeros as discards, which give their space back.
 */
import {BLOCK_BYTES} from '../core/limits.js';
import {ERRNO, WRITE_HEADROOM_BYTES, WRITE_TAILROOM_BYTES} from '../fuse/handler.js';
import type {BlockReader} from './read.js';
import {REVERT_BYTES_MAX, WORD, type Shared} from './shared.js';

export interface RevertPorts {
  readonly shared: Shared;
  /** The disk as it is now. */
  readonly read: BlockReader;
  /** As Front.write, with the same room around the payload. @returns 0: it is in the log */
  readonly write: (
    offset: number,
    length: number,
    request: Buffer,
    payloadOffset: number,
  ) => number;
  /** @returns 0: it is in the log */
  readonly discard: (offset: number, end: number) => number;
}

interface Buffers {
  /** What the disk holds. */
  readonly now: Buffer;
  /** What is written, with room around it. */
  readonly request: Buffer;
}

const ZEROS = Buffer.alloc(BLOCK_BYTES);

/** One for the life of a front. */
export class Reverter {
  readonly #ports: RevertPorts;
  #buffers: Buffers | undefined;

  constructor(ports: RevertPorts) {
    this.#ports = ports;
  }

  /** While the disk is on its way back nobody opens it; afterwards the memory for it is given back. */
  openErrno(): number {
    if (this.#ports.shared.get(WORD.closed) !== 0) return ERRNO.EBUSY;
    this.#buffers = undefined;
    return 0;
  }

  /**
   * Carries out COMMAND.revert; its argument becomes the bytes that were changed.
   *
   * @returns false: there was no room for all of it; the same again goes on where this ended
   */
  revert(): boolean {
    const {shared, read} = this.#ports;
    const offset = shared.commandArgument.get();
    const content = shared.content.subarray(0, shared.get(WORD.revertBytes));
    this.#buffers ??= {
      now: Buffer.alloc(REVERT_BYTES_MAX),
      request: Buffer.alloc(WRITE_HEADROOM_BYTES + REVERT_BYTES_MAX + WRITE_TAILROOM_BYTES),
    };
    const {now, request} = this.#buffers;
    // What cannot be read is no reason not to write it.
    const isReadable = read(offset, content.length, now, 0) === 0;
    const kindAt = (at: number): BlockKind => kindOf(content, isReadable ? now : undefined, at);
    let writtenBytes = 0;
    let at = 0;
    let isDone = true;
    while (isDone && at < content.length) {
      const kind = kindAt(at);
      let end = at + BLOCK_BYTES;
      while (end < content.length && kindAt(end) === kind) end += BLOCK_BYTES;
      if (kind !== 'same') {
        isDone = this.#change(kind, offset, content, at, end, request);
        if (isDone) writtenBytes += end - at;
      }

      at = end;
    }

    shared.commandArgument.set(writtenBytes);
    return isDone;
  }

  #change(
    kind: 'zeros' | 'data',
    offset: number,
    content: Buffer,
    at: number,
    end: number,
    request: Buffer,
  ): boolean {
    const {write, discard} = this.#ports;
    if (kind === 'zeros') return discard(offset + at, offset + end) === 0;
    content.copy(request, WRITE_HEADROOM_BYTES, at, end);
    return write(offset + at, end - at, request, WRITE_HEADROOM_BYTES) === 0;
  }
}

type BlockKind = 'same' | 'zeros' | 'data';

function kindOf(content: Buffer, now: Buffer | undefined, at: number): BlockKind {
  const end = at + BLOCK_BYTES;
  if (now !== undefined && content.compare(now, at, end, at, end) === 0) return 'same';
  return content.compare(ZEROS, 0, BLOCK_BYTES, at, end) === 0 ? 'zeros' : 'data';
}
