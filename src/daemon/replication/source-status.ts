import type {DiskStatus} from '../../core/disk-status.js';
import {DiskError} from '../../core/errors.js';
import type {Replica} from './replica.js';

/**
 * What the disk process says now.
 *
 * @throws DiskError DISK_UNREACHABLE where none answers, or it does not know yet
 */
export async function sourceStatus(replica: Replica, maxAgeMs?: number): Promise<DiskStatus> {
  const status = await replica.sourceStatus(maxAgeMs);
  if (status !== undefined && status.phase !== 'starting' && status.phase !== 'recovering') {
    return status;
  }

  const text = `the disk process of ${replica.resource.name} does not answer yet`;
  throw new DiskError('DISK_UNREACHABLE', text, {resource: replica.resource.name});
}
