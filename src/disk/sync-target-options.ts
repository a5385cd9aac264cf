/** What the target of a copy is given, tells, and reads. */
import type {Duplex} from 'node:stream';
import {assert} from '../core/assert.js';
import type {Clock} from '../core/clock.js';
import {isErrorCode} from '../core/codes.js';
import {DiskError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import {parsePosition} from '../core/position.js';
import type {ReplayState} from '../image/replay-state.js';
import type {Frame} from '../log/frame-reader.js';
import {decodeEnd, FRAME} from '../log/frames.js';
import type {DiskConfig} from './config.js';
import type {SyncState} from './sync-state.js';
import type {ScanImage} from './target-image.js';

/** One copy over one stream. */
export interface SyncTargetOptions {
  readonly files: Files;
  readonly clock: Clock;
  readonly config: DiskConfig;
  readonly stream: Duplex;
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

/** For the status. */
export interface SyncProgress {
  readonly begin: number;
  readonly end: number | null;
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Content that came over the stream. */
  readonly dataBytes: number;
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
