/** Records that a follower must not take, though all checksums are right. */
import {
  encodeRecordsHead,
  FRAME,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  RECORDS_HEAD_BYTES,
} from '../../src/log/frames.js';
import {
  crcOf,
  decodeRecord,
  emptyRecord,
  encodeRecord,
  RECORD,
  RECORD_HEADER_BYTES,
} from '../../src/log/record.js';

/**
 * The first frame of records once more, its first write with other bytes and the chain of another
 * history, as a source has them whose machine was put back together with its memory.
 *
 * @returns undefined where no whole frame begins with a write
 */
export function forgeRecords(frames: readonly Buffer[]): {at: number; frame: Buffer} | undefined {
  for (const [at, frame] of frames.entries()) {
    if (frame.length <= RECORDS_HEAD_BYTES || frame.readUInt32LE(0) !== FRAME_MAGIC) continue;
    if (frame[4] !== FRAME.records) continue;
    const position = Number(frame.readBigUInt64LE(FRAME_HEADER_BYTES));
    const records = Buffer.from(frame.subarray(RECORDS_HEAD_BYTES));
    // Memory of its own begins at a multiple of 8.
    const bytes = Buffer.alloc(records.length);
    records.copy(bytes);
    const record = emptyRecord();
    if (!decodeRecord(bytes, 0, record) || record.type !== RECORD.write) continue;
    const end = RECORD_HEADER_BYTES + record.storedLength;
    if (end > bytes.length) continue;
    bytes[RECORD_HEADER_BYTES] = (bytes[RECORD_HEADER_BYTES] ?? 0) ^ 0xff;
    record.payloadCrc = crcOf(bytes, RECORD_HEADER_BYTES, record.storedLength);
    record.chainLow = (record.chainLow ^ 1) >>> 0;
    encodeRecord(bytes, 0, record, {low: 0, high: 0});
    const alone = bytes.subarray(0, end);
    return {at, frame: Buffer.concat([encodeRecordsHead(position, alone), alone])};
  }

  return undefined;
}
