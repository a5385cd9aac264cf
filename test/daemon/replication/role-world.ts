/**
 * Nodes with one resource for tests of roles: what is durable on each, what runs on it, and a death
 * at any step. The decisions are the real ones (handover, promote, right); steps are fakes.
 */
import type {ResourceFacts} from '../../../src/cluster/facts.js';
import {DiskError} from '../../../src/core/errors.js';
import {formatPosition} from '../../../src/core/position.js';
import type {Candidate} from '../../../src/daemon/replication/choose-source.js';
import {isTaken, type Grant} from '../../../src/daemon/replication/grant.js';
import {handOver, type HandoverSteps} from '../../../src/daemon/replication/handover.js';
import {forceRole, takeRole, type PromoteSteps} from '../../../src/daemon/replication/promote.js';
import {findRight, judgeAll} from '../../../src/daemon/replication/right.js';
import type {LineageEntry} from '../../../src/log/lineage.js';

/** The process died here. */
export class Death extends Error {
  override readonly name = 'Death';
}

const BYTES = 4096;

function soon<T>(work: () => T): Promise<T> {
  return Promise.resolve().then(work);
}

export function idOf(name: string): string {
  return Buffer.from(name).toString('hex').padEnd(32, '0').slice(0, 32);
}

/** What survives the death of a node. */
interface Durable {
  wish: 'primary' | 'secondary';
  forcedAt: string | undefined;
  grant: Grant | undefined;
  lineage: LineageEntry[];
  /** One word for each record; the position is BYTES times its count. */
  log: string[];
}

export class RoleNode {
  readonly name: string;
  readonly world: RoleWorld;
  durable: Durable = {
    wish: 'secondary',
    forcedAt: undefined,
    grant: undefined,
    lineage: [],
    log: [],
  };
  serving = false;
  /** Who uses the image over here. */
  user: string | undefined;
  mixture: string | undefined;
  /** What the disk process says of the log. */
  damage: string | undefined;
  fetchStopped: string | undefined;
  /** Does not answer anybody. */
  isAway = false;
  /** Its facts are not known to the others. */
  isUnheard = false;
  /** Nothing comes to it. */
  isDeaf = false;
  waits: string[] = [];
  /** Steps until it dies; counts down. */
  deathIn = Infinity;
  steps: string[] = [];

  constructor(world: RoleWorld, name: string) {
    this.world = world;
    this.name = name;
  }

  get id(): string {
    return idOf(this.name);
  }

  get position(): string {
    return formatPosition(this.durable.log.length * BYTES);
  }

  get chain(): string {
    let chain = 7;
    for (const word of this.durable.log) {
      for (const char of word) chain = (Math.imul(chain, 31) + (char.codePointAt(0) ?? 0)) >>> 0;
    }

    return chain.toString(16).padStart(16, '0');
  }

  grantInForce(): Grant | undefined {
    const {grant, lineage} = this.durable;
    return grant === undefined || isTaken(grant, lineage) ? undefined : grant;
  }

