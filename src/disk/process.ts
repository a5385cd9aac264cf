/** The main thread: starts the threads, keeps the log supplied, answers for all of them. */
import {setTimeout as sleep} from 'node:timers/promises';
import {MessageChannel, type Worker} from 'node:worker_threads';
import {assert} from '../core/assert.js';
import type {Clock} from '../core/clock.js';
import type {ErrorCode} from '../core/codes.js';
import type {DiskStatus} from '../core/disk-status.js';
import {DiskError, storeError} from '../core/errors.js';
import {appendEvent, type EventInput} from '../core/events.js';
import type {Files} from '../core/files.js';
import {homePaths} from '../core/home.js';
import {Bell} from './bell.js';
import {Commands} from './commands.js';
import {readDiskConfig, segmentPlan, type DiskConfig} from './config.js';
import {dieOfCommit, makeFollower, startFollower} from './follow-start.js';
import type {Follower} from './follower.js';
import {tellHolderOfEnd, watchHolder} from './holder-watch.js';
import {growImage} from './grow-image.js';
import {History} from './history.js';
import {Keeper} from './keeper.js';
import type {Activated, ThreadInput, ThreadMessage} from './messages.js';
import {Notices} from './notices.js';
import {startPulse} from './pulse.js';
import {Renewal} from './renewal.js';
import {readRetain, type RetainedSegment} from './retained.js';
import {serveSocket} from './server.js';
import {COMMAND, Shared, WORD} from './shared.js';
import {requireLog, SpaceRun, tellLeft} from './space-run.js';
import {startThread, type ThreadRole} from './start-thread.js';
import {buildStatus, isBusy, statusMark} from './status.js';
import {Synchronous} from './synchronous.js';
import {WatchPort} from './watch-port.js';

export interface DiskProcessOptions {
  readonly home: string;
  readonly name: string;
  /** Of this program. */
  readonly version: string;
  readonly mount: string;
  readonly driver: 'kernel' | 'fuse-native';
  readonly mode: 'serve' | 'replay' | 'follow';
  /** 1 for the first life on this mount. */
  readonly generation: number;
  readonly holderPid: number;
  readonly holderScript: string | undefined;
  readonly acceptImage: boolean;
  readonly files: Files;
  readonly clock: Clock;
  /** Of all threads. */
  readonly input: ThreadInput;
  /** The front, which waits for its first message; undefined where this thread is the front. */
  readonly front: Worker | undefined;
}

/** Exit status of a process that could not start; the holder gives up in the first generation. */
export const EXIT_FATAL = 70;
const KEEPER_POLL_MS = 250;
const COMMAND_MS = 20_000;
/** ... and so often once the log is at rest: only time can bring the keeper work then. */
const KEEPER_REST_MS = 5000;

/** The disk process as its main thread sees it; one for the life of the process. */
export class DiskProcess {
  readonly options: DiskProcessOptions;
  readonly shared: Shared;
  readonly notices: Notices;
  readonly startedAt: string;
  readonly renewal = new Renewal(this);
  readonly history = new History(this);
  readonly commands: Commands;
  holderPid: number | null;
  phase: DiskStatus['phase'] = 'recovering';
  activated: Activated | undefined;
  config: DiskConfig | undefined;
  /** In mode `follow`: what is received. */
  follower: Follower | undefined;
  /** In mode `serve`: for whom flushes wait. */
  synchronous: Synchronous | undefined;
  /** In mode `serve`, from the activation on. */
  space: SpaceRun | undefined;
  /** Tells a daemon when it is worth asking for the status. */
  readonly watch: WatchPort;
  /** Makes the front look at commands and parked writes. */
  #wake: () => void;
  #keeper: Keeper | undefined;
  #keeperTimer: NodeJS.Timeout | undefined;
  #replay: Worker | undefined;
  #committed = false;
  #suppliedAt = {replayed: -1, durable: -1};

