/**
 * The control socket: HTTP/1.1 on `run/daemon.sock`, mode 0600. Anything that is not a request of
 * the API is answered with an error body; nothing that comes in can end the daemon.
 */
import fs from 'node:fs';
import http from 'node:http';
import type {Duplex} from 'node:stream';
import type {Logger} from 'pino';
import {PEER_UPGRADE} from '../cluster/peer-protocol.js';
import type {DiskStatus, ErrorBody} from '../core/disk-status.js';
import {DiskError, isDiskError, storeError} from '../core/errors.js';
import {KIB} from '../core/units.js';
import {socketAddress} from '../core/socket-path.js';
import {httpStatusOf} from './http-status.js';
import {readEvents} from './event-log.js';
import {renderMetrics, type MetricsText} from './metrics.js';
import type {MarsNode} from './node.js';
import {answer, type DaemonFacts} from './routes.js';

const BODY_BYTES_MAX = 64 * KIB;
/** A client that follows events and does not read is cut off at this much unsent text. */
const UNSENT_BYTES_MAX = 1024 * KIB;

export interface ControlServer {
  /** Ends the socket; requests under way are answered, followers are let go. */
  close(): Promise<void>;
}

/**
 * Listens. The caller holds the daemon's lock, so a socket that is there already is stale.
 *
 * @throws DiskError STORE_IO where the socket cannot be made
 */
export async function serveControl(
  node: MarsNode,
  facts: DaemonFacts,
  log: Logger,
): Promise<ControlServer> {
  const path = node.context.paths.daemonSocket;
  const abort = new AbortController();
  const server = http.createServer((request, response) => {
    void handle(node, facts, log, abort.signal, request, response);
  });
  server.on('upgrade', (request, socket, head) => {
    takePeer(facts, request, socket, head);
  });
  // What is no HTTP, or ends in the middle, is the client's affair.
  server.on('clientError', (_, socket) => {
    socket.destroy();
  });
  fs.rmSync(path, {force: true});
  const address = socketAddress(path);
  await listen(server, address.path);
  return {
    close: () =>
      new Promise((resolve) => {
        abort.abort();
        server.close(() => {
          address.close();
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}

/** `mars peer-stdio`: the connection becomes one of a peer that ssh let in. */
function takePeer(
  {peers}: DaemonFacts,
  request: http.IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  socket.on('error', () => undefined);
  if (request.headers.upgrade !== PEER_UPGRADE) {
    socket.destroy();
    return;
  }

  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${PEER_UPGRADE}\r\n\r\n`,
  );
  if (head.length > 0) socket.unshift(head);
  peers.adopt(socket);
}

function listen(server: http.Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const failure = storeError(error, `listen on ${path}`);
      reject(failure instanceof Error ? failure : error);
    });
    // bind(2) happens within this call: the mode is right from the first moment.
    const mask = process.umask(0o177);
    try {
      server.listen(path, resolve);
    } finally {
      process.umask(mask);
    }
  });
}

async function handle(
  node: MarsNode,
  facts: DaemonFacts,
  log: Logger,
  signal: AbortSignal,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  response.on('error', () => undefined);
  try {
    const url = new URL(request.url ?? '/', 'http://mars');
    const words = url.pathname.split('/').filter(Boolean).map(decodeWord);
    if (words.shift() !== 'v1') throw new DiskError('USAGE', `there is no ${url.pathname}`);
    const method = request.method ?? 'GET';
    if (method === 'GET' && words[0] === 'events' && words.length === 1) {
      await sendEvents(node, url.searchParams, signal, response);
      return;
    }

    if (method === 'GET' && words[0] === 'metrics' && words.length === 1) {
      const {contentType, text} = await metricsOf(node, facts);
      sendText(response, 200, contentType, text);
      return;
    }

    const body = await readBody(request);
    const parsed = {method, words, query: url.searchParams, body};
    send(response, 200, await answer(node, facts, parsed));
  } catch (error) {
    sendError(response, log, request, error);
  }
}

function decodeWord(word: string): string {
  try {
    return decodeURIComponent(word);
  } catch {
    throw new DiskError('USAGE', `the path has a bad escape: ${word}`);
  }
}

async function readBody(request: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_BYTES_MAX) {
      throw new DiskError('USAGE', `the body of a request has at most ${BODY_BYTES_MAX} bytes`);
    }

    chunks.push(chunk);
  }

  return Buffer.concat(chunks).toString('utf8');
}

async function sendEvents(
  node: MarsNode,
  query: URLSearchParams,
  daemonSignal: AbortSignal,
  response: http.ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => {
    gone.abort();
  });
  const signal = AbortSignal.any([daemonSignal, gone.signal]);
  const resource = query.get('resource');
  response.writeHead(200, {'content-type': 'application/x-ndjson'});
  response.flushHeaders();
  const follow = query.get('follow') === '1';
  const options = {follow, signal, ...(resource === null ? {} : {resource})};
  await readEvents(node.context.paths.eventsFile, options, (text) => {
    response.write(text);
    if (response.writableLength > UNSENT_BYTES_MAX && follow) response.destroy();
  });
  response.end();
}

/** The metrics of a node as they are now. */
export async function metricsOf(
  node: MarsNode,
  {version, startedAt}: Pick<DaemonFacts, 'version' | 'startedAt'>,
): Promise<MetricsText> {
  const status = await node.status(undefined);
  const disks = new Map<string, DiskStatus>();
  for (const {name, disk} of node.resources()) if (disk !== undefined) disks.set(name, disk);
  return renderMetrics({version, startedAt, status, disks});
}

function send(response: http.ServerResponse, status: number, body: unknown): void {
  sendText(response, status, 'application/json', JSON.stringify(body));
}

function sendText(
  response: http.ServerResponse,
  status: number,
  contentType: string,
  text: string,
): void {
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(text),
    connection: 'close',
  });
  response.end(text);
}

function sendError(
  response: http.ServerResponse,
  log: Logger,
  request: http.IncomingMessage,
  error: unknown,
): void {
  const known = isDiskError(error);
  const body: ErrorBody = known
    ? {code: error.code, message: error.message, details: error.details}
    : {code: 'BUG', message: error instanceof Error ? error.message : String(error), details: {}};
  const fields = {method: request.method, url: request.url, code: body.code, err: error};
  if (known) log.info(fields, 'request refused');
  else log.error(fields, 'request failed');
  if (response.headersSent) {
    response.destroy();
    return;
  }

  const status = body.code === 'RESOURCE_UNKNOWN' ? 404 : httpStatusOf(body.code);
  send(response, status, {error: body});
}
