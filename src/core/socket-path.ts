import fs from 'node:fs';
import {basename, dirname} from 'node:path';
import {storeError} from './errors.js';

/** Longest address of a Unix socket without its closing zero (unix(7): sun_path has 108 bytes). */
export const SOCKET_PATH_BYTES_MAX = 107;

export interface SocketAddress {
  /** What to bind or connect to. */
  readonly path: string;
  /** Gives the directory's descriptor back; after the connection, or after the server, is closed. */
  close(): void;
}

/**
 * An address for the socket at `path`, however deep the home lies: a path over the limit is
 * reached through a descriptor of its directory, which Node would otherwise cut off in silence.
 *
 * @throws DiskError STORE_IO where the directory cannot be opened
 */
export function socketAddress(path: string): SocketAddress {
  if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return {path, close: () => undefined};
  let fd: number;
  try {
    fd = fs.openSync(dirname(path), fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  } catch (error) {
    throw storeError(error, `open ${dirname(path)}`);
  }

  let closed = false;
  return {
    path: `/proc/self/fd/${fd}/${basename(path)}`,
    close: () => {
      if (!closed) fs.closeSync(fd);
      closed = true;
    },
  };
}
