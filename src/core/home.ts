import {join} from 'node:path';
import type {ModeChange, ReplicationMode} from './mode.js';
import type {RemoteControl} from './remote-control.js';
import type {WhenFull} from './space.js';

/** Default home of the node; its mounts and device links are below /run/mars and /dev/mars. */
export const HOME_DEFAULT = '/var/lib/mars';

/** Version of the home's layout and of every JSON file in it. A larger one is refused. */
export const HOME_SCHEMA = 1;

/** `node.json`: written once by `mars init`. */
export interface NodeFile {
  readonly schema: number;
  readonly name: string;
  /** 128-bit random id, 32 hex digits. */
  readonly id: string;
  readonly mounts: string;
  readonly devices: string;
  readonly createdAt: string;
  /** `ADDR:PORT` where peers reach this node; absent: nobody listens. */
  readonly listen?: string;
  /** Images that are copied from other nodes at once; 0: any number. Absent: SYNC_LIMIT_DEFAULT. */
  readonly syncLimit?: number;
  /** Address of this machine where metrics are served; absent: only on the control socket. */
  readonly metricsListen?: string;
  /** What members may do here with --host: `off`, `read`, `act`. Absent: act (daemon/remote). */
  readonly remoteControl?: RemoteControl;
}

export interface HomePaths {
  readonly home: string;
  readonly nodeFile: string;
  readonly clusterFile: string;
  /** Resources that were deleted here for good (daemon/deleted-resources). */
  readonly deletedFile: string;
  readonly daemonLock: string;
  /** Held by `mars cron` where it works without a daemon. */
  readonly careLock: string;
  readonly daemonSocket: string;
  readonly eventsFile: string;
  readonly resourcesDirectory: string;
  readonly disksDirectory: string;
}

/** Where the files of a node are. */
export function homePaths(home: string): HomePaths {
  return {
    home,
    nodeFile: join(home, 'node.json'),
    clusterFile: join(home, 'cluster.json'),
    deletedFile: join(home, 'deleted.json'),
    daemonLock: join(home, 'daemon.lock'),
    careLock: join(home, 'care.lock'),
    daemonSocket: join(home, 'run', 'daemon.sock'),
    eventsFile: join(home, 'events.jsonl'),
    resourcesDirectory: join(home, 'resources'),
    disksDirectory: join(home, 'run', 'disks'),
  };
}

export interface ResourcePaths {
  readonly directory: string;
  readonly resourceFile: string;
  /** The image itself, or a symbolic link to where the user wanted it. */
  readonly image: string;
  readonly lineageFile: string;
  /** Two-slot file: replay positions and the image's identity. */
  readonly replayFile: string;
  /** How far the log is known to be durable (log/durable-word); missing where nothing was said. */
  readonly durableFile: string;
  /** flock by the holder: one chain of processes per resource. */
  readonly lock: string;
  /** flock by each generation of the disk process and by its children that change data. */
  readonly generationLock: string;
  /** Held while a logfile is put in the place of a damaged one: no generation reads the log meanwhile. */
  readonly mendLock: string;
  readonly logDirectory: string;
  readonly socket: string;
  /** What holder and disk process print. */
  readonly output: string;
  /** The INIT answer of FUSE, for the next generation. */
  readonly fuseFile: string;
  /** Watched by an adopting holder: end of file is the death of the disk process. */
  readonly fifo: string;
  /** How far the first copy of the image is; missing where there is none. */
  readonly syncFile: string;
  /** A replica that is made beside this one; missing where there is none. */
  readonly nextFile: string;
  /** A home of its own with the files of that replica, but for its image. */
  readonly nextHome: string;
  /** Which log other nodes still need. */
  readonly slotsFile: string;
  /** Whom this node has granted the primary role. */
  readonly grantFile: string;
  /** Two-slot file: whether flushes are answered without the replicas that the mode asks for. */
  readonly degradedFile: string;
  /** Where the image was written past the log (image/bypass-map); missing where it never may be. */
  readonly bypassFile: string;
  /** What the last comparison with another replica found; missing before the first one. */
  readonly verifyFile: string;
  /** Moments that are mounted: one JSON file each (disk/history-pins). */
  readonly historyDirectory: string;
  /** A rollback that is under way (core/rollback-file); missing where there is none. */
  readonly rollbackFile: string;
}

