/**
 * What of an image can differ from the one that is kept after a fork (hazard 13), so that a repair
 * moves only that: the bytes that records of this node behind the fork have written, up to `to`, as
 * a batch that broke off may have written any of them. All else comes with the log of the other
 * side from `begin` on: the fork, or below it where the image is not even that far.
 */
import fs from 'node:fs';
import {isDiskError, type DiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {formatPosition, parsePosition} from '../../core/position.js';
import {lineageBefore} from '../../disk/follow-lineage.js';
import {readLineage} from '../../log/lineage.js';
import {emptySyncState, type SyncState} from '../../disk/sync-state.js';
import {openReplayState} from '../../image/replay-state.js';
import {readChanges} from '../../log/changes.js';
import {readLogDirectory} from '../../log/directory.js';
import {SYNC_CHUNK_BYTES} from '../../log/frame-schemas.js';
import {formatChain} from '../../log/record.js';
import {withoutSuperseded} from '../../log/recovery.js';
import type {Resource} from '../resource.js';
import {chainAt} from './branch-image.js';

/**
 * What a copy has to know to move only that.
 *
 * @param at where the histories part
 * @returns undefined where it cannot be told: the image is compared whole
 */
export async function planRepair(
  {places, file}: Resource,
  at: number,
): Promise<SyncState | undefined> {
  const files = createNodeFiles();
  const {logDirectory, replayFile, lineageFile, syncFile} = places.paths;
  if (fs.existsSync(syncFile)) return undefined;
  const {file: stateFile, state} = openReplayState(files, replayFile);
  stateFile.close();
  const listing = readLogDirectory(files, logDirectory, file.id);
  const segments = withoutSuperseded(listing.segments).effective;
  const {ranges, isComplete} = await readChanges(files, segments, at, state.to);
  const begin = Math.min(at, state.from);
  const lineage = lineageBefore(readLineage(files, lineageFile), formatPosition(at)).filter(
    ({start}) => start <= formatPosition(begin),
  );
  const epoch = lineage.at(-1)?.epoch;
  if (!isComplete || epoch === undefined) return undefined;
  try {
    return {
      ...emptySyncState(file.sizeBytes, SYNC_CHUNK_BYTES),
      ...{state: 'copying', epoch, begin, lineage, image: state.image},
      chain: formatChain(chainAt(files, segments, begin)),
      only: ranges
        .map(([start, end]) => [start, Math.min(end, file.sizeBytes)] as const)
        .filter(([start, end]) => start < end),
    };
  } catch (error) {
    if (isDiskError(error, 'LOG_CORRUPT')) return undefined;
    throw error;
  }
}

/**
 * Where what is here of a history is given up from: it gives way to another one, or its origin has
 * lost what the image here holds (hazard 8).
 */
export function givenUpFrom({code, details}: DiskError): number | undefined {
  if (code !== 'SPLIT_BRAIN' && code !== 'ORIGIN_LOST_DATA') return undefined;
  return parsePosition(String(details['position'] ?? ''));
}
