/**
 * grant.json: the one line that says who may be primary next. It lies at the node that was primary
 * last, and is the commit point of a handover: before it is durable only this node may go on, from
 * then on only the one that it names. It is never changed, and in force until the lineage of this
 * node has an epoch after it: then it was taken, and perhaps given back, or a human has forced.
 */
import fs from 'node:fs';
import {dirname} from 'node:path';
import * as v from 'valibot';
import {check} from '../../core/check.js';
import {storeError} from '../../core/errors.js';
import {readJsonFile, writeJsonFile} from '../../core/json-file.js';
import {chainSchema, idSchema, positionSchema, type LineageEntry} from '../../log/lineage.js';

const grantSchema = v.looseObject({
  schema: v.literal(1),
  /** Node that may become primary. */
  to: idSchema,
  toName: v.string(),
  /** Last epoch of the granter, and where it ended. */
  epoch: idSchema,
  position: positionSchema,
  chain: chainSchema,
  /** Epochs of the granter that begin there: nothing was written in them, so nobody else has them. */
  known: v.optional(v.array(idSchema)),
  /** RFC 3339. */
  at: v.string(),
});

/** A grant of the primary role. */
export interface Grant {
  readonly schema: 1;
  readonly to: string;
  readonly toName: string;
  readonly epoch: string;
  readonly position: string;
  readonly chain: string;
  readonly known?: readonly string[] | undefined;
  readonly at: string;
}

/** @throws DiskError STATE_UNREADABLE, HOME_NEWER: then nobody may become primary here */
export function readGrant(path: string): Grant | undefined {
  return readJsonFile(path, (value) => check(grantSchema, value));
}

/** The commit point: durable when it returns. @throws DiskError STORE_*; then there is no grant */
export function writeGrant(path: string, grant: Grant): void {
  writeJsonFile(path, grant);
}

/** Takes a grant back, durably. @throws DiskError STORE_* */
export function removeGrant(path: string): void {
  try {
    fs.rmSync(path, {force: true});
    const directory = fs.openSync(dirname(path), 'r');
    try {
      fs.fsyncSync(directory);
    } finally {
      fs.closeSync(directory);
    }
  } catch (error) {
    throw storeError(error, `remove ${path}`);
  }
}

/**
 * true where a lineage has an epoch after the one that was granted away: it was taken. An epoch in
 * which nothing was written is known to its node alone, so the position counts as well.
 */
export function isTaken(
  grant: Pick<Grant, 'epoch' | 'position' | 'known'>,
  lineage: readonly LineageEntry[],
): boolean {
  const at = lineage.findIndex(({epoch}) => epoch === grant.epoch);
  if (at >= 0) return at < lineage.length - 1;
  const {position, known} = grant;
  return (
    known !== undefined &&
    lineage.some(({epoch, start}) => start >= position && !known.includes(epoch))
  );
}

/** As readGrant, for who only shows it: who acts on it reads it itself, and sees the fault. */
export function findGrant(path: string): Grant | undefined {
  try {
    return readGrant(path);
  } catch {
    return undefined;
  }
}
