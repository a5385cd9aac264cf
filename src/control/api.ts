/**
 * The control API: HTTP/1.1 and JSON on the Unix socket `run/daemon.sock` (mode 0600).
 * A failure answers 4xx or 5xx with `{"error": {code, message, details}}` (ErrorBody).
 *
 *   GET    /v1/daemon                                 -> DaemonStatus
 *   POST   /v1/daemon/stop          StopRequest       -> {}
 *   POST   /v1/daemon/restart       RestartRequest    -> {}; another process takes its place
 *   GET    /v1/status[?resource=NAME]                 -> StatusDocument
 *   GET    /v1/metrics                                -> text for Prometheus
 *   GET    /v1/metrics-listen                         -> MetricsListenView
 *   POST   /v1/metrics-listen       MetricsListenRequest -> MetricsListenView
 *   GET    /v1/resources                              -> ResourceList
 *   POST   /v1/resources            CreateRequest     -> ResourceView
 *   GET    /v1/resources/NAME                         -> ResourceView
 *   DELETE /v1/resources/NAME       DeleteRequest     -> DeleteResult
 *   POST   /v1/resources/NAME/set   SetRequest        -> ResourceView
 *   POST   /v1/resources/NAME/resize  ResizeRequest   -> ResourceView
 *   POST   /v1/resources/NAME/primary PrimaryRequest  -> ResourceView
 *   POST   /v1/resources/NAME/secondary RoleRequest   -> ResourceView
 *   POST   /v1/resources/NAME/renew   RoleRequest     -> RenewResult; the disk process, under load
 *   POST   /v1/resources/NAME/attach | detach RoleRequest -> ResourceView
 *   GET    /v1/resources/NAME/log                     -> LogList
 *   POST   /v1/resources/NAME/log/rotate              -> {file, position}
 *   POST   /v1/resources/NAME/log/export ExportRequest -> ExportResult
 *   POST   /v1/resources/NAME/log/import ImportRequest -> ImportResult
 *   GET    /v1/resources/NAME/replay                  -> ReplayView
 *   POST   /v1/resources/NAME/replay/follow {folder?} -> FlowView; without: other nodes again
 *   POST   /v1/resources/NAME/replay/pause | resume   -> ReplayView
 *   POST   /v1/resources/NAME/join  JoinRequest       -> ResourceView; NAME is not here yet
 *   POST   /v1/resources/NAME/leave LeaveRequest      -> DeleteResult
 *   POST   /v1/resources/NAME/connect | disconnect    -> ResourceView
 *   GET    /v1/resources/NAME/fetch | sync            -> FlowView
 *   POST   /v1/resources/NAME/fetch/pause | resume    -> FlowView
 *   POST   /v1/resources/NAME/sync/pause | resume     -> FlowView
 *   POST   /v1/resources/NAME/sync/fake  DeleteRequest -> FakeSyncResult
 *   GET    /v1/sync-limit                             -> SyncLimitView
 *   POST   /v1/sync-limit           SyncLimitRequest  -> SyncLimitView
 *   GET    /v1/resources/NAME/fork                    -> ForkView
 *   POST   /v1/resources/NAME/fork/resolve ForkRequest -> ForkResult; on the node that gives way
 *   POST   /v1/resources/NAME/invalidate DeleteRequest -> InvalidateResult
 *   GET    /v1/events[?follow=1][&resource=NAME]      -> one EventLine a line (NDJSON)
 *   GET    /v1/events/page[?after=NEXT][&resource=NAME] -> EventsPage
 *
 * Housekeeping, `log/prune` and `/v1/care`: control/care-api.ts.
 * Branches of a fork: control/fork-api.ts. Restarts and the port for metrics: control/daemon-api.ts.
 * Moving to another node: control/move-api.ts. Comparing replicas: control/verify-api.ts.
 * Members of the cluster, `/v1/peers`: control/peer-api.ts.
 * `/v1/hosts/NODE/...` is the same of another node, as far as it is safe from afar: daemon/remote.ts.
 */
import type {FuseDriverWish} from '../core/home.js';
import type {ForkBranch, ForkLoss} from './fork-api.js';
import type {EventLine, DiskStatus, Message, Waiting} from '../core/disk-status.js';
import type {ModeSettings, ReplicationMode} from '../core/mode.js';
import type {LogStatus} from './space-api.js';
import type {VerifyReport, VerifySummary} from './verify-api.js';

