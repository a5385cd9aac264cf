import fs from 'node:fs';
import {spawn} from 'node:child_process';
import {DiskError, storeError} from '../core/errors.js';

/**
 * Takes an exclusive lock (flock) that belongs to the open file: the kernel frees it when the
 * descriptor is closed, however this process ends.
 *
 * @param waitSeconds how long to wait for it; 0: not at all
 * @returns the descriptor, to be closed; undefined where somebody else has the lock
 * @throws DiskError STORE_*, TOOL_MISSING
 */
export async function tryLock(path: string, waitSeconds = 0): Promise<number | undefined> {
  let fd: number;
  try {
    fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
  } catch (error) {
    throw storeError(error, `open ${path}`);
  }

  const wait = waitSeconds === 0 ? ['-n'] : ['-w', String(waitSeconds)];
  const status = await new Promise<number | null | undefined>((resolve) => {
    // flock(1) locks the open file that it inherits as 3, which is ours, and ends.
    spawn('flock', [...wait, '-x', '3'], {stdio: ['ignore', 'ignore', 'ignore', fd], cwd: '/'})
      .once('error', () => {
        resolve(undefined);
      })
      .once('exit', resolve);
  });
  if (status === 0) return fd;
  fs.closeSync(fd);
  if (status === undefined) {
    throw new DiskError('TOOL_MISSING', 'flock is not installed: apt-get install util-linux');
  }

  return undefined;
}
