/**
 * The cluster as this daemon knows it: the file `cluster.json` and the invitations, in memory and
 * on disk alike. A change is durable before anything acts on it.
 */
import {randomBytes} from 'node:crypto';
import type {Identity} from '../cluster/certificates.js';
import {
  isInviting,
  readInvitations,
  writeInvitations,
  type Invitations,
} from '../cluster/invitations.js';
import {
  addMember,
  findMember,
  otherMembers,
  readCluster,
  writeCluster,
  type Cluster,
  type Member,
} from '../cluster/members.js';
import type {Context} from './context.js';

/** The members, as they are on disk. */
export class ClusterState {
  readonly #context: Context;
  readonly #identity: Identity;
  readonly #listeners: (() => void)[] = [];
  #cluster: Cluster;
  #invitations: Invitations;

  /** @throws DiskError HOME_NEWER, STATE_UNREADABLE */
  constructor(context: Context, identity: Identity) {
    const {home} = context.paths;
    this.#context = context;
    this.#identity = identity;
    this.#cluster = readCluster(home) ?? newCluster();
    this.#invitations = readInvitations(home);
  }

  get selfId(): string {
    return this.#context.node.id;
  }

  get cluster(): Cluster {
    return this.#cluster;
  }

  /** Members other than this node that were not removed; none where this node was. */
  others(): Member[] {
    return this.isRevoked() ? [] : otherMembers(this.#cluster, this.selfId);
  }

  /** The others removed this node. */
  isRevoked(): boolean {
    return findMember(this.#cluster, this.selfId)?.removed === true;
  }

  byId(id: string): Member | undefined {
    return findMember(this.#cluster, id);
  }

  /** A member with this key; one that was removed only where no other has it. */
  byFingerprint(fingerprint: string): Member | undefined {
    const found = this.#cluster.members.filter((each) => each.fingerprint === fingerprint);
    return found.find((each) => each.removed !== true) ?? found[0];
  }

  /** Runs `listener` after each change. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /**
   * Changes the cluster durably.
   *
   * @returns false where nothing changed
   * @throws DiskError STORE_*, or what `change` throws; the old list is then in force
   */
  apply(change: (cluster: Cluster) => Cluster): boolean {
    const changed = change(this.#cluster);
    if (changed === this.#cluster) return false;
    writeCluster(this.#context.paths.home, changed);
    this.#cluster = changed;
    for (const listener of this.#listeners) listener();
    return true;
  }

  /** This node as a member, with its own key. */
  selfMember(): Member {
    const {node, clock} = this.#context;
    const known = findMember(this.#cluster, node.id);
    return {
      id: node.id,
      name: node.name,
      address: known?.address ?? '',
      fingerprint: this.#identity.fingerprint,
      addedAt: known?.addedAt ?? new Date(clock.wallMs()).toISOString(),
    };
  }

  /** Writes this node into the list, as others will have it. */
  addSelf(): void {
    this.apply((cluster) => addMember(cluster, this.selfMember()));
  }

  get invitations(): Invitations {
    return this.#invitations;
  }

  /** @throws DiskError STORE_* */
  setInvitations(invitations: Invitations): void {
    if (invitations === this.#invitations) return;
    writeInvitations(this.#context.paths.home, invitations);
    this.#invitations = invitations;
  }

  isInviting(): boolean {
    return isInviting(this.#invitations, this.#context.clock.wallMs());
  }
}

/** Of a home that never had one: becomes a file when somebody joins. */
function newCluster(): Cluster {
  return {schema: 1, id: randomBytes(16).toString('hex'), members: [], stamp: 0};
}
