/**
 * Everything of this node that has to do with other nodes, but for replication: the list of members,
 * keys, server, calls, and the exchange of facts. Where the keys or the list cannot be used, the
 * disks of this node go on without: `fault` says why.
 */
import type {Duplex} from 'node:stream';
import {parseListen} from '../cluster/address.js';
import {ensureIdentity, type Identity} from '../cluster/certificates.js';
import {FactStore, type ResourceFacts, type DeletedResource} from '../cluster/facts.js';
import {
  memberByName,
  mergeMembers,
  removeMember,
  setMember,
  type Cluster,
  type Member,
} from '../cluster/members.js';
import type {PeerCaller} from '../cluster/peer-caller.js';
import {PeerClient} from '../cluster/peer-client.js';
import {clusterSchema, PEER_PROTOCOL_VERSION} from '../cluster/peer-protocol.js';
import type {PeerRoutes} from '../cluster/peer-routes.js';
import type {PeerRemoveDocument, RemovedReplica} from '../control/peer-api.js';
import {check} from '../core/check.js';
import {DiskError, isDiskError} from '../core/errors.js';
import {ClusterState} from './cluster-state.js';
import type {Context} from './context.js';
import {FactsExchange, type PeerLink} from './facts-exchange.js';
import {acceptJoin, checkPeerBody, invite, joinCluster} from './peer-join.js';
import {PeerServer, type Origin} from './peer-server.js';
import {fromRemote} from './remote.js';
import type {Request} from './routes.js';

/** How often `listen` of node.json is compared with what is listened on. */
const LISTEN_INTERVAL_MS = 2_000;
const TELL_TIMEOUT_MS = 5_000;

export interface PeersOptions {
  readonly context: Context;
  /** Of mars. */
  readonly version: string;
  /** Names of the resources of this node. */
  readonly resources: () => readonly string[];
}

interface Parts {
  readonly identity: Identity;
  readonly state: ClusterState;
  readonly client: PeerClient;
  readonly server: PeerServer;
  readonly exchange: FactsExchange;
}

/** What it means that a node is no member any more. */
export type Removal = Required<Pick<PeerRemoveDocument, 'told' | 'untold' | 'replicas'>>;

/** The other nodes, as this daemon knows and calls them. */
export class Peers {
  readonly facts: FactStore;
  /** Why there are no peers; undefined where all is well. */
  readonly fault: DiskError | undefined;
  /** Port that is listened on; undefined: none. */
  port: number | undefined;
  readonly #options: PeersOptions;
  readonly #parts: Parts | undefined;
  #routes: PeerRoutes | undefined;
  #control: ((request: Request) => Promise<unknown>) | undefined;
  #ownResources: () => Promise<readonly ResourceFacts[]> = () => Promise.resolve([]);
  #unreadable: () => readonly string[] = () => [];
  #deleted: () => readonly DeletedResource[] = () => [];
  #listening: string | undefined;
  #listenFault = '';
  #timer: NodeJS.Timeout | undefined;
  #wasRevoked = false;

  constructor(options: PeersOptions) {
    const {context} = options;
    this.#options = options;
    this.facts = new FactStore(context.node.id);
    try {
      this.#parts = this.#open();
    } catch (error) {
      if (!isDiskError(error)) throw error;
      this.fault = error;
      context.tell(error.code, 'warning', null, `no peers: ${error.message}`);
      context.log.error({err: error}, 'peers cannot be used');
    }
  }

  #open(): Parts {
    const {context} = this.#options;
    const identity = ensureIdentity(context.paths.home);
    const state = new ClusterState(context, identity);
    const client = new PeerClient(identity, context.node.id);
    const server = new PeerServer(this.#backend(state, identity), identity, context.log);
    const exchange = new FactsExchange({
      context,
      store: this.facts,
      caller: client,
      members: () => state.others(),
      cluster: () => state.cluster,
      takeMembers: (body) => {
        this.#takeMembers(state, body);
      },
      address: () => context.node.listen ?? '',
      ownResources: () => this.#ownResources(),
      unreadable: () => this.#unreadable(),
      deleted: () => this.#deleted(),
    });
    this.#wasRevoked = state.isRevoked();
    state.onChange(() => {
      server.dropStreams();
      this.#routes?.changed?.();
      this.#noteRevoked(state);
      exchange.touch();
    });
    return {identity, state, client, server, exchange};
  }

