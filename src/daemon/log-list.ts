import type {LogList} from '../control/api.js';
import fs from 'node:fs';
import {storeError} from '../core/errors.js';
import {createNodeFiles} from '../core/files.js';
import {formatPosition} from '../core/position.js';
import {readLogDirectory} from '../log/directory.js';
import type {Resource} from './resource.js';

/**
 * The logfiles of a resource, oldest first. A segment ends where the next one starts; the end of
 * the open one is the position of the disk process, null where none runs.
 *
 * @throws DiskError STATE_UNREADABLE, LOG_FORMAT, STORE_IO
 */
export function listLog(resource: Resource): LogList {
  const {file, places, disk} = resource;
  try {
    const {segments, spares} = readLogDirectory(
      createNodeFiles(),
      places.paths.logDirectory,
      file.id,
    );
    const files = segments.map(({name, header, fileBytes}, index) => {
      const next = segments[index + 1]?.header;
      return {
        file: name,
        number: header.number,
        origin: header.originName,
        epoch: header.epoch,
        start: formatPosition(header.start),
        end:
          next === undefined ? endOfOpen(header.start, disk?.position) : formatPosition(next.start),
        bytes: fileBytes,
        createdAt: new Date(header.createdMs).toISOString(),
        sealed: next !== undefined,
      };
    });
    const free = spares.filter(({isUnreadable}) => !isUnreadable);
    const bytes = free.reduce((sum, {path}) => sum + sizeOf(path), 0);
    return {schema: 1, name: file.name, files, spares: {files: free.length, bytes}};
  } catch (error) {
    throw storeError(error, `read ${places.paths.logDirectory}`);
  }
}

/** The disk process may have gone on to the next file since it was asked. */
function endOfOpen(start: number, position: string | undefined): string | null {
  const first = formatPosition(start);
  return position === undefined ? null : position < first ? first : position;
}

/** 0 for a file that was used again meanwhile: it has another name then. */
function sizeOf(path: string): number {
  return fs.statSync(path, {throwIfNoEntry: false})?.size ?? 0;
}
