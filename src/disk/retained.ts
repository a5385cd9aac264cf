/**
 * Segments that this node needs no more, its image holds them, but that a peer still fetches: they
 * stay in the log directory under their names. How far back is the lowest slot in slots.json, which
 * the daemon writes before it tells the disk process.
 */
import {resourcePaths} from '../core/home.js';
import {isObject, readJsonFile} from '../core/json-file.js';
import {parsePosition} from '../core/position.js';
import type {RecoveredLog} from '../log/recovery.js';

/** A segment that is kept by its name: nobody holds a descriptor of it. */
export interface RetainedSegment {
  readonly name: string;
  readonly start: number;
  readonly end: number;
  /** The device failed under it: its file is not used again. */
  readonly failed?: boolean;
}

/** The older segments that hold anything at or above `retainFrom`, oldest first. */
export function retainedSegments(recovered: RecoveredLog, retainFrom: number): RetainedSegment[] {
  const {older, segments} = recovered;
  const ends = [...older.slice(1), ...segments.slice(0, 1)].map(({header}) => header.start);
  return older
    .map(({name, header}, at) => ({name, start: header.start, end: ends[at] ?? Infinity}))
    .filter(({end}) => end > retainFrom);
}

/**
 * The position from which slots.json retains the log; Infinity without slots.
 *
 * @throws DiskError STATE_UNREADABLE, HOME_NEWER; then nothing may be given up
 */
export function readRetain(home: string, name: string): number {
  const {slotsFile} = resourcePaths(home, name);
  return readJsonFile(slotsFile, lowestSlot) ?? Infinity;
}

function lowestSlot(value: unknown): number {
  const slots = isObject(value) ? value['slots'] : undefined;
  if (!isObject(slots)) throw new Error('"slots" is not an object');
  const positions = Object.values(slots).map((slot) => {
    const text = isObject(slot) ? slot['position'] : undefined;
    if (typeof text !== 'string') throw new Error('a slot has no "position"');
    const position = parsePosition(text);
    if (position === undefined) throw new Error(`"${text}" is no position`);
    return position;
  });
  return Math.min(Infinity, ...positions);
}
