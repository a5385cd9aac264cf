import type {LogList} from '../control/api.js';
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
    const {segments} = readLogDirectory(createNodeFiles(), places.paths.logDirectory, file.id);
    const files = segments.map(({name, header, fileBytes}, index) => {
      const next = segments[index + 1]?.header;
      return {
        file: name,
        number: header.number,
        origin: header.originName,
        epoch: header.epoch,
        start: formatPosition(header.start),
        end: next === undefined ? (disk?.position ?? null) : formatPosition(next.start),
        bytes: fileBytes,
        createdAt: new Date(header.createdMs).toISOString(),
        sealed: next !== undefined,
      };
    });
    return {schema: 1, name: file.name, files};
  } catch (error) {
    throw storeError(error, `read ${places.paths.logDirectory}`);
  }
}
