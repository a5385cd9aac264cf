import {
  WRITE_GAP_BYTES,
  WRITE_HEADROOM_BYTES,
  WRITE_TAILROOM_BYTES,
  type WriteBatch,
} from '../../src/fuse/handler.js';

/** One write of a batch; whole blocks. */
export interface BatchedWrite {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** As the driver lays it out; what lies around the payloads is no zeros. */
export function makeWriteBatch(writes: readonly BatchedWrite[]): WriteBatch {
  const payloadBytes = writes.reduce((sum, {bytes}) => sum + bytes.length, 0);
  const gaps = writes.length * WRITE_GAP_BYTES;
  const size = WRITE_HEADROOM_BYTES + payloadBytes + gaps + WRITE_TAILROOM_BYTES;
  const bytes = Buffer.alloc(size, 0xee);
  let at = WRITE_HEADROOM_BYTES;
  for (const write of writes) {
    write.bytes.copy(bytes, at);
    at += write.bytes.length + WRITE_GAP_BYTES;
  }

  return {
    bytes,
    payloadOffset: WRITE_HEADROOM_BYTES,
    count: writes.length,
    offsets: Float64Array.from(writes, ({offset}) => offset),
    lengths: Uint32Array.from(writes, (write) => write.bytes.length),
    payloadBytes,
  };
}
