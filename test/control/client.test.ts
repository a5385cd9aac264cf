import fs from 'node:fs';
import http from 'node:http';
import {join} from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {callSocket} from '../../src/control/client.js';
import {diskStatus, listDisks} from '../../src/control/disk-client.js';
import {isDiskError} from '../../src/core/errors.js';
import {until} from '../daemon/fake-node.js';
import {SOCKET_PATH_BYTES_MAX, socketAddress} from '../../src/core/socket-path.js';

const test = suite<{root: string; servers: http.Server[]}>('control client');

test.before.each((context) => {
  context.root = fs.mkdtempSync('/var/tmp/mars-client-');
  context.servers = [];
});
test.after.each(({root, servers}) => {
  for (const server of servers) {
    server.closeAllConnections();
    server.close();
  }

  fs.rmSync(root, {recursive: true});
});

async function serve(
  servers: http.Server[],
  path: string,
  listener: http.RequestListener,
): Promise<void> {
  const address = socketAddress(path);
  const server = http.createServer(listener);
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(address.path, resolve));
  server.once('close', () => {
    address.close();
  });
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (isDiskError(error)) return error.code;
    throw error;
  }

  return 'no error';
}

function call(socket: string, timeoutMs = 2000): Promise<unknown> {
  return callSocket({
    socket,
    method: 'GET',
    path: '/status',
    timeoutMs,
    unreachable: 'DAEMON_UNREACHABLE',
  });
}

test('answers, refusals, nonsense and silence are told apart', async ({root, servers}) => {
  const path = join(root, 's.sock');
  assert.is(await codeOf(call(path)), 'DAEMON_UNREACHABLE');
  const answers: (readonly [number, string])[] = [
    [200, '{"schema": 1}'],
    [409, '{"error": {"code": "RESOURCE_BUSY", "message": "m", "details": {}}}'],
    [500, '{"error": {"code": "NO_SUCH_CODE"}}'],
    [200, '<html>'],
  ];
  await serve(servers, path, (_, response) => {
    const [status, body] = answers.shift() ?? [0, ''];
    if (status !== 0) response.writeHead(status).end(body);
  });
  assert.equal(await call(path), {schema: 1});
  assert.is(await codeOf(call(path)), 'RESOURCE_BUSY');
  assert.is(await codeOf(call(path)), 'BUG');
  assert.is(await codeOf(call(path)), 'DAEMON_UNREACHABLE');
  assert.is(await codeOf(call(path, 100)), 'TIMEOUT');
});

test('a socket deeper than a socket path may be long is reached', async ({root, servers}) => {
  const directory = join(root, 'd'.repeat(60), 'e'.repeat(60));
  fs.mkdirSync(directory, {recursive: true});
  const path = join(directory, 's.sock');
  assert.ok(path.length > SOCKET_PATH_BYTES_MAX);
  await serve(servers, path, (_, response) => response.end('{}'));
  const before = fs.readdirSync('/proc/self/fd').length;
  for (let count = 0; count < 5; count += 1) assert.equal(await call(path), {});
  assert.is(await codeOf(call(join(root, 'none'.repeat(40), 's.sock'))), 'DAEMON_UNREACHABLE');
  const count = (): number => fs.readdirSync('/proc/self/fd').length;
  await until(() => count() <= before, 'descriptors are given back');
});

test('disks are listed by their sockets, stale ones left out', async ({root, servers}) => {
  assert.equal(await listDisks(root), []);
  const directory = join(root, 'run/disks');
  fs.mkdirSync(directory, {recursive: true});
  fs.writeFileSync(join(directory, 'stale.sock'), '');
  fs.writeFileSync(join(directory, 'web01.log'), '');
  assert.is(await diskStatus(join(directory, 'stale.sock')), undefined);
  await serve(servers, join(directory, 'web01.sock'), (_, response) =>
    response.end('{"schema": 1, "name": "web01"}'),
  );
  assert.equal(
    (await listDisks(root)).map(({name}) => name),
    ['web01'],
  );
});

test.run();
