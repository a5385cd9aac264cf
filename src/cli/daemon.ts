/** How commands talk to the daemon of a home: typed by the caller, errors with the next step. */
import {existsSync} from 'node:fs';
import type {Readable} from 'node:stream';
import {callSocket, errorFromAnswer, openSocket, type Call} from '../control/client.js';
import {readEventPages} from './event-pages.js';
import type {EventsPage, ResourceStatus, StatusDocument} from '../control/api.js';
import {DiskError, errnoOf, isDiskError} from '../core/errors.js';
import {homePaths} from '../core/home.js';
import type {EventLine} from '../core/disk-status.js';

/** A question that needs no work is answered at once; a daemon that hangs is soon noticed. */
const ANSWER_TIMEOUT_MS = 15_000;
/** The daemon keeps the timeout of an action; the client only waits a little longer. */
const GRACE_MS = 5_000;

export interface Daemon {
  readonly home: string;
  /** @param timeoutSeconds default: a question that needs no work */
  get<T>(path: string, timeoutSeconds?: number): Promise<T>;
  /** @param timeoutSeconds how long the action may take */
  post<T>(path: string, body: unknown, timeoutSeconds: number): Promise<T>;
  remove<T>(path: string, body: unknown, timeoutSeconds: number): Promise<T>;
  /** Lines of `GET path`, as they come; ends when the daemon ends it. */
  lines(path: string): AsyncGenerator<EventLine>;
}

/**
 * Nothing is opened before the first call.
 *
 * @param host another node, which the daemon here asks instead; it answers what is safe from afar
 */
export function connectDaemon(home: string, host?: string): Daemon {
  const socket = homePaths(home).daemonSocket;
  const call = <T>(rest: Omit<Call, 'socket' | 'unreachable'>): Promise<T> =>
    callSocket<T>({
      ...{...rest, path: pathFor(host, rest.path)},
      ...{socket, unreachable: 'DAEMON_UNREACHABLE'},
    }).catch((error: unknown) => {
      throw explainUnreachable(error, home);
    });
  const get = <T>(path: string, timeoutSeconds?: number): Promise<T> => {
    const timeoutMs = timeoutSeconds === undefined ? ANSWER_TIMEOUT_MS : timeoutSeconds * 1000;
    return call<T>({method: 'GET', path, timeoutMs});
  };
  return {
    home,
    get,
    post: (path, body, timeoutSeconds) =>
      call({method: 'POST', path, body, timeoutMs: timeoutSeconds * 1000 + GRACE_MS}),
    remove: (path, body, timeoutSeconds) =>
      call({method: 'DELETE', path, body, timeoutMs: timeoutSeconds * 1000 + GRACE_MS}),
    lines: (path) =>
      host === undefined
        ? readLines(socket, path, home)
        : readEventPages((page) => get<EventsPage>(page), path),
  };
}

function pathFor(host: string | undefined, path: string): string {
  if (host === undefined) return path;
  return path.replace('/v1/', `/v1/hosts/${encodeURIComponent(host)}/`);
}

/** Path of a resource in the control API; `rest` begins with a slash or is empty. */
export function resourcePath(name: string, rest = ''): string {
  return `/v1/resources/${encodeURIComponent(name)}${rest}`;
}

/** What the status says of one resource. @throws DiskError RESOURCE_UNKNOWN, or as Daemon.get */
export async function getStatusOf(daemon: Daemon, name: string): Promise<ResourceStatus> {
  const path = `/v1/status?resource=${encodeURIComponent(name)}`;
  const {resources} = await daemon.get<StatusDocument>(path);
  const [status] = resources;
  if (status !== undefined) return status;
  throw new DiskError('RESOURCE_UNKNOWN', `there is no resource ${name} here`, {name});
}

async function* readLines(socket: string, path: string, home: string): AsyncGenerator<EventLine> {
  const call: Call = {
    socket,
    method: 'GET',
    path,
    timeoutMs: ANSWER_TIMEOUT_MS,
    stream: true,
    unreachable: 'DAEMON_UNREACHABLE',
  };
  const response = await openSocket(call).catch((error: unknown) => {
    throw explainUnreachable(error, home);
  });
  try {
    if (response.statusCode !== 200) throw errorFromAnswer(await readJson(response), call);
    for await (const line of splitLines(response, home)) {
      if (line.trim() !== '') yield JSON.parse(line) as EventLine;
    }
  } finally {
    response.destroy();
  }
}

/** Whole lines; what the daemon had not ended when it went away is left out. */
async function* splitLines(response: Readable, home: string): AsyncGenerator<string> {
  let rest = '';
  try {
    for await (const text of response.setEncoding('utf8') as AsyncIterable<string>) {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      yield* lines;
    }
  } catch (error) {
    const message = `the daemon of ${home} went away: what happens now is in its events later`;
    throw new DiskError('DAEMON_UNREACHABLE', message, {home}, {cause: error});
  }
}

async function readJson(response: Readable): Promise<unknown> {
  let text = '';
  for await (const part of response.setEncoding('utf8') as AsyncIterable<string>) text += part;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** "Nobody answers" has two frequent causes that have a better name. */
function explainUnreachable(error: unknown, home: string): unknown {
  if (!isDiskError(error, 'DAEMON_UNREACHABLE')) return error;
  if (errnoOf(error.cause) === 'EACCES') {
    return new DiskError('NOT_ROOT', `the daemon of ${home} only talks to root`, {home});
  }

  if (existsSync(homePaths(home).nodeFile)) return error;
  return new DiskError('NOT_INITIALISED', `there is no node at ${home}: type mars init`, {home});
}
