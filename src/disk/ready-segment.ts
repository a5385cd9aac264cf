import {join} from 'node:path';
import {DiskError, errnoOf} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {makeReady, makeSpare, type SegmentPlan} from '../log/segment-files.js';
import {segmentName} from '../log/segment.js';

/**
 * Makes segment `number` ready: from a spare of the right size, else from a new file.
 *
 * @param isUrgent true where somebody waits who had this disk before: a new file then gets no zeros
 * @returns its path
 * @throws DiskError LOG_SPACE
 */
export function readySegment(
  files: Files,
  plan: SegmentPlan,
  number: number,
  isUrgent = false,
): string {
  try {
    for (const name of files.list(plan.directory)) {
      if (!name.startsWith('spare-')) continue;
      const path = join(plan.directory, name);
      const fd = files.open(path, 'read');
      const size = files.sizeOf(fd);
      files.close(fd);
      // Overwriting takes room, too, on some file systems.
      if (size === plan.fileBytes) return makeReady(files, plan, path, number);
      files.unlink(path);
    }

    const path = join(plan.directory, `spare-new-${segmentName(number, plan.originName)}`);
    const making = makeSpare(files, plan, path, () => isUrgent);
    while (making.next().done !== true);
    return makeReady(files, plan, path, number);
  } catch (error) {
    if (errnoOf(error) !== 'ENOSPC') throw error;
    throw new DiskError(
      'LOG_SPACE',
      `no room in ${plan.directory} for a logfile of ${plan.fileBytes} bytes: free space there`,
      {directory: plan.directory, bytes: plan.fileBytes},
      {cause: error},
    );
  }
}
