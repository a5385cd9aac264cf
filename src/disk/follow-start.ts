/** How a follower lives in its process. */
import {DiskError} from '../core/errors.js';
import type {DiskConfig} from './config.js';
import {TICK_MS} from './follow-stream.js';
import {Follower} from './follower.js';
import type {Activated} from './messages.js';
import type {DiskProcess} from './process.js';

/** Makes the follower of a process; it does nothing yet. */
export function makeFollower(
  disk: DiskProcess,
  config: DiskConfig,
  onActive: (activated: Activated) => void,
  onFatal: (error: unknown) => void,
): Follower {
  const {files, clock, acceptImage} = disk.options;
  const {shared, notices} = disk;
  return new Follower({
    files,
    clock,
    config,
    shared,
    notices,
    acceptImage,
    event: (input) => {
      disk.event(input);
    },
    onActive,
    onReady: () => {
      if (disk.phase !== 'stopping') disk.phase = 'replaying';
    },
    onStop: () => {
      void disk.stop();
    },
    onFatal,
    onCommitFailed: (errno) => dieOfCommit(disk, errno),
  });
}

/** Begins once the socket answers: a log is recovered on the main thread, however long it is. */
export function startFollower(follower: Follower, onError: (error: unknown) => void): void {
  setImmediate(() => {
    try {
      follower.start();
    } catch (error) {
      onError(error);
    }

    setInterval(() => {
      follower.tick();
    }, TICK_MS);
  });
}

/**
 * After an fdatasync that failed: asking again would be answered by a lie. The next process writes
 * again what is not known to be durable, before it asks.
 */
export function dieOfCommit(disk: DiskProcess, errno: string): never {
  const text = `the log that is received was not made durable (${errno}): it is written again`;
  disk.event({code: 'LOG_IO', severity: 'critical', text});
  const error = new DiskError('LOG_IO', text, {errno});
  // Whoever catches it for the sake of a stream does not keep the process alive.
  setImmediate(() => {
    throw error;
  });
  throw error;
}
