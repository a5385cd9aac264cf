/**
 * One resource of this node and its replicas elsewhere: how it follows, what it keeps for others,
 * what it tells of itself, and what is known of the others.
 */
import {existsSync} from 'node:fs';
import type {
  FollowStatus,
  ReplicaStatus,
  ResourceState,
  ResourceStatus,
} from '../../control/api.js';
import type {ResourceFacts} from '../../cluster/facts.js';
import type {DiskStatus, SpaceWish} from '../../core/disk-status.js';
import {CONFIRM_PROTOCOL} from '../../core/confirm-lines.js';
import {DiskError} from '../../core/errors.js';
import {modeOf} from '../../core/mode.js';
import type {LineageEntry} from '../../log/lineage.js';
import {givenUpHere, nextLineage} from './next-view.js';
import {diskStatus} from '../../control/disk-client.js';
import type {Context} from '../context.js';
import {callDisk} from '../disk-call.js';
import type {Resource} from '../resource.js';
import {roleOf, stateOf, isServed} from '../views.js';
import {Acks} from './acks.js';
import {copyAgain, type CopyPlan} from './begin-copy.js';
import type {Candidate, Own} from './choose-source.js';
import {
  FACTS_FRESH_MS,
  mayNeedLog,
  openSource,
  replicasElsewhere,
  unreadableAt,
  type ClusterPort,
} from './cluster-port.js';
import {openDiskStream} from './disk-stream.js';
import {forkedBy, resourceFacts} from './facts.js';
import {Follow} from './follow.js';
import {findGrant} from './grant.js';
import {EpochClock, LagClock} from './lag.js';
import {createFolderChoice, type FolderChoice} from './folder-choice.js';
import {successorOf, type Successor} from './incarnation.js';
import {noteAnswer, noteFailure, noteFolder, noteOthers, noteSuccessor} from './notes.js';
import {completedStatus} from './completed-status.js';
import {
  followStatus,
  followerState,
  furthestEnd,
  numberOf,
  copyProgress,
  replicationOf,
  stateOfFiles,
  waitingOf,
  type FollowerInput,
} from './replica-state.js';
import {Retention} from './retention.js';
import {adoptMode, tellMode} from './shared-mode.js';
import {partingPoint} from './right.js';
import {slotPositionOf, Slots} from './slots.js';
import {lastStanding, peekLineage} from './standing.js';
import {startDisk} from './start-disk.js';
import {SynchronousServing} from './synchronous.js';
import type {SyncTurns} from './sync-turns.js';
import {ReplicaVerify} from './verify-replica.js';
import {replicaStatus, keptFor, type Ack} from './views.js';

const OPEN_TIMEOUT_MS = 10_000;
const DISK_TIMEOUT_MS = 5000;
const POLL_FRESH_MS = 200;
/** For streams: a position so old is as good as a new one. */
const STATUS_FRESH_MS = 20;

/** Replication of one resource; from its load to its end. */
export class Replica {
  readonly resource: Resource;
  readonly follow: Follow;
  readonly slots: Slots;
  readonly retention: Retention;
  /** Streams to followers, and what the disk process is told of them. */
  readonly synchronous: SynchronousServing;
  readonly folders: FolderChoice;
  /** Compares it with other replicas, and answers those that do. */
  readonly verify: ReplicaVerify;
  readonly #context: Context;
  readonly #cluster: ClusterPort;
  readonly #acks: Acks;
  readonly #lag = new LagClock();
  readonly #isHeld: () => boolean;
  readonly #abort = new AbortController();
  #loop: Promise<unknown> | undefined;
  #status: {readonly atMs: number; readonly value: Promise<DiskStatus | undefined>} | undefined;
  #polledMs = -Infinity;
  readonly #epochs = new EpochClock();

