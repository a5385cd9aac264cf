/** Bodies and refusals of the server for peers. */
import type http from 'node:http';
import type {ErrorBody} from '../core/disk-status.js';
import {DiskError, isDiskError} from '../core/errors.js';
import {httpStatusOf} from './http-status.js';

/**
 * Reads a request to its end and parses it.
 *
 * @returns undefined for an empty body
 * @throws DiskError PEER_PROTOCOL
 */
export async function readPeerBody(
  request: http.IncomingMessage,
  bytesMax: number,
): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bytesMax) {
      throw new DiskError('PEER_PROTOCOL', `a request has at most ${bytesMax} bytes`);
    }

    chunks.push(chunk);
  }

  if (bytes === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new DiskError('PEER_PROTOCOL', 'the request is not JSON');
  }
}

/** What is sent for an error. Of a bug, a peer hears only that it is one. */
export function refusalOf(error: unknown): {
  readonly status: number;
  readonly body: {readonly error: ErrorBody};
} {
  if (!isDiskError(error)) {
    const message = 'the node failed: see the log of its daemon';
    return {status: 500, body: {error: {code: 'BUG', message, details: {}}}};
  }

  const {code, message, details} = error;
  const status = code === 'PEER_REVOKED' ? 403 : httpStatusOf(code);
  return {status, body: {error: {code, message, details}}};
}
