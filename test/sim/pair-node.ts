/**
 * One node of a replicated disk: its simulated disk, and on it either the real front, committer,
 * keeper and replay (`serve`), or the real follower, committer and replay (`follow`). Every thread
 * is a step function; while one of them is in a call to the disk, others may run.
 */
import type {Files} from '../../src/core/files.js';
import {DiskError, errnoOf} from '../../src/core/errors.js';
import {resourcePaths} from '../../src/core/home.js';
import type {ModeSettings} from '../../src/core/mode.js';
import {MIB} from '../../src/core/units.js';
import {Committer} from '../../src/disk/committer.js';
import type {DiskConfig} from '../../src/disk/config.js';
import {Follower} from '../../src/disk/follower.js';
import type {Activated} from '../../src/disk/messages.js';
import {Notices} from '../../src/disk/notices.js';
import {createReplayHost} from '../../src/disk/replay-host.js';
import {Shared, SHARED_BYTES, WORD} from '../../src/disk/shared.js';
import {SyncMode, type Want} from '../../src/disk/sync-mode.js';
import {openReplayState} from '../../src/image/replay-state.js';
import {Replayer} from '../../src/image/replay.js';
import type {Ack} from '../../src/log/frames.js';
import {readLineage, type LineageEntry} from '../../src/log/lineage.js';
import {segmentName} from '../../src/log/segment.js';
import type {LogPositions} from '../../src/replica/serve-log.js';
import {isDegraded} from './degraded.js';
import {beginLife, type Life} from './life.js';
import type {Random} from './random.js';
import {below} from './random.js';
import {DaemonFiles, PeekFiles} from './pair-files.js';
import type {PairUser} from './pair-user.js';
import type {SimClock} from './sim-clock.js';
import {prepareDisk, SIM_HOME, SIM_NAME} from './sim-config.js';
import {SimDisk} from './sim-disk.js';
import type {Death} from './script.js';

export const NODE_NAMES = ['alpha', 'beta', 'gamma'] as const;

/** A life in mode `follow`. */
export interface FollowLife {
  readonly shared: Shared;
  readonly follower: Follower;
  readonly committer: Committer;
  replayer: Replayer | undefined;
}

export type NodeActor = 'commit' | 'replay' | 'work';

export interface PairNodeOptions {
  readonly index: number;
  readonly clock: SimClock;
  readonly random: Random;
  readonly sizeBytes: number;
  readonly segmentBytes: number;
  readonly alignmentBytes: number;
  readonly durability: 'flush' | 'write';
  readonly batchBytes: number;
  readonly quietMs: number;
  /** What flushes wait for while it serves. */
  readonly mode?: ModeSettings;
  readonly say: (text: string) => void;
  readonly onCut: (node: PairNode, position: number) => void;
}

export class PairNode {
  readonly index: number;
  readonly name: string;
  readonly id: string;
  readonly paths = resourcePaths(SIM_HOME, SIM_NAME);
  readonly disk: SimDisk;
  readonly peek: PeekFiles;
  readonly daemon: DaemonFiles;
  readonly config: DiskConfig;
  readonly #options: PairNodeOptions;
  serve: Life | undefined;
  follow: FollowLife | undefined;
  /** Where the others' images are, as this node was told: nothing above is given up. */
  readonly slots = new Map<number, number>();
  /** Nobody starts it. */
  isDown = false;
  /** The process has to end: its fdatasync failed. */
  isDying = false;
  doom: Death | undefined;
  /** What its mode asks replicas for. */
  wanted: Want | undefined;
  #mode: SyncMode | undefined;
  /** Parts of the process that are in the middle of a step. */
  readonly acting = new Set<string>();

  constructor(options: PairNodeOptions) {
    const {index, sizeBytes, segmentBytes, alignmentBytes, durability} = options;
    this.#options = options;
    this.index = index;
    this.name = NODE_NAMES[index] ?? 'omega';
    this.id = 'abc'.charAt(index).repeat(32);
    this.disk = new SimDisk({random: options.random});
    this.peek = new PeekFiles(this.disk);
    this.daemon = new DaemonFiles(this.disk);
    prepareDisk(this.disk, sizeBytes);
    const createdAt = '2026-11-22T00:00:00.000Z';
    this.config = {
      home: SIM_HOME,
      node: {
        schema: 1,
        name: this.name,
        id: this.id,
        mounts: '/run/mars',
        devices: '/dev/mars',
        createdAt,
      },
      resource: {
        schema: 1,
        name: SIM_NAME,
        id: 'd'.repeat(32),
        sizeBytes,
        createdAt,
        imagePath: this.paths.image,
        imageOwned: true,
        designatedRole: index === 0 ? 'primary' : 'secondary',
        attached: true,
        replayPaused: false,
        device: true,
        driver: 'auto',
        segmentBytes,
        alignmentBytes,
        durability,
      },
    };
  }

