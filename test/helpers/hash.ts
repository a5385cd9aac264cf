import {createHash} from 'node:crypto';
import fs from 'node:fs';

const CHUNK_BYTES = 1024 * 1024;

/**
 * SHA-256 of a range of a file or block device, past every page cache of ours (O_DIRECT). Call it
 * from a test only: it reads below our mounts, and hangs with them.
 *
 * @param offset multiple of 4096, as is `length`
 * @returns hex digits
 */
export async function hashRange(file: string, offset: number, length: number): Promise<string> {
  const hash = createHash('sha256');
  const handle = await fs.promises.open(file, fs.constants.O_RDONLY | fs.constants.O_DIRECT);
  try {
    const buffer = alignedBuffer(CHUNK_BYTES);
    for (let done = 0; done < length;) {
      const want = Math.min(CHUNK_BYTES, length - done);
      const {bytesRead} = await handle.read(buffer, 0, want, offset + done);
      if (bytesRead === 0) throw new Error(`${file} ends at ${offset + done}`);
      hash.update(buffer.subarray(0, bytesRead));
      done += bytesRead;
    }
  } finally {
    await handle.close();
  }

  return hash.digest('hex');
}

/** A buffer whose memory begins at a page, as O_DIRECT wants it. */
export function alignedBuffer(bytes: number): Buffer {
  // Node's allocator maps large array buffers by page, V8 hands them out 16 bytes aligned at least:
  // nothing promises a page, so look for one in a larger buffer.
  const memory = new ArrayBuffer(bytes + 8192);
  for (let start = 0; start < 8192; start += 8) {
    const buffer = Buffer.from(memory, start, bytes);
    if (isAligned(buffer)) return buffer;
  }

  throw new Error('no aligned buffer');
}

let probe: number | undefined;

/** Asks the kernel: a direct read of a regular file fails with EINVAL into a crooked buffer. */
function isAligned(buffer: Buffer): boolean {
  probe ??= openProbe();
  try {
    return fs.readSync(probe, buffer, 0, 4096, 0) === 4096;
  } catch {
    return false;
  }
}

function openProbe(): number {
  const file = `/var/tmp/mars-probe-${process.pid}`;
  fs.writeFileSync(file, Buffer.alloc(4096));
  const descriptor = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_DIRECT);
  fs.rmSync(file);
  return descriptor;
}
