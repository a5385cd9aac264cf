/**
 * The calling side: requests over one kept connection for each member, streams over connections of
 * their own. Whatever goes wrong is a DiskError that names the member.
 */
import http from 'node:http';
import type {Duplex} from 'node:stream';
import {isErrorCode} from '../core/codes.js';
import {DiskError, isDiskError, type ErrorDetails} from '../core/errors.js';
import {isObject} from '../core/json-file.js';
import {MIB} from '../core/units.js';
import {parseAddress} from './address.js';
import type {Identity} from './certificates.js';
import type {Member} from './members.js';
import {PEER_TIMEOUT_MS, type PeerCaller} from './peer-caller.js';
import {checkVersion, NODE_HEADER, PEER_PROTOCOL_VERSION, VERSION_HEADER} from './peer-protocol.js';
import type {StreamProtocol} from './peer-routes.js';
import {connectSsh} from './ssh.js';
import {connectTls} from './tls.js';

const ANSWER_BYTES_MAX = 16 * MIB;
const HEADER_BYTES_MAX = 16 * 1024;
/** Calls to one member at a time; more wait. A handover may take a minute. */
const CALLS_MAX = 16;
/** Shorter than the server's, so that no request meets a connection that is being closed. */
const IDLE_MS = 30_000;

/** Who is called: a member, or a node that is to be joined and has no id here yet. */
export type Target = Pick<Member, 'name' | 'address' | 'fingerprint'> & {readonly id?: string};

interface Request {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly body: string;
  readonly timeoutMs: number;
}

/** Calls members; keeps one connection to each. */
export class PeerClient implements PeerCaller {
  readonly #identity: Identity;
  readonly #selfId: string;
  readonly #agents = new Map<string, http.Agent>();
  #closed = false;

  constructor(identity: Identity, selfId: string) {
    this.#identity = identity;
    this.#selfId = selfId;
  }

  async call<T>(
    member: Target,
    method: 'GET' | 'POST',
    path: string,
    body?: unknown,
    timeoutMs = PEER_TIMEOUT_MS,
  ): Promise<T> {
    const text = body === undefined ? '' : JSON.stringify(body);
    const request = {method, path, body: text, timeoutMs};
    const options = {agent: this.#agentOf(member)};
    const response = await this.#send(member, request, options);
    if (response.kind === 'upgraded') throw protocolError(member, 'an upgrade nobody asked for');
    return response.answer as T;
  }

  async open(
    member: Target,
    path: string,
    protocol: StreamProtocol,
    timeoutMs = PEER_TIMEOUT_MS,
  ): Promise<Duplex> {
    const started = performance.now();
    const socket = await this.#connect(member, timeoutMs);
    const left = Math.max(1, timeoutMs - (performance.now() - started));
    const request: Request = {method: 'POST', path, body: '', timeoutMs: left};
    const options = {createConnection: () => socket};
    try {
      const response = await this.#send(member, request, options, protocol);
      if (response.kind === 'upgraded') return response.socket;
      throw protocolError(member, 'no upgrade');
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  close(): void {
    this.#closed = true;
    for (const agent of this.#agents.values()) agent.destroy();
    this.#agents.clear();
  }

  /** Kept connections belong to an address and a key: a change of either makes new ones. */
  #agentOf(member: Target): http.Agent {
    const key = `${member.address} ${member.fingerprint}`;
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      agent = createAgent(() => this.#connect(member, PEER_TIMEOUT_MS));
      this.#agents.set(key, agent);
    }

    return agent;
  }

  async #connect(member: Target, timeoutMs: number): Promise<Duplex> {
    if (this.#closed) throw new DiskError('PEER_UNREACHABLE', 'the daemon is ending');
    const address = parseAddress(member.address);
    if (address === undefined) {
      const text = `no address of ${member.name} is known: mars peer set ${member.name} address=HOST:PORT`;
      throw new DiskError('PEER_UNREACHABLE', text, {node: member.name});
    }

    if (address.kind === 'ssh') return connectSsh(address.target, address.port);
    const {host, port} = address;
    return connectTls(host, port, this.#identity, member.fingerprint, timeoutMs);
  }

  #send(
    member: Target,
    {method, path, body, timeoutMs}: Request,
    options: http.RequestOptions,
    protocol?: StreamProtocol,
  ): Promise<Response> {
    const upgradeHeaders = protocol === undefined ? {} : {connection: 'Upgrade', upgrade: protocol};
    return new Promise((resolve, reject) => {
      const request = http.request({
        ...options,
        method,
        host: 'peer',
        path: `/peer/v1/${path}`,
        maxHeaderSize: HEADER_BYTES_MAX,
        headers: {
          ...upgradeHeaders,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          [VERSION_HEADER]: String(PEER_PROTOCOL_VERSION),
          [NODE_HEADER]: this.#selfId,
        },
      });
      const timer = setTimeout(() => {
        finish(unanswered(member, path, timeoutMs));
        request.destroy();
      }, timeoutMs);
      const finish = (result: Response | Error): void => {
        clearTimeout(timer);
        if (result instanceof Error) reject(result);
        else resolve(result);
      };
      request.on('error', (error) => {
        finish(unreachable(member, error));
      });
      request.once('upgrade', (response, socket, head) => {
        try {
          checkSpeaker(member, response);
          if (head.length > 0) socket.unshift(head);
          finish({kind: 'upgraded', socket});
        } catch (error) {
          socket.destroy();
          finish(unreachable(member, error));
        }
      });
      request.once('response', (response) => {
        readAnswer(member, response).then(
          (answer) => {
            finish({kind: 'answered', answer});
          },
          (error: unknown) => {
            response.destroy();
            finish(unreachable(member, error));
          },
        );
      });
      request.end(body);
    });
  }
}

type Response =
  | {readonly kind: 'answered'; readonly answer: unknown}
  | {readonly kind: 'upgraded'; readonly socket: Duplex};

function createAgent(connect: () => Promise<Duplex>): http.Agent {
  const agent = new http.Agent({
    ...{keepAlive: true, maxSockets: CALLS_MAX, maxFreeSockets: 1, timeout: IDLE_MS},
  });
  agent.createConnection = (_options, done) => {
    connect().then(
      (socket) => done?.(null, socket),
      (error: unknown) => {
        // Node calls back with an error and without a stream; its types want one.
        (done as ((error: unknown) => void) | undefined)?.(error);
      },
    );
    return undefined;
  };
  return agent;
}

async function readAnswer(member: Target, response: http.IncomingMessage): Promise<unknown> {
  checkSpeaker(member, response);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) throw protocolError(member, 'an answer without end');
    chunks.push(chunk);
  }

  const answer = parseJson(member, Buffer.concat(chunks).toString('utf8'));
  if (response.statusCode === 200) return answer;
  throw errorOf(member, answer);
}

/** Who answers must be who was called: over ssh nothing else says so. */
function checkSpeaker(member: Target, response: http.IncomingMessage): void {
  checkVersion(response.headers[VERSION_HEADER], `${member.name} (${member.address})`);
  const id = response.headers[NODE_HEADER];
  if (member.id === undefined || member.id === id) return;
  const text = `another node than ${member.name} answers at ${member.address}: its id is ${String(id)}`;
  throw new DiskError('PEER_FINGERPRINT', text, {node: member.name});
}

function parseJson(member: Target, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw protocolError(member, 'something that is no JSON');
  }
}

