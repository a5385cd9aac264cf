/**
 * Joins two streams blindly: what comes from one goes to the other, no faster than it takes it.
 * An end goes on as an end, after everything before it; an error or a long silence ends both.
 */
import type {Duplex} from 'node:stream';
import {pipeline} from 'node:stream/promises';
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
      await pipeline(from, to);
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
