/** The local end of a stream: an HTTP Upgrade on the socket of the disk process. */
import http from 'node:http';
import type {Duplex} from 'node:stream';
import {errorFromAnswer} from '../../control/client.js';
import {CONFIRM_PROTOCOL} from '../../core/confirm-lines.js';
import {DiskError} from '../../core/errors.js';
import {WATCH_PROTOCOL} from '../../core/watch-lines.js';
import {socketAddress, type SocketAddress} from '../../core/socket-path.js';

export type StreamProtocol = 'mars-log/1' | 'mars-sync/1';
export type DiskProtocol = StreamProtocol | typeof CONFIRM_PROTOCOL | typeof WATCH_PROTOCOL;

const PATHS: Readonly<Record<DiskProtocol, string>> = {
  'mars-log/1': '/follow',
  'mars-sync/1': '/sync',
  [CONFIRM_PROTOCOL]: '/confirm',
  [WATCH_PROTOCOL]: '/watch',
};
const ANSWER_BYTES_MAX = 64 * 1024;

/**
 * Opens a stream to a disk process; from then on it carries frames, or lines (core/confirm-lines, core/watch-lines).
 *
 * @throws DiskError DISK_UNREACHABLE, TIMEOUT, or the code that the disk process answered
 */
export function openDiskStream(
  socket: string,
  protocol: DiskProtocol,
  timeoutMs: number,
): Promise<Duplex> {
  const path = PATHS[protocol];
  const call = {socket, method: 'POST', path, timeoutMs, unreachable: 'DISK_UNREACHABLE'} as const;
  let address: SocketAddress;
  try {
    address = socketAddress(socket);
  } catch (error) {
    return Promise.reject(unreachable(socket, error));
  }

  return new Promise((resolve, reject) => {
    const request = http.request({
      socketPath: address.path,
      method: 'POST',
      path,
      agent: false,
      headers: {connection: 'Upgrade', upgrade: protocol, 'content-length': 0},
    });
    const timer = setTimeout(() => {
      const text = `the disk process did not open ${path} in time`;
      request.destroy(new DiskError('TIMEOUT', text, {timeoutMs}));
    }, timeoutMs);
    const settle = (): void => {
      clearTimeout(timer);
      address.close();
    };
    request.once('upgrade', (_, stream: Duplex, head) => {
      settle();
      // What came together with the answer is the first of the stream.
      if (head.length > 0) stream.unshift(head);
      resolve(stream);
    });
    request.once('response', (response) => {
      settle();
      readRefusal(response).then((answer) => {
        reject(errorFromAnswer(answer, call));
      }, reject);
    });
    request.once('error', (error) => {
      settle();
      reject(error instanceof DiskError ? error : unreachable(socket, error));
    });
    request.end();
  });
}

async function readRefusal(response: http.IncomingMessage): Promise<unknown> {
  let text = '';
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) {
    text += chunk;
    if (text.length > ANSWER_BYTES_MAX) break;
  }

  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function unreachable(socket: string, cause: unknown): DiskError {
  const text = `no disk process answers on ${socket}`;
  return new DiskError('DISK_UNREACHABLE', text, {socket}, {cause});
}
