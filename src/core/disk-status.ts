/** What a disk process answers on its socket `run/disks/NAME.sock`: HTTP and JSON. */
import type {ErrorCode} from './codes.js';
import type {Latencies} from './latency.js';
import type {ModeSettings} from './mode.js';
import type {Bypassed, Slowed, WhenFull} from './space.js';

export type Severity = 'info' | 'warning' | 'critical';

export interface Message {
  readonly code: ErrorCode;
  readonly severity: Severity;
  readonly text: string;
  /** RFC 3339. */
  readonly since: string;
}

export interface Waiting {
  readonly reason: string;
  readonly since: string;
  readonly until: string | null;
}

/** How a disk process in mode `follow` stands to its source. */
export interface DiskFollow {
  /** `empty`: nothing was copied yet. `stopped`: it follows nobody until it is told what to do. */
  readonly phase: 'empty' | 'syncing' | 'following' | 'stopped';
  /** A stream is open. */
  readonly connected: boolean;
  /** End of what is here; positions are fixed-width hex. */
  readonly received: string;
  readonly originDurable: string | null;
  readonly originEnd: string | null;
  /** Wall clock of the newest record at the source, in milliseconds. */
  readonly originTimeMs: number | null;
  readonly lagSeconds: number | null;
  /** What the source said last to where this replica stands. */
  readonly answer: FollowAnswer | null;
  readonly sync: null | {
    readonly doneBytes: number;
    readonly totalBytes: number;
    readonly begin: string;
    readonly end: string | null;
  };
  /** A replica that is made beside this one, and takes its place when it is whole. */
  readonly next?: DiskNext | null;
}

