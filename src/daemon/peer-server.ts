/**
 * The server for peers: TLS 1.3 on `listen` of node.json, and connections that ssh brought to the
 * control socket. Everything that comes in is foreign until its certificate is that of a member.
 *
 *   certificate        may                                            for
 *   of a member        everything                                     as long as it is one
 *   of a removed one   hear PEER_REVOKED, and join with a token       10 s, one request
 *   unknown            POST join, while an invitation is open         10 s, one request
 *   none               nothing: the socket is destroyed
 *
 * Nothing that comes in can end the daemon or hold more than its limits; what is no HTTP is cut.
 */
import http from 'node:http';
import net, {type Socket} from 'node:net';
import type {Duplex} from 'node:stream';
import tls from 'node:tls';
import type {Logger} from 'pino';
import {tlsOptions, peerFingerprint, tuneSocket} from '../cluster/tls.js';
import type {Identity} from '../cluster/certificates.js';
import type {Member} from '../cluster/members.js';
import {
  checkVersion,
  NODE_HEADER,
  PEER_PROTOCOL_VERSION,
  VERSION_HEADER,
} from '../cluster/peer-protocol.js';
import type {PeerRoutes, StreamProtocol} from '../cluster/peer-routes.js';
import {DiskError, isDiskError, storeError} from '../core/errors.js';
import {KIB, MIB} from '../core/units.js';
import {readPeerBody, refusalOf} from './peer-http.js';

const STRANGER_BODY_BYTES_MAX = 16 * KIB;
/** Facts of 64 nodes with 30 resources each have some 4 MiB. */
const MEMBER_BODY_BYTES_MAX = 8 * MIB;
const HEADER_BYTES_MAX = 8 * KIB;
/** For the handshake, for a request to come in whole, and for all that a stranger does. */
const PATIENCE_MS = 10_000;
/** Longer than clients keep an idle connection: they close first. */
const KEEP_ALIVE_MS = 75_000;
/** Connections that have not shown the certificate of a member. */
const STRANGERS_MAX = 128;
const STRANGERS_PER_ADDRESS_MAX = 16;
/** Two streams for each resource in each direction, and calls. */
const CONNECTIONS_PER_MEMBER_MAX = 512;

/** Where a connection came from. */
export type Origin =
  | {readonly kind: 'tls'; readonly fingerprint: string; readonly remoteAddress: string}
  /** Through the control socket: root of this machine, or who ssh let in as root. */
  | {readonly kind: 'local'};

/** What the server asks of the daemon. */
export interface PeerBackend {
  readonly nodeId: string;
  /** Also members that were removed. */
  memberByFingerprint(fingerprint: string): Member | undefined;
  memberById(id: string): Member | undefined;
  isInviting(): boolean;
  hello(): unknown;
  join(origin: Origin, body: unknown): unknown;
  facts(caller: Member, body: unknown): unknown;
  members(caller: Member, body: unknown): unknown;
  /** What a member asks of this node with `--host`. */
  control(caller: Member, body: unknown): unknown;
  /** undefined while nobody serves resources. */
  routes(): PeerRoutes | undefined;
}

/** Serves peers: `listen` for TLS, `adopt` for what ssh brought. */
export class PeerServer {
  readonly #backend: PeerBackend;
  readonly #log: Logger;
  readonly #identity: Identity;
  readonly #http: http.Server;
  #tcp: net.Server | undefined;
  readonly #origins = new WeakMap<Duplex, Origin>();
  readonly #sockets = new Set<Duplex>();
  /** Upgraded connections with the id of their member. */
  readonly #streams = new Map<Duplex, string>();
  /** Connections that are not those of members, by address and port of the other side. */
  readonly #strangers = new Map<string, Socket>();
  readonly #counts = new Map<string, number>();

