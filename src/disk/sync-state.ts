/**
 * sync.json: how far the first copy, or the repair, of an image is. It exists from the join of a
 * resource until replay has passed `end`; while it does, image and log alone are no disk.
 *
 *   state    means                                                     next
 *   empty    nothing was agreed with a source; the image is anything   copying
 *   copying  chunks below `doneChunks` are durable in the image        done, or empty: from 0
 *   done     all chunks are; the log from `begin` to `end` is missing  the file is removed
 *
 * The image holds blocks of any position in [begin, end]: only with the log between them replayed
 * is it a state that the origin was ever in. Where the log passes `end` its chain value must be
 * `endChain`: else the image has blocks of a history that is not this one, and all begins again.
 */
import * as v from 'valibot';
import {passCrashPoint} from '../core/crash-points.js';
import {DiskError} from '../core/errors.js';
import type {FileIdentity, Files} from '../core/files.js';
import {resourcePaths} from '../core/home.js';
import {formatPosition, parsePosition} from '../core/position.js';
import {replaceFile} from '../core/replace-file.js';
import {
  chainSchema,
  idSchema,
  lineageSchema,
  positionSchema,
  type LineageEntry,
} from '../log/lineage.js';

export interface SyncState {
  readonly schema: 1;
  readonly state: 'empty' | 'copying' | 'done';
  /** Epoch that `begin` lies in; null where the source has no log yet, and for `empty`. */
  readonly epoch: string | null;
  /** The log is needed from here on; 0 for `empty`. */
  readonly begin: number;
  /** Chain value at `begin`. */
  readonly chain: string;
  /** No chunk was read at the source when its image could hold more; for `done` it is final. */
  readonly end: number | null;
  /** Chain value at `end`; null: the source did not know it. */
  readonly endChain: string | null;
  /** Size of the disk at the source. */
  readonly sizeBytes: number;
  readonly chunkBytes: number;
  readonly doneChunks: number;
  /**
   * Chunks of [doneChunks, distrustEnd) are taken whole, whatever they read as: a sync of the image
   * has failed, and since then the page cache may show what the device does not hold.
   */
  readonly distrustEnd: number;
  /** Epochs up to the one of `begin`. */
  readonly lineage: readonly LineageEntry[];
  /** The image that was written to: another one has none of the chunks. */
  readonly image: FileIdentity | null;
  /**
   * Bytes that can differ from the source's at all, but for what its log from `begin` on brings:
   * sorted [start, end). Absent or null: nobody knows, all chunks are compared.
   */
  readonly only?: readonly (readonly [number, number])[] | null;
}

const CHAIN_NONE = '0'.repeat(16);
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const position = v.pipe(
  positionSchema,
  v.transform((text) => parsePosition(text) ?? 0),
);
const schema = v.pipe(
  v.object({
    schema: v.literal(1),
    state: v.picklist(['empty', 'copying', 'done']),
    epoch: v.nullable(idSchema),
    begin: position,
    chain: chainSchema,
    end: v.nullable(position),
    endChain: v.nullable(chainSchema),
    sizeBytes: v.pipe(count, v.minValue(1)),
    chunkBytes: v.pipe(count, v.minValue(1)),
    doneChunks: count,
    distrustEnd: count,
    lineage: lineageSchema,
    image: v.nullable(
      v.object({
        device: v.number(),
        inode: v.number(),
        birthMs: v.number(),
        sizeBytes: v.number(),
        kind: v.picklist(['file', 'block']),
      }),
    ),
    only: v.optional(v.nullable(v.array(v.tuple([count, count]))), null),
  }),
  v.check(({begin, end}) => end === null || end >= begin, '"end" lies before "begin"'),
  v.check(({state, end}) => state !== 'done' || end !== null, 'it is done without an "end"'),
  v.check(
    ({doneChunks, sizeBytes, chunkBytes}) => doneChunks <= Math.ceil(sizeBytes / chunkBytes),
    'more chunks are done than there are',
  ),
);

/** What the join of a resource writes, and whoever wants the whole image compared again. */
export function emptySyncState(sizeBytes: number, chunkBytes: number): SyncState {
  return {
    schema: 1,
    state: 'empty',
    epoch: null,
    begin: 0,
    chain: CHAIN_NONE,
    end: null,
    endChain: null,
    sizeBytes,
    chunkBytes,
    doneChunks: 0,
    distrustEnd: 0,
    lineage: [],
    image: null,
  };
}

/**
 * Reads the state of a resource.
 *
 * @returns undefined where there is no file: the resource is not being synced
 * @throws DiskError STATE_UNREADABLE, or the error of the file system
 */
export function readSyncState(files: Files, home: string, name: string): SyncState | undefined {
  const {syncFile} = resourcePaths(home, name);
  if (!files.exists(syncFile)) return undefined;
  const fd = files.open(syncFile, 'read');
  let bytes: Buffer;
  try {
    bytes = Buffer.alloc(files.sizeOf(fd));
    files.read(fd, bytes, 0, bytes.length, 0);
  } finally {
    files.close(fd);
  }

  try {
    return v.parse(schema, JSON.parse(bytes.toString('utf8')));
  } catch (error) {
    if (!(error instanceof SyntaxError) && !(error instanceof v.ValiError)) throw error;
    throw new DiskError('STATE_UNREADABLE', `${syncFile} is not valid: ${error.message}`, {
      file: syncFile,
    });
  }
}

/** Replaces the state; durable when this returns, the old or the new one whatever happens before. */
export function writeSyncState(files: Files, home: string, name: string, state: SyncState): void {
  const {syncFile} = resourcePaths(home, name);
  const text = JSON.stringify({
    ...state,
    begin: formatPosition(state.begin),
    end: state.end === null ? null : formatPosition(state.end),
  });
  replaceFile(files, syncFile, Buffer.from(`${text}\n`));
}

/** Removes the file durably: replay has passed `end`, image and log are a disk from now on. */
export function removeSyncState(files: Files, home: string, name: string): void {
  const {syncFile, directory} = resourcePaths(home, name);
  if (!files.exists(syncFile)) return;
  files.unlink(syncFile);
  passCrashPoint('sync-state-removed');
  files.syncDirectory(directory);
}
