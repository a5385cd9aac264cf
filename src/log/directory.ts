/**
 * The log directory: which files are segments, in which order, and which are to be used again.
 *
 * States of a file, by name and header (hazard: a rename that power loss undid, a torn header):
 *
 *   name     header                      is
 *   log-*    started, our resource       a segment
 *   log-*    ready, torn, other, short   a spare: nothing durable was ever in it
 *   spare-*  any                         a spare
 *   bad-*    any                         kept aside: the device failed under it, or it was damaged
 *                                        and mended from a replica; never used again
 */
import {join} from 'node:path';
import type {Files} from '../core/files.js';
import {
  decodeSegmentHeader,
  parseSegmentName,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
} from './segment.js';

export interface SegmentFile {
  readonly name: string;
  readonly path: string;
  readonly header: SegmentHeader;
  readonly fileBytes: number;
}

/** A file that holds nothing of the log. */
export interface SpareFile {
  readonly name: string;
  readonly path: string;
  /** Named as a segment, but its header is torn or rotten: its records may still prove something. */
  readonly isUnreadable: boolean;
}

export interface LogDirectory {
  /** In stream order. */
  readonly segments: readonly SegmentFile[];
  readonly spares: readonly SpareFile[];
  /** Highest number in any name or header: new numbers begin behind it. */
  readonly numberMax: number;
}

/**
 * Lists a log directory.
 *
 * @throws DiskError LOG_FORMAT where a segment was written by a newer version
 */
export function readLogDirectory(
  files: Files,
  directory: string,
  resourceId: string,
): LogDirectory {
  const segments: SegmentFile[] = [];
  const spares: SpareFile[] = [];
  let numberMax = 0;
  for (const name of files.list(directory)) {
    const path = join(directory, name);
    const parsed = parseSegmentName(name);
    if (parsed === undefined) {
      if (name.startsWith('spare-') && !name.endsWith('.idx')) {
        spares.push({name, path, isUnreadable: false});
      }

      continue;
    }

    numberMax = Math.max(numberMax, parsed.number);
    const file = readSegmentFile(files, path, name);
    if (file?.header.started === true && file.header.resourceId === resourceId) {
      numberMax = Math.max(numberMax, file.header.number);
      segments.push(file);
    } else {
      spares.push({name, path, isUnreadable: file === undefined});
    }
  }

  segments.sort((a, b) => a.header.number - b.header.number);
  return {segments, spares, numberMax};
}

/** @returns undefined where the file has no valid header */
export function readSegmentFile(files: Files, path: string, name: string): SegmentFile | undefined {
  const fd = files.open(path, 'read');
  try {
    const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
    const got = files.read(fd, bytes, 0, bytes.length, 0);
    const header = decodeSegmentHeader(bytes.subarray(0, got));
    return header && {name, path, header, fileBytes: files.sizeOf(fd)};
  } finally {
    files.close(fd);
  }
}
