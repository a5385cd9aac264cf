/**
 * Starts a thread of the disk process. Imports next to nothing: program.ts calls it before the rest of
 * the program is loaded.
 */
import {Worker} from 'node:worker_threads';
import type {ThreadInput} from './messages.js';

/** The threads besides the main one; each has its program in ROLE-thread.ts. */
export type ThreadRole = 'front' | 'commit' | 'replay';

/** Starts one; whoever starts it listens to its messages and to `error` in the same turn. */
export function startThread(role: ThreadRole, input: ThreadInput): Worker {
  return new Worker(new URL(`./${role}-thread.js`, import.meta.url), {
    workerData: input,
    // Threads share descriptors: Node would close those that a thread opened when that one ends.
    trackUnmanagedFds: false,
    transferList: input.answers === undefined ? [] : [input.answers],
    // The front has few objects; a small young generation is a small pause.
    resourceLimits: {maxOldGenerationSizeMb: 192, maxYoungGenerationSizeMb: 4},
  });
}
