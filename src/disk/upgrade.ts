/** The socket of a disk process also carries streams: HTTP Upgrade, then frames or lines. */
import type http from 'node:http';
import type {Duplex} from 'node:stream';
import {DiskError, storeError} from '../core/errors.js';

/** Throws a DiskError where no stream can be taken now; else returns who takes it. */
export type OpenStream = () => (socket: Duplex) => void;

/** A stream that the process takes. */
export interface StreamRoute {
  readonly protocol: string;
  readonly open: OpenStream;
}

/** Serves streams by method and path, such as `POST /follow`. */
export function serveStreams(
  server: http.Server,
  routes: Readonly<Record<string, StreamRoute | undefined>>,
): void {
  server.on('upgrade', (request, socket: Duplex, head) => {
    // A stream outlives any time that a request may take.
    socket.on('error', () => undefined);
    const route = routes[`${request.method ?? ''} ${request.url ?? ''}`];
    if (route === undefined || request.headers.upgrade !== route.protocol) {
      refuse(socket, new DiskError('USAGE', `the disk process has no stream ${request.url ?? ''}`));
      return;
    }

    let take: (socket: Duplex) => void;
    try {
      take = route.open();
    } catch (error) {
      refuse(socket, error);
      return;
    }

    if (head.length > 0) socket.unshift(head);
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\n' +
        `Connection: Upgrade\r\nUpgrade: ${route.protocol}\r\n\r\n`,
    );
    take(socket);
  });
}

function refuse(socket: Duplex, error: unknown): void {
  const known = storeError(error, 'open the stream');
  if (!(known instanceof DiskError)) throw error;
  const {code, message, details} = known;
  const body = JSON.stringify({error: {code, message, details}});
  socket.end(
    'HTTP/1.1 409 Conflict\r\nContent-Type: application/json\r\n' +
      `Connection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
