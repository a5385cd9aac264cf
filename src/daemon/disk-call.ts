import {callSocket} from '../control/client.js';

/**
 * Sends a command to a disk process (core/disk-status lists them).
 *
 * @throws DiskError DISK_UNREACHABLE, TIMEOUT, or the code that it answered
 */
export function callDisk<T>(
  socket: string,
  path: string,
  timeoutMs: number,
  body: unknown = {},
): Promise<T> {
  return callSocket<T>({
    socket,
    method: 'POST',
    path,
    body,
    timeoutMs,
    unreachable: 'DISK_UNREACHABLE',
  });
}
