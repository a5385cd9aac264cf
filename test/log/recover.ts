/** Runs recovery for a test and notes what it was told. */
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import type {Files} from '../../src/core/files.js';
import {recoverLog, type RecoveredLog, type RecoveryInput} from '../../src/log/recovery.js';
import type {SimDisk} from '../sim/sim-disk.js';
import {
  DIRECTORY,
  DISK_BYTES,
  LogBuilder,
  makeSimDisk,
  RESOURCE_ID,
  snapshot,
  type BuiltRecord,
} from './log-builder.js';

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

export function isDamage(position: number): (error: unknown) => boolean {
  return (error) =>
    isDiskError(error, 'LOG_CORRUPT') &&
    error.details['position'] === position.toString(16).padStart(16, '0');
}

/** Recovery refuses at `position`, and has changed nothing. */
export function assertStops(files: SimDisk, position: number, options = {}): void {
  const before = snapshot(files);
  assert.throws(() => recover(files, options), isDamage(position));
  assert.equal(snapshot(files), before);
  assert.is(files.descriptorCount, 0);
}

export interface Made {
  readonly files: SimDisk;
  readonly log: LogBuilder;
  readonly records: readonly BuiltRecord[];
}

export function makeLog(fill: (log: LogBuilder) => void): Made {
  const files = makeSimDisk();
  const log = new LogBuilder({files});
  fill(log);
  log.close();
  return {files, log, records: log.records};
}

export function at(records: readonly BuiltRecord[], index: number): BuiltRecord {
  const record = records.at(index);
  assert.ok(record);
  return record;
}
