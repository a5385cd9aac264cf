/**
 * Who belongs to the cluster: `cluster.json`, one on each node, and what changes it. Pure but for
 * reading and writing the file.
 *
 * Two lists become one without a judge: for each node the entry that was added later counts, of two
 * that were added together the removed one. So a removal is never lost, and a node that was
 * removed comes back only by joining again. Address, limit and compression are each node's own: they
 * say how *this* node reaches the other.
 */
import * as v from 'valibot';
import {check} from '../core/check.js';
import {DiskError} from '../core/errors.js';
import {HOME_SCHEMA, homePaths} from '../core/home.js';
import {readJsonFile, writeJsonFile} from '../core/json-file.js';
import type {PackingWish} from '../core/packing-names.js';
import {checkName} from '../core/names.js';
import {parseAddress} from './address.js';

/** More are not meant: every node talks to every other. */
export const MEMBERS_MAX = 64;

const hex = (digits: number) =>
  v.pipe(v.string(), v.regex(new RegExp(`^[0-9a-f]{${digits}}$`, 'u'), `not ${digits} hex digits`));

/** An id of a node or cluster. */
export const idSchema = hex(32);
/** SHA-256 of a certificate (DER) in hex. */
export const fingerprintSchema = hex(64);

const timeSchema = v.pipe(
  v.string(),
  v.maxLength(32),
  v.check((text) => !Number.isNaN(Date.parse(text)), 'not a time'),
);
/** A name that may become part of a file name. */
export const nameSchema = v.pipe(v.string(), v.check(isName, 'not the name of a node'));

/** Unknown keys stay: a later version may keep more of a member. */
export const memberSchema = v.looseObject({
  id: idSchema,
  name: nameSchema,
  address: v.pipe(v.string(), v.check(isAddress, 'neither HOST:PORT nor ssh://[USER@]HOST')),
  fingerprint: fingerprintSchema,
  addedAt: timeSchema,
  bandwidthLimit: v.exactOptional(v.pipe(v.number(), v.safeInteger(), v.minValue(1))),
  /** Not only the names of this version: the list of a later one is to be understood. */
  compression: v.exactOptional(v.pipe(v.string(), v.maxLength(32))),
  removed: v.exactOptional(v.literal(true)),
});

/** A list of members as it is sent; each node at most once. */
export const membersSchema = v.pipe(
  v.array(memberSchema),
  v.maxLength(4 * MEMBERS_MAX),
  v.check((list) => new Set(list.map(({id}) => id)).size === list.length, 'a node is there twice'),
);

const clusterSchema = v.looseObject({
  schema: v.literal(HOME_SCHEMA),
  id: idSchema,
  members: v.optional(membersSchema, []),
  stamp: v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(0)), 0),
});

/** A node of the cluster, this one included. */
export interface Member {
  /** 32 hex digits. */
  readonly id: string;
  readonly name: string;
  /** How this node reaches it: `host:port`, `[ipv6]:port`, `ssh://[user@]host`; '' where it cannot. */
  readonly address: string;
  /** SHA-256 of its certificate (DER), 64 hex digits. */
  readonly fingerprint: string;
  readonly addedAt: string;
  /** Bytes a second that this node sends to it at most. */
  readonly bandwidthLimit?: number;
  /** What this node compresses with what it sends to it, a PackingWish; absent: nothing. */
  readonly compression?: string;
  /** It was removed: its fingerprint is still known, to tell it so. */
  readonly removed?: true;
}

export interface Cluster {
  readonly schema: 1;
  /** 32 hex digits. */
  readonly id: string;
  readonly members: readonly Member[];
  /** Counts the changes of this list. */
  readonly stamp: number;
}

function isName(text: string): boolean {
  try {
    checkName('node', text);
    return true;
  } catch {
    return false;
  }
}

function isAddress(text: string): boolean {
  return text === '' || parseAddress(text) !== undefined;
}

/**
 * @returns undefined where the file does not exist
 * @throws DiskError HOME_NEWER, STATE_UNREADABLE with file and fault
 */
export function readCluster(home: string): Cluster | undefined {
  return readJsonFile(homePaths(home).clusterFile, (value) => check(clusterSchema, value));
}

/** @throws DiskError STORE_FULL, STORE_READ_ONLY, STORE_IO; the old file is then in force */
export function writeCluster(home: string, cluster: Cluster): void {
  writeJsonFile(homePaths(home).clusterFile, cluster);
}

/** The member with this id, also one that was removed. */
export function findMember(cluster: Cluster, id: string): Member | undefined {
  return cluster.members.find((member) => member.id === id);
}

/** Members that were not removed, other than `selfId`, by name. */
export function otherMembers(cluster: Cluster, selfId: string): Member[] {
  return cluster.members
    .filter((member) => member.removed !== true && member.id !== selfId)
    .sort((left, right) => (left.name < right.name ? -1 : 1));
}

