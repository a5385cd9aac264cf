/**
 * The control API of history (time travel):
 *
 *   GET  /v1/resources/NAME/history                               -> HistoryView
 *   POST /v1/resources/NAME/history/mark     HistoryMarkRequest    -> HistoryMarkResult
 *   POST /v1/resources/NAME/history/mount    HistoryMountRequest   -> MountedMoment
 *   POST /v1/resources/NAME/history/unmount  HistoryUnmountRequest -> HistoryUnmountResult
 *   POST /v1/resources/NAME/history/rollback HistoryRollbackRequest -> HistoryRollbackResult
 *   POST /v1/resources/NAME/history/rollback/abort HistoryAbortRequest -> HistoryAbortResult
 *   POST /v1/resources/NAME/history/rollback/wait RollbackWaitRequest -> RollbackStanding
 *
 * Positions are fixed-width hex, times RFC 3339.
 */
import type {When} from '../core/when.js';

/** A moment that is mounted on this node. */
export interface MountedMoment {
  readonly schema: 1;
  readonly name: string;
  /** What `history unmount` takes. */
  readonly moment: string;
  /** What was asked for. */
  readonly asked: string;
  readonly position: string;
  /** Of the newest record that is in it; null: not known. */
  readonly time: string | null;
  readonly writable: boolean;
  readonly image: string;
  /** The loop device, by its link; null where there is none. */
  readonly device: string | null;
  /** `lost`: what it stood on is gone, reads are answered with an I/O error. */
  readonly state: 'mounted' | 'lost';
  readonly mountedAt: string;
  /** What did not work and is no reason to fail, such as a missing loop device. */
  readonly notes: readonly string[];
}

/** A moment with a name. */
export interface MarkView {
  readonly label: string;
  readonly position: string;
  readonly time: string;
}

/** One tenure of one primary. */
export interface EpochView {
  readonly epoch: string;
  /** Name of the node that was primary. */
  readonly node: string;
  readonly position: string;
  /** null where the log of its begin is not here any more. */
  readonly time: string | null;
}

/** What can be mounted on this node, and what is. */
export interface HistoryView {
  readonly schema: 1;
  readonly name: string;
  /** The setting `history`; 0: off, then the image follows as soon as it can. */
  readonly windowSeconds: number;
  /** No position below can be mounted. */
  readonly oldest: string;
  /** Any moment since can be; null: not known. */
  readonly restorableFrom: string | null;
  /** Nor any above. */
  readonly newest: string;
  /** Oldest first; those that can be mounted. */
  readonly marks: readonly MarkView[];
  /** Oldest first; the last one that began at or below `oldest`, and all later ones. */
  readonly epochs: readonly EpochView[];
  readonly mounts: readonly MountedMoment[];
}

export interface HistoryMarkRequest {
  readonly label: string;
}

export interface HistoryMarkResult {
  readonly schema: 1;
  readonly name: string;
  readonly label: string;
  readonly position: string;
  readonly time: string;
}

export interface HistoryMountRequest {
  readonly at: When;
  /** What was typed. */
  readonly asked: string;
  readonly writable: boolean;
  /** An empty directory to mount at; absent: a place of mars. */
  readonly to?: string;
  readonly device: boolean;
  readonly timeoutSeconds: number;
}

export interface HistoryUnmountRequest {
  /** Absent: the only one, or with `all` each. */
  readonly moment?: string;
  readonly all: boolean;
}

export interface HistoryUnmountResult {
  readonly schema: 1;
  readonly name: string;
  readonly unmounted: readonly string[];
}

export interface HistoryRollbackRequest {
  readonly to: When;
  /** What was typed. */
  readonly asked: string;
  readonly dryRun: boolean;
  /** Needed where nothing keeps what is lost by it. */
  readonly confirmed: boolean;
}

/** What a rollback did, or would do. */
export interface HistoryRollbackResult {
  readonly schema: 1;
  readonly name: string;
  readonly dryRun: boolean;
  readonly asked: string;
  /** The disk is, or would be, what it was here. */
  readonly position: string;
  /** Of the newest record that is in it; null: not known. */
  readonly time: string | null;
  /** What is taken back: writes and discards since then, and when the first and the last was; null: none. */
  readonly records: number;
  readonly firstChange: string | null;
  readonly lastChange: string | null;
  /** Bytes of the disk that they are about. */
  readonly changedBytes: number;
  /** Room in the log that it takes at most, and what there is. */
  readonly neededBytes: number;
  readonly availableBytes: number;
  /** Who has the disk open: it is refused until nobody has. */
  readonly users: readonly string[];
  /** The moment before it: rolling back to it undoes this; null: nothing was to be done, or in a dry run. */
  readonly undo: string | null;
  /** It is under way, or the way back from one is: the disk can be opened when that has ended. */
  readonly running: boolean;
  /** The window of the history keeps that moment for a time; false: nothing does, `--yes` is asked for. */
  readonly isKept: boolean;
}

export interface HistoryAbortRequest {
  /** The disk stays what it is now, a mixture. */
  readonly force: boolean;
}

export interface HistoryAbortResult {
  readonly schema: 1;
  readonly name: string;
  /** `none`: none was under way. `undone`: the disk is what it was before. `left`: it is a mixture. */
  readonly outcome: 'none' | 'undone' | 'left';
  /** Position before the rollback; null for `none` and `left`. */
  readonly position: string | null;
}

/** Asks whether a rollback has ended; answered when it has, or after some moments. */
export interface RollbackWaitRequest {
  /** Where it goes to. */
  readonly position: string;
}

export interface RollbackStanding {
  readonly schema: 1;
  readonly name: string;
  readonly ended: boolean;
  readonly doneBytes: number;
  /** null: not known yet. */
  readonly totalBytes: number | null;
}
