/**
 * Joins two streams blindly: what comes from one goes to the other, no faster than it takes it.
 * An end goes on as an end, after everything before it; an error or a long silence ends both.
 */
import type {Duplex} from 'node:stream';
import {DiskError} from '../../core/errors.js';

export interface SpliceOptions {
  /** So long nothing may come from `peer`: a connection can be dead without a word. */
  readonly silenceMs: number;
  /** After the end of one direction the other one has this long. */
  readonly lingerMs: number;
  readonly signal: AbortSignal;
}

export interface SpliceResult {
  /** Bytes that came from the peer. */
  readonly bytes: number;
  /** Why it ended; undefined for an orderly end. */
  readonly error: Error | undefined;
}

/** What may lie here of one direction, before its source is not read any more. */
const HELD_BYTES_MAX = 1024 * 1024;

/** Splices until either side has ended; both streams are destroyed then. Never throws. */
export async function splice(
  peer: Duplex,
  local: Duplex,
  options: SpliceOptions,
): Promise<SpliceResult> {
  let bytes = 0;
  let heardMs = performance.now();
  let error: Error | undefined;
  const fail = (cause: Error): void => {
    error ??= cause;
    peer.destroy();
    local.destroy();
  };
  const onAbort = (): void => {
    fail(new DiskError('PEER_SILENT', 'the stream was ended here'));
  };
  // Who moves bytes hears of errors; after that nobody does, and one would end the daemon.
  for (const stream of [peer, local]) stream.on('error', () => undefined);
  peer.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    heardMs = performance.now();
  });
  const watch = setInterval(
    () => {
      // While the other side takes nothing, nothing can come.
      if (local.writableNeedDrain) heardMs = performance.now();
      if (performance.now() - heardMs < options.silenceMs) return;
      const seconds = Math.round(options.silenceMs / 1000);
      fail(new DiskError('PEER_SILENT', `nothing came from the peer for ${seconds} s`));
    },
    Math.max(10, options.silenceMs / 10),
  );
  let linger: NodeJS.Timeout | undefined;
  const onEnd = (): void => {
    linger ??= setTimeout(() => {
      peer.destroy();
      local.destroy();
    }, options.lingerMs);
  };
  const move = async (from: Duplex, to: Duplex): Promise<void> => {
    try {
      await pump(from, to);
      onEnd();
    } catch (cause) {
      // The other direction of a stream that has ended in order only hears that it is closed.
      if (linger === undefined) fail(cause instanceof Error ? cause : new Error(String(cause)));
    }
  };
  options.signal.addEventListener('abort', onAbort);
  if (options.signal.aborted) onAbort();
  try {
    await Promise.all([move(peer, local), move(local, peer)]);
  } finally {
    clearInterval(watch);
    clearTimeout(linger);
    options.signal.removeEventListener('abort', onAbort);
    peer.destroy();
    local.destroy();
  }

  return {bytes, error};
}

/**
 * Moves all that comes from one stream to the other, until both know of its end. What is read in one
 * turn of the loop is written with one call: TLS yields pieces of 16 KiB, and a call for each costs
 * more than what is done with it.
 *
 * @throws Error where either stream breaks off
 */
function pump(from: Duplex, to: Duplex): Promise<void> {
  return new Promise((resolve, reject) => {
    let isCorked = false;
    const uncork = (): void => {
      isCorked = false;
      to.uncork();
    };
    const onData = (chunk: Buffer): void => {
      if (!isCorked) {
        isCorked = true;
        to.cork();
        setImmediate(uncork);
      }

      to.write(chunk);
      if (to.writableLength >= HELD_BYTES_MAX && to.writableNeedDrain) from.pause();
    };
    const onDrain = (): void => {
      from.resume();
    };
    const onEnd = (): void => {
      to.end();
    };
    const onFinish = (): void => {
      settle();
    };
    const onClose = (): void => {
      settle(from.errored ?? to.errored ?? new Error('the stream was closed before its end'));
    };
    const settle = (error?: Error): void => {
      from.off('data', onData).off('end', onEnd).off('close', onFromClose).off('error', settle);
      to.off('drain', onDrain).off('finish', onFinish).off('close', onClose).off('error', settle);
      if (error === undefined) resolve();
      else reject(error);
    };
    // After its end it may close as it likes: what came is still to be written.
    const onFromClose = (): void => {
      if (!from.readableEnded) onClose();
    };
    from.on('data', onData).on('end', onEnd).on('close', onFromClose).on('error', settle);
    to.on('drain', onDrain).on('finish', onFinish).on('close', onClose).on('error', settle);
    if (from.destroyed || to.destroyed) onClose();
  });
}