  constructor(backend: PeerBackend, identity: Identity, log: Logger) {
    this.#backend = backend;
    this.#identity = identity;
    this.#log = log;
    this.#http = http.createServer({
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: PATIENCE_MS,
      requestTimeout: PATIENCE_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: 1000,
    });
    this.#http.maxHeadersCount = 64;
    this.#http.on('request', (request, response) => {
      void this.#answer(request, response);
    });
    this.#http.on('upgrade', (request, socket, head) => {
      void this.#upgrade(request, socket, head);
    });
    this.#http.on('clientError', (_, socket) => {
      socket.destroy();
    });
  }

  /**
   * Listens on an address; an earlier one is given up.
   *
   * @param host undefined: all addresses, IPv6 and IPv4
   * @returns the port, which was chosen where `port` is 0
   * @throws DiskError PEER_LISTEN_FAILED
   */
  async listen(host: string | undefined, port: number): Promise<number> {
    await this.stopListening();
    const secure = this.#createSecure();
    const tcp = net.createServer((socket) => {
      this.#admit(socket, secure);
    });
    try {
      await new Promise<void>((resolve, reject) => {
        tcp.once('error', reject);
        tcp.listen({port, ...(host === undefined ? {} : {host})}, resolve);
      });
    } catch (error) {
      const known = storeError(error, 'listen');
      const why = isDiskError(known) ? known.details['errno'] : String(error);
      const text = `cannot listen on ${host ?? '*'}:${port}: ${why ?? 'for an unknown reason'}`;
      throw new DiskError('PEER_LISTEN_FAILED', text, {port}, {cause: error});
    }

    // A socket that cannot be accepted, for want of descriptors, costs only itself.
    tcp.on('error', (error) => {
      this.#log.warn({err: error}, 'the server for peers has an error');
    });
    this.#tcp = tcp;
    return (tcp.address() as net.AddressInfo).port;
  }

  #createSecure(): tls.Server {
    const options = {...tlsOptions(this.#identity), handshakeTimeout: PATIENCE_MS};
    const secure = tls.createServer(options, (socket) => {
      this.#sort(socket);
    });
    secure.on('tlsClientError', (_, socket) => {
      socket.destroy();
    });
    return secure;
  }

  /** Counts a new connection as a stranger, or cuts it. */
  #admit(socket: Socket, secure: tls.Server): void {
    socket.on('error', () => undefined);
    const from = socket.remoteAddress ?? '';
    const same = [...this.#strangers.values()].filter((each) => each.remoteAddress === from).length;
    const full = this.#strangers.size >= STRANGERS_MAX || same >= STRANGERS_PER_ADDRESS_MAX;
    if (from === '' || full) {
      socket.destroy();
      return;
    }

    const key = keyOf(socket);
    this.#strangers.set(key, socket);
    const timer = setTimeout(() => {
      if (this.#strangers.get(key) === socket) socket.destroy();
    }, PATIENCE_MS);
    this.#keep(socket);
    socket.once('close', () => {
      clearTimeout(timer);
      if (this.#strangers.get(key) === socket) this.#strangers.delete(key);
    });
    tuneSocket(socket);
    secure.emit('connection', socket);
  }

  /** After the handshake: whose certificate is it? */
  #sort(socket: tls.TLSSocket): void {
    socket.on('error', () => undefined);
    const key = keyOf(socket);
    const fingerprint = peerFingerprint(socket);
    const member =
      fingerprint === undefined ? undefined : this.#backend.memberByFingerprint(fingerprint);
    const heard = member !== undefined || this.#backend.isInviting();
    if (fingerprint === undefined || !heard) {
      socket.destroy();
      return;
    }

    this.#keep(socket);
    if (member !== undefined && member.removed !== true) {
      const count = (this.#counts.get(fingerprint) ?? 0) + 1;
      if (count > CONNECTIONS_PER_MEMBER_MAX) {
        socket.destroy();
        return;
      }

      this.#counts.set(fingerprint, count);
      this.#strangers.delete(key);
      socket.once('close', () => {
        this.#counts.set(fingerprint, (this.#counts.get(fingerprint) ?? 1) - 1);
      });
    }

    const remoteAddress = (socket.remoteAddress ?? '').replace(/^::ffff:/u, '');
    this.#origins.set(socket, {kind: 'tls', fingerprint, remoteAddress});
    this.#http.emit('connection', socket);
  }

  /** Serves a connection that came through the control socket. */
  adopt(socket: Duplex): void {
    socket.on('error', () => undefined);
    this.#keep(socket);
    this.#origins.set(socket, {kind: 'local'});
    this.#http.emit('connection', socket);
  }

  #keep(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#streams.delete(socket);
    });
  }

  /** Ends the streams of nodes that are no members any more. */
  dropStreams(): void {
    for (const [socket, id] of this.#streams) {
      const member = this.#backend.memberById(id);
      if (member === undefined || member.removed === true) socket.destroy();
    }
  }

  async stopListening(): Promise<void> {
    const tcp = this.#tcp;
    this.#tcp = undefined;
    if (tcp === undefined) return;
    await new Promise<void>((resolve) => {
      // Connections go on; 'close' would wait for them.
      tcp.close();
      resolve();
    });
  }

  /** Ends everything, streams too. */
  async close(): Promise<void> {
    await this.stopListening();
    for (const socket of this.#sockets) socket.destroy();
    this.#http.close();
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    const gone = new AbortController();
    response.once('close', () => {
      gone.abort();
    });
    try {
      const origin = this.#originOf(request);
      const words = wordsOf(request);
      const caller = this.#callerOf(request, origin);
      checkVersion(request.headers[VERSION_HEADER], 'the calling node');
      const limit = caller === undefined ? STRANGER_BODY_BYTES_MAX : MEMBER_BODY_BYTES_MAX;
      const body = await readPeerBody(request, limit);
      const answer = await this.#dispatch(request, origin, caller, words, body, gone.signal);
      this.#send(response, 200, answer ?? {}, caller === undefined);
    } catch (error) {
      this.#note(request, error);
      const {status, body} = refusalOf(error);
      // After a fault nobody knows where the next request begins; who is refused goes.
      if (!response.headersSent) this.#send(response, status, body, true);
      else response.destroy();
    }
  }

  async #dispatch(
    request: http.IncomingMessage,
    origin: Origin,
    caller: Member | undefined,
    words: readonly string[],
    body: unknown,
    signal: AbortSignal,
  ): Promise<unknown> {
    const method = request.method ?? '';
    const route = `${method} ${words.join('/')}`;
    if (route === 'POST join') return this.#backend.join(origin, body);
    if (route === 'GET hello' && origin.kind === 'local') return this.#backend.hello();
    if (caller === undefined) throw unknownCaller();
    if (caller.removed === true) throw revoked(caller);
    if (route === 'GET hello') return this.#backend.hello();
    if (route === 'POST facts') return this.#backend.facts(caller, body);
    if (route === 'POST members') return this.#backend.members(caller, body);
    if (route === 'POST control') return this.#backend.control(caller, body);
    const routes = this.#backend.routes();
    if (words[0] === 'resources' && routes !== undefined) {
      return routes.call(caller, method, words.slice(1), body, signal);
    }

    throw new DiskError('PEER_PROTOCOL', `there is no ${method} /peer/v1/${words.join('/')}`);
  }

  async #upgrade(request: http.IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => undefined);
    try {
      const origin = this.#originOf(request);
      const words = wordsOf(request);
      const caller = this.#callerOf(request, origin);
      checkVersion(request.headers[VERSION_HEADER], 'the calling node');
      if (caller === undefined) throw unknownCaller();
      if (caller.removed === true) throw revoked(caller);
      const protocol = protocolOf(request);
      const routes = this.#backend.routes();
      if (protocol === undefined || words[0] !== 'resources' || routes === undefined) {
        const upgrade = String(request.headers.upgrade).slice(0, 40);
        throw new DiskError('PEER_PROTOCOL', `there is no stream ${words.join('/')} (${upgrade})`);
      }

      this.#streams.set(socket, caller.id);
      const handler = await routes.open(caller, protocol, words.slice(1));
      if (socket.destroyed) return;
      socket.write(this.#headOf(101, {Connection: 'Upgrade', Upgrade: protocol}));
      if (head.length > 0) socket.unshift(head);
      handler(socket);
    } catch (error) {
      this.#note(request, error);
      this.#refuseUpgrade(socket, error);
    }
  }

  #refuseUpgrade(socket: Duplex, error: unknown): void {
    const {status, body} = refusalOf(error);
    const text = JSON.stringify(body);
    const fields = {
      'Content-Type': 'application/json',
      'Content-Length': String(Buffer.byteLength(text)),
      Connection: 'close',
    };
    socket.end(`${this.#headOf(status, fields)}${text}`);
    // Who does not read the refusal does not keep the connection.
    const timer = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.once('close', () => {
      clearTimeout(timer);
    });
    socket.resume();
  }

  #headOf(status: number, fields: Readonly<Record<string, string>>): string {
    const lines = Object.entries({...fields, ...this.#ownHeaders()});
    const text = lines.map(([key, value]) => `${key}: ${value}\r\n`).join('');
    return `HTTP/1.1 ${status} ${http.STATUS_CODES[status] ?? ''}\r\n${text}\r\n`;
  }

  #ownHeaders(): Record<string, string> {
    return {
      [VERSION_HEADER]: String(PEER_PROTOCOL_VERSION),
      [NODE_HEADER]: this.#backend.nodeId,
    };
  }

  #send(response: http.ServerResponse, status: number, body: unknown, last: boolean): void {
    const text = JSON.stringify(body);
    response.writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      ...(last ? {connection: 'close'} : {}),
      ...this.#ownHeaders(),
    });
    response.end(text);
  }

  #originOf(request: http.IncomingMessage): Origin {
    const origin = this.#origins.get(request.socket);
    if (origin === undefined) throw unknownCaller();
    return origin;
  }

  /** Asked anew for each request: who was removed meanwhile is a member no more. */
  #callerOf(request: http.IncomingMessage, origin: Origin): Member | undefined {
    if (origin.kind === 'tls') return this.#backend.memberByFingerprint(origin.fingerprint);
    const id = request.headers[NODE_HEADER];
    return typeof id === 'string' ? this.#backend.memberById(id) : undefined;
  }

  #note(request: http.IncomingMessage, error: unknown): void {
    const fields = {method: request.method, url: request.url?.slice(0, 200), err: error};
    if (isDiskError(error)) this.#log.info(fields, 'request of a peer refused');
    else this.#log.error(fields, 'request of a peer failed');
  }
}

function keyOf(socket: Socket): string {
  return `${socket.remoteAddress ?? ''} ${socket.remotePort ?? ''}`;
}

function protocolOf(request: http.IncomingMessage): StreamProtocol | undefined {
  const word = request.headers.upgrade;
  return word === 'mars-log/1' || word === 'mars-sync/1' ? word : undefined;
}

/** @throws DiskError PEER_PROTOCOL */
function wordsOf(request: http.IncomingMessage): string[] {
  const path = (request.url ?? '').split('?')[0] ?? '';
  const words = path.split('/').filter(Boolean);
  if (words[0] !== 'peer' || words[1] !== 'v1') {
    throw new DiskError('PEER_PROTOCOL', 'there is nothing but /peer/v1 here');
  }

  try {
    return words.slice(2).map((word) => decodeURIComponent(word));
  } catch {
    throw new DiskError('PEER_PROTOCOL', 'the path has a bad escape');
  }
}

function unknownCaller(): DiskError {
  return new DiskError('PEER_UNKNOWN', 'the calling node is no member of this cluster');
}

function revoked(caller: Member): DiskError {
  return new DiskError('PEER_REVOKED', `${caller.name} was removed from the cluster`, {
    node: caller.name,
  });
}
