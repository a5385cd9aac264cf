import fs from 'node:fs';
import {spawnSync} from 'node:child_process';
import {DiskError, storeError} from '../core/errors.js';
import {tryLock} from './file-lock.js';
import {holdersOfFile} from './openers.js';

/**
 * Takes the lock of the one daemon of a home. The lock belongs to our open file: the kernel frees
 * it when this process is gone, however it ends, so a stale lock cannot exist.
 *
 * @returns the descriptor; closing it gives the lock back
 * @throws DiskError DAEMON_RUNNING with its pid, TOOL_MISSING, STORE_*
 */
export function takeDaemonLock(path: string): number {
  let fd: number;
  try {
    fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
  } catch (error) {
    throw storeError(error, `open ${path}`);
  }

  // flock(1) locks the open file that it inherits as 3, which is ours, and ends.
  const result = spawnSync('flock', ['-n', '3'], {stdio: ['ignore', 'ignore', 'ignore', fd]});
  if (result.status === 0) return fd;
  fs.closeSync(fd);
  if (result.error !== undefined) {
    throw new DiskError('TOOL_MISSING', 'flock is not installed: apt-get install util-linux');
  }

  const holder = holdersOfFile(path)[0];
  throw new DiskError(
    'DAEMON_RUNNING',
    `a daemon runs at this home already: ${holder?.text ?? 'it cannot be seen from here'}`,
    holder?.pid == null ? {} : {pid: holder.pid},
  );
}

const CARE_WAIT_SECONDS = 60;

/**
 * Waits until a `mars cron` that began while no daemon ran has ended. One that begins from now on
 * sees that the lock of the daemon is held, and does nothing.
 *
 * @throws DiskError TIMEOUT naming who is at work, TOOL_MISSING, STORE_*
 */
export async function waitForCare(path: string): Promise<void> {
  const fd = await tryLock(path, CARE_WAIT_SECONDS);
  if (fd !== undefined) {
    fs.closeSync(fd);
    return;
  }

  const holder = holdersOfFile(path)[0];
  throw new DiskError(
    'TIMEOUT',
    `${holder?.text ?? 'mars cron'} is at work at this home for more than ${CARE_WAIT_SECONDS} s`,
    holder?.pid == null ? {} : {pid: holder.pid},
  );
}
