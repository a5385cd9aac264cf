/** Nodes without disks in this process: real keys, real TLS on loopback, real files. */
import fs from 'node:fs';
import net from 'node:net';
import {join} from 'node:path';
import tls from 'node:tls';
import {pino} from 'pino';
import {parseAddress} from '../../src/cluster/address.js';
import {ensureIdentity, type Identity} from '../../src/cluster/certificates.js';
import {memberByName, type Member} from '../../src/cluster/members.js';
import {tlsOptions} from '../../src/cluster/tls.js';
import {systemClock} from '../../src/core/clock.js';
import {isDiskError} from '../../src/core/errors.js';
import {homePaths, type NodeFile} from '../../src/core/home.js';
import type {Context} from '../../src/daemon/context.js';
import {Peers} from '../../src/daemon/peers.js';
import {until as waitUntil} from '../helpers/run.js';

export interface PeerNode {
  readonly name: string;
  readonly home: string;
  readonly peers: Peers;
  readonly context: Context;
  /** Codes of events that were told. */
  readonly told: string[];
  readonly resources: string[];
  /** Added to the wall clock. */
  skewMs: number;
  member(name: string): Member;
  /** Ends the daemon's part and starts it anew on the same home. */
  restart(): Promise<PeerNode>;
}

const nodes = new Set<PeerNode>();
const homes = new Set<string>();
const sockets = new Set<net.Socket>();

/** A port that was free just now. */
export async function freePort(host: string): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
  const {port} = server.address() as net.AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** @param listen host to listen on; null: nobody listens */
export async function startNode(
  name: string,
  listen: string | null = '127.0.0.1',
): Promise<PeerNode> {
  const home = fs.mkdtempSync(`/var/tmp/mars-peer-${name}-`);
  homes.add(home);
  for (const directory of ['tls', 'peers']) fs.mkdirSync(join(home, directory));
  const id = Buffer.from(name.padEnd(16, '-')).toString('hex').slice(0, 32);
  const at = listen === null ? {} : {listen: await addressOn(listen)};
  return startAt({schema: 1, name, id, mounts: '/m', devices: '/d', createdAt: '', ...at}, home);
}

async function addressOn(host: string): Promise<string> {
  const port = await freePort(host);
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

async function startAt(file: NodeFile, home: string): Promise<PeerNode> {
  const told: string[] = [];
  const resources: string[] = [];
  const clock = {
    wallMs: () => systemClock.wallMs() + node.skewMs,
    monotonicMs: () => systemClock.monotonicMs(),
  };
  const context = {
    paths: homePaths(home),
    node: file,
    programs: {holder: '', main: ''},
    clock,
    log: pino({level: 'silent'}),
    tell: (code: string) => {
      told.push(code);
    },
  } as unknown as Context;
  const node: PeerNode = {
    name: file.name,
    home,
    context,
    told,
    resources,
    skewMs: 0,
    peers: new Peers({context, version: '0.0.0', resources: () => resources}),
    member: (name) => {
      const {cluster} = node.peers;
      if (cluster === undefined) throw new Error('no cluster');
      return memberByName(cluster, name);
    },
    restart: async () => {
      await stop(node);
      return startAt(file, home);
    },
  };
  nodes.add(node);
  await node.peers.start();
  return node;
}

async function stop(node: PeerNode): Promise<void> {
  nodes.delete(node);
  await node.peers.close();
}

/** Two nodes, the second joined through the first. */
export async function startPair(): Promise<[PeerNode, PeerNode]> {
  const alpha = await startNode('alpha');
  const beta = await startNode('beta');
  await beta.peers.join(alpha.peers.invite(60).text, 10_000);
  return [alpha, beta];
}

/** Keys that no cluster knows. */
export function strangerIdentity(): Identity {
  const home = fs.mkdtempSync('/var/tmp/mars-peer-stranger-');
  homes.add(home);
  return ensureIdentity(home);
}

/** A TCP connection to the port of a node. */
export function connectRaw(node: PeerNode): net.Socket {
  const address = parseAddress(node.context.node.listen ?? '');
  if (address?.kind !== 'tls') throw new Error(`${node.name} does not listen`);
  const socket = net.connect(address.port, address.host);
  sockets.add(socket);
  socket.on('error', () => undefined);
  return socket;
}

/** A TLS connection with these keys, or with none; resolves after the handshake. */
export function connectSecure(
  node: PeerNode,
  identity?: Identity,
  options: tls.ConnectionOptions = {},
): Promise<tls.TLSSocket> {
  const keys = identity === undefined ? {rejectUnauthorized: false} : {...tlsOptions(identity)};
  const socket = tls.connect({...keys, ...options, socket: connectRaw(node)});
  socket.on('error', () => undefined);
  return new Promise((resolve, reject) => {
    socket.once('secureConnect', () => {
      resolve(socket);
    });
    socket.once('error', reject);
    socket.once('close', () => {
      reject(new Error('closed'));
    });
  });
}

/** Sends bytes, and gives all that comes back until the other side closes. */
export function talk(socket: net.Socket, ...parts: (string | Buffer)[]): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    socket.once('close', () => {
      resolve(text);
    });
    for (const part of parts) socket.write(part);
  });
}

/** @throws Error naming `what` where the condition does not come true */
export function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  return waitUntil(condition, 15_000, what);
}

/** @throws Error unless `promise` fails with this code */
export async function rejectsWith(code: string, promise: Promise<unknown>): Promise<void> {
  const found = await promise.then(
    () => 'no error',
    (error: unknown) => (isDiskError(error) ? error.code : String(error)),
  );
  if (found !== code) throw new Error(`expected ${code}, got ${found}`);
}

/** For `after.each`: ends all nodes and connections, removes all homes. */
export async function removeNodes(): Promise<void> {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await Promise.all([...nodes].map(stop));
  for (const home of homes) fs.rmSync(home, {recursive: true, force: true});
  homes.clear();
}
