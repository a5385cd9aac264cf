import type {Clock} from '../core/clock.js';
import type {Files} from '../core/files.js';
import type {Responder} from '../fuse/handler.js';
import type {ActiveDisk} from './activation.js';
import type {InlineCommit} from './inline-commit.js';
import type {Shared} from './shared.js';

export interface FrontOptions {
  readonly files: Files;
  /** Shared with the commit thread: it says since when a request waits. */
  readonly clock: Clock;
  readonly shared: Shared;
  readonly disk: ActiveDisk;
  readonly responder: Responder;
  /** Waits for a signal on a word of the shared memory; absent where the thread must not wait. */
  readonly pause?: (word: number, timeoutMs: number) => void;
  /** Commits on this thread where nobody else waits; absent: always on the commit thread. */
  readonly inline?: InlineCommit;
  /** Every write is durable before it is acknowledged. */
  readonly durableWrites: boolean;
  /** For punches while writes go past the log; default: `files`. */
  readonly punchFiles?: Files;
  readonly statusJson: () => string;
  /** To the main thread; rare. */
  readonly notify: (notice: FrontNotice) => void;
}

export type FrontNotice =
  | {readonly kind: 'rotated'; readonly number: number}
  | {readonly kind: 'parked'}
  | {readonly kind: 'segments-wanted'}
  | {readonly kind: 'flush-waits'}
  | {readonly kind: 'unparked'}
  | {readonly kind: 'rests'}
  | {readonly kind: 'bypass-failed'; readonly errno: string}
  | {readonly kind: 'log-error'; readonly errno: string}
  | {readonly kind: 'log-moved'; readonly number: number}
  | {readonly kind: 'log-defective'; readonly errno: string};
