/** Requests that are answered from few fields: what they ask for, decided without side effects. */
import {BODY, FALLOCATE_MODE, FATTR_SIZE, SEEK_DATA, SEEK_HOLE, readUint64} from './abi.js';
import type {DiskHandler} from './handler.js';
import {ERRNO} from './handler.js';
import {NODE} from './tree.js';

/**
 * `fuse_fallocate_in`: discard and write-zeroes. Never beyond the disk's end: ranges that keep the
 * size are clipped there, those that would extend it are refused.
 *
 * @returns 0, a positive errno, or PENDING
 */
export function fallocate(
  request: Uint32Array,
  handler: DiskHandler,
  uniqueLow: number,
  uniqueHigh: number,
): number {
  const offset = readUint64(request, BODY + 2);
  const asked = readUint64(request, BODY + 4);
  const mode = request[BODY + 6] ?? 0;
  const sizeBytes = handler.sizeBytes();
  const beyond = offset + asked > sizeBytes;
  if (asked === 0) return ERRNO.EINVAL;
  switch (mode) {
    case FALLOCATE_MODE.ALLOCATE:
      // Room is a matter of the log, which takes every write that is inside the disk.
      return beyond ? ERRNO.ENOSPC : 0;
    case FALLOCATE_MODE.ZERO_RANGE:
      if (beyond) return ERRNO.ENOSPC;
      break;
    case FALLOCATE_MODE.PUNCH_HOLE:
    case FALLOCATE_MODE.ZERO_KEEP_SIZE:
      break;
    default:
      return ERRNO.EOPNOTSUPP;
  }

  const length = Math.min(asked, sizeBytes - offset);
  if (length <= 0) return 0;
  const discard = mode === FALLOCATE_MODE.PUNCH_HOLE;
  return handler.zero(offset, length, discard, uniqueLow, uniqueHigh);
}

/**
 * `fuse_lseek_in`: everything is data, the hole is behind the end. Telling holes of the image would
 * be wrong while data is in the log only.
 *
 * @returns the offset, or a negative errno
 */
export function seek(request: Uint32Array, handler: DiskHandler): number {
  const offset = readUint64(request, BODY + 2);
  const whence = request[BODY + 4] ?? 0;
  const sizeBytes = handler.sizeBytes();
  if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return -ERRNO.EINVAL;
  if (offset >= sizeBytes) return -ERRNO.ENXIO;
  return whence === SEEK_DATA ? offset : sizeBytes;
}

/**
 * `fuse_setattr_in`: the size is the resource's, owner and mode are the mount's. Times and modes are
 * taken without effect, so that touch, cp -p and the like go on.
 *
 * @returns 0 or a positive errno
 */
export function setAttributesErrno(
  request: Uint32Array,
  node: number,
  handler: DiskHandler,
): number {
  if (((request[BODY] ?? 0) & FATTR_SIZE) === 0) return 0;
  if (node !== NODE.DISK) return node === NODE.ROOT ? ERRNO.EISDIR : ERRNO.EPERM;
  return readUint64(request, BODY + 4) === handler.sizeBytes() ? 0 : ERRNO.EPERM;
}
