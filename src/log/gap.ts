/**
 * The payload of a GAP record (docs/LOG_FORMAT.md): which changes of the image the log does not hold.
 *
 *   0   16  epoch     that ended before the gap
 *   16   8  position  where it ended
 *   24  32  digest    SHA-256 of the map of what was written (image/bypass-map)
 */
import {assert} from '../core/assert.js';

export const GAP_BYTES = 56;

export interface Gap {
  /** 32 hex digits. */
  readonly epoch: string;
  readonly position: number;
  readonly digest: Buffer;
}

/** @returns GAP_BYTES bytes */
export function encodeGap({epoch, position, digest}: Gap): Buffer {
  assert(epoch.length === 32 && digest.length === 32, 'an epoch and a SHA-256');
  const bytes = Buffer.alloc(GAP_BYTES);
  bytes.write(epoch, 0, 'hex');
  bytes.writeBigUInt64LE(BigInt(position), 16);
  digest.copy(bytes, 24);
  return bytes;
}

/** @returns undefined where the payload is too short to be one */
export function decodeGap(bytes: Buffer): Gap | undefined {
  if (bytes.length < GAP_BYTES) return undefined;
  return {
    epoch: bytes.toString('hex', 0, 16),
    position: Number(bytes.readBigUInt64LE(16)),
    digest: Buffer.from(bytes.subarray(24, GAP_BYTES)),
  };
}
