/**
 * The control API of forks beyond api.ts:
 *
 *   GET  /v1/resources/NAME/fork/diff                      -> ForkDiff
 *   POST /v1/resources/NAME/fork/undo    ForkBranchRequest -> ForkUndoResult
 *   POST /v1/resources/NAME/fork/forget  ForkBranchRequest -> ForkForgetResult
 *   POST /v1/resources/NAME/fork/extract ForkExtractRequest -> ForkExtractResult
 */

/** A branch that gave way, and is kept on this node. */
export interface ForkBranch {
  /** Its name: what `--branch` takes. */
  readonly branch: string;
  readonly directory: string;
  /** Up to here it is the same as the history that was kept; fixed-width hex. */
  readonly position: string;
  /** Where it ends; null where an earlier version kept it. */
  readonly end: string | null;
  readonly epoch: string | null;
  /** The node whose history was kept. */
  readonly keep: string | null;
  readonly keptAt: string | null;
  /** The disk as of the end of the branch: a file to be read; null where there is none. */
  readonly image: string | null;
  /** Why there is no image; null where there is one. */
  readonly noImage: string | null;
  /** Whether `mars fork undo` can bring it back. */
  readonly undoable: boolean;
  /** Space that it takes. */
  readonly bytes: number;
}

/** What one side has written behind the common point. */
export interface ForkChanges {
  readonly node: string;
  /** Log of [from, to) was looked at; null where nothing is known. */
  readonly from: string;
  readonly to: string | null;
  readonly records: number | null;
  /** Bytes written and discarded, each as often as it was. */
  readonly writtenBytes: number | null;
  /** Bytes of the disk that were written or discarded at least once. */
  readonly changedBytes: number | null;
  readonly rangeCount: number | null;
  readonly firstTime: string | null;
  readonly lastTime: string | null;
  /** false: its log is damaged or not kept that far back; it may have changed more. */
  readonly complete: boolean;
  /** false: too many ranges, they were widened. */
  readonly exact: boolean;
  /** Why nothing is known; null where something is. */
  readonly error: string | null;
}

/** Bytes of the disk that may differ. */
export interface ForkRange {
  readonly offset: number;
  readonly length: number;
  /** Names of the nodes that wrote there behind the common point. */
  readonly by: readonly string[];
}

/** `fork diff`: which parts of the disk differ between the histories, and who wrote them when. */
export interface ForkDiff {
  readonly schema: 1;
  readonly name: string;
  readonly forked: boolean;
  readonly position: string | null;
  /** This node first. */
  readonly sides: readonly ForkChanges[];
  /** Bytes of all ranges; null where no side is known. */
  readonly differingBytes: number | null;
  readonly rangeCount: number;
  /** In order of the disk. */
  readonly ranges: readonly ForkRange[];
}

/** What gives way, or would: for `fork resolve`. */
export interface ForkLoss {
  readonly records: number;
  readonly writtenBytes: number;
  readonly changedBytes: number;
  readonly firstTime: string | null;
  readonly lastTime: string | null;
  readonly complete: boolean;
}

export interface ForkBranchRequest {
  /** Absent: the only one that is kept. */
  readonly branch?: string;
  readonly dryRun: boolean;
  readonly confirmed: boolean;
  readonly timeoutSeconds: number;
}

/** A branch that is the history of this node again, or would be. */
export interface ForkUndoResult {
  readonly schema: 1;
  readonly name: string;
  readonly dryRun: boolean;
  readonly branch: string;
  /** Where the branch parts from what this node had until now. */
  readonly position: string;
  readonly end: string;
  /** The node whose history this node had meanwhile; it has to give way, or this one again. */
  readonly other: string;
}

export interface ForkForgetResult {
  readonly schema: 1;
  readonly name: string;
  readonly dryRun: boolean;
  readonly branch: string;
  readonly directory: string;
  readonly bytes: number;
}

export interface ForkExtractRequest {
  readonly branch?: string;
  /** Absolute path of a file that does not exist yet. */
  readonly to: string;
  readonly timeoutSeconds: number;
}

export interface ForkExtractResult {
  readonly schema: 1;
  readonly name: string;
  readonly branch: string;
  readonly file: string;
  readonly sizeBytes: number;
  /** The file is the disk as of this position of the branch. */
  readonly end: string;
}
