/** What the target of a copy is given, tells, and reads. */
import type {Duplex} from 'node:stream';
import {assert} from '../core/assert.js';
import type {Clock} from '../core/clock.js';
import {isErrorCode} from '../core/codes.js';
import {DiskError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {scanExtents} from '../core/extents.js';
import {formatPosition, parsePosition} from '../core/position.js';
import type {ReplayState} from '../image/replay-state.js';
import {SYNC_CHUNK_BYTES} from '../log/frame-schemas.js';
import type {Frame} from '../log/frame-reader.js';
import {decodeEnd, DIGEST_BYTES, FRAME} from '../log/frames.js';
import type {DiskConfig} from './config.js';
import type {SyncState} from './sync-state.js';
import type {ScanImage, SyncImage} from './target-image.js';

/** A chunk of zeros. */
export const ZERO_DIGEST = Buffer.alloc(DIGEST_BYTES);
/** A digest that no content has: the chunk is sent whole. */
export const DISTRUST_DIGEST = Buffer.alloc(DIGEST_BYTES, 0xff);

/** One copy over one stream. */
export interface SyncTargetOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly config: DiskConfig;
  readonly stream: Duplex;
  /** What is written to; default: the image of the resource. */
  readonly image?: SyncImage;
  /** Only what is known to differ (`only` in sync.json) is taken: a source that cannot is refused. */
  readonly isPartial?: boolean;
  /** Called when sync.json says `copying`, before the image is touched: the old log goes now. */
  onBegin?(state: SyncState): void;
  onProgress?(progress: SyncProgress): void;
  /** Writes the replay state durably, for who has its file open; default: opens or makes it. */
  writeReplayState?(state: ReplayState): void;
  /** Default: SEEK_DATA and SEEK_HOLE. */
  readonly scan?: ScanImage;
  readonly silenceMs?: number;
  /** Default: every 3 s. */
  readonly persistMs?: number;
}

/** A question that is not answered yet. */
export interface Asked {
  readonly end: number;
  readonly weight: number;
}

/** For the status. */
export interface SyncProgress {
  readonly begin: number;
  readonly end: number | null;
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Content that came over the stream. */
  readonly dataBytes: number;
}

/** A question that is not answered yet. */
export interface Asked {
  readonly end: number;
  readonly weight: number;
}

/** @throws DiskError with what the source ended the stream for */
export async function nextFrame(frames: AsyncGenerator<Frame, void>): Promise<Frame> {
  const result = await frames.next();
  if (result.done === true) {
    throw new DiskError('PEER_UNREACHABLE', 'the source has ended the stream');
  }

  if (result.value.type !== FRAME.end) return result.value;
  const {code, text} = decodeEnd(result.value.payload);
  throw new DiskError(isErrorCode(code) ? code : 'PEER_REFUSED', `the source has ended: ${text}`);
}

/** A position of a frame that was checked. */
export function positionOf(text: string): number {
  const position = parsePosition(text);
  assert(position !== undefined, 'the frame was checked');
  return position;
}

/** Where an image has data, as its file system says. */
export const scanImage: ScanImage = (fd, sizeBytes, onExtent) =>
  scanExtents(fd, sizeBytes, SYNC_CHUNK_BYTES, onExtent);

/** Why a source is refused that cannot give only what differs; one that has less may later. */
export function wholeOnly(begin: number, wanted: number): DiskError {
  const [at, from] = [formatPosition(begin), formatPosition(wanted)];
  return begin < wanted
    ? new DiskError('SOURCE_BEHIND', `the image of the source is at ${at}, needed is ${from}`)
    : new DiskError('LOG_GONE', `the source cannot tell what differs since ${from}`);
}

/** What of ranges [start, end) lies in [from, to). */
export function partsWithin(
  ranges: readonly (readonly [number, number])[],
  from: number,
  to: number,
): {readonly offset: number; readonly length: number}[] {
  return ranges
    .filter(([start, end]) => start < to && end > from)
    .map(([start, end]) => {
      const offset = Math.max(start, from);
      return {offset, length: Math.min(end, to) - offset};
    });
}

/**
 * `distrustEnd` by sync.json, for where that cannot be written either when a sync of the image has
 * failed: both lie on the same device as often as not.
 */
export const distrusted = new Map<string, number>();
