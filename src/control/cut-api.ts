/**
 * The control API of a log that is damaged and that nobody can mend:
 *
 *   POST /v1/resources/NAME/log/cut       CutRequest     -> CutResult
 *   POST /v1/resources/NAME/log/cut/undo  CutUndoRequest -> CutUndoResult
 *
 * Positions are fixed-width hex.
 */

export interface CutRequest {
  /** Where the log is to end, as a dry run said it; refused where that is another place by now. */
  readonly at?: string;
  readonly dryRun: boolean;
  readonly confirmed: boolean;
  /** Also where the image then is no state that the disk ever had. */
  readonly force: boolean;
}

export interface CutResult {
  readonly schema: 1;
  readonly name: string;
  readonly dryRun: boolean;
  /** false: the log is in order, nothing is done, and the rest is null, 0 or empty. */
  readonly damaged: boolean;
  /** The log ends here afterwards. */
  readonly position: string | null;
  /** Where it is known to have ended; equal to `position`: nothing is lost. */
  readonly end: string | null;
  /** What is good of it begins here, in the middle of a file; null: nothing in front is given up. */
  readonly begin: string | null;
  /** Its history is not known any more: it begins anew, and every replica is copied again. */
  readonly anew: boolean;
  /** The image may hold blocks of what is lost: no state that the disk ever had. */
  readonly mixed: boolean;
  readonly lost: CutLoss;
  /** Size of the disk before, and where the log ends. */
  readonly sizeBytes: {readonly before: number; readonly after: number} | null;
  /** Logfiles that are shortened or removed. */
  readonly files: readonly string[];
  /** Where all of that is kept; null: nothing was done. */
  readonly kept: string | null;
}

export interface CutLoss {
  readonly bytes: number;
  /** Records that can still be told, and bytes of log in which none can. */
  readonly records: number;
  readonly unreadableBytes: number;
  /** What those records were about, each byte of the disk once. */
  readonly changedBytes: number;
  readonly ranges: readonly {readonly offset: number; readonly length: number}[];
  readonly firstTime: string | null;
  readonly lastTime: string | null;
}

export interface CutUndoRequest {
  readonly dryRun: boolean;
  readonly confirmed: boolean;
}

export interface CutUndoResult {
  readonly schema: 1;
  readonly name: string;
  readonly dryRun: boolean;
  /** Where it was cut, and where it is known to have ended. */
  readonly position: string;
  readonly end: string;
  readonly files: readonly string[];
}
