/** Waits for the end of a rollback, and shows how far it is. */
import type {RollbackStanding, RollbackWaitRequest} from '../control/history-api.js';
import {DiskError} from '../core/errors.js';
import {resourcePath, type Daemon} from './daemon.js';
import {startProgress, type Progress} from './progress.js';

const ANSWER_SECONDS = 60;

export interface RollbackWait {
  readonly daemon: Daemon;
  readonly name: string;
  /** Where it goes to. */
  readonly position: string;
  readonly timeoutSeconds: number;
  readonly stream: NodeJS.WriteStream;
}

/** @throws DiskError TIMEOUT, DAEMON_UNREACHABLE: it goes on; ROLLBACK_UNFINISHED: it was turned back */
export async function waitForRollback({
  daemon,
  name,
  position,
  timeoutSeconds,
  stream,
}: RollbackWait): Promise<void> {
  const deadlineMs = performance.now() + timeoutSeconds * 1000;
  const path = resourcePath(name, '/history/rollback/wait');
  const body: RollbackWaitRequest = {position};
  let progress: Progress | undefined;
  try {
    for (;;) {
      const standing = await daemon.post<RollbackStanding>(path, body, ANSWER_SECONDS);
      if (standing.ended) return;
      if (performance.now() > deadlineMs) {
        const text = `the rollback of ${name} goes on, and ends by itself: mars status ${name} says how far it is`;
        throw new DiskError('TIMEOUT', text, {resource: name});
      }

      const {doneBytes, totalBytes} = standing;
      if (totalBytes === null) continue;
      progress ??= await startProgress({label: `${name}: rolled back`, totalBytes, stream});
      progress.update(doneBytes);
    }
  } finally {
    progress?.end();
  }
}
