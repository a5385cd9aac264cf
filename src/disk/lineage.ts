/** lineage.json: the epochs of a resource in order; where each began, on which node. */
import type {Files} from '../core/files.js';
import {resourcePaths} from '../core/home.js';
import {formatPosition} from '../core/position.js';
import {replaceFile} from '../core/replace-file.js';
import {LINEAGE_ENTRIES_MAX, readLineage, type LineageEntry} from '../log/lineage.js';
import {formatChain} from '../log/record.js';
import type {SegmentHeader} from '../log/segment.js';
import type {DiskConfig} from './config.js';

/** Adds the epoch of `header`, durably, before anything is written in it. */
export function appendLineage(config: DiskConfig, header: SegmentHeader, files: Files): void {
  const {lineageFile} = resourcePaths(config.home, config.resource.name);
  const entry: LineageEntry = {
    epoch: header.epoch,
    node: header.originId,
    nodeName: header.originName,
    start: formatPosition(header.start),
    chain: formatChain(header.chain),
  };
  // An epoch is noted before its records: where those were lost, it begins beyond the log's end.
  const known = readLineage(files, lineageFile).filter(({start}) => start <= entry.start);
  writeLineage(config, [...known, entry], files);
}

/** Replaces the lineage, durably; the oldest entries go where there are too many. */
export function writeLineage(
  config: DiskConfig,
  lineage: readonly LineageEntry[],
  files: Files,
): void {
  const {lineageFile} = resourcePaths(config.home, config.resource.name);
  const entries = lineage.slice(-LINEAGE_ENTRIES_MAX);
  const bytes = Buffer.from(`${JSON.stringify({schema: 1, entries}, null, 1)}\n`);
  replaceFile(files, lineageFile, bytes);
}
