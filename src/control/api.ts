/**
 * The control API: HTTP/1.1 and JSON on the Unix socket `run/daemon.sock` (mode 0600).
 * A failure answers 4xx or 5xx with `{"error": {code, message, details}}` (ErrorBody).
 *
 *   GET    /v1/daemon                                 -> DaemonStatus
 *   POST   /v1/daemon/stop          StopRequest       -> {}
 *   GET    /v1/status[?resource=NAME]                 -> StatusDocument
 *   GET    /v1/resources                              -> ResourceList
 *   POST   /v1/resources            CreateRequest     -> ResourceView
 *   GET    /v1/resources/NAME                         -> ResourceView
 *   DELETE /v1/resources/NAME       DeleteRequest     -> DeleteResult
 *   POST   /v1/resources/NAME/set   SetRequest        -> ResourceView
 *   POST   /v1/resources/NAME/resize  ResizeRequest   -> ResourceView
 *   POST   /v1/resources/NAME/primary PrimaryRequest  -> ResourceView
 *   POST   /v1/resources/NAME/secondary RoleRequest   -> ResourceView
 *   POST   /v1/resources/NAME/attach | detach RoleRequest -> ResourceView
 *   GET    /v1/resources/NAME/log                     -> LogList
 *   POST   /v1/resources/NAME/log/rotate              -> {file, position}
 *   GET    /v1/resources/NAME/replay                  -> ReplayView
 *   POST   /v1/resources/NAME/replay/pause | resume   -> ReplayView
 *   GET    /v1/events[?follow=1][&resource=NAME]      -> one EventLine a line (NDJSON)
 */
import type {FuseDriverWish} from '../core/home.js';
import type {DiskStatus, Message, Waiting} from '../core/disk-status.js';

export interface DaemonStatus {
  readonly schema: 1;
  readonly pid: number | null;
  readonly version: string;
  readonly startedAt: string | null;
  readonly disks: readonly {
    readonly name: string;
    readonly holderPid: number | null;
    readonly pid: number | null;
    readonly restarts: number;
    readonly since: string;
  }[];
}

export interface StopRequest {
  /** Also end the disk processes: refused while a device is open. */
  readonly disks: boolean;
  readonly timeoutSeconds: number;
}

export interface CreateRequest {
  readonly name: string;
  readonly sizeBytes: number;
  /** Absolute path of a file (made if missing) or block device; absent: below the home. */
  readonly image?: string;
  /** Take the content of an image that is not empty. */
  readonly force?: boolean;
  readonly preallocate?: boolean;
  readonly driver?: FuseDriverWish;
  readonly settings?: Readonly<Record<string, string>>;
  /** false: created as secondary, nothing is mounted. Absent: true. */
  readonly activate?: boolean;
}

export interface DeleteRequest {
  readonly dryRun: boolean;
  readonly confirmed: boolean;
}

export interface DeleteResult {
  readonly schema: 1;
  readonly name: string;
  readonly dryRun: boolean;
  /** Paths that are, or would be, removed, with their bytes. */
  readonly removes: readonly {readonly path: string; readonly bytes: number}[];
  readonly keeps: readonly string[];
}

export interface SetRequest {
  readonly settings: Readonly<Record<string, string>>;
}

export interface ResizeRequest {
  readonly sizeBytes: number;
}

export interface RoleRequest {
  readonly timeoutSeconds: number;
}

export interface PrimaryRequest extends RoleRequest {
  /** false: no loop device, only the image file. */
  readonly device: boolean;
  readonly force: boolean;
  readonly driver?: FuseDriverWish;
}

export type Role =
  'primary' | 'secondary' | 'remainsPrimary' | 'forcedPrimary' | 'notYetPrimary' | 'none';

export interface ResourceView {
  readonly schema: 1;
  readonly name: string;
  readonly id: string;
  readonly sizeBytes: number;
  readonly createdAt: string;
  readonly imagePath: string;
  readonly role: Role;
  readonly attached: boolean;
  /** Where it can be used now: null while it is not primary here. */
  readonly image: string | null;
  readonly device: string | null;
  readonly settings: Readonly<Record<string, string>>;
  readonly disk: DiskStatus | null;
  /** What the caller should know besides, such as a setting that counts later. */
  readonly notes?: readonly string[];
}

export interface ResourceList {
  readonly schema: 1;
  readonly resources: readonly ResourceView[];
}

export interface LogList {
  readonly schema: 1;
  readonly name: string;
  readonly files: readonly {
    readonly file: string;
    readonly number: number;
    readonly origin: string;
    readonly epoch: string;
    readonly start: string;
    readonly end: string | null;
    readonly bytes: number;
    readonly createdAt: string;
    readonly sealed: boolean;
  }[];
}

export interface ReplayView {
  readonly schema: 1;
  readonly name: string;
  readonly paused: boolean;
  readonly state: DiskStatus['replay']['state'] | 'stopped';
  readonly position: string | null;
  readonly replayed: string | null;
  readonly backlogBytes: number | null;
}

export type ResourceState =
  | 'UpToDate'
  | 'OutDated[F]'
  | 'OutDated[R]'
  | 'OutDated[FR]'
  | 'InConsistent'
  | 'Syncing'
  | 'Recovery'
  | 'WriteBack'
  | 'Orphan'
  | 'EmergencyMode'
  | 'DefectiveLog'
  | 'DefectiveImage'
  | 'Detached'
  | 'NotJoined'
  | 'Forked';

export interface ResourceStatus {
  readonly name: string;
  readonly sizeBytes: number;
  readonly role: Role;
  readonly designatedPrimary: string | null;
  readonly state: ResourceState;
  readonly health: 'ok' | 'warning' | 'critical' | 'unknown';
  readonly mode: 'async' | 'near-sync' | 'sync';
  readonly image: string | null;
  readonly device: string | null;
  /** Openers of the device or image, other than our own loop device; null when unknown. */
  readonly openCount: number | null;
  readonly epoch: string | null;
  readonly position: string | null;
  readonly durable: string | null;
  readonly replayed: string | null;
  readonly log: {
    readonly files: number;
    readonly bytes: number;
    readonly capBytes: number | null;
    readonly firstPosition: string | null;
  };
  readonly restorableFrom: string | null;
  readonly replicas: readonly never[];
  readonly waitingFor: Waiting | null;
  readonly messages: readonly Message[];
}

export interface StatusDocument {
  readonly schema: 1;
  readonly node: string;
  readonly cluster: string | null;
  readonly resources: readonly ResourceStatus[];
}
