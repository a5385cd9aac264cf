import {assert} from '../core/assert.js';
import {DiskError} from '../core/errors.js';
import type {Files} from '../core/files.js';
import type {OpenSegment, ReplayHost, ReplayRunState} from '../image/replay.js';
import {decodeSegmentHeader, SEGMENT_HEADER_BYTES} from '../log/segment.js';
import {COUNTER} from './counters.js';
import {LATENCY_ROW, WORD, type Shared} from './shared.js';

export const REPLAY_STATES: readonly ReplayRunState[] = ['idle', 'running', 'paused', 'failed'];

/**
 * Replay's view of the shared memory.
 *
 * @param limit how far the history lets replay go (replay-limit)
 */
export function createReplayHost(
  files: Files,
  shared: Shared,
  report: (error: DiskError | undefined) => void,
  limit: () => number = () => Infinity,
): ReplayHost {
  const headerBytes = Buffer.alloc(SEGMENT_HEADER_BYTES);
  let failed = false;
  return {
    durable: () => Math.min(shared.replayLimit, shared.replayHold, limit()),
    appended: () => shared.appended.get(),
    segments: (from, to) => segmentsBetween(shared, from, to),
    readHeader: (segment) => {
      files.read(segment.fd, headerBytes, 0, headerBytes.length, 0);
      const header = decodeSegmentHeader(headerBytes);
      if (header !== undefined) return header;
      throw new DiskError('LOG_CORRUPT', 'the header of a logfile cannot be read any more', {
        start: segment.start,
      });
    },
    isPaused: () => shared.get(WORD.replayPaused) !== 0,
    isForced: () => shared.get(WORD.replayForced) !== 0 || shared.get(WORD.spaceShort) !== 0,
    publish: (from, to) => {
      shared.replayTo.set(to);
      const bytes = from - shared.replayed.get();
      if (bytes > 0) {
        const {counters} = shared;
        counters[COUNTER.batches] = (counters[COUNTER.batches] ?? 0) + 1;
        counters[COUNTER.replayedBytes] = (counters[COUNTER.replayedBytes] ?? 0) + bytes;
      }

      shared.replayed.set(from);
    },
    noteTime: (timeMs) => {
      shared.replayedTime.set(timeMs);
    },
    noteBatch: (milliseconds) => {
      shared.noteLatency(LATENCY_ROW.replay, milliseconds);
    },
    setState: (state) => {
      shared.set(WORD.replayState, REPLAY_STATES.indexOf(state));
    },
    report: (error) => {
      if (error === undefined && !failed) return;
      failed = error !== undefined;
      report(error);
    },
  };
}

/** Segments that hold [from, to), without those whose place another has taken. */
function segmentsBetween(shared: Shared, from: number, to: number): OpenSegment[] {
  const segments: OpenSegment[] = [];
  let end = Infinity;
  for (let at = shared.segmentEnd - 1; at >= shared.segmentFirst; at -= 1) {
    const {fd, start} = shared.segment(at);
    if (start >= end) continue;
    if (end <= from) break;
    if (start < to) segments.unshift({fd, start, end});
    end = start;
  }

  assert((segments[0]?.start ?? Infinity) <= from, 'the log holds what is to be replayed');
  return segments;
}
