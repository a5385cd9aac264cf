import {errnoOf} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {MIB} from '../core/units.js';

/** Failures of a punch that do not mean that the image cannot be punched. */
const PUNCH_AGAIN = new Set(['EAGAIN', 'ENOMEM', 'EIO', 'EROFS']);
const ZERO_BYTES = MIB;

/**
 * Makes ranges of an image zeros: offset and length in turn, bytes.
 *
 * @throws the error of the file system; nothing or a part was done then
 */
export function punchOrZero(files: Files, fd: number, ranges: readonly number[]): void {
  try {
    files.punch(fd, ranges);
  } catch (error) {
    const errno = errnoOf(error);
    // Not tried, or the device failed: whoever asked tries again. Zeros in the place of a discard of
    // terabytes would fill the file system.
    if (errno === undefined || PUNCH_AGAIN.has(errno)) throw error;
    // The file system or device cannot: zeros mean zeros, so they are written.
    const zeros = Buffer.alloc(ZERO_BYTES);
    for (let index = 0; index < ranges.length; index += 2) {
      const start = ranges[index] ?? 0;
      const end = start + (ranges[index + 1] ?? 0);
      for (let offset = start; offset < end; offset += ZERO_BYTES) {
        files.write(fd, zeros, 0, Math.min(ZERO_BYTES, end - offset), offset);
      }
    }
  }
}
