/** All replicas of this node: one per daemon. The node adds and removes resources. */
import {setTimeout as sleep} from 'node:timers/promises';
import {checkFacts, type DeletedResource, type ResourceFacts} from '../../cluster/facts.js';
import type {Member} from '../../cluster/members.js';
import type {ResourceStatus} from '../../control/api.js';
import {DiskError, isDiskError} from '../../core/errors.js';
import {SYNC_LIMIT_DEFAULT} from '../../core/limits.js';
import {spacePolicyOf} from '../../core/space.js';
import type {ResourceFile} from '../../core/home.js';
import type {Context} from '../context.js';
import {noteDeleted, readDeleted} from '../deleted-resources.js';
import type {Resource} from '../resource.js';
import {
  FACTS_FRESH_MS,
  replicasElsewhere,
  resourcesElsewhere,
  type ClusterPort,
} from './cluster-port.js';
import {KeptFacts} from './kept-facts.js';
import type {Candidate} from './choose-source.js';
import {noteOtherPrimaries} from './other-primaries.js';
import {Replica} from './replica.js';
import {createRoleServices} from './role-services.js';
import {SyncTurns} from './sync-turns.js';
import {notJoinedStatus, replicaStatus} from './views.js';

const TICK_MS = 1000;
const ASK_TIMEOUT_MS = 3000;
const LEAVE_TIMEOUT_MS = 5000;

/** The replicas of a node. */
export class Replication {
  readonly cluster: ClusterPort;
  /** Whose image is copied now, and who waits for that. */
  readonly turns: SyncTurns;
  readonly #context: Context;
  readonly #kept: KeptFacts;
  readonly #replicas = new Map<string, Replica>();
  /** Resources without a replica: its slots cannot be read. */
  readonly #failed = new Set<string>();
  readonly #abort = new AbortController();
  #held = false;
  #deleted: readonly DeletedResource[];
  #loop: Promise<void> | undefined;

  constructor(context: Context, cluster: ClusterPort) {
    this.#context = context;
    this.cluster = cluster;
    this.#kept = new KeptFacts(context.clock, cluster.facts);
    this.#deleted = this.#readDeleted();
    this.turns = new SyncTurns(
      () => context.node.syncLimit ?? SYNC_LIMIT_DEFAULT,
      () => new Date(context.clock.wallMs()).toISOString(),
      () => {
        this.factsChanged();
      },
    );
    context.roles = createRoleServices(cluster, context.clock, (timeoutMs) => this.ask(timeoutMs));
  }

  /** A hint for others: where it cannot be read, nothing is told. */
  #readDeleted(): readonly DeletedResource[] {
    try {
      return readDeleted(this.#context.paths.home);
    } catch (error) {
      if (!isDiskError(error)) throw error;
      this.#context.log.error({err: error}, 'deleted.json not read');
      return [];
    }
  }

