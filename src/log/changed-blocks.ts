/**
 * Which parts of the disk the records of a stretch of log are about, in bounded memory and without a limit to
 * their number: one bit for each 4 KiB, or for more on disks above 1 TiB. For whoever compares what is
 * marked: too much may be, never too little.
 */
import {DiskError} from '../core/errors.js';
import {ChunkMap} from '../core/extents.js';
import {BLOCK_BYTES} from '../core/limits.js';
import {formatPosition} from '../core/position.js';
import {MIB} from '../core/units.js';
import {rangeOf} from './changes.js';
import {RECORD} from './record.js';
import {walkLog, type WalkedLog} from './walk.js';

/** The map takes so much memory at most. */
const MAP_BYTES_MAX = 32 * MIB;

/** What the records of (from, to] have changed. */
export interface ChangedBlocks {
  readonly map: ChunkMap;
  readonly chunkBytes: number;
  /** Of the disk that the map is about. */
  readonly sizeBytes: number;
  readonly records: number;
  /** Times of the first and the last record, milliseconds since 1970; null where there is none. */
  readonly firstMs: number | null;
  readonly lastMs: number | null;
}

/** Bytes that one bit stands for. */
export function chunkBytesOf(sizeBytes: number): number {
  let chunkBytes = BLOCK_BYTES;
  while (sizeBytes / chunkBytes / 8 > MAP_BYTES_MAX) chunkBytes *= 2;
  return chunkBytes;
}

/**
 * Reads what was changed by the records between two positions.
 *
 * @param sizeBytes of the disk now: it only grows
 * @param isWanted false ends it early: what is returned is then only a part
 * @throws DiskError HISTORY_GONE where the log cannot be read from one to the other, or something was
 *   written past it; STORE_IO
 */
export async function readChangedBlocks(
  log: WalkedLog,
  from: number,
  to: number,
  sizeBytes: number,
  isWanted: () => boolean = () => true,
): Promise<ChangedBlocks> {
  const chunkBytes = chunkBytesOf(sizeBytes);
  const map = new ChunkMap(sizeBytes, chunkBytes);
  let records = 0;
  let firstMs: number | null = null;
  let lastMs: number | null = null;
  const past: number[] = [];
  const walk = {isEnded: false};
  const end = await walkLog(log, from, to, ({record}) => {
    walk.isEnded ||= !isWanted();
    if (walk.isEnded) return false;
    if (record.type === RECORD.gap) past.push(record.position);
    const bytes = rangeOf(record);
    if (bytes === 0) return true;
    map.mark(record.diskOffset, record.diskOffset + bytes);
    records += 1;
    firstMs ??= record.timeMs;
    lastMs = record.timeMs;
    return true;
  });
  if (!walk.isEnded && (past.length > 0 || end.position < to)) {
    const text =
      past.length > 0
        ? 'something was written past the log since that moment'
        : `the log cannot be read from that moment on: it ends at ${formatPosition(end.position)}`;
    throw new DiskError('HISTORY_GONE', text, {position: formatPosition(end.position)});
  }

  return {map, chunkBytes, sizeBytes, records, firstMs, lastMs};
}

/** Ranges of the disk that are marked, in order, none longer than `bytesMax`, a multiple of the chunk. */
export function* markedRanges(
  {map, chunkBytes, sizeBytes}: ChangedBlocks,
  bytesMax: number,
): Generator<readonly [number, number]> {
  const most = Math.max(1, Math.floor(bytesMax / chunkBytes));
  for (let chunk = 0; chunk < map.count;) {
    const run = map.runEnd(chunk, map.count);
    if (!map.has(chunk)) {
      chunk = run;
      continue;
    }

    const end = Math.min(run, chunk + most);
    yield [chunk * chunkBytes, Math.min(sizeBytes, end * chunkBytes)];
    chunk = end;
  }
}

/** Bytes that are marked. */
export function markedBytes(changed: ChangedBlocks): number {
  let sum = 0;
  for (const [start, end] of markedRanges(changed, Infinity)) sum += end - start;
  return sum;
}
