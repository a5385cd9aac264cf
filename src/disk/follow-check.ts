import {DiskError} from '../core/errors.js';
import {formatPosition} from '../core/position.js';
import {epochWords} from '../log/cursor.js';
import {protocolError} from '../log/frames.js';
import {
  chainAfter,
  crcOf,
  decodeRecord,
  emptyRecord,
  FLAG,
  RECORD,
  RECORD_HEADER_BYTES,
  type Chain,
  type RecordFields,
} from '../log/record.js';

/** Where records are expected to go on. */
export interface RecordsStart {
  readonly position: number;
  /** Chain value at `position`. */
  readonly chain: Readonly<Chain>;
  readonly epoch: string;
  /** No record reaches beyond it. */
  readonly end: number;
}

const TYPES: ReadonlySet<number> = new Set(Object.values(RECORD));
const record: RecordFields = emptyRecord();

/**
 * Checks records that came from elsewhere, all that is known of each: magic, header checksum,
 * position, epoch, chain, bounds and the checksum of its payload.
 *
 * @param bytes whole records, at a multiple of 4 in memory
 * @param take called for each good record, with the position and chain value behind it
 * @throws DiskError PEER_PROTOCOL at the first bad one; LOG_FORMAT for one of an unknown type
 */
export function checkRecords(
  bytes: Buffer,
  start: RecordsStart,
  take: (record: Readonly<RecordFields>, position: number, chain: Readonly<Chain>) => void,
): void {
  const [epoch0, epoch1] = epochWords(start.epoch);
  const chain: Chain = {low: start.chain.low, high: start.chain.high};
  let {position} = start;
  let offset = 0;
  while (offset < bytes.length) {
    const fault = (what: string): DiskError =>
      protocolError(`a record with ${what} at ${formatPosition(position)}`);
    if (!decodeRecord(bytes, offset, record)) throw fault('a damaged header');
    if (record.position !== position) throw fault('another position');
    if (record.epochLow0 !== epoch0 || record.epochLow1 !== epoch1) throw fault('another epoch');
    if (record.chainLow !== chain.low || record.chainHigh !== chain.high) {
      throw fault('another history');
    }

    const length = RECORD_HEADER_BYTES + record.storedLength;
    if (offset + length > bytes.length) throw fault('a part missing');
    if (position + length > start.end) throw fault('no room in its segment');
    if (crcOf(bytes, offset + RECORD_HEADER_BYTES, record.storedLength) !== record.payloadCrc) {
      throw fault('a damaged payload');
    }

    refuseUnknown(record);
    chainAfter(bytes, offset, chain);
    offset += length;
    position += length;
    take(record, position, chain);
  }
}

function refuseUnknown({type, flags}: RecordFields): void {
  if (TYPES.has(type) || (flags & FLAG.ignorable) !== 0) return;
  throw new DiskError(
    'LOG_FORMAT',
    `the source sends a record of type ${type}, which this version does not know: install the ` +
      `version of the source here`,
    {type},
  );
}
