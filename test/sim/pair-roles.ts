/**
 * Who is primary, as the daemons and the administrator of the simulated nodes see to it: starts
 * after death, failover by force, handover in order, returns, forks and copies.
 */
import type {ResourceFacts} from '../../src/cluster/facts.js';
import {DiskError, errnoOf} from '../../src/core/errors.js';
import {formatPosition} from '../../src/core/position.js';
import {findLongerTail} from '../../src/daemon/replication/right.js';
import {readLogEnd} from '../../src/log/log-end.js';
import type {Answer} from '../../src/log/frames.js';
import type {PairLink} from './pair-link.js';
import type {PairNode} from './pair-node.js';
import type {PairWorld} from './pair-world.js';
import {below, chance, pick} from './random.js';
import type {Death} from './script.js';
import {SimCrash} from './sim-disk.js';

/** The role is on its way: all up to `position` first. */
interface Grant {
  readonly from: PairNode;
  readonly to: PairNode;
  readonly position: number;
}

/** A primary that came back follows this one first, which has more of its last epoch. */
interface Return {
  readonly source: PairNode;
  readonly wanted: number;
  rounds: number;
}

interface StartOptions {
  /** It may lack what was flushed: that was announced. */
  readonly byForce?: boolean;
  /** It reaches nobody. */
  readonly blind?: boolean;
}

/** Steps after which a primary serves with what it has got. */
const RETURN_ROUNDS = 6;
const DRAIN_MAX = 200;
const STARTS_MAX = 20;

export class PairRoles {
  readonly #world: PairWorld;
  #primary: PairNode | undefined;
  #grant: Grant | undefined;
  /** Nodes that believe to be primary. */
  readonly #claims = new Set<PairNode>();
  /** Nodes that go on in a history of their own, until that is resolved. */
  readonly #forked = new Set<PairNode>();
  readonly #returns = new Map<PairNode, Return>();

  constructor(world: PairWorld) {
    this.#world = world;
    const [first] = world.nodes;
    if (first === undefined) return;
    this.#primary = first;
    this.#claims.add(first);
  }

  get primary(): PairNode | undefined {
    return this.#primary;
  }

  mayFollow(node: PairNode): boolean {
    return node.isUp && node.follow !== undefined && !this.#forked.has(node);
  }

