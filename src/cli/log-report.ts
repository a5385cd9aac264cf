/**
 * `mars log verify`: reads logs while the disk may run, so what looks like a fault may only be a
 * file that was recycled or appended to under the reader. A fault counts where a second look finds
 * the same fault at the same position: a log that is in use has moved on by then.
 */
import {join} from 'node:path';
import {setTimeout as pause} from 'node:timers/promises';
import {isDiskError, storeError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {resourcePaths, type ResourcePaths} from '../core/home.js';
import {isObject, readJsonFile} from '../core/json-file.js';
import {formatPosition} from '../core/position.js';
import {TwoSlotFile} from '../core/two-slot.js';
import {readDurablePosition} from '../log/durable-word.js';
import {verifyLog, type LogFault, type LogVerification} from '../log/inspect.js';

const LOOKS_MAX = 6;
const LOOK_PAUSE_MS = 200;

export interface LogReport {
  /** null where a directory was named, no resource. */
  readonly name: string | null;
  readonly directory: string;
  readonly firstPosition: string | null;
  readonly end: string | null;
  readonly records: number;
  /** Records behind the end that were never durable: normal after a crash. */
  readonly tornRecords: number;
  readonly files: readonly {
    readonly file: string;
    readonly start: string;
    readonly end: string;
    readonly records: number;
    readonly payloadBytes: number;
  }[];
  readonly faults: readonly LogFault[];
}

export interface LogPlace {
  readonly name: string | null;
  readonly directory: string;
  readonly resourceId?: string;
  /** Two-slot file with the replay positions, which prove how far the log was durable. */
  readonly replayFile?: string;
  /** Where the word of the node on that is (log/durable-word). */
  readonly proof?: Pick<ResourcePaths, 'durableFile' | 'lineageFile'>;
}

/** Where the log of a resource lies; the resource need not be in order. */
export function placeOf(home: string, name: string): LogPlace {
  const paths = resourcePaths(home, name);
  const id = resourceIdOf(paths.resourceFile);
  return {
    name,
    directory: paths.logDirectory,
    replayFile: paths.replayFile,
    proof: paths,
    ...(id === undefined ? {} : {resourceId: id}),
  };
}

/**
 * Reads every record, again where it found a fault that may come from the disk at work.
 *
 * @throws DiskError STORE_IO, LOG_FORMAT
 */
export async function reportLog(files: Files, place: LogPlace): Promise<LogReport> {
  let before = '';
  for (let look = 1; ; look += 1) {
    let report: LogReport | undefined;
    try {
      report = lookOnce(files, place);
      const now = JSON.stringify(report.faults);
      if (report.faults.length === 0 || now === before || look === LOOKS_MAX) return report;
      before = now;
    } catch (error) {
      // A file that was recycled between the list and the look is gone by its old name.
      if (!isDiskError(error, 'STORE_IO') || look === LOOKS_MAX) throw error;
    }

    await pause(LOOK_PAUSE_MS);
  }
}

function lookOnce(files: Files, place: LogPlace): LogReport {
  // `to` before the log is read and `from` after it: both only grow.
  const {to} = readReplay(files, place.replayFile);
  const durable = readDurable(files, place);
  const verification = verifyFiles(files, place);
  const {from} = readReplay(files, place.replayFile);
  const faults = [
    ...verification.faults,
    ...replayFaults(verification, from, to),
    ...durableFaults(verification, durable),
  ];
  return {
    name: place.name,
    directory: place.directory,
    firstPosition: verification.firstPosition,
    end: verification.end,
    records: verification.files.reduce((sum, file) => sum + file.records, 0),
    tornRecords: verification.files.at(-1)?.remains ?? 0,
    files: verification.files.map(({file, header, end, records, payloadBytes}) => ({
      ...{file, start: formatPosition(header.start), end, records, payloadBytes},
    })),
    faults,
  };
}

function verifyFiles(files: Files, {directory, resourceId}: LogPlace): LogVerification {
  try {
    return verifyLog(files, directory, resourceId);
  } catch (error) {
    throw storeError(error, `read ${directory}`);
  }
}

/** What the image proves: it was written up to `to`, and what it needs next begins at `from`. */
function replayFaults(log: LogVerification, from: number, to: number): LogFault[] {
  const first = log.files[0];
  const last = log.files.at(-1);
  const [start, end] = [formatPosition(from), formatPosition(to)];
  if (first === undefined || last === undefined) {
    if (to === 0) return [];
    return [{file: '', position: start, fault: `no logfile, but the image was written to ${end}`}];
  }

  const faults: LogFault[] = [];
  if ((log.firstPosition ?? '') > start) {
    const fault = `the log begins behind ${start}, where the image needs it`;
    faults.push({file: first.file, position: log.firstPosition ?? '', fault});
  }

  if (last.end < end) {
    const fault = `damaged: the image was written up to ${end}, so the log was durable there`;
    faults.push({file: last.file, position: last.end, fault});
  }

  return faults;
}

/** What the node has said of its log itself. */
function durableFaults({files, faults}: LogVerification, durable: number): LogFault[] {
  const last = files.at(-1);
  const end = formatPosition(durable);
  if (durable === 0 || faults.length > 0 || (last?.end ?? '') >= end) return [];
  const fault = `damaged: this node has made the log durable up to ${end}`;
  return [{file: last?.file ?? '', position: last?.end ?? formatPosition(0), fault}];
}

function readDurable(files: Files, {proof}: LogPlace): number {
  try {
    return proof === undefined ? 0 : readDurablePosition(files, proof);
  } catch {
    // No proof from there; recovery itself insists on the lineage.
    return 0;
  }
}

function readReplay(files: Files, path: string | undefined): {from: number; to: number} {
  let value: unknown;
  try {
    value = path === undefined ? undefined : TwoSlotFile.peek(files, path);
  } catch {
    // No proof from there; recovery itself insists on the file.
  }

  const numberOf = (key: string): number => {
    const found = isObject(value) ? value[key] : undefined;
    return Number.isSafeInteger(found) && Number(found) >= 0 ? Number(found) : 0;
  };
  const to = numberOf('to');
  return value === undefined ? {from: Number.MAX_SAFE_INTEGER, to} : {from: numberOf('from'), to};
}

function resourceIdOf(path: string): string | undefined {
  try {
    return readJsonFile(path, (value) => {
      const id = isObject(value) ? value['id'] : undefined;
      return typeof id === 'string' ? id : undefined;
    });
  } catch {
    // Any one log in the directory is then taken for the resource's.
    return undefined;
  }
}

/** Bytes that a look at a log reads: for the progress bar. */
export function logBytes(files: Files, directory: string): number {
  try {
    return files
      .list(directory)
      .filter((name) => name.startsWith('log-'))
      .map((name) => fileBytes(files, join(directory, name)))
      .reduce((sum, bytes) => sum + bytes, 0);
  } catch {
    return 0;
  }
}

function fileBytes(files: Files, path: string): number {
  const fd = files.open(path, 'read');
  try {
    return files.sizeOf(fd);
  } finally {
    files.close(fd);
  }
}

/** The same files, telling how many bytes were read in all. */
export function countReads(files: Files, onBytes: (readBytes: number) => void): Files {
  let readBytes = 0;
  return {
    ...files,
    read: (fd, target, offset, length, position) => {
      const got = files.read(fd, target, offset, length, position);
      readBytes += got;
      onBytes(readBytes);
      return got;
    },
  };
}