  constructor(options: DiskProcessOptions) {
    this.options = options;
    this.shared = new Shared(options.input.memory);
    this.notices = new Notices(options.clock);
    this.startedAt = new Date(options.clock.wallMs()).toISOString();
    this.holderPid = options.holderPid;
    this.watch = new WatchPort({
      clock: options.clock,
      shared: this.shared,
      mark: () => statusMark(this),
      isBusy: () => isBusy(this),
    });
    const bell = new Bell(options.mount);
    if (options.mode === 'serve') bell.prepare();
    this.#wake = () => {
      bell.ring();
    };
    const {shared} = this;
    this.commands = new Commands({
      ...{shared, clock: options.clock},
      wake: () => {
        this.#wake();
      },
    });
  }

  start(): void {
    const {home, name, mode, front, input} = this.options;
    try {
      this.config = readDiskConfig(home, name);
      this.shared.set(WORD.replayPaused, this.config.resource.replayPaused ? 1 : 0);
      this.#loadRetain();
      this.history.start(this.config.resource);
    } catch (error) {
      this.#fatal(error);
    }

    if (mode === 'serve') this.synchronous = new Synchronous(this, this.config);
    this.#replay = this.#startThread('replay', input);
    if (mode === 'follow') {
      this.follower = makeFollower(
        this,
        this.config,
        (activated) => {
          this.#activate(activated);
        },
        (error) => this.#fatal(error),
      );
      this.#startThread('commit', input);
    } else if (front !== undefined) {
      this.#listen(front);
      this.#startThread('commit', input);
      front.postMessage('begin');
    } else {
      this.#startNative(input);
    }

    startPulse(this, watchHolder(this));
    serveSocket(this)
      .then(() => {
        if (this.follower === undefined) return;
        startFollower(this.follower, (error) => this.#fatal(error));
      })
      .catch((error: unknown) => {
        this.#fatal(error);
      });
  }

  /** Number of segments ready or spare; for the status. */
  get spareCount(): number {
    return this.#keeper?.spareCount ?? this.follower?.log?.spareCount ?? 0;
  }

  /** Replayed segments that are kept for others; for the status. */
  get retained(): readonly RetainedSegment[] {
    const keeper = this.#keeper ?? this.follower?.log;
    return keeper?.retained ?? this.activated?.retained ?? [];
  }

  status(): DiskStatus {
    return buildStatus(this);
  }

  /** Nothing at or above `position` is given up from now on; what lies below may be. */
  retain(position: number): void {
    this.history.retain(position);
    this.#runKeeper();
  }

  /** Gives back files that the log does not need now. */
  trim(): void {
    this.#keeper?.trim();
    this.#runKeeper();
  }

  setPaused(paused: boolean): void {
    this.shared.set(WORD.replayPaused, paused ? 1 : 0);
    this.shared.signal(WORD.replaySignal);
  }

  /**
   * Hands a command to the front thread, and waits until it is done.
   *
   * @throws DiskError DISK_UNREACHABLE, and as Commands.run
   */
  async command(command: number, argument = 0, label = ''): Promise<boolean> {
    if (this.phase !== 'serving') {
      throw new DiskError('DISK_UNREACHABLE', 'the disk is not ready yet: try again', {});
    }

    return this.commands.run(command, argument, label);
  }

  /** Grows image and disk; the size is part of the log when this resolves. */
  async resize(sizeBytes: number): Promise<void> {
    requireLog(this, 'it is resized');
    growImage(this.options.files, this.config?.resource.imagePath ?? '', sizeBytes);
    if (!(await this.command(COMMAND.resize, sizeBytes)))
      throw new DiskError('LOG_SPACE', 'the log has no room for the new size yet');
    await this.commit();
  }

  /** Waits until everything that was appended is durable. */
  async commit(): Promise<void> {
    const target = this.shared.appended.get();
    if (this.options.mode === 'follow') this.shared.set(WORD.commitWanted, 1);
    const deadline = this.options.clock.monotonicMs() + COMMAND_MS;
    // The interval of the commit thread bounds this; signalling it only wakes it for a look.
    while (this.shared.durable.get() < target) {
      if (this.options.clock.monotonicMs() > deadline) {
        throw new DiskError('TIMEOUT', 'the log was not durable in time', {waitedMs: COMMAND_MS});
      }

      await sleep(20);
    }
  }

  /**
   * Not for a disk that serves: ends at once; a batch that runs is broken off and written again
   * later. What was received is made durable first.
   */
  async stop(): Promise<void> {
    assert(this.options.mode !== 'serve', 'a disk that serves ends when its mount is gone');
    await this.follower?.stop();
    this.#beginStop();
  }

  event(input: Omit<EventInput, 'node' | 'resource'>): void {
    const {home, name, clock} = this.options;
    const node = this.config?.node.name ?? '';
    const {eventsFile} = homePaths(home);
    appendEvent(eventsFile, clock.wallMs(), {...input, node, resource: name});
  }

  /** Before the first thread starts: activation gives up what nobody retains. */
  #loadRetain(): void {
    const {home, name} = this.options;
    try {
      this.history.retain(readRetain(home, name));
    } catch (error) {
      const known = storeError(error, 'read the slots');
      if (!(known instanceof DiskError)) throw error;
      // Nobody knows who needs what: all is kept, until the daemon has a valid answer.
      this.history.retain(0);
      this.event({code: known.code, severity: 'warning', text: known.message});
    }
  }

  #startNative(input: ThreadInput): void {
    const {files, clock, mount} = this.options;
    const {config, shared} = this;
    assert(config !== undefined, 'the configuration was read');
    const {port1, port2} = new MessageChannel();
    this.#startThread('commit', {...input, answers: port2});
    const take = (message: ThreadMessage): void => {
      this.#take(message);
    };
    import('./native-front.js')
      .then(({startNativeFront}) =>
        startNativeFront({files, clock, config, shared, input, mount, answers: port1, take}),
      )
      .then(
        (wake) => {
          this.#wake = wake;
        },
        (error: unknown) => {
          this.#fatal(error);
        },
      );
  }

  #startThread(role: ThreadRole, input: ThreadInput): Worker {
    const worker = startThread(role, input);
    this.#listen(worker);
    return worker;
  }

  #listen(worker: Worker): void {
    worker.on('message', (message: ThreadMessage) => {
      this.#take(message);
    });
    // Ends the process (main).
    worker.on('error', (error) => {
      throw error;
    });
  }

  #take(message: ThreadMessage): void {
    switch (message.kind) {
      case 'active': {
        this.#activate(message);
        break;
      }

      case 'serving': {
        this.phase = 'serving';
        break;
      }

      case 'rests': {
        this.renewal.noteRest();
        break;
      }

      case 'flush-waits': {
        this.synchronous?.flushWaits();
        break;
      }

      case 'durable': {
        this.follower?.noteDurable();
        break;
      }

      case 'segments-wanted':
      case 'rotated': {
        this.#runKeeper();
        this.space?.run();
        break;
      }

      case 'parked': {
        this.notices.parked();
        this.#runKeeper();
        this.space?.run();
        break;
      }

      case 'unparked': {
        if (this.notices.unparked()) {
          this.event({code: 'SPACE_BACK', severity: 'info', text: 'the log has room again'});
        }

        break;
      }

      case 'commit-failed': {
        if (this.options.mode === 'follow') dieOfCommit(this, message.errno);
        this.#wake();
        break;
      }

      case 'unmounted': {
        this.#beginStop();
        break;
      }

      case 'committed': {
        this.#committed = true;
        this.#endIfDone();
        break;
      }

      case 'drained': {
        if (this.options.mode === 'replay') this.#beginStop();
        this.#endIfDone();
        break;
      }

      case 'fatal': {
        this.#fatal(new DiskError(message.code, message.message, message.details));
        break;
      }

      case 'report': {
        this.event(message);
        this.notices.put(message.code, message.severity, message.text);
        break;
      }

      default: {
        this.notices.take(message, (input) => {
          this.event(input);
        });
      }
    }
  }

  #activate(activated: Activated): void {
    const {options, config} = this;
    assert(config !== undefined, 'the configuration was read');
    this.activated = activated;
    this.synchronous?.activated(activated.epoch);
    if (options.mode !== 'serve') this.phase = 'replaying';
    if (options.generation > 1 && options.mode === 'serve') this.phase = 'serving';
    if (activated.tornRecords > 0) {
      const text = `${activated.tornRecords} records behind the end were cut: no flush covered them`;
      this.event({code: 'LOG_TORN', severity: 'warning', text});
    }

    tellLeft(this, activated);
    this.#replay?.postMessage(activated);
    if (options.mode !== 'serve') return;
    this.#keeper = new Keeper({
      files: options.files,
      clock: options.clock,
      shared: this.shared,
      plan: segmentPlan(config),
      retained: activated.retained,
      names: activated.names,
      onTrouble: (errno) => {
        this.notices.logTrouble(errno);
      },
      onReady: () => {
        this.#wake();
      },
    });
    this.space = new SpaceRun(this, config, this.#wake);
    this.#runKeeper();
  }

  #runKeeper(): void {
    const keeper = this.#keeper;
    if (keeper === undefined || this.phase === 'stopping') return;
    clearTimeout(this.#keeperTimer);
    const wait = keeper.step();
    // At once means after what else waits on this thread: a status is not kept waiting for zeros.
    if (wait === 0)
      setImmediate(() => {
        this.#runKeeper();
      });
    else if (wait !== Infinity) {
      this.#keeperTimer = setTimeout(
        () => {
          this.#runKeeper();
        },
        Math.min(wait, this.shared.isAtRest ? KEEPER_REST_MS : KEEPER_POLL_MS),
      );
    }
  }

  /** What replay has passed since the last call may be used again. */
  supplyAfterReplay(): void {
    const replayed = this.shared.replayed.get();
    const durable = this.shared.durable.get();
    if (replayed === this.#suppliedAt.replayed && durable === this.#suppliedAt.durable) return;
    this.#suppliedAt = {replayed, durable};
    this.#runKeeper();
  }

  /**
   * Lets the front try again what it waits with: nobody may tell it that replay made room in the
   * index, that the file system has space, or that another file takes the tail.
   */
  nudge(): void {
    const {shared} = this;
    if (this.phase !== 'serving') return;
    if (shared.get(WORD.parked) !== 0 || shared.get(WORD.commitFailed) !== 0) this.#wake();
  }

  #beginStop(): void {
    if (this.phase === 'stopping') return;
    this.phase = 'stopping';
    this.shared.set(WORD.stopping, 1);
    this.shared.signal(WORD.commitSignal);
    this.shared.signal(WORD.replaySignal);
  }

  #endIfDone(): void {
    if (this.phase !== 'stopping' || !this.#committed) return;
    // A batch that runs is broken off: image and log together stay the state, and a promotion
    // does not wait for replay.
    tellHolderOfEnd();
    process.exit(0);
  }

  #fatal(error: unknown): never {
    const known = storeError(error, 'start the disk');
    if (!(known instanceof DiskError)) throw error;
    const {code, message, details} = known;
    this.event({code: code satisfies ErrorCode, severity: 'critical', text: message, details});
    process.stdout.write(`${JSON.stringify({fatal: {code, message, details}})}\n`);
    // Exit joins the threads, and only a request ends the read(2) of a front that serves.
    if (this.phase === 'serving') this.#wake();
    process.exit(EXIT_FATAL);
  }
}
