/** Frames over a stream of bytes between two nodes: read with a deadline, written with back-pressure. */
import type {Duplex} from 'node:stream';
import {DiskError, isDiskError} from '../core/errors.js';
import {FrameReader, type Frame} from './frame-reader.js';
import {protocolError} from './frames.js';
import type {PackingName} from '../core/packing-names.js';

/**
 * Yields the frames that come, one at a time; what the caller does with one holds up the peer.
 * Ends where the peer ends its side behind a whole frame.
 *
 * @param silenceMs how long to wait for a byte
 * @param unpacks what the peer was offered to compress with
 * @throws DiskError PEER_PROTOCOL, PEER_SILENT, PEER_UNREACHABLE; or what the stream was destroyed
 *   with, where that is a DiskError
 */
export async function* readFrames(
  stream: Duplex,
  silenceMs: number,
  unpacks: readonly PackingName[] = [],
): AsyncGenerator<Frame, void> {
  const reader = new FrameReader({unpacks});
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  for (;;) {
    const result = await nextChunk(stream, chunks, silenceMs);
    if (result.done === true) break;
    reader.push(result.value);
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) yield frame;
  }

  if (reader.pendingBytes > 0) throw protocolError('the stream ends inside a frame');
}

/** The time runs only while we wait: a thread that was busy must not take its own time for silence. */
async function nextChunk(
  stream: Duplex,
  chunks: AsyncIterator<Buffer>,
  silenceMs: number,
): Promise<IteratorResult<Buffer>> {
  const timer = setTimeout(() => {
    const text = `nothing came from the peer for ${silenceMs} ms`;
    stream.destroy(new DiskError('PEER_SILENT', text, {silenceMs}));
  }, silenceMs);
  try {
    return await chunks.next();
  } catch (error) {
    throw streamError(error);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Writes encoded bytes; resolves when the stream takes more.
 *
 * @throws DiskError PEER_UNREACHABLE where the stream has ended
 */
export async function writeFrame(stream: Duplex, ...parts: readonly Buffer[]): Promise<void> {
  if (stream.destroyed || !stream.writable) throw streamError(stream.errored);
  stream.cork();
  for (const part of parts) stream.write(part);
  stream.uncork();
  if (!stream.writableNeedDrain) return;
  await new Promise<void>((resolve, reject) => {
    const settle = (): void => {
      stream.off('drain', settle).off('close', settle);
      if (stream.destroyed) reject(streamError(stream.errored));
      else resolve();
    };
    stream.on('drain', settle).on('close', settle);
  });
}

/**
 * Writes bytes that are used again afterwards: resolves when the stream does not need them any more.
 *
 * @throws DiskError PEER_UNREACHABLE where the stream has ended
 */
export async function writeThrough(stream: Duplex, bytes: Buffer): Promise<void> {
  if (stream.destroyed || !stream.writable) throw streamError(stream.errored);
  await new Promise<void>((resolve, reject) => {
    const onClose = (): void => {
      reject(streamError(stream.errored));
    };
    stream.once('close', onClose);
    stream.write(bytes, (error) => {
      stream.off('close', onClose);
      if (error == null) resolve();
      else reject(streamError(error));
    });
  });
}

function streamError(error: unknown): DiskError {
  if (isDiskError(error)) return error;
  const words = error instanceof Error ? `: ${error.message}` : '';
  return new DiskError('PEER_UNREACHABLE', `the stream broke off${words}`, {}, {cause: error});
}
