/**
 * Housekeeping, as the daemon and `mars cron` do it.
 *
 *   POST   /v1/resources/NAME/log/prune PruneRequest  -> PruneResult
 *   POST   /v1/care                     CareRequest   -> CareResult
 */
import type {ErrorBody} from '../core/disk-status.js';

export interface PruneRequest {
  /** Nothing is done. */
  readonly dryRun: boolean;
  /** Also branches that were given up (forks/), what was cut from the log (cuts/), files whose device failed (bad-*). */
  readonly purge: boolean;
  /** `purge` destroys what may be wanted still. */
  readonly confirmed: boolean;
}

/** Who needs a file. Positions are fixed-width hex. */
export interface FileNeed {
  readonly by: 'replay' | 'slot' | 'copy' | 'history';
  readonly node: string | null;
  readonly position: string;
  readonly text: string;
}

export interface PrunedFile {
  readonly file: string;
  /** `spare`: nothing of the log. `torn`: nobody can tell. `aside`: forks/, cuts/ and bad-*. */
  readonly kind: 'segment' | 'spare' | 'torn' | 'aside';
  readonly bytes: number;
  readonly start: string | null;
  readonly end: string | null;
  /** `spare`: the log uses it again. */
  readonly action: 'keep' | 'spare' | 'delete';
  readonly reason: string;
  readonly neededBy: readonly FileNeed[];
}

export interface PruneResult {
  readonly schema: 1;
  readonly name: string;
  readonly dryRun: boolean;
  /** The log is needed from here on; null: only its end is. */
  readonly neededFrom: string | null;
  readonly files: readonly PrunedFile[];
  /** Given back to the file system, or would be. */
  readonly deletedBytes: number;
  /** Kept, but the log uses it again before it takes more. */
  readonly freeBytes: number;
}

export interface CareRequest {
  readonly dryRun: boolean;
}

export interface CareResult {
  readonly schema: 1;
  readonly dryRun: boolean;
  /** `daemon`: it did the work. `cron`: no daemon runs. `none`: somebody else is at it. */
  readonly by: 'daemon' | 'cron' | 'none';
  readonly resources: readonly CaredResource[];
  /** Leftovers that are, or would be, removed. */
  readonly removed: readonly {readonly path: string; readonly bytes: number}[];
}

export interface CaredResource {
  readonly name: string;
  /** The log went on in this new file; null: not due. */
  readonly rotatedTo: string | null;
  readonly prune: PruneResult | null;
  readonly error: ErrorBody | null;
}
