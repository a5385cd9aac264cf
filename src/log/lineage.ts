/**
 * The lineage of a resource: its epochs in order, where each began and on which node. Two nodes
 * compare lineages to find out up to where they have the same log.
 */
import * as v from 'valibot';
import {DiskError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {isObject} from '../core/json-file.js';
import {NAME_LENGTH_MAX} from '../core/names.js';
import {parsePosition} from '../core/position.js';
import {parseChain} from './record.js';

export interface LineageEntry {
  /** 32 hex digits each. */
  readonly epoch: string;
  readonly node: string;
  readonly nodeName: string;
  /** Position where the epoch began, and the chain value there. */
  readonly start: string;
  readonly chain: string;
}

/** Older entries are not asked for: no log of theirs is kept. */
export const LINEAGE_ENTRIES_MAX = 256;

/** An id of a node, a resource or an epoch. */
export const idSchema = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/u, 'not 32 hex digits'));

/** A position as fixed-width hex: text order is number order. */
export const positionSchema = v.pipe(
  v.string(),
  v.check((text) => text.length === 16 && parsePosition(text) !== undefined, 'not a position'),
);

/** A chain value as text. */
export const chainSchema = v.pipe(
  v.string(),
  v.check((text) => parseChain(text) !== undefined, 'not a chain value'),
);

/** Entries in order: no epoch twice, none that begins before the one in front of it. */
export const lineageSchema = v.pipe(
  v.array(
    v.object({
      epoch: idSchema,
      node: idSchema,
      nodeName: v.pipe(v.string(), v.maxLength(NAME_LENGTH_MAX)),
      start: positionSchema,
      chain: chainSchema,
    }),
  ),
  v.maxLength(LINEAGE_ENTRIES_MAX, `more than ${LINEAGE_ENTRIES_MAX} entries`),
  v.check((entries) => isInOrder(entries), 'its epochs are not in order'),
);

function isInOrder(entries: readonly LineageEntry[]): boolean {
  const epochs = new Set(entries.map(({epoch}) => epoch));
  if (epochs.size !== entries.length) return false;
  return entries.every(
    ({start}, index) => index === 0 || (entries[index - 1]?.start ?? '') <= start,
  );
}

/**
 * Checks what should be a lineage.
 *
 * @throws Error whose message names the fault
 */
export function checkLineage(value: unknown): LineageEntry[] {
  const result = v.safeParse(lineageSchema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new Error(`lineage ${v.getDotPath(issue) ?? ''}: ${issue.message}`);
}

/**
 * Reads the lineage; empty where there is none yet.
 *
 * @throws DiskError STATE_UNREADABLE
 */
export function readLineage(files: Files, path: string): LineageEntry[] {
  if (!files.exists(path)) return [];
  const fd = files.open(path, 'read');
  try {
    const bytes = Buffer.alloc(files.sizeOf(fd));
    files.read(fd, bytes, 0, bytes.length, 0);
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    if (isObject(value)) return checkLineage(value['entries']);
    throw new Error('it has no entries');
  } catch (error) {
    if (!(error instanceof SyntaxError) && !(error instanceof Error)) throw error;
    throw new DiskError('STATE_UNREADABLE', `${path} is not valid: ${error.message}`, {file: path});
  } finally {
    files.close(fd);
  }
}
