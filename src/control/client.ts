/** The one client of the control API and of the disk processes' sockets. */
import http from 'node:http';
import {isErrorCode} from '../core/codes.js';
import {DiskError, type ErrorDetails} from '../core/errors.js';
import {isObject} from '../core/json-file.js';
import {socketAddress, type SocketAddress} from '../core/socket-path.js';

/** Longest document that is accepted: a status of thirty resources has some 50 kB. */
const ANSWER_BYTES_MAX = 64 * 1024 * 1024;

export interface Call {
  readonly socket: string;
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
  readonly timeoutMs: number;
  /** true: `timeoutMs` ends with the answer's head; its lines may then come for ever. */
  readonly stream?: boolean;
  /** Code of the error where nobody answers on the socket. */
  readonly unreachable: 'DAEMON_UNREACHABLE' | 'DISK_UNREACHABLE';
}

/**
 * Sends one request and returns the parsed JSON answer.
 *
 * @throws DiskError `call.unreachable`, TIMEOUT, or the code that the other side answered
 */
export async function callSocket<T>(call: Call): Promise<T> {
  const body = call.body === undefined ? '' : JSON.stringify(call.body);
  const response = await openSocket(call, body);
  let text = '';
  response.setEncoding('utf8');
  for await (const chunk of response as AsyncIterable<string>) {
    text += chunk;
    if (text.length > ANSWER_BYTES_MAX) response.destroy();
  }

  const answer = parseAnswer(text, call);
  if (response.statusCode === 200) return answer as T;
  throw errorFromAnswer(answer, call);
}

/**
 * Opens a stream of lines, for events; the caller ends it by destroying the response.
 *
 * @throws DiskError `call.unreachable` or TIMEOUT
 */
export function openSocket(call: Call, body = ''): Promise<http.IncomingMessage> {
  let address: SocketAddress;
  try {
    address = socketAddress(call.socket);
  } catch (error) {
    return Promise.reject(unreachable(call, error));
  }

  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        socketPath: address.path,
        method: call.method,
        path: call.path,
        agent: false,
        headers: {'content-type': 'application/json', 'content-length': Buffer.byteLength(body)},
      },
      resolve,
    );
    const timer = setTimeout(() => {
      request.destroy(
        new DiskError('TIMEOUT', `no answer to ${call.method} ${call.path} on ${call.socket}`, {
          timeoutMs: call.timeoutMs,
        }),
      );
    }, call.timeoutMs);
    const finish = (): void => {
      clearTimeout(timer);
    };
    request.once('close', () => {
      finish();
      address.close();
    });
    request.once('response', (response) => {
      if (call.stream === true) finish();
      response.once('close', finish);
    });
    request.once('error', (error) => {
      finish();
      reject(error instanceof DiskError ? error : unreachable(call, error));
    });
    request.end(body);
  });
}

function unreachable(call: Call, cause: unknown): DiskError {
  const text =
    call.unreachable === 'DAEMON_UNREACHABLE'
      ? `no daemon answers on ${call.socket}: start it with mars daemon run`
      : `no disk process answers on ${call.socket}`;
  return new DiskError(call.unreachable, text, {socket: call.socket}, {cause});
}

function parseAnswer(text: string, call: Call): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new DiskError(
      call.unreachable,
      `${call.socket} answered ${call.path} with no JSON`,
      {},
      {
        cause: error,
      },
    );
  }
}

/** The error that the other side answered with a status that is not 200. */
export function errorFromAnswer(answer: unknown, call: Call): DiskError {
  const error = isObject(answer) ? answer['error'] : undefined;
  const code = isObject(error) ? error['code'] : undefined;
  if (!isObject(error) || typeof code !== 'string' || !isErrorCode(code)) {
    return new DiskError('BUG', `${call.socket} refused ${call.path} without a code`);
  }

  const details = isObject(error['details']) ? (error['details'] as ErrorDetails) : {};
  return new DiskError(code, String(error['message']), details);
}
