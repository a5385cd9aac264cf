/**
 * `deleted.json`: resources that were deleted on this node as the last one that had them, so that a peer which
 * was away learns that its replica belongs to something that is no more (F25). A resource is known by its
 * id; the name may be taken by another one since. Written before the resource goes: of one that is still here it
 * says nothing.
 */
import * as v from 'valibot';
import {deletedSchema, type DeletedResource} from '../cluster/facts.js';
import {check} from '../core/check.js';
import {homePaths} from '../core/home.js';
import {readJsonFile, writeJsonFile} from '../core/json-file.js';

/** Older ones are forgotten: peers that were away for longer are told of nothing. */
const KEPT_MAX = 256;

const FILE = v.looseObject({schema: v.literal(1), resources: v.array(deletedSchema)});

/** What was deleted here, oldest first. @throws DiskError STATE_UNREADABLE, HOME_NEWER */
export function readDeleted(home: string): readonly DeletedResource[] {
  return readJsonFile(homePaths(home).deletedFile, (value) => check(FILE, value))?.resources ?? [];
}

/** Notes that a resource is about to be deleted. @throws DiskError STATE_UNREADABLE, STORE_* */
export function noteDeleted(home: string, deleted: DeletedResource): void {
  const others = readDeleted(home).filter(({id}) => id !== deleted.id);
  const resources = [...others, deleted].slice(-KEPT_MAX);
  writeJsonFile(homePaths(home).deletedFile, {schema: 1, resources});
}
