/**
 * Which bytes of the disk the records of a stretch of log are about: what a branch has written, for
 * people who decide between two, and for what has to be compared. Reads only; the content of
 * records is checked, as everywhere, so what is damaged ends the stretch.
 */
import {setImmediate as pause} from 'node:timers/promises';
import type {Files} from '../core/files.js';
import {MIB} from '../core/units.js';
import {RecordCursor} from './cursor.js';
import type {SegmentFile} from './directory.js';
import {RECORD, type Chain} from './record.js';

/** Ranges that are told at most; where there are more, they are widened to whole MiB, and so on. */
export const CHANGED_RANGES_MAX = 4096;
/** Collected before they are sorted and merged. */
const COLLECTED_MAX = 16 * CHANGED_RANGES_MAX;
/** Log that is read before others get their turn. */
const TURN_BYTES = 4 * MIB;

/** [start, end) in bytes of the disk. */
export type ByteRange = readonly [number, number];

/** What records of [from, end) have written. */
export interface Changes {
  readonly from: number;
  /** Behind the last record that counts. */
  readonly end: number;
  readonly endChain: Chain;
  readonly records: number;
  /** Bytes written, discarded and zeroed, each as often as it was. */
  readonly writtenBytes: number;
  /** Sorted, apart from each other. */
  readonly ranges: readonly ByteRange[];
  /** false: ranges were widened, as there were too many. */
  readonly isExact: boolean;
  /** false: a record below `to` is missing or damaged, or the log does not reach back to `from`; or
   * something was written past the log. */
  readonly isComplete: boolean;
  /** Times of the first and the last record, milliseconds since 1970; null where there is none. */
  readonly firstMs: number | null;
  readonly lastMs: number | null;
}

/**
 * Reads what was changed by the records between two positions.
 *
 * @param segments in stream order, without superseded ones
 * @param to Infinity: to the end of the log
 */
export async function readChanges(
  files: Files,
  segments: readonly SegmentFile[],
  from: number,
  to = Infinity,
): Promise<Changes> {
  const first = segments.findLastIndex(({header}) => header.start <= from);
  const collector = new RangeCollector();
  const state = {end: from, endChain: {low: 0, high: 0}, records: 0, writtenBytes: 0};
  let firstMs: number | null = null;
  let lastMs: number | null = null;
  let isComplete = first >= 0;
  let read = 0;
  let isBroken = !isComplete;
  for (let index = Math.max(0, first); !isBroken && index < segments.length; index += 1) {
    const segment = segments[index];
    if (segment === undefined || segment.header.start >= to) break;
    const {header, path} = segment;
    const next = segments[index + 1]?.header.start;
    const cursor = new RecordCursor(files);
    const fd = files.open(path, 'read');
    try {
      const limit = next ?? header.start + header.capacityBytes;
      cursor.open(fd, header, header.start, header.chain, limit);
      while (cursor.position < to && cursor.next()) {
        if (cursor.position > from) {
          const {record} = cursor;
          // What was written past the log is in no record.
          if (record.type === RECORD.gap) isComplete = false;
          const bytes = rangeOf(record);
          if (bytes > 0) collector.add(record.diskOffset, record.diskOffset + bytes);
          state.records += 1;
          state.writtenBytes += bytes;
          firstMs ??= record.timeMs;
          lastMs = record.timeMs;
        }

        if (cursor.position - header.start > read + TURN_BYTES) {
          read = cursor.position - header.start;
          await pause();
        }
      }

      read = 0;
      state.end = Math.max(from, cursor.position);
      state.endChain = {low: cursor.chain.low, high: cursor.chain.high};
      const wanted = Math.min(to, next ?? (Number.isFinite(to) ? to : cursor.position));
      isBroken = cursor.position < wanted;
      if (isBroken) isComplete = false;
    } finally {
      files.close(fd);
    }
  }

  const {ranges, isExact} = collector.finish();
  return {from, ...state, ranges, isExact, isComplete, firstMs, lastMs};
}

/** Bytes of the disk that a record changes, from its `diskOffset` on. */
export function rangeOf({
  type,
  storedLength,
  logicalLength,
}: {
  type: number;
  storedLength: number;
  logicalLength: number;
}): number {
  if (type === RECORD.write) return storedLength;
  return type === RECORD.discard || type === RECORD.zero ? logicalLength : 0;
}

/** Collects ranges in bounded memory: too many are widened to multiples of a larger unit. */
export class RangeCollector {
  #ranges: [number, number][] = [];
  #unit = 1;

  /** @param end behind the last byte */
  add(start: number, end: number): void {
    this.#ranges.push([this.#down(start), this.#up(end)]);
    if (this.#ranges.length >= COLLECTED_MAX) this.#fit(COLLECTED_MAX / 2);
  }

  finish(): {ranges: ByteRange[]; isExact: boolean} {
    this.#fit(CHANGED_RANGES_MAX);
    return {ranges: this.#ranges, isExact: this.#unit === 1};
  }

  #fit(most: number): void {
    this.#ranges = mergeRanges(this.#ranges);
    while (this.#ranges.length > most) {
      this.#unit = Math.max(MIB, this.#unit * 2);
      const wide = this.#ranges.map(([start, end]): [number, number] => [
        this.#down(start),
        this.#up(end),
      ]);
      this.#ranges = mergeRanges(wide);
    }
  }

  #down(position: number): number {
    return Math.floor(position / this.#unit) * this.#unit;
  }

  #up(position: number): number {
    return Math.ceil(position / this.#unit) * this.#unit;
  }
}

/** Sorts, and makes one of ranges that touch. */
export function mergeRanges(ranges: readonly ByteRange[]): [number, number][] {
  const sorted = [...ranges].sort((left, right) => left[0] - right[0]);
  const merged: [number, number][] = [];
  for (const [start, end] of sorted) {
    const last = merged.at(-1);
    if (last !== undefined && start <= last[1]) last[1] = Math.max(last[1], end);
    else merged.push([start, end]);
  }

  return merged;
}

/** Bytes in ranges that are apart from each other. */
export function bytesIn(ranges: readonly ByteRange[]): number {
  return ranges.reduce((sum, [start, end]) => sum + end - start, 0);
}
