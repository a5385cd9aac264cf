/** Images of branches: copied by a program of the system, and brought to the end of their log. */
import fs from 'node:fs';
import {setImmediate as pause} from 'node:timers/promises';
import {systemClock} from '../../core/clock.js';
import {DiskError} from '../../core/errors.js';
import {createNodeFiles} from '../../core/files.js';
import {MIB} from '../../core/units.js';
import {Replayer, type OpenSegment, type ReplayHost} from '../../image/replay.js';
import {openReplayState, replaceReplayState} from '../../image/replay-state.js';
import {RecordCursor} from '../../log/cursor.js';
import type {SegmentFile} from '../../log/directory.js';
import type {Chain} from '../../log/record.js';
import {dirname} from 'node:path';
import {spaceOf} from '../file-system-space.js';
import {programWords, runProgram} from '../../core/run-program.js';

const SECOND_MS = 1000;
/** Log that is replayed before others get their turn. */
const BATCH_BYTES = 8 * MIB;
/** What stays free of a file system on which an image is copied. */
const FREE_PART_MIN = 0.05;
const FREE_BYTES_MIN = 64 * MIB;
/** Answers at once, one way or the other. */
const PROBE_TIMEOUT_MS = 10 * SECOND_MS;

/**
 * Copies an image or block device with its holes, and shares the blocks where the file system can.
 * The copy is not durable yet.
 *
 * @param sparse never: holes are written as zeros, for a block device
 * @throws DiskError TIMEOUT, STORE_FULL, STORE_IO; no file is left then
 */
export async function copyImage(
  source: string,
  target: string,
  deadlineMs: number,
  sparse: 'always' | 'never' = 'always',
): Promise<void> {
  const leftMs = Math.max(SECOND_MS, deadlineMs - performance.now());
  const args = ['--reflink=auto', `--sparse=${sparse}`, '--', source, target];
  const result = await runProgram('cp', args, leftMs);
  if (result.status === 0) return;
  if (fs.existsSync(target) && fs.statSync(target).isFile()) fs.rmSync(target);
  const words = programWords(result);
  const text = `${source} cannot be copied to ${target}: ${words}`;
  if (result.timedOut) {
    throw new DiskError('TIMEOUT', `${text}; give it longer: --timeout S`, {target});
  }

  const isFull = /no space left|quota exceeded/iu.test(words);
  throw new DiskError(isFull ? 'STORE_FULL' : 'STORE_IO', text, {target});
}

/** Bytes that a copy of an image takes: those of its blocks, without the holes. */
export function imageBytes(path: string): number {
  const stat = fs.statSync(path);
  if (stat.isFile()) return stat.blocks * 512;
  const files = createNodeFiles();
  const fd = files.open(path, 'read');
  try {
    return files.sizeOf(fd);
  } finally {
    files.close(fd);
  }
}

/**
 * Why a copy of an image has no room in a directory; undefined where it has.
 *
 * @param directory exists
 */
export async function whyNoRoom(source: string, directory: string): Promise<string | undefined> {
  if (await isShared(source, directory)) return undefined;
  return whyTooFull(imageBytes(source), directory);
}

/** Why so many bytes have no room in a directory that exists; undefined where they have. */
export async function whyTooFull(bytes: number, directory: string): Promise<string | undefined> {
  const space = await spaceOf(directory);
  if (space === null) return `the file system of ${directory} does not say what is free`;
  const reserve = Math.max(FREE_BYTES_MIN, space.totalBytes * FREE_PART_MIN);
  if (space.freeBytes - bytes >= reserve) return undefined;
  return `a copy takes ${bytes} bytes, ${space.freeBytes} are free in ${directory}`;
}

/** Whether the file system copies the image without copying its bytes. */
async function isShared(source: string, directory: string): Promise<boolean> {
  if (!fs.statSync(source).isFile()) return false;
  const probe = `${directory}/.probe.tmp`;
  try {
    const args = ['--reflink=always', '--', source, probe];
    return (await runProgram('cp', args, PROBE_TIMEOUT_MS)).status === 0;
  } finally {
    fs.rmSync(probe, {force: true});
  }
}

export interface ReplayOntoOptions {
  /** In order; they reach from `from` to `to`. */
  readonly segments: readonly SegmentFile[];
  readonly image: string;
  readonly sizeBytes: number;
  /** The image holds everything below. */
  readonly from: number;
  readonly to: number;
}

/**
 * Replays log onto an image that nobody else uses.
 *
 * @throws DiskError LOG_CORRUPT, STORE_FULL, IMAGE_IO; the image is then of no use
 */
export async function replayOnto(options: ReplayOntoOptions): Promise<void> {
  const {segments, image, from, to} = options;
  const files = createNodeFiles();
  const work = `${image}.replay`;
  const imageFd = files.open(image, 'write');
  const opened: OpenSegment[] = [];
  let failure: DiskError | undefined;
  try {
    if (files.sizeOf(imageFd) < options.sizeBytes && files.identify(imageFd).kind === 'file') {
      files.truncate(imageFd, options.sizeBytes);
    }

    for (const [index, {path, header}] of segments.entries()) {
      const end = segments[index + 1]?.header.start ?? Infinity;
      opened.push({fd: files.open(path, 'read'), start: header.start, end});
    }

    const identity = files.identify(imageFd);
    const state = {schema: 1, from, to: from, image: identity} as const;
    replaceReplayState(files, dirname(image), work, state);
    const {file: stateFile} = openReplayState(files, work);
    const host: ReplayHost = {
      durable: () => to,
      appended: () => to,
      segments: (low, high) => opened.filter(({start, end}) => start < high && end > low),
      readHeader: ({start}) => headerAt(segments, start),
      isPaused: () => false,
      isForced: () => true,
      publish: () => undefined,
      setState: () => undefined,
      report: (error) => {
        failure = error;
      },
    };
    const replayer = new Replayer({
      ...{files, clock: systemClock, host, imageFd, identity, stateFile, from, to: from},
      chain: chainAt(files, segments, from),
      pacing: {batchBytes: BATCH_BYTES},
    });
    try {
      while (replayer.position < to) {
        replayer.step();
        if (failure !== undefined) throw failure;
        await pause();
      }
    } finally {
      stateFile.close();
    }
  } finally {
    for (const {fd} of opened) files.close(fd);
    files.close(imageFd);
    fs.rmSync(work, {force: true});
  }
}

function headerAt(segments: readonly SegmentFile[], start: number): SegmentFile['header'] {
  const segment = segments.find(({header}) => header.start === start);
  if (segment !== undefined) return segment.header;
  throw new DiskError('LOG_CORRUPT', 'a logfile of the branch is missing', {start});
}

/** Chain value of a log at a position inside it. @throws DiskError LOG_CORRUPT */
export function chainAt(
  files: ReturnType<typeof createNodeFiles>,
  segments: readonly SegmentFile[],
  position: number,
): Chain {
  const segment = segments.findLast(({header}) => header.start <= position);
  if (segment === undefined) {
    throw new DiskError('LOG_CORRUPT', 'the log of the branch begins behind its image', {position});
  }

  const {header, path} = segment;
  const fd = files.open(path, 'read');
  try {
    const cursor = new RecordCursor(files);
    cursor.open(fd, header, header.start, header.chain, header.start + header.capacityBytes);
    while (cursor.position < position && cursor.next());
    if (cursor.position === position) return {low: cursor.chain.low, high: cursor.chain.high};
  } finally {
    files.close(fd);
  }

  throw new DiskError('LOG_CORRUPT', 'the log of the branch is damaged below its image', {
    position,
  });
}