function errorOf(member: Target, answer: unknown): DiskError {
  const error = isObject(answer) ? answer['error'] : undefined;
  if (!isObject(error)) return protocolError(member, 'an error without a code');
  const code = String(error['code']);
  const message = `${member.name}: ${String(error['message']).slice(0, 2000)}`;
  const details: Record<string, string | number> = {node: member.name};
  for (const [key, value] of Object.entries(isObject(error['details']) ? error['details'] : {})) {
    if (typeof value === 'string' || typeof value === 'number') details[key] = value;
  }

  // A code of a later version, or a bug over there, is no bug here.
  if (code === 'BUG' || !isErrorCode(code)) {
    return new DiskError('PEER_REFUSED', message, {...details, code});
  }

  return new DiskError(code, message, details satisfies ErrorDetails);
}

function protocolError(member: Target, what: string): DiskError {
  return new DiskError('PEER_PROTOCOL', `${member.name} (${member.address}) sent ${what}`, {
    node: member.name,
  });
}

function unanswered(member: Target, path: string, timeoutMs: number): DiskError {
  const within = `within ${Math.ceil(timeoutMs / 1000)} s`;
  const text = `${member.name} (${member.address}) did not answer ${path} ${within}`;
  const address = parseAddress(member.address);
  const hint =
    address?.kind === 'ssh'
      ? `: where ssh ${address.target} true takes as long, the login over there hangs, as in a start file of its shell`
      : '';
  return new DiskError('TIMEOUT', text + hint, {node: member.name, timeoutMs});
}

function unreachable(member: Target, error: unknown): DiskError {
  if (isDiskError(error)) return error;
  const address = parseAddress(member.address);
  if (address?.kind === 'ssh' && isParseError(error)) {
    const text =
      `what comes over ssh ${address.target} does not begin with an answer of mars: ` +
      `ssh ${address.target} true must print nothing; a start file of the shell over there does`;
    return new DiskError('PEER_SSH_FAILED', text, {target: address.target}, {cause: error});
  }

  const why = error instanceof Error ? error.message : String(error);
  // A server that does not know our certificate closes without a word.
  const text = `${member.name} (${member.address}) does not answer, or does not know this node: ${why}`;
  return new DiskError('PEER_UNREACHABLE', text, {node: member.name}, {cause: error});
}

/** Of Node's HTTP parser: HPE_INVALID_CONSTANT and others. */
function isParseError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('HPE_');
}
