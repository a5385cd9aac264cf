/** An image as a sync reads it: off the event loop, beside the disk process that writes to it. */
import fs from 'node:fs';
import type {FileHandle} from 'node:fs/promises';
import {storeError} from '../core/errors.js';
import {scanExtents, type OnExtent} from '../core/extents.js';
import {SYNC_CHUNK_BYTES} from '../log/frame-schemas.js';

/** An image that is open for reading. */
export interface SourceImage {
  /** Fills `target`; with zeros where the image ends before. */
  read(offset: number, target: Buffer): Promise<void>;
  /** Tells where data may be; everywhere, where nobody knows. */
  scan(sizeBytes: number, onExtent: OnExtent): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens an image by its own path: never by our mount, which waits for the disk process that waits
 * for us.
 *
 * @throws DiskError STORE_IO and the like
 */
export async function openSourceImage(path: string): Promise<SourceImage> {
  let handle: FileHandle;
  try {
    handle = await fs.promises.open(path, 'r');
  } catch (error) {
    throw storeError(error, `open the image ${path}`);
  }

  return {
    read: (offset, target) => readFully(handle, offset, target),
    scan: async (sizeBytes, onExtent) => {
      await scanExtents(handle.fd, sizeBytes, SYNC_CHUNK_BYTES, onExtent);
    },
    close: () => handle.close(),
  };
}

async function readFully(handle: FileHandle, offset: number, target: Buffer): Promise<void> {
  let done = 0;
  while (done < target.length) {
    const left = target.length - done;
    const {bytesRead} = await handle.read(target, done, left, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }

  target.fill(0, done);
}
