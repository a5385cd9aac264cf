/**
 * The states that a power loss may leave of a stretch of log: all that was flushed, and of what was written
 * behind that, up to the next flush, any subset. A disk of mars only ever comes back at a prefix of its
 * log; the subsets are what a disk below could do, so they prove that our flushes stand where the file
 * system asked for them.
 */
import type {Files} from '../../src/core/files.js';
import type {LayeredDisk} from '../../src/disk/fsck/layered-disk.js';
import {readMarks} from '../../src/log/marks.js';
import {RECORD} from '../../src/log/record.js';
import {listSegments, walkLog} from '../../src/log/walk.js';
import {below, chance, type Random} from '../sim/random.js';

/** A record that changes the disk. */
export interface Change {
  readonly position: number;
  readonly end: number;
  readonly offset: number;
  readonly length: number;
  /** Absent: zeros. */
  readonly bytes?: Buffer;
}

export interface Recording {
  readonly changes: readonly Change[];
  /** Flushes, ascending, with the begin and the end. */
  readonly marks: readonly number[];
}

/** One crash state. */
export interface CrashState {
  /** All below was flushed. */
  readonly flushed: number;
  /** What is there of the rest, in order. */
  readonly extra: readonly Change[];
}

/** Reads the changes of [from, to) into memory. */
export async function readRecording(
  files: Files,
  directory: string,
  resourceId: string,
  from: number,
  to: number,
): Promise<Recording> {
  const log = {files, segments: listSegments(files, directory, resourceId)};
  const changes: Change[] = [];
  const end = await walkLog(log, from, to, ({record, position, bytes, payloadOffset}) => {
    const place = {position: record.position, end: position, offset: record.diskOffset};
    if (record.type === RECORD.write) {
      const copy = Buffer.from(bytes.subarray(payloadOffset, payloadOffset + record.storedLength));
      changes.push({...place, length: copy.length, bytes: copy});
    } else if (record.type === RECORD.discard || record.type === RECORD.zero) {
      changes.push({...place, length: record.logicalLength});
    }
  });
  if (end.position !== to) throw new Error(`the log ends at ${end.position}, not at ${to}`);
  const {marks} = await readMarks(log, from, Infinity);
  return {changes, marks: [from, ...marks.filter((mark) => mark > from && mark < to), to]};
}

/** At each flush the state as it is, and `subsets` with some of what was written up to the next one. */
export function* crashStates(
  {changes, marks}: Recording,
  subsets: number,
  random: Random,
): Generator<CrashState> {
  for (const [index, flushed] of marks.entries()) {
    yield {flushed, extra: []};
    const next = marks[index + 1] ?? flushed;
    const open = changes.filter(({position, end}) => position >= flushed && end <= next);
    for (let count = 0; count < Math.min(subsets, 2 ** open.length - 1); count += 1) {
      // One lost of many finds other faults than many lost.
      const probability = [0.5, 0.9, 0.1][below(random, 3)] ?? 0.5;
      yield {flushed, extra: open.filter(() => chance(random, probability))};
    }
  }
}

/** Changes the log layer. */
export function applyChange(disk: LayeredDisk, {offset, length, bytes}: Change): void {
  if (bytes === undefined) disk.applyZero(offset, length);
  else disk.applyWrite(offset, bytes, 0, length);
}

/** Changes the overlay: void with the next state. */
export function overlayChange(disk: LayeredDisk, {offset, length, bytes}: Change): void {
  const errno =
    bytes === undefined ? disk.zero(offset, length) : disk.write(offset, length, bytes, 0);
  if (errno !== 0) throw new Error(`the overlay refused ${length} bytes at ${offset}: ${errno}`);
}
