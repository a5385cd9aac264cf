import type {Files} from '../core/files.js';

/**
 * Replaces a small file of the state; durable when this returns, the old or the new one whatever
 * happens before.
 *
 * @param directory that `path` lies in
 * @throws the error of the file system
 */
export function replaceFile(files: Files, directory: string, path: string, text: string): void {
  const bytes = Buffer.from(`${text}\n`);
  const temporary = `${path}.tmp`;
  if (files.exists(temporary)) files.unlink(temporary);
  const fd = files.open(temporary, 'exclusive');
  try {
    files.write(fd, bytes, 0, bytes.length, 0);
    files.sync(fd);
  } finally {
    files.close(fd);
  }

  files.rename(temporary, path);
  files.syncDirectory(directory);
}
