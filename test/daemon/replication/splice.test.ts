import net from 'node:net';
import {once} from 'node:events';
import type {Duplex} from 'node:stream';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../../src/core/errors.js';
import {until} from '../../helpers/run.js';
import {splice} from '../../../src/daemon/replication/splice.js';

const QUIET = {silenceMs: 60_000, lingerMs: 1000, signal: new AbortController().signal};
const servers: net.Server[] = [];

/** Two ends of a real connection. */
async function pair(): Promise<[net.Socket, net.Socket]> {
  const server = net.createServer({allowHalfOpen: true});
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const {port} = server.address() as net.AddressInfo;
  const near = net.connect({port, host: '127.0.0.1', allowHalfOpen: true});
  const [far] = (await once(server, 'connection')) as [net.Socket];
  for (const socket of [near, far]) socket.on('error', () => undefined);
  return [near, far];
}

async function readAll(stream: Duplex): Promise<string> {
  let text = '';
  for await (const chunk of stream as AsyncIterable<Buffer>) text += chunk.toString();
  return text;
}

test.after(() => {
  for (const server of servers) server.close();
});

test('bytes go both ways, and an end goes on after the last of them', async () => {
  const [source, peer] = await pair();
  const [local, disk] = await pair();
  const done = splice(peer, local, QUIET);
  disk.write('hello');
  assert.is(String((await once(source, 'data'))[0]), 'hello');
  source.end('answer');
  assert.is(await readAll(disk), 'answer');
  disk.end();
  const {bytes, error} = await done;
  assert.is(bytes, 6);
  assert.is(error, undefined);
});

test('a broken peer ends the local side', async () => {
  const [source, peer] = await pair();
  const [local, disk] = await pair();
  const done = splice(peer, local, QUIET);
  source.resetAndDestroy();
  const {error} = await done;
  assert.instance(error, Error);
  if (!disk.destroyed) disk.resume();
  assert.is(local.destroyed, true);
  disk.destroy();
});

test('a local side that does not close is ended after a while', async () => {
  const [source, peer] = await pair();
  const [local, disk] = await pair();
  const done = splice(peer, local, {...QUIET, lingerMs: 20});
  source.end();
  await done;
  assert.is(local.destroyed, true);
  disk.destroy();
});

test('silence ends the stream', async () => {
  const [source, peer] = await pair();
  const [local, disk] = await pair();
  const {error} = await splice(peer, local, {...QUIET, silenceMs: 50});
  assert.ok(isDiskError(error, 'PEER_SILENT'));
  source.destroy();
  disk.destroy();
});

test('an abort ends both', async () => {
  const [source, peer] = await pair();
  const [local, disk] = await pair();
  const abort = new AbortController();
  const done = splice(peer, local, {...QUIET, signal: abort.signal});
  abort.abort();
  await done;
  assert.ok(peer.destroyed && local.destroyed);
  source.destroy();
  disk.destroy();
});

test('who does not read holds up who sends', async () => {
  const [source, peer] = await pair();
  const [local, disk] = await pair();
  disk.pause();
  const done = splice(peer, local, QUIET);
  const chunk = Buffer.alloc(1024 * 1024);
  for (let count = 0; count < 64; count += 1) source.write(chunk);
  await until(() => local.writableNeedDrain, 5000, 'full local side');
  // What the sockets do not take stays with the sender.
  assert.ok(peer.readableLength + local.writableLength < 2 * chunk.length);
  assert.ok(source.writableLength > 16 * chunk.length);
  source.destroy();
  disk.destroy();
  await done;
});

test.run();
