/**
 * What a disk process in mode `follow` does on its main thread: first the copy of the image, where
 * sync.json says so, then the log. The daemon brings the streams; one of each kind counts, a new one
 * takes the place of the old.
 *
 *   phase      log      streams   next
 *   empty      none     sync      syncing, when one is open
 *   syncing    none     sync      empty where it broke off; following when the copy is complete
 *   following  open     log       stopped, when the source allows no log
 *   stopped    open     log       following, when another source does
 *
 * Where a replica is made beside the one here (next-replica.ts) the log is open and `stopped`: the
 * streams are those of the new one, and nothing is replayed. When it is whole, this process ends, and
 * the next one puts it in place before anything else.
 *
 * sync.json is removed when replay has passed the end of the copy.
 */
import type {Duplex} from 'node:stream';
import type {Clock} from '../core/clock.js';
import type {DiskFollow, DiskNext} from '../core/disk-status.js';
import {DiskError, errnoOf, storeError} from '../core/errors.js';
import type {EventInput} from '../core/events.js';
import type {Files} from '../core/files.js';
import {formatPosition} from '../core/position.js';
import type {Chain} from '../log/record.js';
import {SYNC_CHUNK_BYTES} from '../log/frame-schemas.js';
import type {DiskConfig} from './config.js';
import {activateFollow, forgetLog, type FollowedDisk} from './follow-activation.js';
import {makeCommit} from './follow-commit.js';
import {FollowLog} from './follow-log.js';
import {FollowStream} from './follow-stream.js';
import {FollowView} from './follow-view.js';
import type {Activated} from './messages.js';
import {NextReplica} from './next-replica.js';
import {dropNext, readNextState, repairInPlace, type NextState} from './next-state.js';
import {whyNoPlan} from './next-plan.js';
import {commitNext, switchToNext} from './next-switch.js';
import type {Notices} from './notices.js';
import type {Shared} from './shared.js';
import {emptySyncState, readSyncState, removeSyncState, writeSyncState} from './sync-state.js';
import {runSyncTarget} from './sync-target.js';
import type {SyncProgress} from './sync-target-options.js';

export interface FollowerOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly config: DiskConfig;
  readonly shared: Shared;
  readonly notices: Notices;
  readonly acceptImage: boolean;
  readonly event: (input: Omit<EventInput, 'node' | 'resource'>) => void;
  /** Replay may begin. */
  readonly onActive: (activated: Activated) => void;
  /** The log is being received, or the image copied. */
  readonly onReady: () => void;
  /** Nothing can go on in this process: it ends in order, and the next one begins anew. */
  readonly onStop: () => void;
  /** What was to be put in place cannot be. */
  readonly onFatal: (error: unknown) => void;
  /** An fdatasync failed: what it was about has to be written again, by the next process. */
  readonly onCommitFailed: (errno: string) => never;
}

const RETRY_MS = 500;

