/** What every thread of the disk process does first and last. */
import {parentPort, workerData} from 'node:worker_threads';
import {createFilesFromEnvironment} from '../core/fault-files.js';
import {assert} from '../core/assert.js';
import {DiskError, storeError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {helperFromEnvironment} from '../core/fallocate.js';
import type {ThreadInput, ThreadMessage} from './messages.js';
import {Shared} from './shared.js';

/** Descriptor of the generation lock: inherited by children that change data, by no others. */
export const GENERATION_FD = 8;

export interface Thread {
  readonly input: ThreadInput;
  readonly shared: Shared;
  readonly files: Files;
  readonly send: (message: ThreadMessage) => void;
}

/**
 * Helpers for fallocate(2): main thread and front share one, as the front needs it only before
 * the main thread's keeper begins; replay has its own, whose calls may take long.
 */
export const HELPER = {front: 0, replay: 1} as const;

/** What a thread was given by the main thread, and its way back. */
export function openThread(helper: number = HELPER.front): Thread {
  const port = parentPort;
  assert(port !== null, 'this file is the program of a thread');
  const input = workerData as ThreadInput;
  return {
    input,
    shared: new Shared(input.memory),
    files: createFilesFromEnvironment([GENERATION_FD], helperFromEnvironment(helper)),
    send: (message) => {
      port.postMessage(message);
    },
  };
}

/** The message for an error that ends the process. Bugs are thrown on: the process dies, loudly. */
export function fatalMessage(error: unknown, what: string): ThreadMessage {
  const known = storeError(error, what);
  if (!(known instanceof DiskError)) throw error;
  return {kind: 'fatal', code: known.code, message: known.message, details: known.details};
}