/** The member of this name that was not removed. @throws DiskError PEER_UNKNOWN */
export function memberByName(cluster: Cluster, name: string): Member {
  const member = cluster.members.find((each) => each.name === name && each.removed !== true);
  if (member !== undefined) return member;
  throw new DiskError('PEER_UNKNOWN', `the cluster has no member ${name}: see mars peer list`, {
    node: name,
  });
}

/**
 * Adds a member, or takes one that was removed in again. One that is in already stays, with
 * `member`'s address.
 *
 * @throws DiskError PEER_NAME_TAKEN, PEER_REFUSED where the cluster is full
 */
export function addMember(cluster: Cluster, member: Member): Cluster {
  const active = cluster.members.filter((each) => each.removed !== true);
  const other = active.find((each) => each.name === member.name && each.id !== member.id);
  if (other !== undefined) {
    throw new DiskError(
      'PEER_NAME_TAKEN',
      `the cluster has a node ${member.name} already (id ${other.id}), the new one is ${member.id}`,
      {node: member.name},
    );
  }

  const old = findMember(cluster, member.id);
  if (old === undefined && active.length >= MEMBERS_MAX) {
    throw new DiskError(
      'PEER_REFUSED',
      `the cluster has ${active.length} members, the most it can`,
    );
  }

  if (old?.removed !== true && old?.fingerprint === member.fingerprint) {
    return old.address === member.address ? cluster : replaceMember(cluster, member);
  }

  const addedAt = old === undefined ? member.addedAt : later(old.addedAt, member.addedAt);
  return replaceMember(cluster, {...member, addedAt});
}

/** Marks a member as removed; its fingerprint stays known. @throws DiskError PEER_UNKNOWN */
export function removeMember(cluster: Cluster, id: string): Cluster {
  const member = findMember(cluster, id);
  if (member === undefined) {
    throw new DiskError('PEER_UNKNOWN', `the cluster has no member with the id ${id}`, {id});
  }

  return member.removed === true ? cluster : replaceMember(cluster, {...member, removed: true});
}

/**
 * Changes how this node reaches a member, and how fast.
 *
 * @throws DiskError PEER_UNKNOWN
 */
export function setMember(
  cluster: Cluster,
  id: string,
  change: {
    readonly address?: string;
    readonly bandwidthLimit?: number | null;
    readonly compression?: PackingWish;
  },
): Cluster {
  const member = findMember(cluster, id);
  if (member === undefined) {
    throw new DiskError('PEER_UNKNOWN', `the cluster has no member with the id ${id}`, {id});
  }

  const limit = change.bandwidthLimit === undefined ? member.bandwidthLimit : change.bandwidthLimit;
  const address = change.address ?? member.address;
  const compression = change.compression ?? member.compression;
  return replaceMember(cluster, withOwn({...member, address}, limit ?? undefined, compression));
}

/** The member with the settings that are this node's own. */
function withOwn(
  member: Member,
  limit: number | undefined,
  compression: string | undefined,
): Member {
  const copy: {-readonly [K in keyof Member]: Member[K]} = {...member};
  if (limit === undefined) delete copy.bandwidthLimit;
  else copy.bandwidthLimit = limit;
  if (compression === undefined) delete copy.compression;
  else copy.compression = compression;
  return copy;
}

/**
 * What is known here and what another member says, as one list. Gives `cluster` itself where
 * nothing is new, so that a caller sees whether to write.
 */
export function mergeMembers(cluster: Cluster, heard: readonly Member[]): Cluster {
  let merged = cluster;
  for (const member of heard) {
    const known = findMember(merged, member.id);
    if (known !== undefined && !supersedes(member, known)) continue;
    // A node that comes anew may have moved: its address is taken, all else is ours.
    merged = replaceMember(merged, withOwn(member, known?.bandwidthLimit, known?.compression));
  }

  return merged;
}

/** Whether `heard` counts instead of `known`, which is the same node. */
function supersedes(heard: Member, known: Member): boolean {
  const difference = Date.parse(heard.addedAt) - Date.parse(known.addedAt);
  if (difference !== 0) return difference > 0;
  if ((heard.removed === true) !== (known.removed === true)) return heard.removed === true;
  // One was added twice at one moment: the same choice everywhere.
  return heard.fingerprint > known.fingerprint;
}

/** A time after `old`, whatever the clock says: joining again counts more than the removal. */
function later(old: string, now: string): string {
  return Date.parse(now) > Date.parse(old) ? now : new Date(Date.parse(old) + 1).toISOString();
}

function replaceMember(cluster: Cluster, member: Member): Cluster {
  const others = cluster.members.filter(({id}) => id !== member.id);
  return {...cluster, members: [...others, member], stamp: cluster.stamp + 1};
}
