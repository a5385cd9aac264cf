/**
 * What is to be checked: a log, and an image from which its records go on. The image of a replica
 * holds all below `from`, and may hold blocks up to `to` (docs/LOG_FORMAT.md): with the log from `from` on
 * it is the disk at every position from `to` on. A base of `mars log export` is the same with `begin` and
 * `end`; an empty disk is the image at position 0.
 */
import fs from 'node:fs';
import {join} from 'node:path';
import {DiskError} from '../../core/errors.js';
import type {Files} from '../../core/files.js';
import {resourcePaths} from '../../core/home.js';
import {isObject, readJsonFile} from '../../core/json-file.js';
import {formatPosition, parsePosition} from '../../core/position.js';
import {TwoSlotFile} from '../../core/two-slot.js';
import {isReplayState} from '../../image/replay-state.js';

/** `image`: that of the replica, or a base beside the logfiles. `empty`: the disk began with zeros. */
export type BaseWish = 'image' | 'empty';

export interface SubjectWish {
  /** A resource of a home, or a directory with logfiles. */
  readonly place: {readonly home: string; readonly name: string} | {readonly directory: string};
  readonly base: BaseWish;
}

export interface Subject {
  readonly directory: string;
  /** Empty: that of any logfile in the directory. */
  readonly resourceId: string;
  readonly image: string | undefined;
  /** Records from here on are applied. */
  readonly begin: number;
  /** The disk is known from here on. */
  readonly earliest: number;
  /** How far the image was written to meanwhile; positions below it are not checked any more. */
  readonly writtenTo: () => number;
}

/**
 * @throws DiskError RESOURCE_UNKNOWN, REPLICA_INCONSISTENT, STATE_UNREADABLE, USAGE, STORE_IO
 */
export function findSubject(files: Files, {place, base}: SubjectWish): Subject {
  if ('directory' in place) return inFolder(place.directory, base);
  const {home, name} = place;
  const paths = resourcePaths(home, name);
  const file = readJsonFile(paths.resourceFile, (value) => {
    const [id, image] = isObject(value) ? [value['id'], value['imagePath']] : [];
    if (typeof id !== 'string' || typeof image !== 'string') throw new Error('no id, or no image');
    return {id, image};
  });
  if (file === undefined) {
    throw new DiskError('RESOURCE_UNKNOWN', `there is no resource ${name} at ${home}`, {name});
  }

  const log = {directory: paths.logDirectory, resourceId: file.id};
  if (base === 'empty') return {...log, ...emptyBase()};
  if (files.exists(paths.syncFile)) {
    const text =
      `the image of ${name} is being copied, or repaired: it is no state of the disk yet; check it ` +
      `on another node, or when mars wait ${name} synced has ended`;
    throw new DiskError('REPLICA_INCONSISTENT', text, {resource: name});
  }

  const {from, to} = replayState(files, paths.replayFile);
  const writtenTo = (): number => replayState(files, paths.replayFile).to;
  return {...log, image: file.image, begin: from, earliest: to, writtenTo};
}

function emptyBase(): Omit<Subject, 'directory' | 'resourceId'> {
  return {image: undefined, begin: 0, earliest: 0, writtenTo: () => 0};
}

function replayState(files: Files, path: string): {from: number; to: number} {
  let value: unknown;
  if (files.exists(path)) value = TwoSlotFile.peek(files, path);
  if (isReplayState(value)) return {from: value.from, to: value.to};
  throw new DiskError('STATE_UNREADABLE', `${path} is missing, or not a replay state`, {
    file: path,
  });
}

/** Logfiles somewhere, as an export leaves them; the newest base where there is one. */
function inFolder(directory: string, base: BaseWish): Subject {
  const log = {directory, resourceId: ''};
  const newest = fs
    .readdirSync(directory)
    .filter((name) => /^base-[0-9a-f]{16}\.json$/u.test(name))
    .sort()
    .at(-1);
  if (base === 'empty' || newest === undefined) return {...log, ...emptyBase()};
  const found = readJsonFile(join(directory, newest), (value) => {
    const words = isObject(value) ? [value['begin'], value['end'], value['resourceId']] : [];
    const [begin, end, resourceId] = words.map(String);
    const [from, to] = [parsePosition(begin ?? ''), parsePosition(end ?? '')];
    if (from === undefined || to === undefined || from > to || resourceId === undefined) {
      throw new Error('"begin", "end" or "resourceId" is missing or wrong');
    }

    return {from, to, resourceId};
  });
  if (found === undefined) {
    throw new DiskError('STATE_UNREADABLE', `${newest} is missing`, {file: newest});
  }

  const image = join(directory, `base-${formatPosition(found.from)}.img`);
  const {from, to, resourceId} = found;
  return {directory, resourceId, image, begin: from, earliest: to, writtenTo: () => 0};
}
