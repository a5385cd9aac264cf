/**
 * The control API of comparisons of replicas:
 *
 *   POST /v1/resources/NAME/verify       VerifyRequest -> VerifyDocument; they go on after the answer
 *   GET  /v1/resources/NAME/verify                     -> VerifyDocument; the last one of each replica
 *   POST /v1/resources/NAME/verify/stop                -> VerifyDocument
 */
import type {ErrorBody} from '../core/disk-status.js';

export interface VerifyRequest {
  /** Name of a node: only its replica is compared, or the one here where it is the reference. */
  readonly with?: string;
  /** Copy to the replica what differs, from the primary. */
  readonly repair: boolean;
  readonly confirmed: boolean;
  /** Bytes of each image that are read in a second at most; absent: no limit. */
  readonly bytesPerSecond?: number;
}

/**
 * `running`: it is being compared. `repairing`: what differs is fetched, and put in place. `checking`:
 * what was repaired is compared again. `stopped` and `failed`: not to the end, see `error`.
 */
export const VERIFY_STATES = [
  ...(['running', 'repairing', 'checking', 'equal', 'different', 'stopped', 'failed'] as const),
] as const;

export type VerifyState = (typeof VERIFY_STATES)[number];

/** Bytes of the disk, in whole blocks. */
export interface VerifyRange {
  readonly offset: number;
  readonly length: number;
}

/** Ranges that are told at most. */
export const VERIFY_RANGES_MAX = 256;

/** The last comparison of one replica. */
export interface VerifyReport {
  /** Tells one run from another. */
  readonly id: string;
  /** Its node, and the node that it was compared with. */
  readonly node: string;
  readonly with: string;
  readonly state: VerifyState;
  /** RFC 3339; null: it still runs. */
  readonly startedAt: string;
  readonly endedAt: string | null;
  /** When a comparison last came to its end, this one or one before; null: never. */
  readonly verifiedAt: string | null;
  /** The first and the last chunk were compared at these positions; fixed-width hex. */
  readonly fromPosition: string | null;
  readonly position: string | null;
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly differentBytes: number;
  readonly rangeCount: number;
  /** The first VERIFY_RANGES_MAX of them. */
  readonly ranges: readonly VerifyRange[];
  /** What was copied to the replica; null: nothing was to be. */
  readonly repairedBytes: number | null;
  readonly error: ErrorBody | null;
}

export interface VerifyDocument {
  readonly schema: 1;
  readonly name: string;
  /** The node that replicas are compared with; null: none is known. */
  readonly reference: string | null;
  readonly replicas: readonly VerifyReport[];
}

/** What a status says of the last comparison of a replica. */
export type VerifySummary = Pick<
  VerifyReport,
  | 'with'
  | 'state'
  | 'startedAt'
  | 'verifiedAt'
  | 'position'
  | 'doneBytes'
  | 'totalBytes'
  | 'differentBytes'
>;

/** The part of a report that the status shows. */
export function summaryOf(report: VerifyReport): VerifySummary {
  const {state, startedAt, verifiedAt, position} = report;
  const {doneBytes, totalBytes, differentBytes} = report;
  return {
    ...{with: report.with, state, startedAt, verifiedAt, position},
    ...{doneBytes, totalBytes, differentBytes},
  };
}

/** Whether a run of this state goes on. */
export function isUnderWay(state: VerifyState): boolean {
  return state === 'running' || state === 'repairing' || state === 'checking';
}

/** `sync fake`: the image here is taken for that of another node, unseen. */
export interface FakeSyncResult {
  readonly schema: 1;
  readonly name: string;
  readonly dryRun: boolean;
  /** false: no image is to be copied here, nothing is done. */
  readonly needed: boolean;
  /** The node whose image is taken to be the same; null where nothing is done. */
  readonly source: string | null;
  /** Up to here its log is in its image; what comes behind is fetched as ever. */
  readonly position: string | null;
  readonly sizeBytes: number;
}