  sourceFor(node: PairNode): PairNode | undefined {
    const {nodes} = this.#world;
    const tail = this.#returns.get(node);
    if (tail !== undefined) return tail.source;
    const source = this.#primary ?? this.#grant?.from;
    if (source !== node && source?.isUp === true) return source;
    return nodes.find((one) => one !== node && one.isUp && !this.#forked.has(one));
  }

  answered({follower, source}: PairLink, {kind}: Answer): void {
    const isJudge = source === this.#primary || source === this.#grant?.from;
    if (kind === 'forked' || kind === 'gone') {
      if (isJudge) this.#forked.add(follower);
    }
  }

  copied(node: PairNode): void {
    this.#forked.delete(node);
    this.#claims.delete(node);
    if (this.#grant?.to === node) this.#grant = undefined;
  }

  /** Buries the dead, gives them a new life, and the role to whom it is due. */
  settle(): void {
    const {nodes} = this.#world;
    for (let rounds = 0; rounds < STARTS_MAX; rounds += 1) {
      const dead = nodes.filter(({disk, isDying}) => disk.dead || isDying);
      for (const node of dead) {
        const death = node.doom ?? 'kill';
        this.#world.die(node, death);
        this.start(node, death);
      }

      if (dead.length === 0) break;
    }

    this.#take();
    for (const node of this.#returns.keys()) this.#serveAgain(node);
  }

  kill(node: PairNode, death: Death, stays: boolean): void {
    if (!node.isUp) return;
    this.#world.die(node, death);
    node.isDown = stays;
    if (stays) this.#deaths.set(node, death);
    else this.start(node, death);
  }

  /** What a node died of that was left dead. */
  readonly #deaths = new Map<PairNode, Death>();

  comeBack(node: PairNode, blind: boolean): void {
    if (!node.isDown) return;
    node.isDown = false;
    // It asks the others first, and hears that somebody else is primary now.
    if (!blind && node !== this.#primary) this.#claims.delete(node);
    this.start(node, this.#deaths.get(node) ?? 'kill', {blind});
  }

  /** Those who served on without being primary any more hear of it. */
  meet(): void {
    for (const node of this.#claims) {
      if (node === this.#primary || node.isDown) continue;
      this.#claims.delete(node);
      this.#world.die(node, 'kill');
      this.start(node, 'kill');
    }
  }

  force(node: PairNode): void {
    const lives = this.#primary !== undefined && !this.#primary.isDown;
    if (lives || !this.#isReady(node)) return;
    if (this.#grant !== undefined && this.#grant.to !== node && !this.#grant.to.isDown) return;
    this.#world.statistics.forced += 1;
    this.#promote(node, true);
  }

  handOver(node: PairNode): void {
    const from = this.#primary;
    const life = from?.serve;
    if (from === undefined || life === undefined || from === node || !from.isUp) return;
    const link = this.#world.links.get(node);
    // Only who is known to have the same history is handed the role.
    if (!this.#isReady(node) || link?.source !== from || link.answer?.kind !== 'follow') return;
    const user = this.#world.userOf(from);
    for (let count = 0; ; count += 1) {
      // What cannot be made durable is not handed over.
      if (count === DRAIN_MAX || hasDied(from)) return;
      from.act('front', () => {
        // In a synchronous mode nobody hears replicas in here: it is enough that all is durable.
        if (user.openCount === 0 && from.modeInForce === undefined) user.flush(life);
        life.front.afterRequest();
      });
      from.step('work');
      from.step('commit');
      const isDurable = life.shared.durable.get() === life.front.log.position;
      if (isDurable && user.openCount === 0) break;
    }

    const {position} = from;
    this.#world.judge.harvest();
    this.#grant = {from, to: node, position};
    this.#primary = undefined;
    this.#claims.delete(from);
    this.#world.say(`  ${from.name} hands over to ${node.name} at ${position}`);
    this.#world.die(from, 'kill');
    this.start(from, 'kill');
  }

  /** A node that forked off gives way to the primary. */
  resolve(node: PairNode): void {
    const source = this.#primary;
    if (source?.isUp !== true || !this.#forked.has(node) || !node.isUp) return;
    this.#world.join(source, node);
  }

  mendAll(): void {
    const {nodes} = this.#world;
    for (const node of nodes) {
      node.disk.capacityBytes = Infinity;
      if (node.isDown) this.comeBack(node, false);
      else this.#world.die(node, 'kill');
      if (!node.isUp) this.start(node, 'kill');
    }

    this.meet();
    if (this.#primary !== undefined || this.#grant !== undefined) return;
    const [first] = nodes.filter((node) => this.#isReady(node));
    if (first !== undefined) this.#promote(first, true);
  }

  resolveAll(): void {
    for (const node of this.#forked) this.resolve(node);
  }

  /** Starts a node; deaths on the way are part of the game, faults are mended in the end. */
  start(node: PairNode, death: Death, options: StartOptions = {}): void {
    const {random} = this.#world;
    const {byForce = false} = options;
    let worst = death;
    this.#returns.delete(node);
    for (let attempt = 0; ; attempt += 1) {
      const next = pick(random, ['kill', 'power'] as const);
      if (attempt < 3 && chance(random, 0.15)) node.disk.crashAfter(1 + below(random, 60));
      try {
        const tail = worst === 'power' ? this.#longerTail(node, options) : undefined;
        const serves = this.#claims.has(node) && tail === undefined;
        if (serves) node.startServe(this.#world.userOf(node));
        else node.startFollow();
        node.disk.crashAfter(undefined);
        if (tail !== undefined) this.#returns.set(node, tail);
        const lost = this.#world.judge.began(node, worst, byForce);
        this.#world.statistics.lostBytes += lost;
        const mode = node.serve === undefined ? 'follows' : 'serves';
        this.#world.say(`  ${node.name} ${mode} from ${node.position}, ${lost} bytes were lost`);
        node.shared.retain(node.retainFrom);
        return;
      } catch (error) {
        if (!(error instanceof SimCrash) && !node.disk.dead) {
          this.#mend(node, error, attempt);
          continue;
        }

        this.#world.say(`  ${node.name}: the ${next} death in recovery`);
        node.end(next);
        if (next === 'power') worst = 'power';
      }
    }
  }

  #isReady(node: PairNode): boolean {
    if (!node.isUp || this.#forked.has(node)) return false;
    const log = node.follow?.follower.log;
    return log?.isConsistent === true && node.follow?.follower.status().sync === null;
  }

  #take(): void {
    const grant = this.#grant;
    if (grant === undefined || !this.#isReady(grant.to)) return;
    const {to, position} = grant;
    // It may have more, yet: what was lost above has to be cut first.
    if (to.position !== position || to.shared.durable.get() < position) return;
    this.#world.statistics.handovers += 1;
    this.#promote(to, false);
  }

  #promote(node: PairNode, byForce: boolean): void {
    this.#world.say(`  ${node.name} becomes primary${byForce ? ' by force' : ''}`);
    // The process that follows is stopped in order: it makes all durable that it has.
    if (!node.makeDurable()) return;
    this.#grant = undefined;
    this.#primary = node;
    this.#claims.add(node);
    this.#forked.delete(node);
    this.#world.die(node, 'kill');
    this.start(node, 'kill', {byForce});
  }

  /** What the daemon asks the others before a primary that came back begins a new epoch. */
  #longerTail(node: PairNode, {byForce, blind}: StartOptions): Return | undefined {
    if (node !== this.#primary || byForce === true || blind === true) return undefined;
    const {peek, paths, config, id} = node;
    const end = readLogEnd(peek, paths.logDirectory, config.resource.id);
    const peers = this.#world.nodes.filter((one) => one !== node && one.isUp);
    const others = peers.map((peer) => {
      const facts = {lineage: peer.lineage, position: formatPosition(peer.position)};
      return {
        nodeId: peer.id,
        name: peer.name,
        linkUp: true,
        facts: facts as unknown as ResourceFacts,
      };
    });
    const own = {nodeId: id, lineage: node.lineage, position: formatPosition(end?.position ?? 0)};
    const longer = findLongerTail(own, others);
    const source = peers.find((peer) => peer.id === longer?.nodeId);
    if (source === undefined || longer === undefined) return undefined;
    this.#world.say(`  ${source.name} has more than ${node.name}: up to ${longer.position}`);
    return {source, wanted: longer.position, rounds: 0};
  }

  /** It has got what there was, or the time is over: it serves. */
  #serveAgain(node: PairNode): void {
    const tail = this.#returns.get(node);
    if (tail === undefined || !node.isUp) return;
    tail.rounds += 1;
    const isWhole = node.position >= tail.wanted;
    if (this.#claims.has(node) && !isWhole && tail.rounds < RETURN_ROUNDS) return;
    if (!node.makeDurable()) return;
    if (isWhole) this.#world.statistics.tails += 1;
    this.#world.die(node, 'kill');
    this.start(node, 'kill');
  }

  #mend(node: PairNode, error: unknown, attempt: number): void {
    const isOperating = error instanceof DiskError || errnoOf(error) !== undefined;
    const isDamage = error instanceof DiskError && error.code === 'LOG_CORRUPT';
    const isExcused = node.disk.faults.injected > 0;
    if (!isOperating || isDamage || !isExcused || attempt > STARTS_MAX) throw error;
    this.#world.say(`  start of ${node.name} refused: ${String(error)}`);
    node.disk.faults.clear();
    node.end('kill');
  }
}

function hasDied({disk, isDying}: PairNode): boolean {
  return disk.dead || isDying;
}
