/** Stdin and stdout as a connection of a peer: through an upgrade of the control socket. */
import http from 'node:http';
import type {Duplex} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import {PEER_UPGRADE} from '../cluster/peer-protocol.js';
import {DiskError} from '../core/errors.js';
import {homePaths} from '../core/home.js';
import {socketAddress} from '../core/socket-path.js';

const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Pipes until one side ends.
 *
 * @throws DiskError DAEMON_UNREACHABLE
 */
export async function becomePeerConnection(home: string): Promise<void> {
  const socket = await connectPeer(home);
  const toDaemon = pipeline(process.stdin, socket).catch(() => undefined);
  const toPeer = pipeline(socket, process.stdout).catch(() => undefined);
  // Whichever way ends first: half a connection is of no use.
  await Promise.race([toDaemon, toPeer]);
  await Promise.race([toPeer, new Promise((resolve) => socket.once('close', resolve))]);
  socket.destroy();
  process.stdin.destroy();
}

function connectPeer(home: string): Promise<Duplex> {
  const path = homePaths(home).daemonSocket;
  const address = socketAddress(path);
  return new Promise((resolve, reject) => {
    const request = http.request({
      socketPath: address.path,
      path: '/peer',
      agent: false,
      headers: {connection: 'Upgrade', upgrade: PEER_UPGRADE},
    });
    const timer = setTimeout(() => {
      request.destroy(new Error('no answer in time'));
    }, CONNECT_TIMEOUT_MS);
    const fail = (cause?: Error): void => {
      clearTimeout(timer);
      const text = `no daemon takes a peer on ${path}: start it with mars daemon run`;
      reject(new DiskError('DAEMON_UNREACHABLE', text, {socket: path}, {cause}));
    };
    request.once('upgrade', (_, socket, head) => {
      clearTimeout(timer);
      address.close();
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    request.once('response', () => {
      fail();
      request.destroy();
    });
    request.on('error', fail);
    request.end();
  });
}
