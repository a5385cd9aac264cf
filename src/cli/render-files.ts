/** Exports and imports of logfiles, for people. */
import type {ExportResult, ImportResult} from '../control/api.js';
import {formatBytes} from '../core/units.js';

/** What was written to a folder. */
export function renderExport(result: ExportResult): string {
  const {name, folder, files, end, base, forgotten, kept} = result;
  if (!kept) {
    return forgotten
      ? `${name}: no log is kept for ${folder} any more`
      : `${name}: no log was kept for ${folder}`;
  }

  const image =
    base === null
      ? ''
      : `base image at ${base.begin} (${formatBytes(base.dataBytes)} of ${formatBytes(base.sizeBytes)}), `;
  const [first] = files;
  const last = files.at(-1);
  const log =
    first === undefined || last === undefined
      ? 'no new logfile'
      : files.length === 1
        ? first
        : `${first} to ${last}`;
  return `${name}: ${image}${log} in ${folder}, up to ${end ?? 'nowhere'}`;
}

/** What was taken from files. */
export function renderImport({name, folder, from, end}: ImportResult): string {
  const at = end ?? 'an unknown position';
  if (from === end) return `${name}: nothing new in ${folder}, the log here ends at ${at}`;
  return `${name}: the log from ${from ?? 'its beginning'} to ${at} was taken from ${folder}`;
}

/** The document of `log export --format dm-log-writes`. */
export interface LogWritesDocument {
  readonly schema: 1;
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
  readonly entries: number;
  readonly writes: number;
  readonly flushes: number;
  readonly discards: number;
}

/** One line. */
export function renderLogWrites(document: LogWritesDocument): string {
  const {name, file, from, to, writes, flushes, discards} = document;
  const counts = `${writes} writes, ${discards} discards, ${flushes} flushes`;
  return `${name}: ${from} to ${to}, ${counts}, as dm-log-writes in ${file}`;
}
