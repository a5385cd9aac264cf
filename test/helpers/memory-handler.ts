/** A disk in memory, to test the FUSE drivers without a log. */
import type {DiskHandler} from '../../src/fuse/handler.js';

export interface MemoryHandler extends DiskHandler {
  readonly disk: Buffer;
  /** Counted calls, by name of the method. */
  readonly calls: Record<'read' | 'write' | 'flush' | 'zero' | 'afterRequest', number>;
  /** What `flush`, `write` and `zero` answer from now on, beside doing their work. */
  answers: {flush: number; write: number; zero: number; read: number};
  inodeNumber: number;
}

/**
 * @param disk the contents; a SharedArrayBuffer below it lets other threads look
 * @param onCall hears of each call before it is carried out
 */
export function createMemoryHandler(
  disk: Buffer,
  onCall: (name: keyof MemoryHandler['calls']) => void = () => undefined,
): MemoryHandler {
  const calls = {read: 0, write: 0, flush: 0, zero: 0, afterRequest: 0};
  const count = (name: keyof typeof calls): void => {
    calls[name] += 1;
    onCall(name);
  };

  const handler: MemoryHandler = {
    disk,
    calls,
    answers: {flush: 0, write: 0, zero: 0, read: 0},
    inodeNumber: 1001,
    sizeBytes: () => disk.byteLength,
    inode: () => handler.inodeNumber,
    read: (offset, length, target, targetOffset) => {
      count('read');
      disk.copy(target, targetOffset, offset, offset + length);
      return handler.answers.read;
    },
    write: (offset, length, request, payloadOffset) => {
      count('write');
      request.copy(disk, offset, payloadOffset, payloadOffset + length);
      return handler.answers.write;
    },
    flush: () => {
      count('flush');
      return handler.answers.flush;
    },
    zero: (offset, length) => {
      count('zero');
      disk.fill(0, offset, offset + length);
      return handler.answers.zero;
    },
    statusJson: () => '{"schema":1,"name":"memory"}\n',
    allocatedBytes: () => 0,
    afterRequest: () => {
      count('afterRequest');
    },
  };
  return handler;
}
