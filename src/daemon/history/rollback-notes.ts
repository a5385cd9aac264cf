/** A node that became primary by force may have a log that ends in the middle of a rollback. */
import {isDiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {formatPosition} from '../../core/position.js';
import {unfinishedRollback} from '../../core/rollback-file.js';
import {findMarks} from '../../log/moments.js';
import {listSegments} from '../../log/walk.js';
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import {sayOfRole} from '../role-messages.js';
import {reachOf} from './reach.js';

/**
 * Looks at the marks of all the log that is still here, and says where it ends in a rollback. It may take a while;
 * what goes wrong is only logged.
 */
export async function noteCutRollback(context: Context, resource: Resource): Promise<void> {
  try {
    const text = await cutRollbackText(context, resource);
    if (text !== undefined) sayOfRole(context, resource, 'ROLLBACK_UNFINISHED', text);
  } catch (error) {
    if (!isDiskError(error)) throw error;
    context.log.warn({resource: resource.name, err: error}, 'marks were not looked at');
  }
}

async function cutRollbackText(context: Context, resource: Resource): Promise<string | undefined> {
  const {name, file, places} = resource;
  const files = createNodeFiles();
  const {logDirectory: directory} = places.paths;
  const reach = await reachOf(context, resource, false);
  const [first] = listSegments(files, directory, file.id);
  if (first === undefined) return undefined;
  const place = {files, directory, resourceId: file.id};
  // What is in the image already is no moment any more, and tells all the same.
  const marks = await findMarks(place, {from: first.header.start, to: reach.newest});
  const found = unfinishedRollback(marks);
  if (found === undefined) return undefined;
  const {begin, to} = found;
  const oldest = formatPosition(reach.oldest);
  const before = formatPosition(begin.position);
  const finish = to >= oldest ? `mars history rollback ${name} --to ${to} finishes it` : undefined;
  const undo =
    before >= oldest ? `mars history rollback ${name} --to ${before} undoes it` : undefined;
  const ways = [finish, undo].filter((way) => way !== undefined);
  const what =
    ways.length > 0
      ? ways.join(', ')
      : `the image here holds a part of it, so that it can neither be finished nor undone from here: check the data`;
  return (
    `the log of ${name} ends in the middle of a rollback to ${to}: the disk is a mixture of then and before; ${what}; ` +
    `mars history rollback ${name} --abort takes this message away`
  );
}