  /**
   * @param turns of all resources of the node
   * @param isHeld true: no disk process may be started now
   * @throws DiskError STATE_UNREADABLE where slots.json is not valid
   */
  constructor(
    context: Context,
    cluster: ClusterPort,
    resource: Resource,
    turns: SyncTurns,
    isHeld: () => boolean,
  ) {
    this.#isHeld = isHeld;
    this.#context = context;
    this.#cluster = cluster;
    this.resource = resource;
    this.#acks = new Acks(context.clock);
    const {paths} = resource.places;
    this.slots = new Slots(paths.slotsFile, context.clock);
    this.retention = new Retention({
      clock: context.clock,
      slots: this.slots,
      logDirectory: paths.logDirectory,
      file: () => this.#file(),
      replicas: () => (this.#isKnown ? this.candidates() : []),
      partsAt: (replica) => partingPoint(lastStanding(context, resource), replica),
      isMember: (nodeId) =>
        mayNeedLog(cluster, context.clock, nodeId, this.candidates(), resource.name),
      isRemoved: (nodeId) => cluster.isRemoved(nodeId),
      yieldingBytes: () => context.space?.yieldingBytes(resource.name) ?? 0,
      lagMs: (position) => this.#lag.lagMs(position, context.clock.monotonicMs()),
      tellDisk: async (position) => {
        await callDisk(paths.socket, '/retain', DISK_TIMEOUT_MS, {position});
      },
      onDropped: (name, text) => {
        context.tell('REPLICA_DROPPED', 'critical', resource.name, text);
        resource.say('REPLICA_DROPPED', 'warning', text);
        context.log.warn({resource: resource.name, node: name}, text);
      },
      onBack: () => {
        // One message for all of them: it goes with the last.
        if (this.slots.dropped.size === 0) resource.hush('REPLICA_DROPPED');
      },
    });
    this.synchronous = new SynchronousServing(context.clock, {
      isWanted: () => {
        const file = this.#file();
        return file?.designatedRole === 'primary' && modeOf(file).mode !== 'async';
      },
      open: () => openDiskStream(paths.socket, CONFIRM_PROTOCOL, DISK_TIMEOUT_MS),
    });
    this.follow = new Follow({
      clock: context.clock,
      file: () => this.#file(),
      candidates: () => this.candidates(),
      isReplicated: () => this.isReplicated,
      disk: (isFresh) => this.#disk(isFresh),
      own: (status) => this.#own(status),
      openPeer: (nodeId, protocol) =>
        openSource(cluster, resource.file.id, nodeId, protocol, OPEN_TIMEOUT_MS),
      openDisk: (protocol) => openDiskStream(paths.socket, protocol, DISK_TIMEOUT_MS),
      copyAgain: async (reason) => {
        await this.copyAgain(reason);
      },
      noteAnswer: (follow, source) => {
        noteAnswer(context, resource, follow, source);
        cluster.touch();
      },
      noteFailure: (error) => {
        noteFailure(context, resource, error);
      },
      syncTurn: {
        take: () => turns.take(resource.name),
        leave: (isDone) => {
          turns.leave(resource.name, isDone);
        },
      },
      nodeId: cluster.selfId,
      folder: () => this.folders.current,
      noteFolder: (folder, step) => {
        noteFolder(resource, folder, step);
      },
    });
    resource.follow = this.follow;
    resource.onWish = () => {
      this.follow.poke();
      this.synchronous.poke();
    };
    this.verify = new ReplicaVerify(context, this);
    this.folders = createFolderChoice(context, cluster.selfId, resource, () => {
      this.follow.poke();
    });
  }

  /** Begins to follow, where that is wanted. */
  start(): void {
    const {signal} = this.#abort;
    this.#loop ??= Promise.all([this.follow.run(signal), this.synchronous.run(signal)]);
  }

  /** Ends streams that this replica opened; its disk process goes on. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.verify.close();
    await this.#loop;
    await this.folders.close();
    try {
      this.slots.flush(true);
    } catch (error) {
      // An older position in the file only keeps more.
      this.#context.log.warn({resource: this.resource.name, err: error}, 'slots not written');
    }
  }

  /** What has taken the place of the resource on other nodes; undefined: it is what they have. */
  successor(): Successor | undefined {
    return successorOf(this.#cluster, this.resource, () => this.lineage());
  }

  /** The other members' replicas. */
  candidates(): Candidate[] {
    const file = this.#file();
    return file === undefined ? [] : replicasElsewhere(this.#cluster, this.#context.clock, file.id);
  }

  /** true where others are known to have a replica, also while none of them is heard. */
  get isReplicated(): boolean {
    const file = this.#file();
    if (this.folders.isTaking || file?.followFolder !== undefined) return true;
    if (this.slots.hasReplicas || this.candidates().length > 0) return true;
    return existsSync(this.resource.places.paths.syncFile);
  }

  /** Looks once a second. */
  async tick(): Promise<void> {
    const {resource} = this;
    if (resource.fault !== undefined) return;
    const disk = resource.disk;
    const end = this.#primaryEnd();
    if (end !== null) this.#lag.note(numberOf(end), this.#context.clock.monotonicMs());
    const others = this.candidates();
    this.#epochs.noteReplicas(
      this.#cluster.selfId,
      disk,
      others,
      this.#context.clock.monotonicMs(),
    );
    noteOthers(resource, this.verify.told, others, unreadableAt(this.#cluster, resource.name));
    noteSuccessor(this.#context, resource, this.successor());
    if (resource.file.connected === false) this.synchronous.stopStreams();
    this.#takeMode();
    // Before recovery is done, all positions are 0.
    const known = disk?.phase === 'starting' || disk?.phase === 'recovering' ? undefined : disk;
    await this.retention.tick(known);
    await tellMode(resource);
  }

  /** The mode is one for all replicas: the last change counts, on whatever node it was made. */
  #takeMode(): void {
    const changes = this.candidates().flatMap(({facts}) => facts.modeSettings ?? []);
    for (const change of changes) adoptMode(this.#context, this.resource, change);
  }

  /** What a replica confirmed over its stream. */
  noteAck(nodeId: string, ack: Ack): void {
    this.#acks.note(nodeId, ack);
    const facts = this.candidates().find((one) => one.nodeId === nodeId)?.facts;
    const position = slotPositionOf(facts?.historySeconds, ack) ?? ack.replayed;
    this.slots.advance(nodeId, numberOf(position));
  }

  /**
   * Keeps the log from `position` on for a replica whose stream is about to begin.
   *
   * @throws DiskError STORE_*, DISK_UNREACHABLE: nothing may begin then
   */
  async pin(nodeId: string, name: string, position: number): Promise<void> {
    const status = await this.sourceStatus(0);
    if (status === undefined) {
      const text = `the disk process of ${this.resource.name} does not answer`;
      throw new DiskError('DISK_UNREACHABLE', text, {resource: this.resource.name});
    }

    await this.retention.pin(nodeId, name, position, status);
    this.resource.hush('REPLICA_DROPPED');
  }

  /** Where the slowest of the replicas is that fetch now, for a disk that slows its writes for them. */
  fetchStanding(disk: DiskStatus): SpaceWish['fetch'] {
    return this.retention.fetchStanding(disk, (nodeId) => this.synchronous.isFetching(nodeId));
  }

  /** The status of the disk process, asked once for all who ask at the same time. */
  async sourceStatus(maxAgeMs = STATUS_FRESH_MS): Promise<DiskStatus | undefined> {
    const now = this.#context.clock.monotonicMs();
    if (this.#status !== undefined && now - this.#status.atMs <= maxAgeMs)
      return this.#status.value;
    const value = diskStatus(this.resource.places.paths.socket, DISK_TIMEOUT_MS).catch(
      () => undefined,
    );
    this.#status = {atMs: now, value};
    return value;
  }

  /** A replica is gone by its own wish, or was removed. */
  forget(nodeId: string): void {
    this.#acks.forget(nodeId);
    this.slots.forget(nodeId);
    this.resource.hush('REPLICA_DROPPED');
  }

  /** As copyAgain (begin-copy.ts). */
  async copyAgain(reason: DiskError): Promise<CopyPlan['how']> {
    const how = await copyAgain(this.#context, this.resource, this.candidates(), reason);
    if (how === 'compare' || how === 'beside') this.verify.forget();
    this.follow.poke();
    return how;
  }

  /** The word for how this replica is. */
  get state(): ResourceState {
    const {resource} = this;
    const {file, disk, lastDisk, messages} = resource;
    const general = stateOf(file, disk, lastDisk, [...messages, ...(disk?.messages ?? [])]);
    const overrides: readonly ResourceState[] = [
      'Detached',
      'DefectiveLog',
      'DefectiveImage',
      'Recovery',
    ];
    if (file.designatedRole === 'primary' || overrides.includes(general)) return general;
    if (this.successor() !== undefined) return 'Orphan';
    const own = followerState(this.#followerInput());
    if (own !== undefined) return own;
    // No disk process of a follower answers: what it would say is not known.
    if (!this.isReplicated) return general;
    return stateOfFiles(this.#context.paths.home, resource.name);
  }

  /** What replication adds to the status of a resource. */
  completed(status: ResourceStatus): ResourceStatus {
    const {resource} = this;
    const isAlone = !this.isReplicated && this.successor() === undefined;
    if (resource.fault !== undefined || isAlone) return status;
    const {file, disk} = resource;
    const primary = this.candidates().find(({facts}) => facts.designatedRole === 'primary');
    return completedStatus(status, {
      file,
      state: this.state,
      primary: primary?.name ?? null,
      follow: this.followStatus,
      // An operation under way, such as a handover, says more.
      waiting: resource.waiting ?? null,
      followWaiting: waitingOf(disk, this.follow.state),
      kept: keptFor(file, this.slots, status.position),
      replicas: this.replicas(),
      verify: this.verify.told,
    });
  }

  /** How it follows, as numbers; null where no disk process says. */
  get followStatus(): FollowStatus | null {
    return followStatus(this.#followerInput());
  }

  /** The others, for the status. */
  replicas(): ReplicaStatus[] {
    const {clock} = this.#context;
    const nowMs = clock.monotonicMs();
    const primaryEnd = this.#primaryEnd();
    const synchronous = this.resource.disk?.synchronous ?? null;
    return this.candidates().map((candidate) => {
      const {nodeId} = candidate;
      return replicaStatus({
        candidate,
        ageMs: this.#cluster.facts.ageMs(nodeId, nowMs),
        nowMs: clock.wallMs(),
        ack: this.#acks.fresh(nodeId),
        counted:
          synchronous && synchronous.replicas.some(({node, counted}) => node === nodeId && counted),
        primaryEnd,
        lagMs: (position) =>
          Math.max(this.#lag.lagMs(position, nowMs), this.#epochs.otherMs(nodeId, nowMs)),
      });
    });
  }

  /** What this node tells of the replica; undefined where it knows nothing of it. */
  facts(): ResourceFacts | undefined {
    const {resource} = this;
    if (resource.fault !== undefined) return undefined;
    const {file, disk, lastDisk} = resource;
    const follow = file.designatedRole === 'secondary' ? this.follow.state : undefined;
    const {home} = this.#context.paths;
    return resourceFacts({
      nodeId: this.#context.node.id,
      file,
      role: roleOf(file, isServed(resource), resource.operation),
      state: this.state,
      disk: lastDisk,
      lineage: this.lineage(),
      // Its last word may be from before the history was given up, or brought back.
      ...(disk === undefined ? {givenUp: givenUpHere(home, file.name) ?? null} : {}),
      openCount: null,
      grant: findGrant(this.resource.places.paths.grantFile),
      forked: forkedBy(disk, this.follow.state.source?.nodeId ?? this.#cluster.selfId),
      sync: copyProgress(this.resource),
      verify: this.verify.told,
      messages: [...resource.messages, ...(disk?.messages ?? [])],
      replication: follow === undefined ? null : replicationOf(file, follow),
      since: follow?.since ?? null,
      waiting: follow === undefined ? null : waitingOf(disk, follow),
    });
  }

  /** The epochs of this replica; empty where the file cannot be read. */
  lineage(): LineageEntry[] {
    return peekLineage(this.#context, this.resource);
  }

  /** What is asked for: of a replica that is made beside the one here, its own. */
  #own({position, follow}: DiskStatus): Own {
    const next = follow?.next ?? undefined;
    if (next === undefined) return {lineage: this.lineage(), position, copying: false};
    const lineage = nextLineage(this.#context.paths.home, this.resource.name);
    return {lineage, position: next.received, copying: false};
  }

  #file(): Resource['file'] | undefined {
    return this.resource.fault === undefined ? this.resource.file : undefined;
  }

  #followerInput(): FollowerInput {
    const {resource} = this;
    const nowMs = this.#context.clock.monotonicMs();
    const candidates = this.candidates();
    const source = this.follow.state.source?.nodeId;
    const primary = candidates.find(({facts}) => facts.role === 'primary');
    const heard = primary?.nodeId ?? source;
    const isOpen = this.follow.state.stage === 'open';
    const folder = this.folders.current;
    if (folder !== undefined && resource.file.designatedRole === 'secondary') {
      const input = {file: resource.file, disk: resource.disk, follow: this.follow.state};
      return {...input, ...folder.told(this.#context.clock.wallMs())};
    }

    const silentMs = heard === undefined ? Infinity : this.#cluster.facts.ageMs(heard, nowMs);
    return {
      file: resource.file,
      disk: resource.disk,
      follow: this.follow.state,
      primaryEnd: this.#primaryEnd() ?? furthestEnd(candidates, resource.disk?.epoch ?? null),
      primaryEpoch: primary?.facts.epoch ?? null,
      otherEpochMs: this.#epochs.otherMs(this.#cluster.selfId, nowMs),
      // Without a primary nothing is missing that anybody could give.
      linkUp:
        isOpen ||
        silentMs < FACTS_FRESH_MS ||
        (heard === undefined && candidates.some(({linkUp}) => linkUp)),
      silentMs,
    };
  }

  /** End of the primary's log: our own, or the primary's as it told. */
  #primaryEnd(): string | null {
    const {resource} = this;
    if (resource.disk?.mode === 'serve') return resource.disk.position;
    const primary = this.candidates().find(({facts}) => facts.role === 'primary');
    return primary?.facts.position ?? null;
  }

  /** false: where the log here ends is not known yet, nor whether it parts from that of others. */
  get #isKnown(): boolean {
    const phase = this.resource.lastDisk?.phase;
    return phase !== undefined && phase !== 'starting' && phase !== 'recovering';
  }

  async #disk(isFresh = false): Promise<DiskStatus> {
    const {resource} = this;
    const now = this.#context.clock.monotonicMs();
    const isOld = isFresh || now - this.#polledMs > POLL_FRESH_MS;
    if (isOld || resource.disk?.mode !== 'follow') {
      await resource.poll();
      this.#polledMs = now;
    }

    if (resource.disk?.mode === 'follow') return resource.disk;
    if (resource.silentSince !== undefined) {
      const words = resource.lastWords();
      throw words ?? new DiskError('DISK_UNREACHABLE', 'the disk process does not answer yet');
    }

    return resource.run('follow', async () => {
      if (!this.follow.isWanted || this.#isHeld()) {
        throw new DiskError('RESOURCE_NOT_PRIMARY', 'it is not to follow any more');
      }

      return startDisk(this.#context, resource);
    });
  }
}
