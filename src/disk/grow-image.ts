import {passCrashPoint} from '../core/crash-points.js';
import {DiskError, storeError} from '../core/errors.js';
import type {Files} from '../core/files.js';

/**
 * Makes an image at least so large, durably. The log says the new size only afterwards: an image
 * that is larger than its log says is one that did not grow.
 *
 * @throws DiskError IMAGE_TOO_SMALL for a block device, STORE_*
 */
export function growImage(files: Files, path: string, sizeBytes: number): void {
  let fd: number | undefined;
  try {
    fd = files.open(path, 'write');
    const {kind, sizeBytes: found} = files.identify(fd);
    if (kind === 'block' && found < sizeBytes) {
      throw new DiskError('IMAGE_TOO_SMALL', `${path} has ${found} bytes: grow it first`, {
        found,
      });
    }

    if (found < sizeBytes) files.truncate(fd, sizeBytes);
    files.sync(fd);
  } catch (error) {
    throw storeError(error, `grow the image ${path}`);
  } finally {
    if (fd !== undefined) files.close(fd);
  }

  passCrashPoint('resize-image');
}