/** One for the life of a process in mode `follow`. */
export class Follower {
  readonly #options: FollowerOptions;
  #view: FollowView;
  #disk: FollowedDisk | undefined;
  #log: FollowLog | undefined;
  #stream: FollowStream | undefined;
  #syncStream: Duplex | undefined;
  #syncing: Promise<void> = Promise.resolve();
  #isCopying = false;
  #progress: SyncProgress | undefined;
  /** sync.json is there, and its log is not all in the image. */
  #syncEnd: number | undefined;
  #retryAt = 0;
  #isStopped = false;
  #isReady = false;
  #trouble: DiskError['code'] | undefined;
  /** What takes the place of this replica, while it is made. */
  #next: NextReplica | undefined;
  #isSwitching = false;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#view = new FollowView(options.clock);
  }

  /** The log; undefined while the image is copied. */
  get log(): FollowLog | undefined {
    return this.#log;
  }

  /**
   * Recovers the log, or waits for a copy of the image.
   *
   * @throws DiskError as activateFollow
   */
  start(): void {
    const {files, config, onReady} = this.#options;
    const {home, resource} = config;
    const sync = readSyncState(files, home, resource.name);
    // What is here was declared garbage after that of next.json was begun.
    if (sync !== undefined && sync.state !== 'done') dropNext(files, home, resource.name);
    const next = readNextState(files, home, resource.name);
    if (next?.state === 'switching') {
      this.#switch();
      return;
    }

    if (next !== undefined && sync === undefined) {
      this.#makeNext(next);
      return;
    }

    dropNext(files, home, resource.name);
    if (sync === undefined || sync.state === 'done') {
      this.#activate();
      return;
    }

    if (sync.state === 'copying') {
      forgetLog(files, config);
      const doneBytes = Math.min(sync.doneChunks * sync.chunkBytes, sync.sizeBytes);
      const {begin, end, sizeBytes} = sync;
      this.#progress = {begin, end, doneBytes, totalBytes: sizeBytes, dataBytes: 0};
    }

    this.#options.shared.diskSize.set(sync.sizeBytes);
    this.#isReady = true;
    onReady();
  }

  /**
   * For a log stream: HELLO is sent at once.
   *
   * @throws DiskError where none can be taken now
   */
  openLog(): (socket: Duplex) => void {
    if (this.#next !== undefined) return this.#next.openLog();
    const {shared, clock, config} = this.#options;
    const log = this.#log;
    if (log === undefined || this.#isStopped) {
      throw new DiskError('DISK_UNREACHABLE', 'the log cannot be received now: try again');
    }

    return (socket) => {
      this.#stream?.end(undefined);
      const stream: FollowStream = new FollowStream({
        log,
        view: this.#view,
        shared,
        clock,
        socket,
        nodeId: config.node.id,
        onEnd: (error) => {
          if (this.#stream === stream) this.#stream = undefined;
          if (error !== undefined) this.#noteError(error);
        },
      });
      this.#stream = stream;
    };
  }

  /** For a sync stream. @throws DiskError where the image is not to be copied */
  openSync(): (socket: Duplex) => void {
    if (this.#next !== undefined) return this.#next.openSync();
    if (!this.#isReady || this.#log !== undefined || this.#isStopped) {
      throw new DiskError('DISK_UNREACHABLE', 'the image cannot be copied now: look at the status');
    }

    return (socket) => {
      this.#syncStream?.destroy();
      this.#syncStream = socket;
      this.#syncing = this.#syncing.then(() => this.#sync(socket));
    };
  }

  status(): DiskFollow {
    const {shared} = this.#options;
    const next = this.#next;
    const view = next?.view ?? this.#view;
    const position = this.#log?.position ?? this.#progress?.begin ?? 0;
    const kind = view.answer?.kind;
    const isRefused = kind === 'forked' || kind === 'gone' || kind === 'unknown';
    const isStopped = next !== undefined || (!view.connected && isRefused);
    const copying = this.#isCopying || this.#isSwitching ? 'syncing' : 'empty';
    const isOpen = this.#log !== undefined;
    return {
      phase: isOpen ? (isStopped ? 'stopped' : 'following') : copying,
      connected: isOpen ? (next?.connected ?? view.connected) : this.#isCopying,
      received: formatPosition(position),
      originDurable: positionOrNull(view.originDurable),
      originEnd: positionOrNull(view.originEnd),
      originTimeMs: view.originTimeMs,
      lagSeconds: view.lagSeconds(position, shared.replayed.get()),
      answer: view.answer,
      sync: this.#syncStatus(),
      next: this.#isSwitching ? this.#switchStatus() : (next?.status() ?? null),
    };
  }

  /** To be called every TICK_MS. */
  tick(): void {
    if (this.#isStopped) return;
    if (this.#next !== undefined) {
      this.#next.tick();
      return;
    }

    this.#stream?.tick();
    this.#removeSync();
    this.#work();
  }

  /** More of the log has become durable. */
  noteDurable(): void {
    this.#stream?.noteDurable();
  }

  /** Ends the streams; what was received stays. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#stream?.end(undefined);
    this.#syncStream?.destroy();
    // Counts the chunks that are done.
    await this.#syncing;
    await this.#next?.stop();
  }

  /** A little at a time, so that who asks for the status is answered. */
  #switch(): void {
    const {files, config, onReady, onFatal} = this.#options;
    this.#isSwitching = true;
    onReady();
    const work = switchToNext(files, config);
    const turn = (): void => {
      if (this.#isStopped) return;
      try {
        if (work.next().done !== true) {
          setImmediate(turn);
          return;
        }

        this.#isSwitching = false;
        this.#activate();
      } catch (error) {
        onFatal(error);
      }
    };
    turn();
  }

  #switchStatus(): DiskNext {
    const position = formatPosition(0);
    const none = {received: position, at: position, doneBytes: 0, totalBytes: 0};
    return {kind: 'repair', phase: 'switching', ...none};
  }

  #makeNext(state: NextState): void {
    const {files, clock, config, event, onStop, onCommitFailed} = this.#options;
    const isRead = this.#tries(['LOG_CORRUPT'], () => {
      this.#activate(false);
    });
    if (!isRead) return;
    // Without the list of what differs there is nothing to go on with: it is asked for again.
    const damage = whyNoPlan(files, config);
    if (damage !== undefined) {
      dropNext(files, config.home, config.resource.name);
      const text = `${damage}: what was fetched is of no use, and the replica stays as it is until it is decided anew`;
      event({code: 'SYNC_BEGUN', severity: 'warning', text});
      onStop();
      return;
    }

    this.#tries(['IMAGE_CHANGED', 'STORE_FULL'], () => {
      this.#next = new NextReplica({
        ...{files, clock, config, state, onCommitFailed},
        onTrouble: (error) => {
          this.#noteWell();
          if (error !== undefined) this.#noteError(error, false);
        },
        onDamage: ({message}) => {
          const text = `${message}: what was fetched is of no use, and is fetched anew`;
          event({code: 'SYNC_BEGUN', severity: 'warning', text});
        },
        onNoRoom: (error) => {
          try {
            this.#giveUpNext(error);
          } catch (thrown) {
            // Not even that can be noted now: the next stream tries again.
            const known = storeError(thrown, 'note that what differs is copied into the image');
            if (!(known instanceof DiskError)) throw thrown;
            this.#noteError(known, false);
          }
        },
        onWhole: (positions) => {
          commitNext(files, config, state, positions);
          const text = 'all that differs, and its log, is here: it is put in place';
          event({code: 'SYNC_DONE', severity: 'info', text});
          onStop();
        },
      });
    });
  }

  /**
   * Where it fails for one of these reasons, what is here cannot be kept until the other one is whole.
   * All others are told, and change nothing: an image that was swapped must not be written to.
   */
  #tries(reasons: readonly DiskError['code'][], act: () => void): boolean {
    try {
      act();
      return true;
    } catch (error) {
      if (!(error instanceof DiskError) || !reasons.includes(error.code)) throw error;
      this.#giveUpNext(error);
      return false;
    }
  }

  /** The image is mended in place: it is no state of the disk until that is done. */
  #giveUpNext(reason: DiskError): void {
    const {files, config, event, onStop} = this.#options;
    repairInPlace(files, config, reason.code !== 'IMAGE_CHANGED');
    const text = `${reason.message}: what differs is copied into the image itself, which is of no use until that is done`;
    event({code: 'SYNC_BEGUN', severity: 'warning', text});
    onStop();
  }

  #syncStatus(): DiskFollow['sync'] {
    const progress = this.#progress;
    if (progress === undefined) return null;
    const {doneBytes, totalBytes, begin, end} = progress;
    return {doneBytes, totalBytes, begin: formatPosition(begin), end: positionOrNull(end)};
  }

  /** @param replays false: the log is looked at, and nothing is done with it */
  #activate(replays = true): void {
    const {files, clock, config, shared, acceptImage, onReady} = this.#options;
    const disk = activateFollow({files, config, shared, acceptImage});
    // The replay thread opens it for itself.
    disk.stateFile.close();
    this.#disk = disk;
    this.#view = new FollowView(clock, disk.times);
    const {sync} = disk;
    if (sync !== undefined) {
      const {begin, end, sizeBytes} = sync;
      this.#syncEnd = end ?? begin;
      // What was copied is no state of the disk before: replay does not trail behind that.
      shared.historyFloor.set(this.#syncEnd);
      this.#progress = {
        begin,
        end,
        doneBytes: sizeBytes,
        totalBytes: sizeBytes,
        dataBytes: 0,
      };
    }

    this.#log = new FollowLog({
      files,
      config,
      shared,
      disk,
      commit: makeCommit(this.#options),
      onFromChain: (chain) => {
        this.#beginReplay(chain);
      },
    });
    onReady();
    if (replays && disk.fromChain !== undefined) this.#beginReplay(disk.fromChain);
  }

  #beginReplay(fromChain: Chain): void {
    const disk = this.#disk;
    if (disk === undefined) return;
    this.#options.onActive({
      kind: 'active',
      epoch: disk.lineage.at(-1)?.epoch ?? '0'.repeat(32),
      imageFd: disk.imageFd,
      identity: disk.identity,
      from: disk.state.from,
      to: disk.state.to,
      fromChain,
      // What is torn here is fetched again.
      tornRecords: 0,
      position: disk.recovered.position,
      retained: disk.retained,
      names: [],
    });
  }

  async #sync(stream: Duplex): Promise<void> {
    if (stream.destroyed || this.#log !== undefined || this.#isStopped) {
      stream.destroy();
      return;
    }

    const {files, clock, config, event} = this.#options;
    this.#isCopying = true;
    try {
      await runSyncTarget({
        files,
        clock,
        config,
        stream,
        onBegin: () => {
          forgetLog(files, config);
          event({code: 'SYNC_BEGUN', severity: 'info', text: 'the image is compared and copied'});
        },
        onProgress: (progress) => {
          this.#progress = progress;
        },
      });
    } catch (error) {
      const known = storeError(error, 'copy the image');
      if (!(known instanceof DiskError)) throw error;
      if (!this.#hasEnded()) this.#noteError(known);
      return;
    } finally {
      this.#isCopying = false;
    }

    this.#noteWell();
    event({code: 'SYNC_DONE', severity: 'info', text: 'the image was copied; its log follows'});
    if (!this.#hasEnded()) this.#activate();
  }

  #hasEnded(): boolean {
    return this.#isStopped;
  }

  /** @param isOwn false: it is about a replica that is made beside this one */
  #noteError(error: DiskError, isOwn = true): void {
    const {notices, event, files, config, onStop} = this.#options;
    const {code, message, details} = error;
    this.#noteWell();
    this.#trouble = code;
    notices.put(code, 'warning', message);
    if (code === 'PEER_PROTOCOL' || code === 'ORIGIN_LOST_DATA' || code === 'SYNC_MISMATCH') {
      event({code, severity: 'critical', text: message, details});
    }

    if (!isOwn) return;
    if (code === 'ORIGIN_LOST_DATA') {
      const position = String(details['position'] ?? '');
      this.#view.answer = {kind: 'forked', position, code, text: message};
    }

    if (code !== 'SYNC_MISMATCH') return;
    const {name, sizeBytes} = config.resource;
    writeSyncState(files, config.home, name, emptySyncState(sizeBytes, SYNC_CHUNK_BYTES));
    onStop();
  }

  /** What the last stream ended with does not hold any more. */
  #noteWell(): void {
    if (this.#trouble !== undefined) this.#options.notices.drop(this.#trouble);
    this.#trouble = undefined;
  }

  #removeSync(): void {
    const {shared, files, config} = this.#options;
    if (this.#syncEnd === undefined || shared.replayed.get() < this.#syncEnd) return;
    // Without a segment nothing else tells where the log begins.
    if (this.#log === undefined || this.#log.currentName === null) return;
    this.#syncEnd = undefined;
    this.#progress = undefined;
    removeSyncState(files, config.home, config.resource.name);
  }

  /** Recycles and prepares files, a small step a tick. */
  #work(): void {
    const {clock, notices} = this.#options;
    if (this.#stream?.state === 'streaming' && this.#stream.hasReceived) this.#noteWell();
    if (this.#log === undefined || clock.monotonicMs() < this.#retryAt) return;
    try {
      this.#log.step();
      notices.spareTrouble(undefined);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === undefined) throw error;
      this.#retryAt = clock.monotonicMs() + RETRY_MS;
      notices.spareTrouble(errno);
    }
  }
}

function positionOrNull(position: number | null): string | null {
  return position === null ? null : formatPosition(position);
}
