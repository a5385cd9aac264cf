/**
 * The part of the control API (control/api.ts) that is about the members of the cluster.
 *
 *   GET    /v1/peers                                  -> PeerList
 *   POST   /v1/peers/invite         InviteRequest     -> InviteDocument
 *   POST   /v1/peers/join           PeerJoinRequest   -> PeerJoinDocument
 *   POST   /v1/peers/leave          PeerLeaveRequest  -> PeerRemoveDocument
 *   POST   /v1/peers/NAME/set       SetRequest        -> PeerView
 *   DELETE /v1/peers/NAME           PeerRemoveRequest -> PeerRemoveDocument
 *   GET    /peer, Upgrade: mars-peer                  -> a connection of a peer (mars peer-stdio)
 */
import type {PackingWish} from '../core/packing-names.js';
import type {RemoteControl} from '../core/remote-control.js';

export interface InviteRequest {
  readonly validSeconds: number;
}

export interface InviteDocument {
  readonly schema: 1;
  readonly token: string;
  readonly cluster: string;
  readonly node: string;
  /** Where the new node will look for this one. */
  readonly addresses: readonly string[];
  readonly expiresAt: string;
}

export interface PeerJoinRequest {
  /** A token, or `ssh://[USER@]HOST`. */
  readonly token: string;
  readonly timeoutSeconds: number;
}

export interface PeerJoinDocument {
  readonly schema: 1;
  readonly cluster: string;
  /** The member that took this node in. */
  readonly through: string;
  /** Names of all members, this node included. */
  readonly members: readonly string[];
}

export interface PeerView {
  readonly id: string;
  readonly name: string;
  /** How this node reaches it; null where it knows no way. */
  readonly address: string | null;
  readonly fingerprint: string;
  readonly addedAt: string;
  /** Bytes a second that this node sends to it at most. */
  readonly bandwidthLimit: number | null;
  /** What this node compresses with what it sends to it. */
  readonly compression: PackingWish;
  /** `self`: this node. `down`: not heard of for 10 s. */
  readonly link: 'self' | 'up' | 'down';
  /** Since when the link is as it is; null where it never was up. */
  readonly since: string | null;
  readonly lastHeardAt: string | null;
  /** Why the last call failed. */
  readonly error: {readonly code: string; readonly message: string} | null;
  /** How far its clock is ahead of the one here; null: not known. Absent where an older daemon answers. */
  readonly clockOffsetSeconds?: number | null;
  /** By so much that it is to be looked at: CLOCK_SKEW. */
  readonly isClockSkewed?: boolean;
  /** Of this node only: what the others may do here with `--host`. */
  readonly remoteControl?: RemoteControl;
}

export interface PeerList {
  readonly schema: 1;
  readonly cluster: string;
  readonly node: string;
  /** true where the others removed this node. */
  readonly removed: boolean;
  /** Where peers reach this node, as node.json says; null: nobody listens. */
  readonly listen: string | null;
  readonly members: readonly PeerView[];
}

export interface PeerRemoveRequest {
  /** Also where it has replicas. */
  readonly force: boolean;
  /** Only tells what would be done, and lost. */
  readonly dryRun?: boolean;
}

export interface PeerLeaveRequest extends PeerRemoveRequest {
  readonly confirmed: boolean;
}

export interface PeerRemoveDocument {
  readonly schema: 1;
  readonly name: string;
  readonly dryRun: boolean;
  /** Members that are, or would be, told; absent where an older daemon answers. */
  readonly told?: readonly string[];
  /** Nodes that could not be told now; they hear of it from other members. Of a dry run: do not answer. */
  readonly untold: readonly string[];
  /** Replicas of the node, as last heard: the others do not follow them, nor serve them, any more. */
  readonly replicas?: readonly RemovedReplica[];
}

/** A replica on a node that is, or would be, no member any more. */
export interface RemovedReplica {
  readonly name: string;
  readonly role: 'primary' | 'secondary';
  readonly state: string;
  /** Other members that have one. */
  readonly others: readonly string[];
}
