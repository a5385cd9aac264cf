/**
 * Two or three nodes that replicate one disk, their daemons played by the simulator: carries out a
 * script on the real code, and has it judged all the time (pair-judge).
 */
import {COMMAND, WORD} from '../../src/disk/shared.js';
import {checkAnnounced} from './announced.js';
import {checkBounds} from './bounds.js';
import {SimFailure} from './oracle.js';
import {pathOf} from './pair-history.js';
import {copyImage} from './pair-join.js';
import {PairJudge} from './pair-judge.js';
import {PairLink} from './pair-link.js';
import {PairNode, type NodeActor} from './pair-node.js';
import {advanceSlots, isAtRest} from './pair-rest.js';
import {PairRoles} from './pair-roles.js';
import {describePair, type PairAction, type PairScript, type PairStep} from './pair-script.js';
import {emptyPairStatistics} from './pair-statistics.js';
import {torment} from './pair-torment.js';
import {pairUserOf, type PairUser} from './pair-user.js';
import {
  CALLS_MAX,
  CONVERGED_MS,
  DEPTH_MAX,
  ROUND_MS,
  TIDY_STEPS,
  TRACE_MAX,
} from './pair-limits.js';
import {below, chance, createRandom, pick} from './random.js';
import type {Random} from './random.js';
import type {Death} from './script.js';
import {SimClock} from './sim-clock.js';
import type {SimCall} from './sim-faults.js';
import {SimCrash} from './sim-disk.js';

const ACTORS: readonly NodeActor[] = ['commit', 'replay', 'work'];

export class PairWorld {
  readonly trace: string[] = [];
  readonly statistics = emptyPairStatistics();
  readonly nodes: readonly PairNode[];
  readonly judge: PairJudge;
  readonly clock = new SimClock();
  readonly links = new Map<PairNode, PairLink>();
  /** No new stream for these. */
  readonly broken = new Set<PairNode>();
  readonly #roles: PairRoles;
  readonly #script: PairScript;
  readonly #users = new Map<PairNode, PairUser>();
  readonly #sources = new Map<PairNode, PairNode>();
  #random: Random;
  #interleaving: number;
  #depth = 0;
  #stamp = 0;
  /** Whose disk was called last. */
  #active: PairNode | undefined;
  /** The simulator does something in the place of a node, or mends all. */
  #isSpared = false;

  constructor(script: PairScript) {
    const {config, seed} = script;
    this.#script = script;
    this.#random = createRandom(seed);
    this.#interleaving = config.interleaving;
    const say = (text: string): void => {
      this.say(text);
    };
    this.nodes = Array.from({length: config.nodes}, (_, index) => {
      return new PairNode({
        ...config,
        index,
        clock: this.clock,
        random: () => this.#random(),
        say,
        onCut: (node, position) => {
          this.say(`  ${node.name} has cut its log to ${position}`);
          this.judge.cutDone(node, position);
        },
      });
    });
    this.judge = new PairJudge(this.nodes, config.sizeBytes);
    this.#roles = new PairRoles(this);
    const nextStamp = (): number => {
      this.#stamp += 1;
      return this.#stamp;
    };
    for (const node of this.nodes) {
      node.disk.beforeCall = (actor, call, path) => {
        this.#beforeCall(node, actor, call, path);
      };
      this.#users.set(node, pairUserOf(node, this.judge, nextStamp));
    }
  }

