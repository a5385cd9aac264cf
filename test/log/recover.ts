/** Runs recovery for a test and notes what it was told. */
import type {Files} from '../../src/core/files.js';
import {recoverLog, type RecoveredLog, type RecoveryInput} from '../../src/log/recovery.js';
import {DIRECTORY, DISK_BYTES, RESOURCE_ID} from './log-builder.js';

export interface Recovered extends RecoveredLog {
  /** Position behind each record that was walked over, in order. */
  readonly ends: readonly number[];
  readonly indexed: number;
}

export function recover(files: Files, options: Partial<RecoveryInput> = {}): Recovered {
  const ends: number[] = [];
  let indexed = 0;
  const result = recoverLog({
    files,
    directory: DIRECTORY,
    resourceId: RESOURCE_ID,
    from: 0,
    to: 0,
    diskSizeBytes: DISK_BYTES,
    onSegment: () => undefined,
    onIndex: () => {
      indexed += 1;
    },
    onRecord: (cursor) => {
      ends.push(cursor.position);
    },
    ...options,
  });
  return {...result, ends, indexed};
}