  #backend(state: ClusterState, identity: Identity): ConstructorParameters<typeof PeerServer>[0] {
    const {context, version} = this.#options;
    return {
      nodeId: context.node.id,
      memberByFingerprint: (fingerprint) => state.byFingerprint(fingerprint),
      memberById: (id) => state.byId(id),
      isInviting: () => state.isInviting(),
      hello: () => ({
        protocol: PEER_PROTOCOL_VERSION,
        version,
        nodeId: context.node.id,
        name: context.node.name,
        cluster: state.cluster.id,
        fingerprint: identity.fingerprint,
      }),
      join: (origin: Origin, body) => {
        const answer = acceptJoin(context, state, origin, body);
        void this.#tellMembers(state.others());
        return answer;
      },
      facts: (caller, body) => this.#use().exchange.answer(caller, body),
      members: (_caller, body) => {
        this.#takeMembers(state, body);
        const {id, members} = state.cluster;
        return {id, members};
      },
      control: (caller, body) => {
        const request = fromRemote(context, caller, body);
        if (this.#control !== undefined) return this.#control(request);
        throw new DiskError('PEER_REFUSED', `${context.node.name} is just starting: try again`);
      },
      routes: () => this.#routes,
    };
  }

  /** Listens where node.json says so, and begins to exchange facts. */
  async start(): Promise<void> {
    if (this.#parts === undefined) return;
    await this.#keepListening();
    this.#timer = setInterval(() => {
      void this.#keepListening();
    }, LISTEN_INTERVAL_MS);
    this.#parts.exchange.start();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#parts?.client.close();
    await this.#parts?.exchange.close();
    await this.#parts?.server.close();
  }

  /** Who answers requests below `resources/`, and streams. */
  serve(routes: PeerRoutes): void {
    this.#routes = routes;
  }

  /** Who answers what members ask with `--host`; it was checked before. */
  serveControl(control: (request: Request) => Promise<unknown>): void {
    this.#control = control;
  }

  /** Where the facts of this node's resources come from; asked every two seconds. */
  setOwnFacts(
    ownResources: () => Promise<readonly ResourceFacts[]>,
    unreadable: () => readonly string[] = () => [],
    deleted: () => readonly DeletedResource[] = () => [],
  ): void {
    this.#ownResources = ownResources;
    this.#unreadable = unreadable;
    this.#deleted = deleted;
    this.touch();
  }

  get context(): Context {
    return this.#options.context;
  }

  get selfId(): string {
    return this.#options.context.node.id;
  }

  /** Members other than this node that were not removed. */
  readonly members = (): readonly Member[] => this.#parts?.state.others() ?? [];

  readonly isRemoved = (nodeId: string): boolean =>
    this.cluster?.members.some(({id, removed}) => id === nodeId && removed === true) ?? false;

  /** Something of this node changed: others should hear of it soon. */
  readonly touch = (): void => {
    this.#parts?.exchange.touch();
  };

  /** How other members are called; every call fails where there are no peers. */
  get caller(): PeerCaller {
    return this.#parts?.client ?? brokenCaller(this.fault);
  }

  get cluster(): Cluster | undefined {
    return this.#parts?.state.cluster;
  }

  isRevoked(): boolean {
    return this.#parts?.state.isRevoked() ?? false;
  }

  link(memberId: string): PeerLink {
    return this.#use().exchange.link(memberId);
  }

  /** How far the clock of a member is ahead of the one here; undefined: they are the same, or not known. */
  readonly clockSkewMs = (memberId: string): number | undefined => {
    const {isClockSkewed, clockOffsetSeconds} = this.link(memberId);
    return isClockSkewed && clockOffsetSeconds !== null ? 1000 * clockOffsetSeconds : undefined;
  };

  /** Takes over a connection that ssh brought to the control socket. */
  adopt(socket: Duplex): void {
    if (this.#parts === undefined) socket.destroy();
    else this.#parts.server.adopt(socket);
  }

  /** @throws DiskError PEER_NOT_LISTENING, PEER_REVOKED, STORE_*, or why there are no peers */
  invite(validSeconds: number): ReturnType<typeof invite> {
    const {state, identity} = this.#use();
    return invite(this.#options.context, state, identity, validSeconds);
  }

  /** @throws DiskError as joinCluster */
  async join(where: string, timeoutMs: number): Promise<Member> {
    const {context, resources} = this.#options;
    const {state, identity} = this.#use();
    // Connections of its own: those to members are not meant for who is none yet.
    const client = new PeerClient(identity, context.node.id);
    try {
      return await joinCluster({context, state, identity, client, resources, timeoutMs}, where);
    } finally {
      client.close();
      this.touch();
    }
  }

  /** @throws DiskError PEER_UNKNOWN, STORE_* */
  set(name: string, change: Parameters<typeof setMember>[2]): Member {
    const {context} = this.#options;
    const {state} = this.#use();
    const {id} = memberByName(state.cluster, name);
    state.apply((cluster) => setMember(cluster, id, change));
    const words = Object.entries(change).map(([key, value]) => `${key}=${value ?? 'none'}`);
    context.tell('PEER_CHANGED', 'info', null, `${name}: ${words.join(', ')}`, {peer: name});
    return memberByName(state.cluster, name);
  }

  /**
   * Removes a member here, and tells the others and the node itself.
   *
   * @param dryRun only says what would be
   * @throws DiskError PEER_UNKNOWN, USAGE, PEER_HAS_RESOURCES, STORE_*
   */
  async remove(name: string, force: boolean, dryRun = false): Promise<Removal> {
    const {context} = this.#options;
    const {state} = this.#use();
    const member = memberByName(state.cluster, name);
    if (member.id === state.selfId) {
      throw new DiskError('USAGE', `${name} is this node: type mars peer remove on another member`);
    }

    const resources = this.facts.get(member.id)?.resources ?? [];
    if (!force && resources.length > 0) {
      const names = resources.map((resource) => resource.name).join(', ');
      const text = `${name} has replicas of ${names}: let it leave them first, or say --force`;
      throw new DiskError('PEER_HAS_RESOURCES', text, {node: name});
    }

    const replicas = this.#replicasOf(member.id);
    const told = [...state.others()];
    if (dryRun) return {...this.#reach(told), replicas};
    state.apply((cluster) => removeMember(cluster, member.id));
    context.tell('PEER_REMOVED', 'warning', null, `${name} was removed from the cluster`, {
      peer: name,
    });
    const untold = await this.#tellMembers([...state.others(), member]);
    return {...partOf(told, untold), replicas};
  }

  /**
   * Takes this node out of its cluster: the others are told first, so that they know of it.
   *
   * @param dryRun only says what would be
   * @throws DiskError PEER_HAS_RESOURCES, PEER_UNREACHABLE, STORE_*; it is then as before
   */
  async leave(force: boolean, dryRun = false): Promise<Removal> {
    const {context, resources} = this.#options;
    const {state} = this.#use();
    const {name} = context.node;
    const held = resources();
    if (!force && held.length > 0) {
      const text = `${name} has replicas of ${held.join(', ')}: mars resource leave comes first, or say --force`;
      throw new DiskError('PEER_HAS_RESOURCES', text, {node: name});
    }

    const others = state.others();
    // Alone it is in no cluster that anybody could leave.
    const replicas = this.#replicasOf(state.selfId);
    if (others.length === 0) return {told: [], untold: [], replicas};
    if (dryRun) return {...this.#reach(others), replicas};
    const left = removeMember(state.cluster, state.selfId);
    const untold = await this.#tellMembers(others, left.members, true);
    if (!force && untold.length === others.length) {
      const text =
        `none of ${untold.join(', ')} answers, and would go on to call ${name} a member: try again, say ` +
        `--force, or type mars peer remove ${name} there`;
      throw new DiskError('PEER_UNREACHABLE', text, {node: name});
    }

    state.apply((cluster) => removeMember(cluster, state.selfId));
    return {...partOf(others, untold), replicas};
  }

  /** What a node has, as last heard, and who has the same. */
  #replicasOf(nodeId: string): RemovedReplica[] {
    const resources = this.facts.get(nodeId)?.resources ?? [];
    const others = this.facts.all().filter((each) => each.nodeId !== nodeId);
    return resources.map(({id, name, role, state}) => ({
      ...{name, role, state},
      others: others
        .filter((each) => each.resources.some((one) => one.id === id))
        .map((each) => each.name),
    }));
  }

  /** Who would hear of it now. */
  #reach(members: readonly Member[]): Pick<Removal, 'told' | 'untold'> {
    const silent = members.filter(({id}) => !this.link(id).up).map(({name}) => name);
    return partOf(members, silent);
  }

  /**
   * Sends the list of members.
   *
   * @param isLeave who answers that this node was removed knows it already
   * @returns names of those that did not take it
   */
  async #tellMembers(
    members: readonly Member[],
    list: readonly Member[] = this.#use().state.cluster.members,
    isLeave = false,
  ): Promise<string[]> {
    const {client, state} = this.#use();
    const {id} = state.cluster;
    const told = await Promise.all(
      members.map(async (member) => {
        try {
          await client.call(member, 'POST', 'members', {id, members: list}, TELL_TIMEOUT_MS);
          return undefined;
        } catch (error) {
          if (isLeave && isDiskError(error, 'PEER_REVOKED')) return undefined;
          this.#options.context.log.info({peer: member.name, err: error}, 'not told of members');
          return member.name;
        }
      }),
    );
    return told.filter((name) => name !== undefined);
  }

  /** @throws DiskError PEER_PROTOCOL, PEER_OTHER_CLUSTER, STORE_* */
  #takeMembers(state: ClusterState, value: unknown): void {
    const body = checkPeerBody('a list of members', () => check(clusterSchema, value));
    if (body.id !== state.cluster.id) {
      throw new DiskError('PEER_OTHER_CLUSTER', 'the list of members is that of another cluster', {
        ours: state.cluster.id,
        theirs: body.id,
      });
    }

    const before = new Map(state.cluster.members.map((each) => [each.id, each]));
    if (!state.apply((cluster) => mergeMembers(cluster, body.members))) return;
    for (const {id, name, removed} of state.cluster.members) {
      const was = before.get(id);
      const isIn = removed !== true;
      const wasIn = was !== undefined && was.removed !== true;
      if (id === state.selfId || isIn === wasIn) continue;
      const verb = isIn ? 'joined' : 'was removed from';
      const code = isIn ? 'PEER_JOINED' : 'PEER_REMOVED';
      this.#options.context.tell(code, 'info', null, `${name} ${verb} the cluster`, {peer: name});
    }
  }

  #noteRevoked(state: ClusterState): void {
    const revoked = state.isRevoked();
    if (revoked && !this.#wasRevoked) {
      const text = 'this node was removed from its cluster: the others do not talk to it any more';
      this.#options.context.tell('PEER_REVOKED', 'critical', null, text);
    }

    this.#wasRevoked = revoked;
  }

  /** Follows `listen` of node.json, and tries again where it failed. */
  async #keepListening(): Promise<void> {
    const {context} = this.#options;
    const {server} = this.#use();
    const {listen} = context.node;
    if (listen === this.#listening) return;
    try {
      if (listen === undefined) await server.stopListening();
      else await this.#listen(server, listen);
      this.#listening = listen;
      this.#listenFault = '';
    } catch (error) {
      if (!isDiskError(error)) throw error;
      if (this.#listenFault !== error.message) {
        context.tell(error.code, 'warning', null, error.message);
      }

      this.#listenFault = error.message;
    }
  }

  async #listen(server: PeerServer, listen: unknown): Promise<void> {
    const at = typeof listen === 'string' ? parseListen(listen) : undefined;
    if (at === undefined) {
      const text = `"listen" in node.json: expected ADDR:PORT, found ${JSON.stringify(listen)}`;
      throw new DiskError('PEER_LISTEN_FAILED', text);
    }

    this.port = undefined;
    this.port = await server.listen(at.host, at.port);
    this.#options.context.log.info({listen, port: this.port}, 'peers are served');
  }

  /** @throws DiskError why there are no peers */
  #use(): Parts {
    if (this.#parts !== undefined) return this.#parts;
    throw this.fault ?? new DiskError('BUG', 'there are no peers, and no reason');
  }
}

function partOf(
  members: readonly Member[],
  untold: readonly string[],
): Pick<Removal, 'told' | 'untold'> {
  const names = members.map(({name}) => name);
  return {told: names.filter((name) => !untold.includes(name)), untold};
}

function brokenCaller(fault: DiskError | undefined): PeerCaller {
  const fail = (): Promise<never> =>
    Promise.reject(fault ?? new DiskError('BUG', 'there are no peers, and no reason'));
  return {call: fail, open: fail, close: () => undefined};
}
