/** What the threads of a disk process tell the main thread; rare, never per request. */
import type {MessagePort} from 'node:worker_threads';
import type {ErrorCode} from '../core/codes.js';
import type {Severity} from '../core/disk-status.js';
import type {ErrorDetails} from '../core/errors.js';
import type {FileIdentity} from '../core/files.js';
import type {Chain} from '../log/record.js';
import type {FrontNotice} from './front-options.js';
import type {RetainedSegment} from './retained.js';

/** Given to each thread as its workerData. */
export interface ThreadInput {
  readonly memory: SharedArrayBuffer;
  readonly home: string;
  readonly name: string;
  readonly fuseFd: number;
  /** Second descriptor of the same connection; undefined where the holder could not make one. */
  readonly fuseSecondFd?: number;
  /** Where answers go for a driver that answers on the main thread; undefined: to `fuseFd`. */
  readonly answers?: MessagePort;
  /** True for a process that takes over a mount from a dead one. */
  readonly resend: boolean;
  readonly serve: boolean;
  /** The log comes from another node, and does not end. */
  readonly follow: boolean;
  readonly acceptImage: boolean;
}

export interface Activated {
  readonly kind: 'active';
  readonly epoch: string;
  readonly imageFd: number;
  readonly identity: FileIdentity;
  readonly from: number;
  readonly to: number;
  readonly fromChain: Chain;
  readonly tornRecords: number;
  readonly position: number;
  readonly retained: readonly RetainedSegment[];
  /** Number and name of each segment that was found: another node may have begun it. */
  readonly names: readonly (readonly [number, string])[];
  /** Of the image, what the life before wrote past the log; 0 or absent: nothing. */
  readonly bypassedBytes?: number;
}

export type ThreadMessage =
  | Activated
  | FrontNotice
  | {readonly kind: 'serving'}
  | {readonly kind: 'unmounted'}
  | {readonly kind: 'committed'}
  | {readonly kind: 'commit-failed'; readonly errno: string}
  | {readonly kind: 'drained'}
  | {readonly kind: 'durable'}
  | {
      readonly kind: 'report';
      readonly code: ErrorCode;
      readonly severity: Severity;
      readonly text: string;
      readonly details: ErrorDetails;
    }
  | {readonly kind: 'replay-error'; readonly code: ErrorCode | undefined; readonly text: string}
  | {
      readonly kind: 'fatal';
      readonly code: ErrorCode;
      readonly message: string;
      readonly details: ErrorDetails;
    };