/** Where the files of one resource are. */
export function resourcePaths(home: string, name: string): ResourcePaths {
  const directory = join(home, 'resources', name);
  const run = join(home, 'run', 'disks', name);
  return {
    directory,
    resourceFile: join(directory, 'resource.json'),
    image: join(directory, 'image'),
    lineageFile: join(directory, 'lineage.json'),
    replayFile: join(directory, 'replay'),
    durableFile: join(directory, 'durable'),
    lock: join(directory, 'lock'),
    generationLock: join(directory, 'generation.lock'),
    mendLock: join(directory, 'mend.lock'),
    logDirectory: join(directory, 'log'),
    socket: `${run}.sock`,
    output: `${run}.log`,
    fuseFile: `${run}.fuse`,
    fifo: `${run}.fifo`,
    syncFile: join(directory, 'sync.json'),
    nextFile: join(directory, 'next.json'),
    nextHome: join(directory, 'next'),
    slotsFile: join(directory, 'slots.json'),
    grantFile: join(directory, 'grant.json'),
    degradedFile: join(directory, 'degraded'),
    bypassFile: join(directory, 'bypass'),
    verifyFile: join(directory, 'verify.json'),
    historyDirectory: join(directory, 'history'),
    rollbackFile: join(directory, 'rollback.json'),
  };
}

/** `resource.json`: wishes and settings; written by the daemon, read by the disk process. */
export interface ResourceFile {
  readonly schema: number;
  readonly name: string;
  /** 128-bit random id, 32 hex digits; in every segment header. */
  readonly id: string;
  readonly sizeBytes: number;
  readonly createdAt: string;
  /** Absolute path of the image file or block device. */
  readonly imagePath: string;
  /** True where `mars resource create` made the file, so that delete may remove it. */
  readonly imageOwned: boolean;
  readonly designatedRole: 'primary' | 'secondary';
  readonly attached: boolean;
  readonly replayPaused: boolean;
  /** Loop device and link wanted while primary. */
  readonly device: boolean;
  /** `primary --no-device`: no loop device during this tenure, whatever `device` says. */
  readonly withoutDevice?: boolean;
  readonly driver: FuseDriverWish;
  readonly segmentBytes: number;
  /** Records are padded to this many bytes: 8 to 4096, a power of two. */
  readonly alignmentBytes: number;
  /** `flush`: durable when flushed. `write`: every write is durable before it is acknowledged. */
  readonly durability: 'flush' | 'write';
  /** When this node was made primary by force; absent: handed over, or not primary. RFC 3339. */
  readonly forcedAt?: string;
  /** No log is fetched from other nodes. Absent: false, and so are the next ones. */
  readonly fetchPaused?: boolean;
  /** No image is copied from other nodes. */
  readonly syncPaused?: boolean;
  /** false: `mars disconnect`, nothing comes from or goes to other nodes. Absent: true. */
  readonly connected?: boolean;
  /** Log that is kept for replicas which lag; above it they are copied again. Absent: 10 GiB. */
  readonly logCapBytes?: number;
  /** So long log is kept for replicas which lag. Absent or 0: as long as log-cap allows. */
  readonly logAgeSeconds?: number;
  /** So far the image trails behind the log on purpose: any moment since can be mounted. Absent or 0: not. */
  readonly historySeconds?: number;
  /** systemd unit that runs where the resource is primary. Absent or null: none. */
  readonly systemdUnit?: string | null;
  /** What happens when the log runs out of room (core/space); absent: block. */
  readonly whenFull?: WhenFull;
  /** Who gives way first where resources share a file system: the lowest. Absent: 50. */
  readonly priority?: number;
  /** For what a flush waits (core/mode); absent: async, and the next ones have their defaults. */
  readonly mode?: ReplicationMode;
  readonly syncReplicas?: number;
  readonly degradeAfterSeconds?: number | null;
  /** The change that the three above come from; absent: none was ever made. */
  readonly modeChange?: ModeChange;
  /** `mars replay follow`: log and image come from files in this folder, not from other nodes. */
  readonly followFolder?: string;
}

export type FuseDriverWish = 'auto' | 'kernel' | 'fuse-native';
