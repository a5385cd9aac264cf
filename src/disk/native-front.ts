/** The front on the main thread, for fuse-native: its addon calls back on that thread only. */
import type {MessagePort} from 'node:worker_threads';
import type {Clock} from '../core/clock.js';
import type {Files} from '../core/files.js';
import {startNativeSession} from '../fuse/native-session.js';
import {relayAnswers} from '../fuse/port-responder.js';
import type {Responder} from '../fuse/handler.js';
import {activate} from './activation.js';
import type {DiskConfig} from './config.js';
import {activatedMessage} from './activated-message.js';
import {Front} from './front.js';
import type {ThreadInput, ThreadMessage} from './messages.js';
import type {Shared} from './shared.js';
import {diskStatusJson} from './status-json.js';

export interface NativeFrontOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly config: DiskConfig;
  readonly shared: Shared;
  readonly input: ThreadInput;
  readonly mount: string;
  /** Answers of the commit thread. */
  readonly answers: MessagePort;
  readonly take: (message: ThreadMessage) => void;
}

/**
 * Recovers, mounts and serves; what other threads would tell the main thread goes to `take`.
 *
 * @returns what stands in for the bell: lets the front look at commands and parked writes
 * @throws DiskError as `activate` and `startNativeSession`
 */
export async function startNativeFront(options: NativeFrontOptions): Promise<() => void> {
  const {files, clock, config, shared, input, take} = options;
  const {acceptImage, serve} = input;
  const disk = activate({files, clock, config, shared, acceptImage, serve});
  disk.stateFile.close();
  take(activatedMessage(disk));
  // The session needs the front and the front its responder: nobody answers before both are there.
  const session: {responder?: Responder} = {};
  const front = new Front({
    files,
    clock,
    shared,
    disk,
    responder: {
      answer: (low, high, errno) => session.responder?.answer(low, high, errno),
      answerWrite: (low, high, bytes) => session.responder?.answerWrite(low, high, bytes),
    },
    durableWrites: config.resource.durability === 'write',
    statusJson: () => diskStatusJson(config.resource.name, disk.epoch, shared),
    notify: take,
  });
  const {responder, ended} = await startNativeSession({mountPoint: options.mount, handler: front});
  session.responder = responder;
  relayAnswers(options.answers, responder);
  take({kind: 'serving'});
  void ended.then(() => {
    take({kind: 'unmounted'});
  });
  return () => {
    front.afterRequest();
  };
}
