/**
 * Makes a replica beside the one that is there (next-state.ts), on the main thread of a process in
 * mode `follow`. What is here is not touched, and can be promoted until the other one is whole.
 *
 *   phase      streams  next
 *   copying    sync     following, when content for all that differs, or all of an image, is here
 *   following  log      done, when the log is durable here up to the end of the copy
 *   done       none     the owner puts it in place (next-switch.ts)
 *
 * The content was read at the source while its replay went on: with the log from `begin` to the end of
 * the copy, and not before, it is a state of the disk. So the log is waited for as well, and
 * whatever becomes of the source after that, what is here is enough.
 */
import type {Duplex} from 'node:stream';
import type {Clock} from '../core/clock.js';
import type {DiskNext} from '../core/disk-status.js';
import {DiskError, errnoOf, storeError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {resourcePaths} from '../core/home.js';
import {formatPosition} from '../core/position.js';
import {bytesIn} from '../log/changes.js';
import {SYNC_CHUNK_BYTES} from '../log/frame-schemas.js';
import {BesideImage} from './beside-image.js';
import {Committer} from './committer.js';
import type {DiskConfig} from './config.js';
import {activateFollow, forgetLog, type FollowedDisk} from './follow-activation.js';
import {FollowLog} from './follow-log.js';
import {FollowStream} from './follow-stream.js';
import {FollowView} from './follow-view.js';
import {nextConfig, refuseReplayed, repairPath, type NextState} from './next-state.js';
import {isWholeRepair, RepairSegment} from './repair-segment.js';
import {Shared, SHARED_BYTES} from './shared.js';
import {emptySyncState, readSyncState, writeSyncState, type SyncState} from './sync-state.js';
import {runSyncTarget} from './sync-target.js';

export interface NextReplicaOptions {
  readonly files: Files;
  readonly clock: Clock;
  /** Of the resource itself. */
  readonly config: DiskConfig;
  readonly state: NextState;
  /** What ended a stream, or the last try; undefined: that is over. */
  readonly onTrouble: (error: DiskError | undefined) => void;
  /** Its own files cannot be used: all of it is fetched anew. */
  readonly onDamage: (error: Error) => void;
  /** There is no room here for it. */
  readonly onNoRoom: (error: DiskError) => void;
  /** It is whole, and durable. */
  readonly onWhole: (positions: {readonly from: number; readonly to: number}) => void;
  /** An fdatasync of its log failed: the process ends, and the next one writes it again. */
  readonly onCommitFailed: (errno: string) => never;
}

const RETRY_MS = 1000;

/** One for the life of a process. */
export class NextReplica {
  readonly #options: NextReplicaOptions;
  /** The same resource, with the files of the new replica. */
  readonly #config: DiskConfig;
  #view: FollowView;
  #disk: FollowedDisk | undefined;
  #log: FollowLog | undefined;
  #shared: Shared | undefined;
  #committer: Committer | undefined;
  #stream: FollowStream | undefined;
  #syncStream: Duplex | undefined;
  #syncing: Promise<void> = Promise.resolve();
  #isCopying = false;
  #isStopped = false;
  /** What is here is not, or not any more, a part of one history, and that could not be noted yet. */
  #isStale = false;
  #retryAt = 0;
  #received = 0;
  #doneBytes = 0;
  #totalBytes = 0;

  constructor(options: NextReplicaOptions) {
    this.#options = options;
    this.#config = nextConfig(options.config, options.state);
    this.#view = new FollowView(options.clock);
    const {files, state, config} = options;
    refuseReplayed(files, config.home, config.resource.name, state);
    if (state.image !== null && !files.exists(state.image)) this.restart();
    try {
      if (this.#count().state === 'done') this.#openLog();
    } catch (error) {
      const damage = damageOf(error, state);
      if (damage === undefined) throw error;
      this.restart();
      this.#count();
      options.onDamage(damage);
    }
  }

  /** How much of it is here. */
  #count(): SyncState {
    const sync = this.#sync();
    const {sizeBytes, doneChunks, chunkBytes} = sync;
    const isPartial = this.#options.state.image === null;
    this.#totalBytes = isPartial ? bytesIn(sync.only ?? []) : sizeBytes;
    this.#received = sync.begin;
    this.#doneBytes = isPartial ? doneIn(sync) : Math.min(sizeBytes, doneChunks * chunkBytes);
    return sync;
  }

  /** What the source said of its history; the view of the stream that runs. */
  get view(): FollowView {
    return this.#view;
  }

  get connected(): boolean {
    return this.#log === undefined ? this.#isCopying : this.#view.connected;
  }

  /** The log that is received; undefined while content is copied. */
  get log(): FollowLog | undefined {
    return this.#log;
  }

  status(): DiskNext {
    const {kind, at} = this.#options.state;
    return {
      kind,
      phase: this.#log === undefined ? 'copying' : 'following',
      received: formatPosition(this.#log?.position ?? this.#received),
      at: at === null ? null : formatPosition(at),
      doneBytes: this.#doneBytes,
      totalBytes: this.#totalBytes,
    };
  }

  /** For a sync stream. @throws DiskError where none can be taken now */
  openSync(): (socket: Duplex) => void {
    if (this.#log !== undefined || this.#isStopped || this.#isStale) throw notNow();
    return (socket) => {
      // Whoever reads or writes hears of it.
      socket.on('error', () => undefined);
      this.#syncStream?.destroy();
      this.#syncStream = socket;
      this.#syncing = this.#syncing.then(() => this.#copy(socket));
    };
  }

  /** For a log stream. @throws DiskError where none can be taken now */
  openLog(): (socket: Duplex) => void {
    const {clock, config, onTrouble} = this.#options;
    const log = this.#log;
    const shared = this.#shared;
    if (log === undefined || shared === undefined || this.#isStopped) throw notNow();
    return (socket) => {
      this.#stream?.end(undefined);
      const stream: FollowStream = new FollowStream({
        ...{log, view: this.#view, shared, clock, socket, nodeId: config.node.id, confirms: false},
        onEnd: (error) => {
          if (this.#stream === stream) this.#stream = undefined;
          if (error !== undefined) this.#takeError(error, onTrouble);
        },
      });
      this.#stream = stream;
    };
  }

  /** Settles when no content is copied. */
  get settled(): Promise<void> {
    return this.#syncing;
  }

  /** To be called every TICK_MS. */
  tick(): void {
    if (this.#isStopped) return;
    if (this.#isStale) this.#restartOrLater();
    if (this.#log === undefined) return;
    this.#stream?.tick();
    // Nobody waits for this log: it is made durable on this thread.
    this.#committer?.step();
    const isRetried = this.#retryAt > 0;
    if (this.#stream?.hasReceived === true && !isRetried) this.#options.onTrouble(undefined);
    this.#look();
  }

  /** Ends the streams; what was received stays. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#stream?.end(undefined);
    this.#syncStream?.destroy();
    await this.#syncing;
    this.#close();
  }

  /** Begins with nothing: what is here is not, or not any more, a part of one history. */
  restart(): void {
    const {files} = this.#options;
    const {image} = this.#options.state;
    this.#stream?.end(undefined);
    this.#close();
    this.#log = undefined;
    const {name, sizeBytes} = this.#config.resource;
    const begun = {state: 'copying', doneChunks: 0, end: null, endChain: null} as const;
    const state =
      image === null ? {...this.#sync(), ...begun} : emptySyncState(sizeBytes, SYNC_CHUNK_BYTES);
    writeSyncState(files, this.#config.home, name, state);
    forgetLog(files, this.#config);
    if (files.exists(this.#segmentPath)) files.unlink(this.#segmentPath);
    if (image !== null) files.close(files.open(image, 'create'));
    this.#view = new FollowView(this.#options.clock);
  }

  async #copy(stream: Duplex): Promise<void> {
    if (stream.destroyed || this.#log !== undefined || this.#isStopped || this.#isStale) {
      stream.destroy();
      return;
    }

    const {files, clock, state, onTrouble} = this.#options;
    let image: RepairSegment | BesideImage | undefined;
    this.#isCopying = true;
    try {
      const before = this.#sync();
      const isPartial = state.kind === 'repair';
      image = isPartial ? this.#openSegment() : this.#openImage(before);
      const sync = await runSyncTarget({
        ...{files, clock, config: this.#config, stream, image, isPartial},
        onBegin: () => {
          forgetLog(files, this.#config);
        },
        onProgress: ({dataBytes, doneBytes, totalBytes}) => {
          if (!isPartial) this.#totalBytes = totalBytes;
          const done = isPartial ? doneIn(before) + dataBytes : doneBytes;
          this.#doneBytes = Math.min(this.#totalBytes, done);
        },
      });
      onTrouble(undefined);
      if (await this.#isWhole(sync)) this.#openLog();
      else this.#restartOrLater();
    } catch (error) {
      const known = storeError(error, 'take what differs');
      if (!(known instanceof DiskError)) throw error;
      this.#takeCopyError(known, image?.hasFailed === true);
    } finally {
      this.#isCopying = false;
      // Where it was never taken over.
      stream.destroy();
    }
  }

  get #segmentPath(): string {
    return repairPath(this.#options.config.home, this.#config.resource.name);
  }

  #openSegment(): RepairSegment {
    const {files, config} = this.#options;
    const image = identityOf(files, config.resource.imagePath);
    return new RepairSegment(files, this.#segmentPath, image, SYNC_CHUNK_BYTES);
  }

  #openImage({doneChunks}: SyncState): BesideImage {
    const {files, config} = this.#options;
    const {imagePath: oldPath} = config.resource;
    const {imagePath: path} = this.#config.resource;
    return new BesideImage({files, path, oldPath, chunkBytes: SYNC_CHUNK_BYTES, doneChunks});
  }

  /** What was copied beside the image is read back; digests have told what an image lacks. */
  #isWhole({only}: SyncState): Promise<boolean> {
    const {files, state} = this.#options;
    if (state.image !== null) return Promise.resolve(true);
    return isWholeRepair(files, this.#segmentPath, only ?? []);
  }

  #takeCopyError(error: DiskError, isOurs: boolean): void {
    const {onTrouble} = this.#options;
    if (this.#isStopped) return;
    // No source will give only what differs: another way is looked for.
    if (error.code === 'LOG_GONE') {
      this.#view.answer = {kind: 'gone', code: error.code, text: error.message};
    }

    if (isOurs && error.code !== 'STORE_FULL') this.#restartOrLater();
    this.#takeError(error, onTrouble);
  }

  #takeError(error: DiskError, onTrouble: NextReplicaOptions['onTrouble']): void {
    if (error.code === 'STORE_FULL') {
      this.#options.onNoRoom(error);
      return;
    }

    if (error.code === 'SYNC_MISMATCH') this.#restartOrLater();
    onTrouble(error);
  }

  #openLog(): void {
    const {files, clock, state, onCommitFailed} = this.#options;
    if (state.image !== null && state.preallocate) {
      reserve(files, state.image, this.#sync().sizeBytes);
    }

    const shared = new Shared(new SharedArrayBuffer(SHARED_BYTES));
    shared.retain(0);
    const disk = activateFollow({files, config: this.#config, shared, acceptImage: false});
    disk.stateFile.close();
    const committer = new Committer({
      ...{files, clock, shared, onFailure: onCommitFailed},
      responder: {answer: () => undefined, answerWrite: () => undefined},
    });
    this.#disk = disk;
    this.#shared = shared;
    this.#committer = committer;
    this.#view = new FollowView(clock, disk.times);
    this.#doneBytes = this.#totalBytes;
    this.#log = new FollowLog({
      ...{files, config: this.#config, shared, disk},
      commit: () => {
        if (committer.commit() === 'done') return;
        throw new DiskError('LOG_IO', 'the log that is received cannot be made durable');
      },
    });
  }

  #look(): void {
    const {sync, state} = this.#disk ?? {};
    if (this.#log === undefined || sync === undefined || state === undefined) return;
    // Without a segment nothing else tells where the log begins.
    if (this.#log.currentName === null) return;
    if ((this.#shared?.durable.get() ?? 0) < state.to) return;
    if (this.#clockMs() < this.#retryAt) return;
    this.#isStopped = true;
    const isCommitted = this.#triesToStore('note that what was fetched is whole', () => {
      this.#options.onWhole({from: state.from, to: state.to});
    });
    this.#isStopped = isCommitted;
    if (isCommitted) this.#stream?.end(undefined);
  }

  /** A file system that is full, or cannot be written to now: said, and tried again later. */
  #triesToStore(what: string, act: () => void): boolean {
    try {
      act();
      this.#retryAt = 0;
      return true;
    } catch (error) {
      const known = storeError(error, what);
      if (!(known instanceof DiskError)) throw error;
      this.#retryAt = this.#clockMs() + RETRY_MS;
      this.#options.onTrouble(known);
      return false;
    }
  }

  #clockMs(): number {
    return this.#options.clock.monotonicMs();
  }

  /** As restart; where that cannot be noted now, no stream is taken until it is. */
  #restartOrLater(): void {
    if (this.#isStale && this.#clockMs() < this.#retryAt) return;
    this.#isStale = !this.#triesToStore('begin anew with what is fetched', () => {
      this.restart();
    });
  }

  #close(): void {
    const {files} = this.#options;
    const disk = this.#disk;
    const shared = this.#shared;
    this.#disk = undefined;
    if (disk === undefined || shared === undefined) return;
    for (let at = shared.segmentFirst; at < shared.segmentEnd; at += 1) {
      files.close(shared.segment(at).fd);
    }

    files.close(disk.imageFd);
  }

  #sync(): SyncState {
    const {home, resource} = this.#config;
    const state = readSyncState(this.#options.files, home, resource.name);
    if (state !== undefined) return state;
    const {syncFile} = resourcePaths(home, resource.name);
    throw new DiskError('STATE_UNREADABLE', `${syncFile} is missing`, {file: syncFile});
  }
}

/**
 * What is wrong with files of the new replica, where they can be fetched anew.
 *
 * @returns undefined where there is no room, or it is about the old image, which a repair is for
 */
function damageOf(error: unknown, {image}: NextState): Error | undefined {
  const known = storeError(error, 'open what was fetched');
  if (!(known instanceof DiskError) || known.code === 'STORE_FULL') return undefined;
  return known.code === 'IMAGE_CHANGED' && image === null ? undefined : known;
}

/** Bytes of what differs that are here already. */
function doneIn({only, doneChunks, chunkBytes}: SyncState): number {
  const end = doneChunks * chunkBytes;
  return bytesIn(
    (only ?? []).filter(([start]) => start < end).map(([a, b]) => [a, Math.min(b, end)]),
  );
}

function identityOf(files: Files, path: string): ReturnType<Files['identify']> {
  const fd = files.open(path, 'read');
  try {
    return files.identify(fd);
  } finally {
    files.close(fd);
  }
}

function reserve(files: Files, path: string, sizeBytes: number): void {
  const fd = files.open(path, 'write');
  try {
    files.allocate(fd, sizeBytes);
    files.sync(fd);
  } catch (error) {
    if (errnoOf(error) !== 'EOPNOTSUPP') throw storeError(error, `reserve the space of ${path}`);
  } finally {
    files.close(fd);
  }
}

function notNow(): DiskError {
  return new DiskError('DISK_UNREACHABLE', 'the repair takes no such stream now: try again');
}
