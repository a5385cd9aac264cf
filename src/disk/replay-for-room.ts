/**
 * Room for the first segment of an epoch where the log fills its file system by itself. While the
 * disk runs replay makes that room; after a kill nobody would, as replay begins with the epoch.
 */
import type {DiskError} from '../core/errors.js';
import {Replayer, type ReplayOptions} from '../image/replay.js';
import type {ReplayState} from '../image/replay-state.js';
import type {ActivationInput} from './activation.js';
import {createReplayHost} from './replay-host.js';
import {WORD} from './shared.js';

/** What a recovery that could not begin its epoch has found and opened. */
export interface Recovered extends Pick<ReplayOptions, 'imageFd' | 'identity' | 'stateFile'> {
  readonly state: ReplayState;
  readonly fromChain: ReplayOptions['chain'];
}

/**
 * Replays until the oldest segment is not needed any more, and lets go of everything that the
 * recovery holds: it has to begin anew, and will find that segment below the image's position.
 *
 * @returns false where the log has one segment only, all of it is retained, or replay is paused
 * @throws DiskError as replay reports them
 */
export function replayForRoom(input: ActivationInput, found: Recovered): boolean {
  const {files, clock, shared, config} = input;
  const first = shared.segmentFirst;
  if (shared.segmentEnd - first < 2) return false;
  // What somebody still fetches is kept, replayed or not: the daemon decides whom it drops.
  if (shared.segment(first).end > shared.retainFrom) return false;
  const isPaused = (): boolean =>
    config.resource.replayPaused || shared.get(WORD.replayPaused) !== 0;
  let failure: DiskError | undefined;
  const host = createReplayHost(files, shared, (error) => {
    failure = error;
  });
  const {imageFd, identity, stateFile, state, fromChain} = found;
  const {from, to} = state;
  const pacing = {backlogBytes: 0, batchBytes: config.resource.segmentBytes};
  const options = {files, clock, host, imageFd, identity, stateFile, from, to, pacing};
  const replayer = new Replayer({...options, chain: fromChain});
  while (replayer.position < shared.segment(first).end) {
    if (isPaused()) return false;
    replayer.step();
    if (failure !== undefined) throw failure;
  }

  stateFile.close();
  files.close(imageFd);
  for (let at = first; at < shared.segmentEnd; at += 1) files.close(shared.segment(at).fd);
  shared.set(WORD.segmentFirst, shared.segmentEnd);
  return true;
}
