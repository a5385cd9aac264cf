import {DiskError} from '../core/errors.js';
import {BLOCK_BYTES} from '../core/limits.js';
import type {BlockIndex} from '../image/block-index.js';
import type {RecordCursor} from '../log/cursor.js';
import {FLAG, RECORD} from '../log/record.js';

/** Puts a record of the log into the index, unless the image has it already. */
export function indexRecord(index: BlockIndex, cursor: RecordCursor, replayed: number): void {
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
    case RECORD.mark: {
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
