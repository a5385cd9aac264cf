/**
 * next.json: a replica that is made beside the one that is there, which stays whole and can be
 * promoted meanwhile. The files of the new one are a home of their own (`next/`), with a log, a
 * lineage, a replay state and a sync.json. Its image is, by `kind`:
 *
 *   repair   `repair` there: content for the blocks that differ (repair-segment.ts)
 *   beside   a file of its own beside the image (beside-image.ts)
 *
 *   state      means                                                      next
 *   fetching   content and log come; what is in `next/` is of no use yet  switching, or none
 *   switching  the new replica is whole and durable; it is put in place   none: it is there
 *   none       no file: what lies in `next/` is left over, and removed
 *
 * Whoever makes the old replica go on (disk/activation) drops one that is still `fetching`, and ends
 * the work of one that is `switching`: for that nothing is needed but what lies here.
 */
import {basename, dirname, join} from 'node:path';
import * as v from 'valibot';
import type {DiskNext} from '../core/disk-status.js';
import {DiskError, isDiskError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {resourcePaths} from '../core/home.js';
import {formatPosition, parsePosition} from '../core/position.js';
import {replaceFile} from '../core/replace-file.js';
import {SYNC_CHUNK_BYTES} from '../log/frame-schemas.js';
import {openReplayState} from '../image/replay-state.js';
import {positionSchema} from '../log/lineage.js';
import type {DiskConfig} from './config.js';
import {emptySyncState, readSyncState, writeSyncState, type SyncState} from './sync-state.js';

export interface NextState {
  readonly schema: 1;
  readonly kind: DiskNext['kind'];
  readonly state: 'fetching' | 'switching';
  /** The history here counts for others up to here only, as the rest is given up; null: all of it. */
  readonly at: number | null;
  /** Path of the new image, in the directory of the old one; null for `repair`. */
  readonly image: string | null;
  /** Space for all of it is reserved when it is whole, as the old one has it. */
  readonly preallocate: boolean;
  /**
   * The old image holds nothing of its log from here on: `to` of its replay state when it was looked at.
   * What is replayed after that is not among what was asked for.
   */
  readonly oldTo: number;
  /** Once it is `switching`: replay positions of the new image, and the logfiles that go with it. */
  readonly from: number;
  readonly to: number;
  readonly logFiles: readonly string[];
}

const position = v.pipe(
  positionSchema,
  v.transform((text) => parsePosition(text) ?? 0),
);
const schema = v.object({
  schema: v.literal(1),
  kind: v.picklist(['repair', 'beside']),
  state: v.picklist(['fetching', 'switching']),
  at: v.nullable(position),
  image: v.nullable(v.string()),
  preallocate: v.boolean(),
  oldTo: position,
  from: position,
  to: position,
  logFiles: v.array(v.pipe(v.string(), v.regex(/^log-[^/]+$/u, 'not the name of a logfile'))),
});

/** What is wanted of a replica that is to be made. */
export type NextWishes = Pick<NextState, 'kind' | 'at' | 'image' | 'preallocate'>;

/**
 * A replica is to be made beside the one that is there: durable when this returns. One that was being
 * made before is dropped.
 *
 * @param sync state of its sync.json
 */
export function beginNext(
  files: Files,
  home: string,
  name: string,
  sync: SyncState,
  wishes: NextWishes,
): void {
  dropNext(files, home, name);
  const {directory, nextHome} = resourcePaths(home, name);
  const there = resourcePaths(nextHome, name);
  files.makeDirectory(there.logDirectory);
  writeSyncState(files, nextHome, name, sync);
  for (const path of [dirname(there.directory), nextHome, directory]) files.syncDirectory(path);
  if (wishes.image !== null) {
    files.close(files.open(wishes.image, 'create'));
    files.syncDirectory(dirname(wishes.image));
  }

  const none = {oldTo: replayedTo(files, home, name), from: 0, to: 0, logFiles: []};
  writeNextState(files, home, name, {schema: 1, state: 'fetching', ...wishes, ...none});
}

/**
 * Reads next.json.
 *
 * @returns undefined where no replica is being made
 * @throws DiskError STATE_UNREADABLE, or the error of the file system
 */
export function readNextState(files: Files, home: string, name: string): NextState | undefined {
  const {nextFile} = resourcePaths(home, name);
  if (!files.exists(nextFile)) return undefined;
  const fd = files.open(nextFile, 'read');
  try {
    const bytes = Buffer.alloc(files.sizeOf(fd));
    files.read(fd, bytes, 0, bytes.length, 0);
    return v.parse(schema, JSON.parse(bytes.toString('utf8')));
  } catch (error) {
    if (!(error instanceof SyntaxError) && !(error instanceof v.ValiError)) throw error;
    throw new DiskError('STATE_UNREADABLE', `${nextFile} is not valid: ${error.message}`, {
      file: nextFile,
    });
  } finally {
    files.close(fd);
  }
}

/** As readNextState; undefined also where it cannot be read. @throws the error of the file system */
export function peekNextState(files: Files, home: string, name: string): NextState | undefined {
  try {
    return readNextState(files, home, name);
  } catch (error) {
    if (isDiskError(error, 'STATE_UNREADABLE')) return undefined;
    throw error;
  }
}

/** Replaces next.json; durable when this returns. */
export function writeNextState(files: Files, home: string, name: string, state: NextState): void {
  const {nextFile} = resourcePaths(home, name);
  const text = JSON.stringify({
    ...state,
    at: state.at === null ? null : formatPosition(state.at),
    oldTo: formatPosition(state.oldTo),
    from: formatPosition(state.from),
    to: formatPosition(state.to),
  });
  replaceFile(files, nextFile, Buffer.from(`${text}\n`));
}

/** The same resource with the files of the replica that is made. */
export function nextConfig(config: DiskConfig, {image}: Pick<NextState, 'image'>): DiskConfig {
  const {home, resource} = config;
  const imagePath = image ?? resource.imagePath;
  return {
    ...config,
    home: resourcePaths(home, resource.name).nextHome,
    resource: {...resource, imagePath},
  };
}

/** Where a whole image is made: in the directory of the old one, whose name it takes. */
export function nextImagePath(imagePath: string): string {
  return join(dirname(imagePath), `.${basename(imagePath)}.next`);
}

/** Where the content for the blocks that differ is kept. */
export function repairPath(home: string, name: string): string {
  return join(resourcePaths(resourcePaths(home, name).nextHome, name).directory, 'repair');
}

/** Gives up the replica that is made: next.json first, so that what is left of it is nothing. */
export function dropNext(files: Files, home: string, name: string): void {
  const {nextFile, directory} = resourcePaths(home, name);
  if (files.exists(nextFile)) {
    // What cannot be read is dropped all the same.
    const image = peekNextState(files, home, name)?.image ?? null;
    // First, as nothing else names it; without it what is `fetching` is begun anew.
    if (image !== null && files.exists(image)) {
      files.unlink(image);
      files.syncDirectory(dirname(image));
    }

    files.unlink(nextFile);
    files.syncDirectory(directory);
  }

  removeNextFiles(files, home, name);
}

/** How far the image of a resource may be. @throws DiskError STATE_UNREADABLE */
function replayedTo(files: Files, home: string, name: string): number {
  const {file, state} = openReplayState(files, resourcePaths(home, name).replayFile);
  file.close();
  return state.to;
}

/**
 * Somebody who knows nothing of next.json, such as an older version, may have replayed the old log on.
 *
 * @throws DiskError IMAGE_CHANGED where what was asked for is not all that differs
 */
export function refuseReplayed(files: Files, home: string, name: string, state: NextState): void {
  const to = replayedTo(files, home, name);
  if (state.kind !== 'repair' || to === state.oldTo) return;
  const [is, was] = [formatPosition(to), formatPosition(state.oldTo)];
  const text = `the image of ${name} was at ${was} when its repair began, and is at ${is}`;
  throw new DiskError('IMAGE_CHANGED', text, {resource: name});
}

/** Removes what lies in `next/`; its directories stay. */
export function removeNextFiles(files: Files, home: string, name: string): void {
  const {nextHome, directory: own} = resourcePaths(home, name);
  if (!files.exists(nextHome)) return;
  const {directory, logDirectory} = resourcePaths(nextHome, name);
  const left = [logDirectory, directory]
    .filter((place) => files.exists(place))
    .flatMap((place) => files.list(place).map((entry) => join(place, entry)))
    .filter((path) => path !== logDirectory);
  // Whoever removed next.json may have died before that was durable.
  if (left.length > 0) files.syncDirectory(own);
  for (const path of left) files.unlink(path);
}

/**
 * What was to be repaired beside is repaired in the image itself: sync.json first, then the rest goes.
 *
 * @param isKnown false: what was known of the image does not hold
 */
export function repairInPlace(files: Files, {home, resource}: DiskConfig, isKnown: boolean): void {
  const {name, sizeBytes} = resource;
  const {nextHome} = resourcePaths(home, name);
  const planned = readSyncState(files, nextHome, name);
  const begun = {state: 'copying', doneChunks: 0, end: null, endChain: null} as const;
  const state =
    planned?.only == null || !isKnown
      ? emptySyncState(sizeBytes, SYNC_CHUNK_BYTES)
      : {...planned, ...begun};
  writeSyncState(files, home, name, state);
  dropNext(files, home, name);
}
