/**
 * How a file becomes a segment, in the order that power loss cannot break:
 *
 *   new:      spare-new-N: space reserved, zeros as far as there is time, fsync
 *   used:     rename log-5 -> spare-5 (after everything in it was replayed)
 *   cut:      removed: what its records say of a history that was given up may be believed by nobody
 *   ready:    header (ready, number) written, fdatasync; rename -> log-18; fsync of the directory
 *   started:  header (started) written in place by the writer, then records
 *
 * Zeros are written once: overwriting blocks that exist makes fdatasync twice as fast as appending.
 * A used file is not zeroed again: position, epoch and chain refuse its old records.
 */
import {join} from 'node:path';
import {passCrashPoint} from '../core/crash-points.js';
import {errnoOf} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {MIB} from '../core/units.js';
import {indexPathOf} from './index-file.js';
import {encodeSegmentHeader, segmentName, type SegmentHeader} from './segment.js';

export interface SegmentPlan {
  readonly directory: string;
  readonly resourceId: string;
  readonly originId: string;
  readonly originName: string;
  readonly fileBytes: number;
}

/** Header of a segment that is ready but not started. */
export function readyHeader(plan: SegmentPlan, number: number): SegmentHeader {
  return {
    started: false,
    resourceId: plan.resourceId,
    originId: plan.originId,
    epoch: '0'.repeat(32),
    originName: plan.originName,
    number,
    start: 0,
    chain: {low: 0, high: 0},
    durable: 0,
    epochStart: 0,
    createdMs: 0,
    diskSizeBytes: 0,
    alignmentBytes: 8,
    capacityBytes: 0,
  };
}

/** Turns a spare of the right size into the ready segment `number`. Durable when it returns. */
export function makeReady(
  files: Files,
  plan: SegmentPlan,
  sparePath: string,
  number: number,
): string {
  const fd = files.open(sparePath, 'write');
  try {
    const bytes = encodeSegmentHeader(readyHeader(plan, number));
    files.write(fd, bytes, 0, bytes.length, 0);
    // fdatasync covers the size and the extents of a file that was made in a life that was killed;
    // for one that is used again it needs no commit of the file system's journal.
    files.syncData(fd);
    passCrashPoint('segment-ready-written');
  } finally {
    files.close(fd);
  }

  const path = join(plan.directory, segmentName(number, plan.originName));
  files.rename(sparePath, path);
  passCrashPoint('segment-ready-renamed');
  files.syncDirectory(plan.directory);
  return path;
}

const ZEROS = Buffer.alloc(MIB);

/**
 * Makes a new spare in slices, so that the thread that does it can do other things between: its
 * space first, then zeros.
 *
 * @param isUrgent asked between slices: true where the next segment is needed now. The rest is
 *   then left to fallocate: the first fdatasyncs in it are slower, but nobody waits for zeros
 * @returns a generator; each step writes at most 1 MiB; it ends when the file is durable
 */
export function* makeSpare(
  files: Files,
  plan: SegmentPlan,
  path: string,
  isUrgent: () => boolean = () => false,
): Generator<void, void> {
  const fd = files.open(path, 'create');
  let done = false;
  try {
    const reserved = reserve(files, fd, plan.fileBytes);
    for (let offset = 0; offset < plan.fileBytes; offset += ZEROS.length) {
      if (reserved && isUrgent()) break;
      files.write(fd, ZEROS, 0, Math.min(ZEROS.length, plan.fileBytes - offset), offset);
      yield;
    }

    files.sync(fd);
    done = true;
  } finally {
    files.close(fd);
    // A half-made file would hold the space that somebody may need: give it back.
    if (!done) removeIfThere(files, path);
  }
}

/** @returns false where the file system cannot reserve: then only writing does */
function reserve(files: Files, fd: number, sizeBytes: number): boolean {
  try {
    files.allocate(fd, sizeBytes);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EOPNOTSUPP') return false;
    throw error;
  }
}

/** Removes a segment that is no part of the log, and its index file, where they are there. */
export function removeSegment(files: Files, path: string): void {
  removeIfThere(files, path);
  removeIfThere(files, indexPathOf(path));
}

function removeIfThere(files: Files, path: string): void {
  if (files.exists(path)) files.unlink(path);
}