  /** One step: it may die before or after what it does, so each number is a death of its own. */
  #step<T>(name: string, work: () => T): T {
    this.steps.push(name);
    this.#die();
    const result = work();
    this.#die();
    return result;
  }

  #die(): void {
    this.deathIn -= 1;
    if (this.deathIn !== 0) return;
    this.serving = false;
    this.isAway = true;
    throw new Death(`${this.name} died at ${this.steps.at(-1) ?? 'the start'}`);
  }

  /** Begins an epoch and serves: what activation does. */
  activate(): void {
    if (this.serving) return;
    const epoch = this.world.newEpoch();
    const {lineage} = this.durable;
    lineage.push({
      epoch,
      node: this.id,
      nodeName: this.name,
      start: this.position,
      chain: this.chain,
    });
    this.serving = true;
  }

  write(word: string): void {
    if (!this.serving) throw new Error(`${this.name} serves nobody`);
    this.durable.log.push(`${this.durable.lineage.at(-1)?.epoch ?? ''}:${word}`);
  }

  /** Takes everything from `source`, as a follower whose log is the beginning of its log. */
  follow(source: RoleNode): void {
    if (this.isDeaf) return;
    if (this.serving || source.isAway) return;
    const {log, lineage} = source.durable;
    const isPart = this.durable.log.every((word, at) => log[at] === word);
    if (!isPart || log.length < this.durable.log.length) return;
    this.durable.log = [...log];
    this.durable.lineage = [...lineage];
  }

  /** The daemon starts again: the rules of mayServeAgain. */
  restart(): void {
    this.isAway = false;
    this.deathIn = Infinity;
    this.serving = false;
    const {durable} = this;
    if (durable.wish === 'secondary') return;
    const isBlocked = this.grantInForce() !== undefined && durable.forcedAt === undefined;
    const standing = {nodeId: this.id, lineage: durable.lineage, position: this.position};
    const verdict = judgeAll(standing, this.world.facts(this));
    if (isBlocked || verdict.kind !== 'newest') durable.wish = 'secondary';
    else this.activate();
  }

  handoverSteps(): HandoverSteps {
    const {durable} = this;
    return {
      name: 'web01',
      nodeId: this.id,
      nodeName: this.name,
      grant: () => this.grantInForce(),
      lineage: () => durable.lineage,
      successor: () => {
        const standing = {nodeId: this.id, lineage: durable.lineage, position: this.position};
        const verdict = judgeAll(standing, this.world.facts(this));
        return verdict.kind === 'newest' ? undefined : {name: verdict.byName};
      },
      isPrimary: () => soon(() => durable.wish === 'primary' || this.serving),
      deactivate: () =>
        soon(() => {
          this.#step('deactivate', () => {
            if (this.user !== undefined) throw new DiskError('RESOURCE_BUSY', `used: ${this.user}`);
            this.serving = false;
          });
        }),
      settledEnd: () =>
        soon(() =>
          this.#step('settledEnd', () => ({
            epoch: durable.lineage.at(-1)?.epoch ?? '',
            position: durable.log.length * BYTES,
            chain: this.chain,
          })),
        ),
      isAbandoned: () => this.world.isAbandoned,
      clearForced: () => {
        this.#step('clearForced', () => {
          durable.forcedAt = undefined;
        });
      },
      writeGrant: (grant) => {
        this.#step('writeGrant', () => {
          durable.grant = grant;
        });
      },
      saveSecondary: () => {
        this.#step('saveSecondary', () => {
          durable.wish = 'secondary';
        });
      },
      resume: () =>
        soon(() => {
          // The dead do not resume.
          if (!this.isAway) this.activate();
        }),
      now: () => '2026-11-22T10:00:00.000Z',
    };
  }

  promoteSteps(timeoutMs = 200): PromoteSteps {
    const {durable, world} = this;
    return {
      name: 'web01',
      nodeName: this.name,
      deadlineMs: performance.now() + timeoutMs,
      mixture: () => soon(() => this.mixture),
      isReadable: () =>
        soon(() => {
          if (this.damage !== undefined) throw new DiskError('LOG_CORRUPT', this.damage);
          return true;
        }),
      fork: () => undefined,
      fetchStopped: () => this.fetchStopped,
      right: () =>
        findRight(
          {nodeId: this.id, lineage: durable.lineage, grant: this.grantInForce()},
          world.facts(this),
        ),
      here: () =>
        soon(() => {
          const source = world.nodes.find((node) => node !== this && node.durable.log.length > 0);
          for (const node of world.nodes) if (node !== this) this.follow(node);
          return {
            durable: this.position,
            received: this.position,
            originEnd: source?.position ?? this.position,
          };
        }),
      reach: async (nodeId) => {
        const isThere = world.nodes.some(({id, isAway}) => id === nodeId && !isAway);
        await soon(() => undefined);
        if (!isThere) throw new DiskError('PEER_UNREACHABLE', 'it does not answer');
      },
      ask: async (nodeId) => {
        this.#step('ask', () => undefined);
        const answer = await world.ask(this, nodeId);
        return this.#step('granted', () => answer);
      },
      stopFollowing: () =>
        soon(() =>
          this.#step('stopFollowing', () =>
            durable.log.length === 0
              ? undefined
              : {
                  epoch: durable.lineage.at(-1)?.epoch ?? '',
                  position: durable.log.length * BYTES,
                  chain: this.chain,
                },
          ),
        ),
      savePrimary: (forcedAt) => {
        this.#step('savePrimary', () => {
          durable.wish = 'primary';
          durable.forcedAt = forcedAt;
        });
      },
      wait: (reason) => {
        if (reason !== undefined) this.waits.push(reason);
      },
      now: () => '2026-11-22T11:00:00.000Z',
    };
  }

  /** `mars primary`. */
  async primary(timeoutMs?: number): Promise<void> {
    if (this.serving) return;
    await takeRole(this.promoteSteps(timeoutMs));
    this.#step('activate', () => {
      this.activate();
    });
  }

  /** `mars primary --force`. */
  async force(): Promise<void> {
    await forceRole(this.promoteSteps());
    this.#step('activate', () => {
      this.activate();
    });
  }

  /** `mars secondary`. */
  secondary(): void {
    this.serving = false;
    this.durable.wish = 'secondary';
    this.durable.forcedAt = undefined;
  }
}

export class RoleWorld {
  readonly nodes: RoleNode[];
  isAbandoned = false;
  /** The answer of a handover gets lost on its way. */
  losesAnswer = false;
  #epochs = 0;
  readonly #queues = new Map<string, Promise<unknown>>();

  constructor(...names: string[]) {
    this.nodes = names.map((name) => new RoleNode(this, name));
  }

  newEpoch(): string {
    this.#epochs += 1;
    return this.#epochs.toString(16).padStart(32, '0');
  }

  /** What `node` has heard of the others. */
  facts(node: RoleNode): Candidate[] {
    return this.nodes
      .filter((other) => other !== node && !other.isUnheard)
      .map((other) => ({
        nodeId: other.id,
        name: other.name,
        linkUp: !other.isAway,
        facts: {
          role: other.serving ? 'primary' : 'secondary',
          designatedRole: other.durable.wish,
          lineage: other.durable.lineage,
          position: other.position,
          granted:
            other.durable.grant === undefined
              ? null
              : {
                  to: other.durable.grant.to,
                  epoch: other.durable.grant.epoch,
                  position: other.durable.grant.position,
                },
        } as unknown as ResourceFacts,
      }));
  }

  /** A handover at `nodeId`, one at a time, as in the queue of its resource. */
  async ask(asker: RoleNode, nodeId: string) {
    const node = this.nodes.find(({id}) => id === nodeId);
    const before = this.#queues.get(nodeId) ?? Promise.resolve();
    const run = before.then(async () => {
      if (node === undefined || node.isAway) {
        throw new DiskError('PEER_UNREACHABLE', 'it does not answer');
      }

      try {
        return await handOver(node.handoverSteps(), asker);
      } catch (error) {
        if (!(error instanceof Death)) throw error;
        throw new DiskError('PEER_UNREACHABLE', 'the connection broke', {}, {cause: error});
      }
    });
    this.#queues.set(
      nodeId,
      run.catch(() => undefined),
    );
    const answer = await run;
    if (this.losesAnswer) throw new DiskError('TIMEOUT', 'no answer in time');
    return answer;
  }

  get primaries(): RoleNode[] {
    return this.nodes.filter(({serving}) => serving);
  }
}
