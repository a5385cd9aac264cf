/** How a small file is replaced as a whole: the one place where the order of its steps is. */
import {dirname} from 'node:path';
import {passCrashPoint} from './crash-points.js';
import type {Files} from './files.js';

/**
 * Replaces a file, or makes it: temporary file, fsync, rename, fsync of the directory. A crash or
 * power loss at any moment leaves the old one or the new one, whole.
 *
 * @throws the error of the file system; the old file is then there, or the new one where only the
 *   sync of the directory failed
 */
export function replaceFile(files: Files, path: string, bytes: Buffer): void {
  const temporary = `${path}.tmp`;
  if (files.exists(temporary)) files.unlink(temporary);
  const fd = files.open(temporary, 'exclusive');
  try {
    files.write(fd, bytes, 0, bytes.length, 0);
    files.sync(fd);
  } finally {
    files.close(fd);
  }

  passCrashPoint('file-written', path);
  files.rename(temporary, path);
  passCrashPoint('file-renamed', path);
  files.syncDirectory(dirname(path));
}
