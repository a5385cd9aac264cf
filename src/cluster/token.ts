/**
 * The join token: one word that a person carries from a member to a new node.
 *
 *   base64url( version u8 | first 4 bytes of SHA-256 of all the rest | JSON )
 *
 * The checksum is for slips of copying; what cannot be guessed is the secret. The time is for
 * people: only the node that made the token judges it, as the joining node's clock may be wrong.
 */
import {createHash} from 'node:crypto';
import * as v from 'valibot';
import {check} from '../core/check.js';
import {DiskError} from '../core/errors.js';
import {fingerprintSchema, idSchema, nameSchema} from './members.js';

export const TOKEN_VERSION = 1;
export const SECRET_BYTES = 16;
const CHECKSUM_BYTES = 4;
const TOKEN_CHARS_MAX = 4096;

const tokenSchema = v.object({
  cluster: idSchema,
  node: nameSchema,
  addresses: v.pipe(v.array(v.pipe(v.string(), v.maxLength(300))), v.minLength(1), v.maxLength(16)),
  fingerprint: fingerprintSchema,
  secret: v.pipe(v.string(), v.regex(/^[\w-]{22}$/u, 'not a secret')),
  expiresAt: v.pipe(v.string(), v.maxLength(32)),
});

export interface Token {
  readonly cluster: string;
  /** Name of the inviting node. */
  readonly node: string;
  /** Where it may be reached: tried in order. */
  readonly addresses: readonly string[];
  readonly fingerprint: string;
  /** SECRET_BYTES random bytes in base64url. */
  readonly secret: string;
  readonly expiresAt: string;
}

/** One word without characters that a shell would touch. */
export function encodeToken(token: Token): string {
  const body = Buffer.from(JSON.stringify(token));
  const head = Buffer.from([TOKEN_VERSION]);
  return Buffer.concat([head, checksum(head, body), body]).toString('base64url');
}

/** @throws DiskError TOKEN_DAMAGED, TOKEN_VERSION */
export function decodeToken(text: string): Token {
  const word = text.trim();
  const bytes = Buffer.from(word, 'base64url');
  const body = bytes.subarray(1 + CHECKSUM_BYTES);
  if (word.length > TOKEN_CHARS_MAX || bytes.toString('base64url') !== word || body.length === 0) {
    throw damaged('it is no join token');
  }

  const head = bytes.subarray(0, 1);
  if (!checksum(head, body).equals(bytes.subarray(1, 1 + CHECKSUM_BYTES))) {
    throw damaged('a character is missing or wrong');
  }

  const version = head[0] ?? 0;
  if (version !== TOKEN_VERSION) {
    throw new DiskError(
      'TOKEN_VERSION',
      `the token has version ${version}, this mars reads version ${TOKEN_VERSION}`,
      {version},
    );
  }

  try {
    return check(tokenSchema, JSON.parse(body.toString('utf8')));
  } catch (error) {
    throw damaged(error instanceof Error ? error.message : String(error));
  }
}

function checksum(head: Buffer, body: Buffer): Buffer {
  return createHash('sha256').update(head).update(body).digest().subarray(0, CHECKSUM_BYTES);
}

function damaged(fault: string): DiskError {
  return new DiskError(
    'TOKEN_DAMAGED',
    `expected the token that mars peer invite printed: ${fault}`,
  );
}
