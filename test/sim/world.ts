/**
 * One node and its user: carries out a script on the real code over a simulated disk and has the
 * oracle judge it all the time. What must hold, always:
 *
 *   - every read equals the model
 *   - durable <= appended, replayed <= replayTo <= durable; no position goes back
 *   - after the death of the process: everything acknowledged is there
 *   - after the death of the machine: everything flushed is there, and the whole disk equals the
 *     model at one exact position
 *   - at the end, when all is replayed, the bytes of the image are those of the model
 *   - every request is answered; files, descriptors and memory stay within their bounds
 *
 * An operation that failed with EIO, or whose process died in it, may be there or not.
 */
import {resourcePaths} from '../../src/core/home.js';
import {MIB} from '../../src/core/units.js';
import {COMMAND, WORD} from '../../src/disk/shared.js';
import {keep, withGuard} from './room.js';
import {requireWord, RotNoticed, rotLog, wordOf} from './rot.js';
import {aliveText, growImage, requireExcuse} from './starts.js';
import {checkBounds} from './bounds.js';
import {beginLife, type Life} from './life.js';
import {checkAnnounced} from './announced.js';
import {markedIn} from './marked.js';
import {Oracle, SimFailure, type Change} from './oracle.js';
import {below, chance, createRandom, pick, type Random} from './random.js';
import {diskConfig, prepareDisk, SIM_HOME, SIM_NAME} from './sim-config.js';
import {
  describe,
  type Action,
  type ActorName,
  type Death,
  type Script,
  type Step,
} from './script.js';
import {emptyStatistics} from './statistics.js';
import {SimClock} from './sim-clock.js';
import {SimCrash, SimDisk} from './sim-disk.js';
import {User} from './user.js';

const ACTORS: readonly ActorName[] = ['commit', 'replay', 'keeper'];
/** Steps after which whoever still waits is stuck. */
const PATIENCE = 4000;
/** The same where something outside has to change first. */
const PATIENCE_EXCUSED = 200;
/** A run beyond these goes round in circles. */
const CALLS_MAX = 2_000_000;
const TRACE_MAX = 100_000;

export class World {
  readonly trace: string[] = [];
  readonly statistics = emptyStatistics();
  readonly #script: Script;
  readonly #paths = resourcePaths(SIM_HOME, SIM_NAME);
  readonly #disk: SimDisk;
  readonly #clock = new SimClock();
  readonly #oracle: Oracle;
  readonly #user: User;
  #random: Random;
  #life: Life | undefined;
  #acting: (ActorName | 'front')[] = [];
  #doom: Death | undefined;
  #logFaults = false;
  #rotted = false;
  /** The process wants to end for its next life. */
  #leaves = false;

