/** How much space there is, for the status and who watches it. */
import fs from 'node:fs/promises';
import type {FileSystemSpace} from '../control/space-api.js';

/** A file system that needs longer is not waited for: a status must not hang on it. */
const ANSWER_TIMEOUT_MS = 1000;

/** Of the file system of `path`; null where it cannot be told, or not in time. */
export async function spaceOf(path: string): Promise<FileSystemSpace | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(resolve, ANSWER_TIMEOUT_MS, null);
  });
  const asked = fs.statfs(path).then(
    ({bavail, bsize, blocks}) => ({freeBytes: bavail * bsize, totalBytes: blocks * bsize}),
    () => null,
  );
  try {
    return await Promise.race([asked, late]);
  } finally {
    clearTimeout(timer);
  }
}