  get isUp(): boolean {
    return (this.serve ?? this.follow) !== undefined && !this.disk.dead && !this.isDying;
  }

  /** For traces. */
  get facts(): string {
    if (!this.isUp) return `${this.name} is down`;
    const {shared, serve, follow, position} = this;
    const mode = serve === undefined ? 'follows' : 'serves';
    const answer = follow?.follower.status().answer?.kind ?? '';
    const numbers = `${shared.replayed.get()}/${shared.durable.get()}/${position}`;
    return `${this.name} ${mode} ${numbers} ${answer}`;
  }

  get shared(): Shared {
    const shared = (this.serve ?? this.follow)?.shared;
    if (shared === undefined) throw new Error(`${this.name} is down`);
    return shared;
  }

  get replayer(): Replayer | undefined {
    return (this.serve ?? this.follow)?.replayer;
  }

  /** The epochs as this node's daemon reads them. */
  get lineage(): readonly LineageEntry[] {
    return this.follow?.follower.log?.lineage ?? readLineage(this.peek, this.paths.lineageFile);
  }

  /** End of the log. */
  get position(): number {
    return this.follow?.follower.log?.position ?? this.shared.appended.get();
  }

  get retainFrom(): number {
    return Math.min(Infinity, ...this.slots.values());
  }

  /** What its disk process says of its log, all at one moment. */
  positions(): LogPositions {
    const {shared, serve, follow} = this;
    const origin = Math.max(shared.originDurable.get(), shared.replayed.get());
    const number = shared.get(WORD.currentNumber);
    const ownFile = number === 0 ? null : segmentName(number, this.name);
    return {
      currentFile: serve === undefined ? (follow?.follower.log?.currentName ?? null) : ownFile,
      appended: this.position,
      epoch: serve?.disk.epoch ?? follow?.follower.log?.epoch ?? '',
      durable: serve === undefined ? origin : shared.durable.get(),
      timeMs: this.#options.clock.wallMs(),
    };
  }

  /** Of a node that serves: flushes wait, and nothing durable says that one was answered without. */
  get modeInForce(): ModeSettings | undefined {
    const {mode} = this.#options;
    if (mode === undefined || this.#mode === undefined) return undefined;
    return isDegraded(this.disk, this.paths.degradedFile) ? undefined : mode;
  }

  /** By way of the daemon: a replica has this much of the history of `epoch`. */
  confirm(epoch: string, other: PairNode, {received, durable}: Ack): void {
    this.act('work', () => {
      this.#mode?.confirm(epoch, {node: other.id, name: other.name, received, durable});
    });
  }

  /** Starts the process for its mode; whatever it throws is the caller's. */
  startServe(user: PairUser): Life {
    this.disk.actor = 'main';
    const life = beginLife({
      inline: true,
      files: this.disk,
      clock: this.#options.clock,
      config: this.config,
      random: (size) => Buffer.from(Array.from({length: size}, () => this.#byte())),
      batchBytes: this.#options.batchBytes,
      quietMs: this.#options.quietMs,
      note: (text) => {
        this.#options.say(`  ${this.name}: ${text}`);
      },
      responder: user,
      retainFrom: this.retainFrom,
    });
    this.#startMode(life);
    // From here on it can be asked.
    this.serve = life;
    return life;
  }

  #startMode({shared, disk}: Life): void {
    const {clock, mode, say} = this.#options;
    this.wanted = undefined;
    if (mode === undefined) return;
    this.#mode = new SyncMode({
      files: this.disk,
      clock,
      shared,
      notices: new Notices(clock),
      directory: this.paths.directory,
      degradedFile: this.paths.degradedFile,
      event: ({code}) => {
        say(`  ${this.name}: ${code}`);
      },
      ask: (want) => {
        this.wanted = want;
        return true;
      },
    });
    this.#mode.start(mode);
    this.#mode.activated(disk.epoch);
  }

