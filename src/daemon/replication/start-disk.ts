import type {DiskStatus} from '../../core/disk-status.js';
import {startFollow} from '../activate.js';
import type {Context} from '../context.js';
import type {Resource} from '../resource.js';
import {withMendedLog} from './mend-log.js';

const START_TIMEOUT_MS = 60_000;

/**
 * Starts the disk process of a secondary, or finds it. To be called in the queue of the resource.
 *
 * @throws DiskError as startFollow
 */
export async function startDisk(context: Context, resource: Resource): Promise<DiskStatus> {
  resource.forgetEnd();
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  const status = await withMendedLog(context, resource, () =>
    startFollow(context, resource.file, deadlineMs),
  );
  resource.noteStatus(status);
  resource.hushFailure();
  resource.hush('DISK_UNREACHABLE');
  return status;
}
