/** The commit thread: fdatasync of the log, answers to FSYNC. */
import {threadsClock} from '../core/clock.js';
import {createPortResponder} from '../fuse/port-responder.js';
import {createKernelResponder} from '../fuse/responder.js';
import {Committer} from './committer.js';
import {WORD} from './shared.js';
import {openThread} from './thread.js';

const {input, shared, files, send} = openThread();
const committer = new Committer({
  files,
  clock: threadsClock,
  shared,
  responder:
    input.answers === undefined
      ? createKernelResponder(input.fuseFd, input.fuseSecondFd)
      : createPortResponder(input.answers),
  onFailure: (errno) => {
    send({kind: 'commit-failed', errno});
  },
  onDurable: () => {
    send({kind: 'durable'});
  },
});

/** Where the log ended when the last look found nothing to do. */
let idleAt = -1;
while (shared.get(WORD.stopping) === 0) {
  const signal = shared.get(WORD.commitSignal);
  const wait = committer.step();
  if (wait <= 0) continue;
  const end = shared.appended.get();
  const isIdle = end === shared.durable.get() && shared.waitingCount === 0;
  if (isIdle && end === idleAt && wait !== Infinity) {
    shared.sleepUntilWoken(WORD.commitAsleep, WORD.commitSignal, signal, () => {
      return shared.appended.get() === end;
    });
  } else {
    Atomics.wait(shared.words, WORD.commitSignal, signal, wait);
  }

  idleAt = isIdle ? end : -1;
}

// Nobody writes any more: make the rest durable, so that the next start has nothing in doubt.
// The front has ended, so nobody else is in a commit.
if (shared.get(WORD.logDefective) === 0) committer.end();
send({kind: 'committed'});
