/**
 * How a life of the disk process begins behind one whose writes went past the log: left in order, killed
 * or without power, the way is the same. Each step durable before the next, and repeated whole where it
 * broke off:
 *
 *   1. the image, as far as it was written, and the map; where a sync of the image may have failed, what is
 *      read of it is written again first
 *   2. the new epoch, whose first record is the GAP: nobody who follows passes it
 *   3. replay stands behind the GAP: whoever copies the image from here begins there
 *   4. the map is open; only now is a request answered
 */
import {join} from 'node:path';
import {assert} from '../core/assert.js';
import {DiskError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import type {ResourcePaths} from '../core/home.js';
import {formatPosition} from '../core/position.js';
import {BypassMap, peekBypass, REGION_BYTES, type BypassPeriod} from '../image/bypass-map.js';
import {punchOrZero} from '../image/punch.js';
import type {ReplayState} from '../image/replay-state.js';
import {encodeGap} from '../log/gap.js';
import {RECORD} from '../log/record.js';
import type {RecoveredLog} from '../log/recovery.js';
import type {SegmentPlan} from '../log/segment-files.js';
import type {LogWriter} from '../log/writer.js';

const ZEROS = Buffer.alloc(64 * 1024);

/** A logfile that is kept for the first segment behind a bypass; in the log directory. */
export const BYPASS_RESERVE = 'bypass-reserve';

/** What is to be left. */
export interface BypassToLeave {
  readonly map: BypassMap;
  readonly period: BypassPeriod;
}

/**
 * Refuses a start that would take image and log together for the disk: what was written past the log
 * is in the image only.
 *
 * @throws DiskError BYPASS_NOT_LEFT, STATE_UNREADABLE
 */
export function refuseBypassed(files: Files, name: string, paths: ResourcePaths): void {
  const period = peekBypass(files, paths)?.period;
  if (period == null) return;
  throw new DiskError(
    'BYPASS_NOT_LEFT',
    `writes of ${name} go past its log since ${new Date(period.sinceMs).toISOString()}, and the log does ` +
      `not say so yet: it does when ${name} is primary here and there is room for the next logfile`,
    {position: formatPosition(period.position)},
  );
}

/**
 * Opens the map of a bypass, and makes durable what was written in it (step 1).
 *
 * @returns undefined where there is nothing to leave
 * @throws DiskError STATE_UNREADABLE where log and map cannot belong together; the error of the file
 *   system
 */
export function openBypassToLeave(
  files: Files,
  paths: ResourcePaths,
  imageFd: number,
  state: ReplayState,
): BypassToLeave | undefined {
  const period = peekBypass(files, paths)?.period;
  if (period == null) return undefined;
  // A record below the end of the sealed log must never come over a newer block of the image.
  if (state.from < period.position) {
    throw new DiskError(
      'STATE_UNREADABLE',
      `the image is replayed to ${formatPosition(state.from)} only, though its log was left at ` +
        `${formatPosition(period.position)}: ${paths.replayFile} is not of this image`,
      {file: paths.replayFile},
    );
  }

  const map = BypassMap.open(files, paths);
  if (period.isSuspect === true) writeAgain(files, imageFd, map);
  // Before the sync: where it fails this life ends, and to the next one the same sync would say that all is well.
  map.suspect();
  files.syncData(imageFd);
  map.rewrite();
  return {map, period};
}

/** Writes what is read of the marked regions: the kernel takes what it could not write for written. */
function writeAgain(files: Files, imageFd: number, map: BypassMap): void {
  const bytes = Buffer.alloc(REGION_BYTES);
  for (const region of map.markedRegions()) {
    const start = region * REGION_BYTES;
    const length = files.read(imageFd, bytes, 0, REGION_BYTES, start);
    const zeros: number[] = [];
    for (let at = 0; at < length; at += ZEROS.length) {
      const piece = Math.min(ZEROS.length, length - at);
      const isZero = bytes.subarray(at, at + piece).equals(ZEROS.subarray(0, piece));
      // A hole takes no room.
      if (isZero) zeros.push(start + at, piece);
      else files.write(imageFd, bytes, at, piece, start + at);
    }

    if (zeros.length > 0) punchOrZero(files, imageFd, zeros);
  }
}

/** The log has to reach where it was left; it is longer where a start before this one broke off. */
export function requireSealedLog({position}: RecoveredLog, {period}: BypassToLeave): void {
  assert(position >= period.position, 'a log that was sealed durably is there');
}

/** Step 2: the first record of the epoch; durable with the sync of its segment. */
export function appendGap(writer: LogWriter, {map, period}: BypassToLeave, durable: number): void {
  writer.appendPayload(
    {type: RECORD.gap, logicalLength: map.regionCount * REGION_BYTES, diskOffset: 0},
    encodeGap({epoch: period.epoch, position: period.position, digest: map.digest()}),
    durable,
  );
}

/**
 * Where the file system has no room for the first segment: takes the file that was kept for this.
 *
 * @returns false where there is none
 */
export function takeReserve(files: Files, {directory}: SegmentPlan): boolean {
  const path = join(directory, BYPASS_RESERVE);
  if (!files.exists(path)) return false;
  files.rename(path, join(directory, `spare-${BYPASS_RESERVE}`));
  return true;
}