export interface DaemonStatus {
  readonly schema: 1;
  readonly pid: number | null;
  readonly version: string;
  readonly startedAt: string | null;
  /** The systemd unit that the daemon is; null: started by hand. Absent where none runs. */
  readonly unit?: string | null;
  readonly disks: readonly {
    readonly name: string;
    /** Of its program; null where it does not say. */
    readonly version: string | null;
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
  /** What stands against it, or becomes of other replicas; absent: nothing is to be said. */
  readonly notes?: readonly string[];
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

/** A replica of a resource that other members of the cluster have. */
export interface JoinRequest {
  /** As in CreateRequest. */
  readonly image?: string;
  /** Take an image that is not empty: what of it differs is overwritten by the copy. */
  readonly force?: boolean;
  readonly preallocate?: boolean;
  /** Absolute path of a folder with exported files: they are the source, no other node is needed. */
  readonly from?: string;
  /** The replica here is of a resource that is no more: it goes, and this one takes its place. */
  readonly replace?: boolean;
  /** With `replace`: as in DeleteRequest, whose answer a dry run has. */
  readonly dryRun?: boolean;
  readonly confirmed?: boolean;
}

export interface ExportRequest {
  /** Absolute path; made if missing. */
  readonly folder: string;
  /** Also an image that the exported log goes on from. */
  readonly base: boolean;
  /** Also the logfile that is still written to, as far as it is durable. */
  readonly open: boolean;
  /** Exports nothing, and keeps no log for the folder any more. */
  readonly forget: boolean;
}

export interface ExportResult {
  readonly schema: 1;
  readonly name: string;
  readonly folder: string;
  /** Names of logfiles that are new in the folder, or longer. */
  readonly files: readonly string[];
  /** End of the log in the folder; null after `forget`. */
  readonly end: string | null;
  readonly base: {
    readonly begin: string;
    readonly end: string;
    readonly sizeBytes: number;
    readonly dataBytes: number;
  } | null;
  /** The log from `end` on is kept for the next export. */
  readonly kept: boolean;
  /** It was kept until now, and is not any more. */
  readonly forgotten: boolean;
}

export interface ImportRequest {
  /** Absolute path of one folder, or of logfiles. */
  readonly paths: readonly string[];
  /** Also wait until all of it is in the image. */
  readonly replay: boolean;
  readonly timeoutSeconds: number;
}

export interface ImportResult {
  readonly schema: 1;
  readonly name: string;
  readonly folder: string;
  /** Where the log ended before, and ends now; null: not known. */
  readonly from: string | null;
  readonly end: string | null;
}

export interface LeaveRequest extends DeleteRequest {
  readonly timeoutSeconds: number;
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
  /** The last comparison of the replica here; null: never. Absent where there are no others. */
  readonly verify?: VerifyReport | null;
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
  /** Files that hold nothing of the log: it uses them again before it takes more space. */
  readonly spares: {readonly files: number; readonly bytes: number};
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

/** What one node has of a resource whose histories part. */
export interface ForkSide {
  readonly node: string;
  readonly role: Role;
  readonly state: ResourceState;
  /** `here`: this node. */
  readonly link: 'here' | 'up' | 'down';
  readonly epoch: string | null;
  /** End of its log, as last heard. */
  readonly position: string | null;
  /** Log of its own behind the common point; null where that is not known. */
  readonly ownBytes: number | null;
}

/** `fork show`: where the histories part, and who has what behind that. */
export interface ForkView {
  readonly schema: 1;
  readonly name: string;
  readonly forked: boolean;
  /** Up to here all have the same; null where it is not known, or nothing is forked. */
  readonly position: string | null;
  /** This node first. */
  readonly sides: readonly ForkSide[];
  /** What gave way on this node and is kept, oldest first. */
  readonly branches: readonly ForkBranch[];
}

export interface ForkRequest {
  /** Name of the node whose history stays. */
  readonly keep: string;
  readonly dryRun: boolean;
  readonly confirmed: boolean;
  /** false: of what gives way the logfiles are kept, not the image. Absent: true, if it has room. */
  readonly image?: boolean;
  readonly timeoutSeconds?: number;
}

/** What gives way here, or would. */
export interface ForkResult {
  readonly schema: 1;
  readonly name: string;
  readonly dryRun: boolean;
  readonly keep: string;
  /** Up to here this node keeps what it has; behind it all of `keep` counts. Null, with lostBytes 0: nothing is forked. */
  readonly position: string | null;
  /** Log of this node that is given up. */
  readonly lostBytes: number | null;
  /** What the records of it have written. */
  readonly lost: ForkLoss;
  /**
   * `cut`: the image holds nothing of it. `blocks`: what it changed is copied from the other one.
   * `compare`: its log does not tell that; the image is compared with the other one, whole.
   */
  readonly repair: 'cut' | 'blocks' | 'compare';
  /** Name of the branch that is kept; null: nothing was done. */
  readonly branch: string | null;
  /** Why its image is, or would, not be kept, so that there is no undo; null: it is. */
  readonly noImage: string | null;
}

/** A replica that was declared garbage, or would be. */
export interface InvalidateResult {
  readonly schema: 1;
  readonly name: string;
  readonly dryRun: boolean;
  /** Node that it is copied from. */
  readonly source: string;
}

/** How far a copy of the image is. */
export interface SyncProgress {
  readonly percent: number;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface SyncLimitRequest {
  /** 0: any number at once. */
  readonly limit: number;
}

/** Events for who asks from afar: some of them, and what is to be asked for then. */
export interface EventsPage {
  readonly schema: 1;
  readonly events: readonly EventLine[];
  /** The same as `after` where there was nothing new. */
  readonly next: string;
}

/** `sync limit`: how many images this node copies at once, and who is in line. */
export interface SyncLimitView {
  readonly schema: 1;
  /** 0: any number at once. */
  readonly limit: number;
  readonly running: readonly {readonly name: string; readonly since: string}[];
  /** In the order in which they come. */
  readonly waiting: readonly {readonly name: string; readonly since: string}[];
}

/** `fetch status` and `sync status`: what comes to this replica, and what it waits for. */
export interface FlowView {
  readonly schema: 1;
  readonly name: string;
  readonly flow: 'fetch' | 'sync';
  readonly paused: boolean;
  /** `idle`: nothing to do, as a sync that is done, or a node that is primary. */
  readonly state: 'running' | 'waiting' | 'paused' | 'idle';
  /** Name of the node that it comes from. */
  readonly source: string | null;
  /** End of what is here. */
  readonly received: string | null;
  /** End of the source's log, as last heard. */
  readonly originEnd: string | null;
  readonly lagBytes: number | null;
  readonly lagSeconds: number | null;
  readonly sync: SyncProgress | null;
  readonly waiting: Waiting | null;
}

/** A replica on another node, as this node knows it. */
export interface ReplicaStatus {
  readonly node: string;
  /** `down`: not heard of for 10 s; what else is said here is then as old as `since`. */
  readonly link: 'up' | 'down';
  readonly role: Role;
  readonly state: ResourceState;
  readonly replication: 'continuous' | 'paused' | 'syncing' | 'stopped';
  readonly received: string | null;
  readonly durable: string | null;
  readonly replayed: string | null;
  /** Behind the primary, or ahead of this node: 0. null where it is not known. */
  readonly lagSeconds: number | null;
  readonly lagBytes: number | null;
  readonly sync: SyncProgress | null;
  /**
   * Whether flushes of this node, primary in a synchronous mode, count on it; null: they wait for
   * none. Absent where an older daemon answers.
   */
  readonly counted?: boolean | null;
  /** When it was last heard of (link down), or since when `replication` is as it is. */
  readonly since: string | null;
  readonly waitingFor: Waiting | null;
  /** The last comparison of it with another one; null: never, or not told. */
  readonly verify?: VerifySummary | null;
  /** What its node says of it, by the clock of that node; gone a day after it was last heard of. */
  readonly messages?: readonly PeerMessage[];
}

/** A message of another node; `code` may be of a later version. */
export interface PeerMessage extends Omit<Message, 'code'> {
  readonly code: string;
}

/** How this replica follows; null for a primary and for a resource without other replicas. */
export interface FollowStatus {
  readonly source: string | null;
  readonly replication: ReplicaStatus['replication'];
  readonly connected: boolean;
  readonly received: string | null;
  readonly lagSeconds: number | null;
  readonly lagBytes: number | null;
  readonly sync: SyncProgress | null;
}

/** The switches as they are wanted; what is, stands beside. */
export interface Wishes {
  readonly connected: boolean;
  readonly fetchPaused: boolean;
  readonly syncPaused: boolean;
  readonly replayPaused: boolean;
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

/** How flushes wait for replicas. */
export interface SynchronousStatus extends Omit<ModeSettings, 'mode'> {
  /** Since when flushes of this primary are answered without replicas, and why; null: they are not. */
  readonly degraded: null | {readonly since: string; readonly reason: string};
  /** What enough replicas have confirmed, and how many flushes wait; null: not primary here. */
  readonly confirmed: string | null;
  readonly flushesWaiting: number | null;
}

export interface ResourceStatus {
  readonly name: string;
  readonly sizeBytes: number;
  readonly role: Role;
  readonly designatedPrimary: string | null;
  readonly state: ResourceState;
  readonly health: 'ok' | 'warning' | 'critical' | 'unknown';
  readonly mode: ReplicationMode;
  /** null: async. Absent where an older daemon answers. */
  readonly synchronous?: SynchronousStatus | null;
  readonly image: string | null;
  readonly device: string | null;
  /** Openers of the device or image, other than our own loop device; null when unknown. */
  readonly openCount: number | null;
  readonly epoch: string | null;
  readonly position: string | null;
  readonly durable: string | null;
  readonly replayed: string | null;
  readonly log: LogStatus;
  readonly restorableFrom: string | null;
  /** The other replicas. */
  readonly replicas: readonly ReplicaStatus[];
  /** Absent where this node has no replica. */
  readonly wishes?: Wishes;
  /** The last comparison of the replica here with another one; null: never. */
  readonly verify?: VerifySummary | null;
  readonly follow?: FollowStatus | null;
  readonly waitingFor: Waiting | null;
  readonly messages: readonly Message[];
}

export interface StatusDocument {
  readonly schema: 1;
  readonly node: string;
  readonly cluster: string | null;
  readonly resources: readonly ResourceStatus[];
}
