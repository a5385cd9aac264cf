/** What is said of a start of the simulated process, and which one may be refused; and what comes before a resize. */
import {DiskError, errnoOf} from '../../src/core/errors.js';
import type {Files} from '../../src/core/files.js';
import {formatPosition} from '../../src/core/position.js';
import type {ActiveDisk} from '../../src/disk/activation.js';
import type {Oracle} from './oracle.js';
import {RotNoticed} from './rot.js';

/** For the trace. */
export function aliveText({recovered, state}: ActiveDisk, {model, flushed}: Oracle): string {
  return (
    `  alive: log ends at ${formatPosition(recovered.position)}, model at ` +
    `${formatPosition(model.end)}, flushed ${formatPosition(flushed)}, ` +
    `image ${formatPosition(state.from)}..${formatPosition(state.to)}, torn ${recovered.tornRecords}`
  );
}

/**
 * A start that was refused needs a reason that can be mended; damage never has one.
 *
 * @throws the error where it has none; RotNoticed for damage that was to be found
 */
export function requireExcuse(error: unknown, hasRotted: boolean, isExcused: boolean): void {
  const isOperating = error instanceof DiskError || errnoOf(error) !== undefined;
  const isDamage = error instanceof DiskError && error.code === 'LOG_CORRUPT';
  if (isDamage && hasRotted) throw new RotNoticed(error.message);
  if (!isOperating || isDamage || !isExcused) throw error;
}

/** As the process does it: the image grows before the log. @returns false where it cannot */
export function growImage(files: Files, imageFd: number, sizeBytes: number): boolean {
  try {
    files.truncate(imageFd, sizeBytes);
    files.sync(imageFd);
    return true;
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return false;
  }
}