  /** Carries out the whole script. */
  async run(): Promise<void> {
    try {
      const [first, ...others] = this.nodes;
      if (first === undefined) return;
      this.#roles.start(first, 'kill');
      for (const node of others) this.join(first, node);
      for (const step of this.#script.steps) await this.#step(step);
      await this.#finish();
    } finally {
      const {statistics} = this;
      statistics.synchronous = this.judge.promises.count;
      statistics.simulatedMs = this.clock.monotonicMs();
      for (const {disk} of this.nodes) {
        statistics.calls += disk.calls;
        statistics.faults += disk.faults.injected;
      }
    }
  }

  /** The node that does something now dies, unless it is spared. @throws SimCrash */
  dieHere(what: string, death: Death): void {
    const node = this.#active;
    if (node === undefined || node.disk.dead || this.#isSpared) return;
    node.doom = death;
    node.disk.die(what);
  }

  get random(): Random {
    return this.#random;
  }

  say(text: string): void {
    if (this.trace.length > TRACE_MAX) throw new SimFailure('it never ends');
    this.trace.push(text);
  }

  userOf(node: PairNode): PairUser {
    const user = this.#users.get(node);
    if (user === undefined) throw new SimFailure('a node without a user');
    return user;
  }

  /** Copies the image of a node that lives; the log is kept from there on. */
  join(source: PairNode, node: PairNode): void {
    this.statistics.copies += 1;
    this.cutLinks(node);
    node.end('kill');
    this.userOf(node).forget();
    node.disk.faults.clear();
    node.disk.actor = 'main';
    this.judge.harvest();
    const begin = source.shared.replayed.get();
    const end = source.shared.replayTo.get();
    const chain = this.judge.history.chainAt(pathOf(source.lineage, begin));
    const endChain = this.judge.history.chainAt(pathOf(source.lineage, end));
    this.say(`  ${node.name} gets a copy of ${source.name} at ${begin}..${end}`);
    for (const other of this.nodes) if (other !== node) other.slots.set(node.index, begin);
    source.shared.retain(source.retainFrom);
    const copyPath = pathOf(source.lineage, end);
    const before = this.#isSpared;
    this.#isSpared = true;
    copyImage(source, node, chain, endChain);
    this.#isSpared = before;
    node.slots.clear();
    for (const other of this.nodes) {
      if (other !== node) node.slots.set(other.index, this.judge.replayedOf(other));
    }

    this.judge.joined(node, begin, copyPath);
    this.#roles.copied(node);
    this.#roles.start(node, 'kill');
  }

  cutLinks(node: PairNode): void {
    for (const [follower, link] of this.links) {
      if (follower !== node && link.source !== node) continue;
      link.cut();
      this.links.delete(follower);
    }
  }

  /** A process, or a machine, is gone; the others hear of it. */
  die(node: PairNode, death: Death): void {
    this.say(`  ${node.name}: the ${death === 'kill' ? 'process' : 'machine'} dies`);
    this.statistics.deaths += 1;
    this.judge.harvest();
    this.statistics.batches += node.replayer?.batches ?? 0;
    this.userOf(node).forget();
    node.end(death);
    for (const [follower, link] of this.links) {
      if (follower !== node && (link.source !== node || death === 'kill')) continue;
      link.cut();
      this.links.delete(follower);
    }
  }

  async #step({seed, action}: PairStep): Promise<void> {
    this.#random = createRandom(seed);
    this.clock.advance(1 + below(this.#random, 5));
    this.say(describePair(action));
    await this.#guarded(async () => {
      await this.#act(action);
    });
    this.#roles.settle();
    await this.#guarded(async () => {
      this.#connect();
      for (const link of this.links.values()) await link.hear();
      if (chance(this.#random, 0.5)) advanceSlots(this.nodes, this.judge);
      this.judge.check();
    });
    this.#roles.settle();
  }

  /** A death ends what was done; who is dead is found out by looking. */
  async #guarded(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof SimCrash)) throw error;
      this.say(`  ${error.message}`);
    }
  }

  async #act(action: PairAction): Promise<void> {
    switch (action.kind) {
      case 'write':
      case 'discard':
      case 'flush':
      case 'rotate':
      case 'read': {
        this.#use(action);
        return;
      }

      case 'wait': {
        this.clock.advance(action.milliseconds);
        for (const node of this.nodes) for (const actor of ACTORS) node.step(actor);
        return;
      }

      case 'meet': {
        this.#roles.meet();
        return;
      }

      default: {
        const node = this.#nodeAt(action.node);
        if (node !== undefined) await this.#actOn(node, action);
      }
    }
  }

  #nodeAt(index: number): PairNode | undefined {
    const {nodes} = this;
    if (index >= 0) return nodes[index % nodes.length];
    const {primary} = this.#roles;
    const ordered = [...nodes].sort((one, other) => {
      return Number(other === primary) - Number(one === primary);
    });
    return ordered[(-1 - index) % nodes.length];
  }

  async #actOn(node: PairNode, action: PairAction): Promise<void> {
    switch (action.kind) {
      case 'stream': {
        for (let count = 0; count < action.count; count += 1) {
          await this.#stream(node, action.isEarly);
        }

        return;
      }

      case 'blackout': {
        await this.#blackout(action.count);
        return;
      }

      case 'step': {
        for (let count = 0; count < action.count; count += 1) node.step(action.actor);
        return;
      }

      case 'source': {
        const from = this.#nodeAt(action.from);
        if (from !== undefined && from !== node) this.#sources.set(node, from);
        return;
      }

      default: {
        torment(this, this.#roles, node, action);
      }
    }
  }

  #use(action: PairAction & {node: number}): void {
    const serving = this.nodes.filter(({serve, isUp}) => serve !== undefined && isUp);
    const node = serving[action.node % Math.max(1, serving.length)];
    const life = node?.serve;
    if (node === undefined || life === undefined) return;
    const user = this.userOf(node);
    node.act('front', () => {
      if (action.kind === 'write') user.write(life, action.offset, action.length);
      else if (action.kind === 'discard') user.discard(life, action.offset, action.length);
      else if (action.kind === 'flush') user.flush(life);
      else if (action.kind === 'rotate') life.shared.set(WORD.command, COMMAND.rotate);
      life.front.afterRequest();
    });
  }

  async #stream(node: PairNode, isEarly?: boolean): Promise<void> {
    const link = this.links.get(node);
    if (link === undefined) return;
    await link.hear();
    const {earlyMarks = 0} = this.#script.config;
    const isFresh = chance(this.#random, 0.6) || isEarly === true;
    link.pump(isFresh, isEarly ?? (earlyMarks > 0 && chance(this.#random, earlyMarks)));
    this.statistics.frames += 1;
    if (chance(this.#random, 0.8)) {
      link.deliver(chance(this.#random, 0.1) ? 1 + below(this.#random, 200) : undefined);
    }
  }

  /** Nothing is flushed or committed in between: only the followers have it afterwards. */
  async #blackout(count: number): Promise<void> {
    const {primary} = this.#roles;
    if (primary?.serve === undefined) return;
    const others = this.nodes.filter((node) => node !== primary);
    for (let at = 0; at < count * 4; at += 1) {
      if (at % 4 === 0) this.#interrupt(primary, 0);
      for (const node of others) await this.#stream(node);
    }

    for (const node of others) node.step('commit');
    this.#roles.kill(primary, 'power', false);
  }

  /** Each follower without a stream gets one, if there is anybody to give it. */
  #connect(): void {
    for (const node of this.nodes) {
      const old = this.links.get(node);
      if (old?.isClosed === true) {
        old.cut();
        this.links.delete(node);
      }

      if (this.links.has(node) || this.broken.has(node) || !this.#roles.mayFollow(node)) continue;
      if (this.#interleaving > 0 && chance(this.#random, 0.3)) continue;
      const wish = this.#sources.get(node);
      const source = wish?.isUp === true ? wish : this.#roles.sourceFor(node);
      this.#sources.delete(node);
      if (source?.isUp !== true) continue;
      this.links.set(node, this.#link(source, node));
    }
  }

  #link(source: PairNode, follower: PairNode): PairLink {
    return new PairLink(source, follower, {
      onAnswer: (link, hello, answer) => {
        this.say(
          `  ${source.name} answers ${follower.name}: ${answer.kind} ${answer.position ?? ''} ` +
            `(it has ${hello.position})`,
        );
        this.judge.judgeAnswer(source, follower, hello, answer);
        if (answer.kind === 'cut') this.statistics.cuts += 1;
        else if (answer.kind === 'follow') this.statistics.follows += 1;
        else if (answer.kind === 'forked') this.statistics.forks += 1;
        this.#roles.answered(link, answer);
      },
      onAck: (link, ack, epoch) => {
        this.judge.noteAck(link.follower, ack.durable);
        const {slots} = link.source;
        slots.set(follower.index, Math.max(slots.get(follower.index) ?? 0, ack.from));
        if (epoch === undefined) return;
        this.judge.promises.noteAck(link.follower, epoch, ack.received, ack.durable);
        source.confirm(epoch, link.follower, ack);
      },
      onDeliver: (link) => {
        this.judge.delivered(link.follower);
      },
      say: (text) => {
        this.say(text);
      },
    });
  }

  /** Nothing grows without bound: what nobody fetches any more is given up, on all nodes. */
  #checkBounds(): void {
    advanceSlots(this.nodes, this.judge);
    for (const node of this.nodes) {
      for (let count = 0; count < TIDY_STEPS; count += 1) node.step('work');
      checkBounds(node.disk);
    }
  }

  #beforeCall(node: PairNode, actor: string, call: SimCall, path: string): void {
    this.#interrupted(node, actor, call, path);
    // Whoever ran in between is done.
    this.#active = node;
  }

  #interrupted(node: PairNode, actor: string, call: SimCall, path: string): void {
    if (node.disk.calls > CALLS_MAX) throw new SimFailure('it never ends');
    // What is used again, or was cut, could not be judged any more.
    if (call === 'rename' && path.includes('/log/log-')) this.judge.harvest();
    if (actor === 'replay') {
      checkAnnounced(node.disk, call, path);
      if (path === node.paths.image && call === 'write') this.judge.checkReplay(node);
    }

    if (!node.isUp || this.#depth >= DEPTH_MAX || this.#interleaving === 0) return;
    if (!chance(this.#random, this.#interleaving)) return;
    this.#depth += 1;
    try {
      this.#interleave(node);
    } finally {
      this.#depth -= 1;
    }
  }

  /** Somebody else runs now: a thread of this node, its user, or another node. */
  #interleave(node: PairNode): void {
    this.clock.advance(below(this.#random, 50));
    const other = pick(this.#random, this.nodes);
    const choice = below(this.#random, 5);
    const run = (one: PairNode): void => {
      if (choice < ACTORS.length) one.step(ACTORS[choice] ?? 'commit');
      else if (choice === 3) this.links.get(one)?.deliver();
      else this.#interrupt(one, below(this.#random, 3));
    };
    if (other === node) run(node);
    else if (other.isUp) {
      try {
        run(other);
      } catch (error) {
        // Its death is its own: it is found out when this step ends.
        if (!(error instanceof SimCrash)) throw error;
      }
    }
  }

  #interrupt(node: PairNode, kind: number): void {
    const life = node.serve;
    if (life === undefined) return;
    const user = this.userOf(node);
    const offset = below(this.#random, 64) * 4096;
    node.act('front', () => {
      if (kind === 0) user.write(life, offset, 512 * (1 + below(this.#random, 32)));
      else if (kind === 1) user.flush(life);
      life.front.afterRequest();
    });
  }

  /** All is mended: everybody has to get where the primary is, in the end. */
  async #finish(): Promise<void> {
    this.#random = createRandom(this.#script.seed ^ 0x5a5a);
    this.say('the end: all is mended');
    this.#isSpared = true;
    this.#interleaving = 0;
    for (const node of this.nodes) {
      node.disk.faults.clear();
      node.disk.crashAfter(undefined);
      node.doom = undefined;
      this.cutLinks(node);
    }

    this.broken.clear();
    this.#sources.clear();
    this.#roles.mendAll();
    let hasWritten = false;
    const begun = this.clock.monotonicMs();
    while (this.clock.monotonicMs() < begun + CONVERGED_MS) {
      this.clock.advance(ROUND_MS);
      this.#roles.settle();
      this.#roles.resolveAll();
      this.#connect();
      const {primary} = this.#roles;
      // A history in which nothing was written is nobody's fork.
      if (!hasWritten && primary?.serve !== undefined) {
        this.#interrupt(primary, 0);
        hasWritten = true;
      }

      for (const node of this.nodes) {
        for (const actor of ACTORS) node.step(actor);
        const life = node.serve;
        if (life !== undefined)
          node.act('front', () => {
            life.front.afterRequest();
          });
        for (let count = 0; count < 4; count += 1) await this.#stream(node);
      }

      this.judge.check();
      if (isAtRest(this.nodes, this.#roles.primary, (node) => this.userOf(node).openCount)) {
        this.statistics.longestRestMs = this.clock.monotonicMs() - begun;
        this.judge.auditAll();
        this.#checkBounds();
        return;
      }
    }

    throw new SimFailure(`it never came to rest: ${this.nodes.map(({facts}) => facts).join(', ')}`);
  }
}