  /** A resource of this node, as it was loaded or made; it follows from `start` on. */
  add(resource: Resource): Replica | undefined {
    try {
      const held = (): boolean => this.#held;
      const replica = new Replica(this.#context, this.cluster, resource, this.turns, held);
      this.#replicas.set(resource.name, replica);
      this.#failed.delete(resource.name);
      if (this.#loop !== undefined) replica.start();
      return replica;
    } catch (error) {
      if (!isDiskError(error)) throw error;
      this.#failed.add(resource.name);
      // Nothing of its log is given up then: the disk process does not start without the file.
      resource.say(error.code, 'critical', error.message);
      this.#context.log.error({resource: resource.name, err: error}, 'no replication');
      return undefined;
    }
  }

  /** The resource is about to go from this node: it follows nobody any more. */
  async remove(name: string): Promise<void> {
    const replica = this.#replicas.get(name);
    this.#replicas.delete(name);
    this.#failed.delete(name);
    if (replica !== undefined) {
      replica.resource.follow = undefined;
      replica.resource.verify = undefined;
    }

    await replica?.stop();
    this.turns.leave(name, true);
  }

  /** true: all disks are being ended, and no disk process is started again. */
  hold(held: boolean): void {
    this.#held = held;
  }

  replica(name: string): Replica | undefined {
    return this.#replicas.get(name);
  }

  /** By the id of the resource. */
  byId(id: string): Replica | undefined {
    return [...this.#replicas.values()].find(
      ({resource}) => resource.fault === undefined && resource.file.id === id,
    );
  }

  /** Begins to follow and to look after slots. */
  start(): void {
    for (const replica of this.#replicas.values()) replica.start();
    this.#loop ??= this.#run();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#loop;
    await Promise.all([...this.#replicas.values()].map((replica) => replica.stop()));
  }

  async #run(): Promise<void> {
    const {signal} = this.#abort;
    while (!signal.aborted) {
      for (const [name, replica] of this.#byPriority()) {
        try {
          await replica.tick();
          this.#noteOtherPrimaries(replica);
        } catch (error) {
          this.#context.log.warn({resource: name, err: error}, 'slots: tried again');
        }
      }

      await sleep(TICK_MS, undefined, {signal}).catch(() => undefined);
    }
  }

  #noteOtherPrimaries(replica: Replica): void {
    const {resource} = replica;
    const nowMs = this.#context.clock.monotonicMs();
    const ageMs = (nodeId: string): number => this.cluster.facts.ageMs(nodeId, nowMs);
    noteOtherPrimaries(this.#context, resource, replica.candidates(), ageMs);
  }

  /** Who gives way first comes first: what its log gives back is there for the next. */
  #byPriority(): [string, Replica][] {
    const priorityOf = ({resource}: Replica): number =>
      resource.fault === undefined ? spacePolicyOf(resource.file).priority : 0;
    return [...this.#replicas].sort(([, one], [, other]) => priorityOf(one) - priorityOf(other));
  }

  /** What this node tells of its replicas. */
  facts(): ResourceFacts[] {
    return [...this.#replicas.values()].flatMap((replica) => this.#kept.of(replica) ?? []);
  }

  /** Names of the resources of which it can only be told that they are here. */
  unreadable(): string[] {
    const faulty = [...this.#replicas.values()].filter(
      ({resource}) => resource.fault !== undefined,
    );
    return [...this.#failed, ...faulty.map(({resource}) => resource.name)].sort();
  }

  /** What was deleted here for good, and is not here again. */
  deleted(): readonly DeletedResource[] {
    return this.#deleted.filter(({id}) => this.byId(id) === undefined);
  }

  /** true where nobody else is primary of it, and this node was it last, or nobody else has it. */
  isLastPrimary(id: string): boolean {
    const others = replicasElsewhere(this.cluster, this.#context.clock, id);
    const isPrimary = ({facts}: Candidate): boolean =>
      facts.role === 'primary' || facts.designatedRole === 'primary';
    if (others.some(isPrimary)) return false;
    return others.length === 0 || this.byId(id)?.lineage().at(-1)?.node === this.cluster.selfId;
  }

  /**
   * Notes, before it goes, that a resource is deleted here for good: nobody else is its primary, and this node
   * was it last, or nobody else has it.
   *
   * @throws DiskError STATE_UNREADABLE, STORE_*
   */
  noteDeleted({id, name}: Pick<ResourceFile, 'id' | 'name'>): void {
    if (!this.isLastPrimary(id)) return;
    const {clock, paths} = this.#context;
    const last = this.byId(id)?.lineage().at(-1);
    const at = new Date(clock.wallMs()).toISOString();
    noteDeleted(paths.home, {id, name, at, epoch: last?.epoch ?? null});
    this.#deleted = readDeleted(paths.home);
  }

  /** Other nodes have told something new, or a wish of this node has changed. */
  factsChanged(): void {
    for (const {follow} of this.#replicas.values()) follow.poke();
  }

  /** Asks all members for their facts now; who does not answer in time is not waited for. */
  async ask(timeoutMs = ASK_TIMEOUT_MS): Promise<void> {
    const {caller, facts} = this.cluster;
    const members = this.cluster.members();
    const isMember = (id: string): boolean => members.some((member) => member.id === id);
    const asked = members.map(async (member) => {
      const body = {facts: facts.all()};
      const answer = await caller.call<unknown>(member, 'POST', 'facts', body, timeoutMs);
      facts.merge(checkFacts(answer), this.#context.clock.monotonicMs(), isMember);
    });
    await Promise.allSettled(asked);
  }

  /**
   * The facts of a resource that others have and this node has not, by its name.
   *
   * @throws DiskError NO_SOURCE
   */
  async findElsewhere(name: string): Promise<ResourceFacts> {
    const find = (): ResourceFacts | undefined =>
      this.#strangers(name).find(({facts}) => facts.name === name)?.facts;
    const known = find();
    if (known !== undefined) return known;
    await this.ask();
    const found = find();
    if (found !== undefined) return found;
    const names = this.#strangers().map(({facts}) => facts.name);
    const others = names.length === 0 ? 'no other resource either' : `only ${names.join(', ')}`;
    throw new DiskError(
      'NO_SOURCE',
      `no member of the cluster is known to have ${name}: ${others}`,
      {
        resource: name,
      },
    );
  }

  /** Tells all members that this node has no replica any more; who is away finds out by the facts. */
  async tellLeft(resourceId: string): Promise<void> {
    const {caller} = this.cluster;
    this.cluster.touch();
    const told = this.cluster
      .members()
      .map((member) =>
        caller.call(member, 'POST', `resources/${resourceId}/leave`, {}, LEAVE_TIMEOUT_MS),
      );
    await Promise.allSettled(told);
  }

  /** Resources that only other nodes have, for the status. */
  notJoined(): ResourceStatus[] {
    const {clock} = this.#context;
    const nowMs = clock.monotonicMs();
    return this.#strangers().map(({facts}) => {
      const candidates = replicasElsewhere(this.cluster, clock, facts.id);
      const primary = candidates.find((each) => each.facts.designatedRole === 'primary');
      const primaryEnd = primary?.facts.position ?? null;
      const replicas = candidates.map((candidate) =>
        replicaStatus({
          candidate,
          ageMs: this.cluster.facts.ageMs(candidate.nodeId, nowMs),
          nowMs: clock.wallMs(),
          ack: undefined,
          counted: null,
          primaryEnd,
          lagMs: () => 0,
        }),
      );
      return notJoinedStatus(facts, replicas, primary?.name ?? null);
    });
  }

  /** @param wanted a name that counts although there is a resource of it here: another one */
  #strangers(wanted?: string): {readonly member: Member; readonly facts: ResourceFacts}[] {
    const names = new Set<string>();
    const ids = new Set<string>();
    for (const {resource} of this.#replicas.values()) {
      if (resource.name !== wanted) names.add(resource.name);
      if (resource.fault === undefined) ids.add(resource.file.id);
    }

    return resourcesElsewhere(this.cluster, ids).filter(({facts}) => !names.has(facts.name));
  }

  /** true where some other member was heard of within the last seconds. */
  hearsAnybody(): boolean {
    const now = this.#context.clock.monotonicMs();
    return this.cluster
      .members()
      .some(({id}) => this.cluster.facts.ageMs(id, now) < FACTS_FRESH_MS);
  }
}
