/** The replay thread: log -> image. */
import fs from 'node:fs';
import os from 'node:os';
import {parentPort} from 'node:worker_threads';
import type {DiskError} from '../core/errors.js';
import {systemClock} from '../core/clock.js';
import {resourcePaths} from '../core/home.js';
import {MIB} from '../core/units.js';
import {Replayer} from '../image/replay.js';
import {openReplayState} from '../image/replay-state.js';
import type {Activated} from './messages.js';
import {createReplayHost} from './replay-host.js';
import {ReplayLimit, segmentsBegun} from './replay-limit.js';
import {WORD} from './shared.js';
import {fatalMessage, HELPER, openThread} from './thread.js';

const REPLAY_NICE = 10;
const LOCK_WAIT_MS = 5;
/** A replica is to be near its origin; gathering a little saves most of the syncs. */
const FOLLOW_PACING = {quietMs: 50, latestMs: 500, backlogBytes: 64 * MIB};
const {input, shared, files, send} = openThread(HELPER.replay);

parentPort?.once('message', (activated: Activated) => {
  try {
    run(activated);
  } catch (error) {
    send(fatalMessage(error, 'replay the log'));
  }
});

/**
 * On few cores replay must not take the one that answers the application: nobody waits for it
 * while the log has room. Linux gives each thread its own nice value (setpriority(2)).
 */
function stepBack(): void {
  const thread = fs.readlinkSync('/proc/thread-self').split('/').at(-1);
  try {
    os.setPriority(Number(thread), REPLAY_NICE);
  } catch {
    // Not permitted here: then it runs as the others do.
  }
}

function run(activated: Activated): void {
  if (input.serve) stepBack();
  const {file, state} = openReplayState(files, resourcePaths(input.home, input.name).replayFile);
  shared.replayedTime.set(state.timeMs ?? 0);
  const limit = new ReplayLimit(shared, systemClock);
  const report = (error: DiskError | undefined): void => {
    send({kind: 'replay-error', code: error?.code, text: error?.message ?? ''});
  };
  const host = createReplayHost(files, shared, report, () => limit.position());
  // A log that is followed may be cut while its descriptors are read.
  while (!shared.tryLock(WORD.replayLock)) {
    Atomics.wait(shared.words, WORD.replaySignal, shared.get(WORD.replaySignal), LOCK_WAIT_MS);
  }

  try {
    limit.seed(segmentsBegun(shared, host, activated.from));
  } finally {
    shared.unlock(WORD.replayLock);
  }

  const replayer = new Replayer({
    files,
    clock: systemClock,
    host,
    imageFd: activated.imageFd,
    identity: activated.identity,
    stateFile: file,
    from: activated.from,
    to: activated.to,
    chain: activated.fromChain,
    timeMs: state.timeMs,
    ...(input.serve ? {} : {pacing: input.follow ? FOLLOW_PACING : {quietMs: 0}}),
  });
  while (shared.get(WORD.stopping) === 0) {
    const signal = shared.get(WORD.replaySignal);
    // A log that is followed may be cut between batches.
    if (!shared.tryLock(WORD.replayLock)) {
      Atomics.wait(shared.words, WORD.replaySignal, signal, LOCK_WAIT_MS);
      continue;
    }

    const wait = replayer.step();
    shared.unlock(WORD.replayLock);
    if (!input.serve && !input.follow && replayer.position >= shared.durable.get()) break;
    if (wait <= 0) continue;
    if (shared.replayLimit > replayer.position) {
      Atomics.wait(shared.words, WORD.replaySignal, signal, wait);
    } else {
      shared.sleepUntilWoken(WORD.replayAsleep, WORD.replaySignal, signal, () => {
        return shared.replayLimit <= replayer.position;
      });
    }
  }

  send({kind: 'drained'});
}
