/** The fuse thread: recovers the log, then serves the mount until it is gone. */
import {parentPort} from 'node:worker_threads';
import {threadsClock} from '../core/clock.js';
import {helperFromEnvironment} from '../core/fallocate.js';
import {createFilesFromEnvironment} from '../core/fault-files.js';
import {resourcePaths} from '../core/home.js';
import {runKernelSession} from '../fuse/kernel-session.js';
import {createKernelResponder} from '../fuse/responder.js';
import {activatedMessage} from './activated-message.js';
import {activate} from './activation.js';
import {Committer} from './committer.js';
import {readDiskConfig} from './config.js';
import {COUNTER} from './counters.js';
import {Front} from './front.js';
import {InlineCommit} from './inline-commit.js';
import {diskStatusJson} from './status-json.js';
import {fatalMessage, GENERATION_FD, HELPER, openThread} from './thread.js';

const thread = openThread();
const {input, shared, files, send} = thread;

// The main thread says when: what others need of the log is in shared memory by then.
parentPort?.once('message', () => {
  try {
    run();
  } catch (error) {
    send(fatalMessage(error, 'start the disk'));
  }
});

function run(): void {
  const config = readDiskConfig(input.home, input.name);
  const disk = activate({
    files,
    clock: threadsClock,
    config,
    shared,
    acceptImage: input.acceptImage,
    serve: input.serve,
  });
  disk.stateFile.close();
  send(activatedMessage(disk));
  if (input.serve) {
    const responder = createKernelResponder(input.fuseFd, input.fuseSecondFd);
    const committer = new Committer({
      files,
      clock: threadsClock,
      shared,
      responder,
      onFailure: (errno) => {
        send({kind: 'commit-failed', errno});
      },
    });
    const front = new Front({
      files,
      clock: threadsClock,
      shared,
      disk,
      responder,
      pause: (word, timeoutMs) => {
        Atomics.wait(shared.words, word, shared.get(word), timeoutMs);
      },
      inline: new InlineCommit(committer, threadsClock),
      durableWrites: config.resource.durability === 'write',
      punchFiles: createFilesFromEnvironment([GENERATION_FD], helperFromEnvironment(HELPER.replay)),
      statusJson: () => diskStatusJson(config.resource.name, disk.epoch, shared),
      notify: send,
    });
    runKernelSession({
      fd: input.fuseFd,
      ...(input.fuseSecondFd === undefined ? {} : {secondFd: input.fuseSecondFd}),
      handler: front,
      initFile: resourcePaths(input.home, input.name).fuseFile,
      resend: input.resend,
      onInit: () => {
        send({kind: 'serving'});
      },
      betweenRequests: () => {
        front.restIfWanted();
      },
      report: (code, severity, text, details) => {
        send({kind: 'report', code, severity, text, details});
      },
      onResent: () => {
        const {counters} = shared;
        counters[COUNTER.resentRequests] = (counters[COUNTER.resentRequests] ?? 0) + 1;
      },
    });
    send({kind: 'unmounted'});
  }
}
