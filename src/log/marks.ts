/**
 * Where a log was made durable: the positions that `durable` of its records and segment headers
 * name. A flush that was answered is at or below the next of them, so what lies between two is what a
 * power loss could have dropped, kept or torn at that moment. The last commit of a log may have no record
 * behind it that names it.
 */
import {RECORD} from './record.js';
import {walkLog, type WalkedLog} from './walk.js';

/** A stretch of log, and where it was flushed. */
export interface LogMarks {
  /** Ascending, inside (from, end]. */
  readonly marks: readonly number[];
  /** Behind the last record that can be read. */
  readonly end: number;
  /** Largest size that the disk has in it. */
  readonly diskSizeBytesMax: number;
  readonly records: number;
}

/**
 * Reads [from, to).
 *
 * @param onPosition told how far it is, now and then
 * @throws DiskError STORE_IO
 */
export async function readMarks(
  log: WalkedLog,
  from: number,
  to: number,
  onPosition: (position: number) => void = () => undefined,
): Promise<LogMarks> {
  const found = new Set<number>();
  let newest = from;
  let records = 0;
  let diskSizeBytesMax = 0;
  const add = (durable: number): void => {
    if (durable <= newest) return;
    newest = durable;
    found.add(durable);
  };
  for (const {header} of log.segments) {
    if (header.start > from && header.start < to) found.add(header.durable);
  }

  const end = await walkLog(log, from, to, ({record, position}) => {
    records += 1;
    add(record.durable);
    if (record.type === RECORD.resize) {
      diskSizeBytesMax = Math.max(diskSizeBytesMax, record.diskOffset);
    }

    onPosition(position);
  });
  const marks = [...found].filter((mark) => mark > from && mark <= end.position);
  return {
    marks: marks.sort((left, right) => left - right),
    end: end.position,
    diskSizeBytesMax: Math.max(diskSizeBytesMax, end.diskSizeBytes),
    records,
  };
}
