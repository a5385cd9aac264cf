/**
 * Open and used invitations: `peers/invitations.json`, so that a token outlives a restart of the
 * daemon. Only hashes of the secrets are kept.
 *
 * An invitation is spent durably, for one node and key, before that node becomes a member. The
 * same node may use it again: its answer may have been lost.
 */
import {createHash} from 'node:crypto';
import {join} from 'node:path';
import * as v from 'valibot';
import {check} from '../core/check.js';
import {DiskError} from '../core/errors.js';
import {HOME_SCHEMA} from '../core/home.js';
import {readJsonFile, writeJsonFile} from '../core/json-file.js';

/** Used and expired ones stay for so long, so that who comes late is told why. */
const KEPT_MS = 7 * 24 * 3_600_000;
const INVITATIONS_MAX = 256;
/** A clock that was put back must not open what had expired long ago. */
const CLOCK_SLACK_MS = 300_000;

const fileSchema = v.object({
  schema: v.literal(HOME_SCHEMA),
  invitations: v.array(
    v.object({
      hash: v.string(),
      createdMs: v.number(),
      expiresMs: v.number(),
      usedBy: v.exactOptional(v.string()),
    }),
  ),
});

export interface Invitation {
  /** SHA-256 of the secret in hex. */
  readonly hash: string;
  readonly createdMs: number;
  readonly expiresMs: number;
  /** Id and fingerprint of the node that joined with it. */
  readonly usedBy?: string;
}

export type Invitations = readonly Invitation[];

function fileOf(home: string): string {
  return join(home, 'peers', 'invitations.json');
}

/** @throws DiskError HOME_NEWER, STATE_UNREADABLE */
export function readInvitations(home: string): Invitations {
  return readJsonFile(fileOf(home), (value) => check(fileSchema, value))?.invitations ?? [];
}

/** @throws DiskError STORE_* */
export function writeInvitations(home: string, invitations: Invitations): void {
  writeJsonFile(fileOf(home), {schema: HOME_SCHEMA, invitations});
}

/** Adds an invitation and forgets old ones. */
export function addInvitation(
  invitations: Invitations,
  secret: string,
  nowMs: number,
  validMs: number,
): Invitations {
  const kept = invitations.filter(({expiresMs}) => nowMs - expiresMs < KEPT_MS);
  const added = {hash: hashOf(secret), createdMs: nowMs, expiresMs: nowMs + validMs};
  return [...kept, added].slice(-INVITATIONS_MAX);
}

/** Whether strangers are listened to at all. Used ones count: their node may ask again. */
export function isInviting(invitations: Invitations, nowMs: number): boolean {
  return invitations.some((each) => isInForce(each, nowMs));
}

/**
 * Spends an invitation.
 *
 * @returns `invitations` itself where this node used it before
 * @throws DiskError TOKEN_UNKNOWN, TOKEN_EXPIRED, TOKEN_USED
 */
export function redeem(
  invitations: Invitations,
  secret: string,
  node: {readonly id: string; readonly fingerprint: string},
  nowMs: number,
): Invitations {
  const hash = hashOf(secret);
  const found = invitations.find((each) => each.hash === hash);
  if (found === undefined) {
    throw new DiskError('TOKEN_UNKNOWN', 'the token is not one of those that this node made');
  }

  if (!isInForce(found, nowMs)) {
    const expiresAt = new Date(found.expiresMs).toISOString();
    throw new DiskError('TOKEN_EXPIRED', `the token was valid until ${expiresAt}`, {expiresAt});
  }

  const user = `${node.id} ${node.fingerprint}`;
  if (found.usedBy === user) return invitations;
  if (found.usedBy !== undefined) {
    throw new DiskError('TOKEN_USED', 'another node has joined with this token already');
  }

  return invitations.map((each) => (each === found ? {...each, usedBy: user} : each));
}

function isInForce({createdMs, expiresMs}: Invitation, nowMs: number): boolean {
  return nowMs >= createdMs - CLOCK_SLACK_MS && nowMs < expiresMs;
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