/** What takes the place of a replica that is still whole in itself. */
export interface DiskNext {
  /** `repair`: content for the blocks that differ. `beside`: a whole image. */
  readonly kind: 'repair' | 'beside';
  /** `copying`: content comes. `following`: the log to go with it. `switching`: it is put in place. */
  readonly phase: 'copying' | 'following' | 'switching';
  /** End of its log. */
  readonly received: string;
  /** Up to here only the history here is told to others, as the rest is given up; null: all of it. */
  readonly at: string | null;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** How flushes wait for replicas (core/mode). */
export interface DiskSynchronous extends ModeSettings {
  /** Since when flushes are answered without the replicas, and why; null: they are not. */
  readonly degraded: null | {readonly since: string; readonly reason: string};
  /** Everything below has been confirmed by as many replicas as the mode asks for. */
  readonly confirmed: string;
  /** Flushes, and writes with durability `write`, that wait for replicas now. */
  readonly flushesWaiting: number;
  /** A daemon is connected that brings what replicas confirm. */
  readonly daemonUp: boolean;
  /** Those that have confirmed something in this epoch. */
  readonly replicas: readonly {
    /** Node id and name. */
    readonly node: string;
    readonly name: string;
    readonly received: string;
    readonly durable: string;
    /** It counts now: it was heard of within the last seconds. */
    readonly counted: boolean;
  }[];
}

/** The answer of a source to the HELLO of a follower (log/frames). */
export interface FollowAnswer {
  readonly kind: 'follow' | 'cut' | 'forked' | 'gone' | 'unknown' | 'behind' | 'refused';
  readonly position?: string;
  readonly oldest?: string;
  readonly code?: string;
  readonly text?: string;
}

/** From when on the disk can be mounted as it was. */
export interface DiskHistory {
  /** Replay trails behind by so much; 0: it does not. */
  readonly windowSeconds: number;
  /** No position below can be mounted. */
  readonly oldest: string;
  /** RFC 3339: any moment since can be; null: not known. */
  readonly restorableFrom: string | null;
}

/** A rollback that is under way (core/rollback-file). */
export interface DiskRollback {
  readonly to: string;
  readonly from: string | null;
  readonly asked: string;
  /** `prepared`: nothing of the disk has been changed yet. */
  readonly phase: 'prepared' | 'running';
  readonly startedAt: string;
  /** Looked at, of all that was changed since the moment; null: the log is still read. */
  readonly doneBytes: number;
  readonly totalBytes: number | null;
  /** What was written, in the life of this process. */
  readonly changedBytes: number;
  /** Why it does not get on. */
  readonly fault: string | null;
}

/** `GET /status`. Positions are fixed-width hex (core/position). */
export interface DiskStatus {
  readonly schema: 1;
  readonly name: string;
  readonly pid: number;
  /** Of the program; absent where a version before 0.2 runs. */
  readonly version?: string;
  readonly holderPid: number | null;
  /** How often the holder started the disk process again since it holds the mount. */
  readonly restarts: number;
  readonly startedAt: string;
  readonly phase: 'starting' | 'recovering' | 'serving' | 'replaying' | 'stopping';
  /** `serve`: with a FUSE mount. `replay`: write-back only, ends when all is in the image. */
  readonly mode: 'serve' | 'replay' | 'follow';
  readonly driver: 'kernel' | 'fuse-native' | null;
  readonly sizeBytes: number;
  readonly epoch: string | null;
  readonly position: string;
  readonly durable: string;
  /** Everything below is in the image and durable there. */
  readonly replayed: string;
  /** Below this the image may hold newer blocks than `replayed` says: a batch is under way. */
  readonly replayingTo: string;
  readonly replay: {
    readonly state: 'running' | 'idle' | 'paused' | 'failed';
    readonly backlogBytes: number;
    readonly since: string;
  };
  /** Nothing of the log at or above it is given up, as a peer fetches it; null: nobody does. */
  readonly retainFrom: string | null;
  readonly log: {
    readonly files: number;
    readonly spares: number;
    readonly bytes: number;
    readonly firstPosition: string;
    readonly segmentBytes: number;
    readonly currentFile: string | null;
  };
  /** null in the other modes. */
  readonly follow?: DiskFollow | null;
  /** Of a disk that serves and whose flushes wait for replicas; null: async. */
  readonly synchronous?: DiskSynchronous | null;
  /** Of a disk that serves: what it does when the log runs out of room, and whether it does. */
  readonly space?:
    | {
        readonly whenFull: WhenFull;
        readonly slowed: Slowed | null;
        /** Writes go past the log; null or absent: they do not. */
        readonly bypassed?: Bypassed | null;
      }
    | undefined;
  /** Absent where an older version runs. */
  readonly history?: DiskHistory;
  /** null: there is none. Absent where an older version runs. */
  readonly rollback?: DiskRollback | null;
  /** Chain value at `position`. */
  readonly chain?: string;
  readonly waiting: Waiting | null;
  readonly messages: readonly Message[];
  readonly counters: Readonly<Record<DiskCounter, number>>;
  /** Since the process started; absent where an older version runs. */
  readonly latencies?: Latencies;
}

export const DISK_COUNTERS = [
  'reads',
  'readBytes',
  'writes',
  'writtenBytes',
  'flushes',
  'discards',
  'commits',
  'batches',
  'replayedBytes',
  'resentRequests',
  'gatheredWrites',
] as const;

export type DiskCounter = (typeof DISK_COUNTERS)[number];

/*
 * Other requests on the socket; a failure is `{"error": ErrorBody}` with status 4xx or 5xx:
 *   POST /log/rotate            -> {"file": string, "position": string}
 *   POST /replay/pause, resume  -> {}
 *   POST /resize {"sizeBytes"}  -> {"sizeBytes": number}; the image has grown and the record is durable
 *   POST /retain {"position"}    -> {}; null: nothing is kept for others any more
 *   POST /space SpaceWish        -> {}; good for 5 s, see below
 *   POST /history                -> {"oldest": string}; settings, mounted moments and a rollback are read again, and hold
 *                                  from the answer on: no position below `oldest` can be mounted
 *   POST /rollback/rest          -> {}; a rollback does nothing for some seconds: the mount is about to go
 *   POST /mark {"label"}         -> {"position": string}; a MARK record, durable; in mode serve
 *   POST /commit                -> {"durable": string}
 *   POST /mode ModeSettings     -> {}; counts for every flush from the answer on
 *   POST /renew {"timeoutMs"}    -> {}; in mode serve: it ends with nothing unanswered, and its holder
 *                                  starts the next one; RENEW_REFUSED: it goes on as it was
 *   POST /stop                  -> {}; not in serve mode, which ends when its mount is gone
 * and in mode follow, each with an Upgrade to frames (log/frames), the process speaks first:
 *   POST /follow                   mars-log/1
 *   POST /sync                     mars-sync/1, while the image is copied
 * and in mode serve:
 *   POST /confirm                  mars-confirm/1: lines of JSON, see core/confirm-lines
 */

/** What a daemon tells a disk process that serves of the room for its log. */
export interface SpaceWish {
  readonly whenFull: WhenFull;
  /** How far the slowest replica is that fetches now; null: none does. */
  readonly fetch: {readonly position: string; readonly capBytes: number} | null;
  /** Give back files that the log would only use again: others need the room. */
  readonly trim: boolean;
}

export interface ErrorBody {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: Readonly<Record<string, string | number>>;
}

/** One line of `events.jsonl`; daemon and disk processes append whole lines (O_APPEND). */
export interface EventLine {
  readonly schema: 1;
  readonly time: string;
  readonly node: string;
  readonly resource: string | null;
  /** An ErrorCode, or an event code of core/events. */
  readonly code: string;
  readonly severity: Severity;
  readonly text: string;
  readonly details?: Readonly<Record<string, string | number>>;
}