  constructor(script: Script) {
    const {config, seed} = script;
    this.#script = script;
    this.#random = createRandom(seed);
    this.#disk = new SimDisk({random: () => this.#random()});
    const excuse = (what: string): void => {
      // An error for the user needs a fault that explains it.
      if (this.#disk.faults.injected === 0) throw new SimFailure(`${what} without a fault`);
    };
    this.#oracle = new Oracle(config.sizeBytes, {
      read: (offset, length, target, targetOffset) =>
        this.#asFront(() => this.#living.front.read(offset, length, target, targetOffset)),
      excuse,
      underWay: () => this.#user.underWay(),
    });
    this.#user = new User({
      oracle: this.#oracle,
      durableWrites: config.durability === 'write',
      living: () => this.#living,
      asFront: (call) => this.#asFront(call),
      excuse,
      say: (text) => {
        this.#say(text);
      },
    });
    prepareDisk(this.#disk, config.sizeBytes);
    if (config.capacityBytes > 0) this.#disk.capacityBytes = config.capacityBytes;
    this.#disk.beforeCall = (actor, call, path) => {
      if (this.#disk.calls > CALLS_MAX) throw new SimFailure('it never ends');
      if (actor === 'replay') checkAnnounced(this.#disk, call, path);
      this.#interleave(actor);
    };
  }

  /**
   * Carries out the whole script.
   *
   * @throws SimFailure, or whatever the code threw
   */
  run(): void {
    try {
      this.#start('kill');
      for (const step of this.#script.steps) this.#step(step);
      this.#finish();
    } catch (error) {
      if (!(error instanceof RotNoticed)) throw error;
      this.#say(`refused, as it should be: ${error.message}`);
    } finally {
      this.statistics.calls = this.#disk.calls;
      this.statistics.faults = this.#disk.faults.injected;
      this.statistics.simulatedMs = this.#clock.monotonicMs();
    }
  }

  #step({seed, action}: Step): void {
    this.#random = createRandom(seed);
    this.statistics.operations += 1;
    this.#clock.advance(1 + below(this.#random, 5));
    this.#say(describe(action));
    try {
      this.#act(action);
      this.#attend();
      this.#check();
    } catch (error) {
      if (!(error instanceof SimCrash)) throw error;
      this.#say(`  ${error.message}`);
    }

    if (this.#leaves && !this.#disk.dead && this.#user.openCount === 0) this.#die('kill');

    // Code that hides an error may have hidden a death.
    if (this.#disk.dead) this.#die(this.#doom ?? 'kill');
  }

  #act(action: Action): void {
    switch (action.kind) {
      case 'write': {
        this.#waitFor(this.#user.write(action.offset, action.length));
        return;
      }

      case 'burst': {
        const ranges = Array.from({length: action.count}, () => ({
          offset: action.offset + 4096 * below(this.#random, 32),
          length: 4096 * (1 + below(this.#random, 3)),
        }));
        for (const request of this.#user.burst(ranges)) this.#waitFor(request);
        return;
      }

      case 'discard':
      case 'zero': {
        this.#waitFor(this.#user.zero(action.kind, action.offset, action.length));
        return;
      }

      case 'flush': {
        const request = this.#user.flush();
        if (chance(this.#random, 0.7)) this.#waitFor(request);
        return;
      }

      case 'read': {
        this.#oracle.compare(action.offset, Math.min(action.length, MIB));
        return;
      }

      case 'compare': {
        this.#oracle.compareAll();
        return;
      }

      case 'rotate':
      case 'resize':
      case 'pause':
      case 'resume': {
        this.#administer(action);
        return;
      }

      case 'step': {
        for (let count = 0; count < action.count; count += 1) this.#runActor(action.actor);
        return;
      }

      case 'wait': {
        this.#clock.advance(action.milliseconds);
        if (chance(this.#random, 0.2)) this.#clock.jump(below(this.#random, 20_000) - 10_000);
        for (const actor of ACTORS) this.#runActor(actor);
        return;
      }

      case 'restart': {
        this.#die('kill');
        return;
      }

      case 'rot':
      case 'die': {
        this.#die(action.death, action.kind === 'rot');
        return;
      }

      default: {
        this.#torment(action);
      }
    }
  }

  #administer(action: Action): void {
    if (action.kind === 'rotate') this.#command(COMMAND.rotate, 0);
    else if (action.kind === 'resize') this.#resize(action.sizeBytes);
    else this.#living.shared.set(WORD.replayPaused, action.kind === 'pause' ? 1 : 0);
  }

  /** What happens to the disk and the machine, not by the user. */
  #torment(action: Action): void {
    if (action.kind === 'doom') {
      this.#doom = action.death;
      this.#disk.crashAfter(action.calls);
    } else if (action.kind === 'fault') {
      const {path, calls, fault, after, count} = action;
      if (!path.includes('image')) this.#logFaults = true;
      this.#disk.faults.add({path: new RegExp(path, 'u'), calls, kind: fault, after, count});
    } else if (action.kind === 'heal') this.#disk.faults.clear();
    // After a failed sync of the log its tail exists in the cache alone.
    else if (action.kind === 'evict' && !this.#logFaults) this.#disk.evict();
  }

  #command(command: number, argument: number): void {
    const {shared} = this.#living;
    shared.commandArgument.set(argument);
    shared.set(WORD.command, command);
    this.#attend();
  }

  #resize(sizeBytes: number): void {
    if (sizeBytes <= this.#oracle.model.sizeBytes) return;
    const {disk, shared} = this.#living;
    if (!growImage(this.#disk, disk.imageFd, sizeBytes)) return;

    const begin = this.#user.position;
    const change: Change = {kind: 'resize', offset: sizeBytes, length: 0, bytes: undefined};
    try {
      this.#command(COMMAND.resize, sizeBytes);
    } catch (error) {
      this.#oracle.doubt(change);
      throw error;
    }

    if (shared.get(WORD.commandResult) !== 1) this.#oracle.doubt(change);
    else this.#oracle.accept(change, begin, this.#user.position);
  }

  // Threads.

  get #living(): Life {
    if (this.#life === undefined) throw new SimFailure('nobody lives');
    return this.#life;
  }

  #asFront<T>(call: () => T): T {
    const before = this.#disk.actor;
    this.#acting.push('front');
    this.#disk.actor = 'front';
    try {
      return call();
    } finally {
      this.#acting.pop();
      this.#disk.actor = before;
    }
  }

  /** The front between two requests. */
  #attend(): void {
    if (this.#acting.includes('front')) return;
    const {front} = this.#living;
    this.#asFront(() => {
      front.afterRequest();
    });
  }

  #runActor(actor: ActorName): void {
    const life = this.#life;
    if (life === undefined || this.#acting.includes(actor)) return;
    const before = this.#disk.actor;
    this.#acting.push(actor);
    this.#disk.actor = actor;
    try {
      if (actor === 'commit') life.committer.step();
      else if (actor === 'keeper') keep(life);
      else life.replayer.step();
    } finally {
      this.#acting.pop();
      this.#disk.actor = before;
    }
  }

  /** Called before every call to the disk: other threads may run now. */
  #interleave(actor: string): void {
    const {interleaving} = this.#script.config;
    if (actor === 'main' || interleaving === 0 || !chance(this.#random, interleaving)) return;
    this.#clock.advance(below(this.#random, 300));
    const other = pick(this.#random, ['front', ...ACTORS] as const);
    if (other !== 'front') this.#runActor(other);
    else if (!this.#acting.includes('front') && this.#life !== undefined) this.#interrupt();
  }

  /** The user does something small while another thread is in the middle of a step. */
  #interrupt(): void {
    const span = Math.min(this.#oracle.model.sizeBytes, MIB) / 4096 - 8;
    const offset = below(this.#random, span) * 4096;
    const length = 512 * (1 + below(this.#random, 32));
    const kind = pick(this.#random, ['write', 'write', 'read', 'flush', 'attend'] as const);
    this.#say(`  meanwhile: ${kind} ${offset} ${length}`);
    // A write that has to be waited for cannot be, in here.
    const canWrite = this.#script.config.durability === 'flush';
    if (kind === 'write' && canWrite && this.#user.openCount < 64) this.#user.write(offset, length);
    else if (kind === 'read') this.#oracle.compare(offset, length);
    else if (kind === 'flush') this.#user.flush();
    else this.#attend();
  }

  #waitFor(unique: number | undefined): void {
    if (unique === undefined) return;
    for (let patience = 0; patience < PATIENCE; patience += 1) {
      if (!this.#user.isOpen(unique)) return;
      this.#clock.advance(20);
      for (const actor of ACTORS) this.#runActor(actor);
      this.#attend();
      if (patience > PATIENCE_EXCUSED && this.#mayWait) return;
    }

    throw new SimFailure(`request ${unique} was never answered`);
  }

  /** Nothing of ours can make room, mend a device, or resume: the user waits on. */
  get #mayWait(): boolean {
    const {capacityBytes} = this.#script.config;
    const paused = this.#living.shared.get(WORD.replayPaused) !== 0;
    return capacityBytes > 0 || this.#logFaults || this.#disk.faults.injected > 0 || paused;
  }

  #check(): void {
    if (this.#life === undefined) return;
    this.#oracle.checkPositions(this.#life.shared, this.#life.front.log.position);
  }

  // Deaths.

  #die(death: Death, rots = false): void {
    this.#say(`  the ${death === 'kill' ? 'process' : 'machine'} dies`);
    this.statistics.batches += this.#life?.replayer.batches ?? 0;
    this.#user.forget();
    this.#life = undefined;
    this.#leaves = false;
    this.#acting = [];
    this.#doom = undefined;
    this.#end(death);
    const flushed = this.#oracle.flushed - this.#user.pastLogBytes;
    if (death === 'kill') requireWord(this.#disk, this.#paths, flushed);

    const rot = rots ? rotLog(this.#disk, this.#random) : undefined;
    if (rot !== undefined) this.#rotted = true;
    this.#say(`  ${rot ?? 'nothing rots'}`);
    this.#start(death);
  }

  #end(death: Death): void {
    if (death === 'kill') {
      this.statistics.kills += 1;
      this.#disk.kill();
    } else {
      this.statistics.powerLosses += 1;
      this.#disk.crash();
    }
  }

  /** Starts the process; deaths on the way are part of the game, faults are mended in the end. */
  #start(death: Death): void {
    let worst = death;
    for (let attempt = 0; ; attempt += 1) {
      const next = pick(this.#random, ['kill', 'power'] as const);
      if (attempt < 3 && chance(this.#random, 0.25)) {
        this.#disk.crashAfter(1 + below(this.#random, 60));
      }

      const told = wordOf(this.#disk, this.#paths);
      try {
        this.#live();
        this.#judge(worst, told);
        return;
      } catch (error) {
        if (!(error instanceof SimCrash) && !this.#disk.dead) {
          this.#mend(error, attempt);
          continue;
        }

        this.#say(`  the ${next === 'kill' ? 'process' : 'machine'} dies in recovery`);
        this.statistics.deathsInRecovery += 1;
        this.#life = undefined;
        this.#acting = [];
        this.#end(next);
        if (next === 'power') worst = 'power';
      }
    }
  }

  #live(): void {
    this.#disk.actor = 'main';
    this.#life = beginLife({
      inline: true,
      files: this.#disk,
      clock: this.#clock,
      config: diskConfig(this.#script),
      random: (size) => Buffer.from(Array.from({length: size}, () => below(this.#random, 256))),
      batchBytes: this.#script.config.batchBytes,
      note: (text) => {
        if (text.includes('rotated')) this.statistics.rotations += 1;
        this.#say(`  ${text}`);
      },
      responder: this.#user,
    });
    this.#disk.crashAfter(undefined);
    const leave = (): void => void (this.#leaves = true);
    this.#life = withGuard(this.#life, this.#script, this.#clock, this.statistics, leave);
  }

  #judge(death: Death, told: number): void {
    const {recovered, state, diskSizeBytes} = this.#living.disk;
    const {position, tornRecords} = recovered;
    if (tornRecords > 0) this.statistics.tornTails += 1;
    this.#say(aliveText(this.#living.disk, this.#oracle));
    const rotted = this.#rotted ? {told} : undefined;
    const {pastLogBytes} = this.#user;
    const {from} = state;
    const isMarked = markedIn(this.#disk, this.#paths);
    const past = {pastLogBytes, isMarked, hasGap: from > position};
    this.#oracle.judgeRecovery({...{death, position, from, diskSizeBytes, rotted}, ...past});
    this.#check();
  }

  /** A start that was refused needs a reason that can be mended; damage never has one. */
  #mend(error: unknown, attempt: number): void {
    const excused = this.#disk.faults.injected > 0 || this.#script.config.capacityBytes > 0;
    requireExcuse(error, this.#rotted, excused && attempt <= 20);
    this.#say(`  start refused: ${String(error)}`);
    this.#disk.faults.clear();
    this.#disk.capacityBytes = Infinity;
    this.#disk.kill();
  }

  // The end.

  #finish(): void {
    this.#random = createRandom(this.#script.seed ^ 0x5a5a);
    this.#say('the end: all is mended, and replayed to the last byte');
    this.#disk.faults.clear();
    this.#disk.crashAfter(undefined);
    this.#disk.capacityBytes = Infinity;
    this.#disk.beforeCall = undefined;
    if (this.#living.shared.get(WORD.logDefective) !== 0) this.#die('kill');
    this.#living.shared.set(WORD.replayPaused, 0);
    this.#drain();
    this.#oracle.compareAll();
    this.#die('kill');
    this.#drain();
    if (this.#user.openCount > 0) throw new SimFailure('a request was never answered');
    const {image} = this.#paths;
    this.#oracle.compareImage((offset, length) => this.#disk.peek(image, offset, length, true));
    checkBounds(this.#disk);
  }

  #drain(): void {
    const {shared, keeper} = this.#living;
    for (let patience = 0; patience < PATIENCE; patience += 1) {
      this.#clock.advance(1000);
      this.#attend();
      for (const actor of ACTORS) this.#runActor(actor);
      this.#check();
      const replayed = shared.replayed.get() === shared.appended.get();
      if (replayed && this.#user.openCount === 0 && keeper.step() !== 0) return;
    }

    throw new SimFailure('it never came to rest');
  }

  #say(text: string): void {
    if (this.trace.length > TRACE_MAX) throw new SimFailure('it never ends');
    this.trace.push(text);
  }
}
