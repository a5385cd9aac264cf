/** The two-slot file `replay`: how far the image is, and which image it is. */
import {passCrashPoint} from '../core/crash-points.js';
import {DiskError} from '../core/errors.js';
import type {FileIdentity, Files} from '../core/files.js';
import {isObject} from '../core/json-file.js';
import {TwoSlotFile} from '../core/two-slot.js';

export interface ReplayState {
  readonly schema: 1;
  /** The image holds everything below. */
  readonly from: number;
  /** The image may hold blocks up to here; equal to `from` between batches. */
  readonly to: number;
  readonly image: FileIdentity;
  /** Time of the newest record below `to`, milliseconds since 1970: any moment since can be mounted. Absent: not known. */
  readonly timeMs?: number;
}

/**
 * Opens the file.
 *
 * @throws DiskError STATE_UNREADABLE where no slot is valid or the content is not a state
 */
export function openReplayState(
  files: Files,
  path: string,
): {file: TwoSlotFile; state: ReplayState} {
  const {file, value} = TwoSlotFile.open(files, path);
  if (!isReplayState(value)) {
    throw new DiskError('STATE_UNREADABLE', `${path} is not a replay state`, {file: path});
  }

  return {file, state: value};
}

/** Makes the file anew, durably: whatever it held is void, as the image has another content. */
export function replaceReplayState(
  files: Files,
  directory: string,
  path: string,
  state: ReplayState,
): void {
  const temporary = `${path}.new`;
  if (files.exists(temporary)) files.unlink(temporary);
  TwoSlotFile.create(files, temporary, state).close();
  passCrashPoint('replay-state-made');
  files.rename(temporary, path);
  passCrashPoint('replay-state-renamed');
  files.syncDirectory(directory);
}

/** Whether a value that was read is one. */
export function isReplayState(value: unknown): value is ReplayState {
  if (!isObject(value) || value['schema'] !== 1) return false;
  const {from, to, image} = value;
  return (
    Number.isSafeInteger(from) &&
    Number.isSafeInteger(to) &&
    isObject(image) &&
    Number(from) <= Number(to)
  );
}
