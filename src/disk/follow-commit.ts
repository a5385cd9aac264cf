/** How a process in mode `follow` makes the log that it receives durable. */
import {DiskError} from '../core/errors.js';
import {Committer} from './committer.js';
import type {FollowerOptions} from './follower.js';
import {WORD} from './shared.js';

const LOCK_WAIT_MS = 1;

/**
 * Commits on this thread, after the commit thread where that is in a commit.
 *
 * @returns throws DiskError LOG_IO
 */
export function makeCommit({
  files,
  clock,
  shared,
  onCommitFailed,
}: Pick<FollowerOptions, 'files' | 'clock' | 'shared' | 'onCommitFailed'>): () => void {
  const committer = new Committer({
    files,
    clock,
    shared,
    responder: {answer: () => undefined, answerWrite: () => undefined},
    onFailure: onCommitFailed,
  });
  return () => {
    for (;;) {
      const result = committer.commit();
      if (result === 'done') return;
      if (result === 'failed') {
        throw new DiskError('LOG_IO', 'the log that is received cannot be made durable');
      }

      Atomics.wait(shared.words, WORD.commitLock, 1, LOCK_WAIT_MS);
    }
  };
}
