/** The image: a file or block device that holds the disk as of the replay position. */
import {DiskError, storeError} from '../core/errors.js';
import type {FileIdentity, Files} from '../core/files.js';

/**
 * Opens an image for reading and writing.
 *
 * @throws DiskError STORE_IO and the like where it cannot be opened, IMAGE_TOO_SMALL
 */
export function openImage(files: Files, path: string, diskSizeBytes: number): number {
  let fd: number;
  try {
    fd = files.open(path, 'write');
  } catch (error) {
    throw storeError(error, `open the image ${path}`);
  }

  const {sizeBytes, kind} = files.identify(fd);
  if (sizeBytes >= diskSizeBytes) return fd;
  // A crash between the record of a resize and the file's own metadata: grow it again.
  if (kind === 'file') {
    files.truncate(fd, diskSizeBytes);
    return fd;
  }

  files.close(fd);
  throw new DiskError(
    'IMAGE_TOO_SMALL',
    `the image ${path} has ${sizeBytes} bytes, the disk has ${diskSizeBytes}`,
    {path, sizeBytes, diskSizeBytes},
  );
}

/**
 * Whether `found` may be the image that `known` was recorded of. The device number is not
 * compared for files: it changes with the order of disks at boot. The size may only grow.
 */
export function isSameImage(known: FileIdentity, found: FileIdentity): boolean {
  if (known.kind !== found.kind) return false;
  if (known.kind === 'block') return found.sizeBytes >= known.sizeBytes;
  return known.inode === found.inode && known.birthMs === found.birthMs;
}
