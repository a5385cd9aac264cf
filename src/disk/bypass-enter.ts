import {DiskError, errnoOf} from '../core/errors.js';
import type {Files} from '../core/files.js';
import type {ResourcePaths} from '../core/home.js';
import {TwoSlotFile} from '../core/two-slot.js';
import {BypassMap, peekBypass} from '../image/bypass-map.js';
import {isReplayState} from '../image/replay-state.js';
import {Bypass} from './bypass.js';
import type {FrontOptions} from './front-options.js';
import {WORD, type Shared} from './shared.js';

/**
 * Whether everything that the log holds is in the image, durably, and nobody waits for a replica: only
 * then is the image alone the disk, and nothing of the log can ever come over what is written there.
 *
 * @param position end of the log
 */
export function isImageWhole(shared: Shared, position: number): boolean {
  if (shared.get(WORD.logDefective) !== 0 || shared.get(WORD.commitFailed) !== 0) return false;
  if (shared.get(WORD.synchronous) !== 0) return false;
  return [shared.durable, shared.replayed, shared.replayTo].every((one) => one.get() === position);
}

/**
 * Begins to write past the log. Nothing has changed where it returns undefined: not all is in the image,
 * there is no map, or it cannot be written.
 *
 * @param position end of the log
 * @throws the error of the file system where the state that was to be written may be found by a next life: this one
 *   must not write to the log any more, which that one would take for being in the image
 */
export function enterBypass(options: FrontOptions, position: number): Bypass | undefined {
  const {files, shared, disk, clock} = options;
  const {paths, imageFd, epoch} = disk;
  if (!isImageWhole(shared, position)) return undefined;
  let map: BypassMap | undefined;
  try {
    if (!files.exists(paths.bypassFile) || !isReplayedOnDisk(files, paths, position)) {
      return undefined;
    }

    map = BypassMap.open(files, paths);
    if (!map.covers(shared.diskSize.get())) {
      map.close();
      return undefined;
    }

    map.enter({epoch, position, sinceMs: clock.wallMs()});
  } catch (error) {
    map?.close();
    if (!(error instanceof DiskError) && errnoOf(error) === undefined) throw error;
    if (map !== undefined && mayBeEntered(files, paths)) throw error;
    return undefined;
  }

  const {punchFiles = files, durableWrites} = options;
  return new Bypass({files, punchFiles, shared, map, imageFd, durableWrites});
}

/** A write or sync that failed may have left what it wrote. */
function mayBeEntered(files: Files, paths: ResourcePaths): boolean {
  try {
    return peekBypass(files, paths)?.state !== 'open';
  } catch {
    return true;
  }
}

/** Not what is told, but what a recovery would find. */
function isReplayedOnDisk(
  files: Files,
  {replayFile}: Pick<ResourcePaths, 'replayFile'>,
  position: number,
): boolean {
  const value = TwoSlotFile.peek(files, replayFile);
  return isReplayState(value) && value.from === position && value.to === position;
}