  startFollow(): FollowLife {
    this.disk.actor = 'main';
    const {clock, say} = this.#options;
    const files: Files = this.disk;
    const shared = new Shared(new ArrayBuffer(SHARED_BYTES));
    shared.retain(this.retainFrom);
    const failed = (errno: string): never => {
      this.isDying = true;
      throw new DiskError('LOG_IO', 'the log that is received was not made durable', {errno});
    };
    let activated: Activated | undefined;
    const follower = new Follower({
      files,
      clock,
      config: this.config,
      shared,
      notices: new Notices(clock),
      acceptImage: false,
      event: ({code, text}) => {
        say(`  ${this.name}: ${code} ${text}`);
      },
      onActive: (message) => {
        activated = message;
        const life = this.follow;
        if (life !== undefined) life.replayer = this.#makeReplayer(shared, message);
      },
      onReady: () => undefined,
      onStop: () => {
        this.isDying = true;
      },
      onFatal: (error) => {
        throw error;
      },
      onCommitFailed: failed,
    });
    follower.start();
    this.#watchCuts(follower);
    const committer = new Committer({
      files,
      clock,
      shared,
      responder: {answer: () => undefined, answerWrite: () => undefined},
      onFailure: () => {
        this.isDying = true;
      },
    });
    const replayer = activated && this.#makeReplayer(shared, activated);
    this.follow = {shared, follower, committer, replayer};
    return this.follow;
  }

  /** Runs one step of a thread; a death of this node ends here, whoever was in the middle of it. */
  act(actor: string, work: () => void): void {
    if (!this.isUp || this.acting.has(actor)) return;
    const before = this.disk.actor;
    this.acting.add(actor);
    this.disk.actor = actor;
    try {
      work();
    } finally {
      this.acting.delete(actor);
      this.disk.actor = before;
    }
  }

  step(actor: NodeActor): void {
    this.act(actor === 'work' && this.follow !== undefined ? 'main' : actor, () => {
      if (actor === 'commit') (this.serve ?? this.follow)?.committer.step();
      else if (actor === 'replay') this.#replay();
      else if (this.serve !== undefined) this.#keep(this.serve);
      else this.#tick();
    });
  }

  /** The main thread of a process that serves. */
  #keep({keeper, shared}: Life): void {
    keeper.step();
    if (shared.get(WORD.confirmWanted) !== 0) this.#mode?.flushWaits();
    this.#mode?.step();
  }

  /** What a follower does when it is stopped in order. @returns whether it did */
  makeDurable(): boolean {
    let result = 'dead';
    this.act('commit', () => {
      result = this.follow?.committer.commit() ?? 'dead';
    });
    return result === 'done' && this.isUp;
  }

  /** The process is gone; on power loss the daemon, too. */
  end(death: Death): void {
    this.serve = undefined;
    this.follow = undefined;
    this.#mode = undefined;
    this.wanted = undefined;
    this.isDying = false;
    this.doom = undefined;
    this.acting.clear();
    if (death === 'kill') this.disk.kill(this.daemon.descriptors);
    else {
      this.disk.crash();
      this.daemon.forget();
    }
  }

  /** As the thread does it: a log that is followed may be cut between batches. */
  #replay(): void {
    const shared = (this.serve ?? this.follow)?.shared;
    if (shared?.tryLock(WORD.replayLock) !== true) return;
    this.replayer?.step();
    shared.unlock(WORD.replayLock);
  }

  #watchCuts({log}: Follower): void {
    if (log === undefined) return;
    const cut = log.cut.bind(log);
    log.cut = (to, chain) => {
      const done = cut(to, chain);
      if (done) this.#options.onCut(this, to);
      return done;
    };
  }

  #tick(): void {
    try {
      this.follow?.follower.tick();
    } catch (error) {
      if (errnoOf(error) === undefined && !(error instanceof DiskError)) throw error;
      // Nobody catches it in the process either.
      this.isDying = true;
    }
  }

  #makeReplayer(shared: Shared, {imageFd, identity, from, to, fromChain}: Activated): Replayer {
    const {clock, say, batchBytes, quietMs} = this.#options;
    const files = this.disk;
    return new Replayer({
      files,
      clock,
      host: createReplayHost(files, shared, (error) => {
        say(`  ${this.name}: replay: ${error?.message ?? 'well again'}`);
      }),
      imageFd,
      identity,
      stateFile: openReplayState(files, this.paths.replayFile).file,
      from,
      to,
      chain: fromChain,
      pacing: {batchBytes, backlogBytes: MIB, quietMs},
    });
  }

  #byte(): number {
    return below(this.#options.random, 256);
  }
}
