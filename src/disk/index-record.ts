import {assert} from '../core/assert.js';
import {DiskError} from '../core/errors.js';
import {BLOCK_BYTES} from '../core/limits.js';
import type {BlockIndex} from '../image/block-index.js';
import type {RecordCursor} from '../log/cursor.js';
import {decodeRecord, emptyRecord, FLAG, RECORD, RECORD_HEADER_BYTES} from '../log/record.js';
import type {TailPart} from './move-tail.js';

/** A record where it was found: what of a cursor is looked at. */
type FoundRecord = Pick<RecordCursor, 'payloadPosition' | 'position' | 'record'>;

/** Puts a record of the log into the index, unless the image has it already. */
export function indexRecord(index: BlockIndex, cursor: FoundRecord, replayed: number): void {
  const {record} = cursor;
  const block = record.diskOffset / BLOCK_BYTES;
  switch (record.type) {
    case RECORD.write: {
      if (cursor.position <= replayed) return;
      index.put(block, record.storedLength / BLOCK_BYTES, cursor.payloadPosition);
      return;
    }

    case RECORD.discard:
    case RECORD.zero: {
      if (cursor.position <= replayed) return;
      index.putZero(block, block + record.logicalLength / BLOCK_BYTES, cursor.payloadPosition);
      return;
    }

    case RECORD.resize:
    case RECORD.seal:
    case RECORD.pad:
    case RECORD.mark:
    // Of this node, or replay stands behind it: what it tells of is in the image.
    case RECORD.gap: {
      return;
    }

    default: {
      if ((record.flags & FLAG.ignorable) !== 0) return;
      throw new DiskError(
        'LOG_FORMAT',
        `the log has a record of type ${record.type}, which this version does not know`,
        {type: record.type},
      );
    }
  }
}

/** Enters the records of a moved part, from memory: its new file need not be readable for it. */
export function indexPart(index: BlockIndex, part: TailPart): void {
  const record = emptyRecord();
  for (const {bytes, position} of part.records) {
    assert(decodeRecord(bytes, 0, record), 'a record was checked when it was read back');
    const payloadPosition = position + RECORD_HEADER_BYTES;
    indexRecord(index, {record, position: position + bytes.length, payloadPosition}, 0);
  }
}
