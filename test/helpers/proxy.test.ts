import {randomBytes} from 'node:crypto';
import net from 'node:net';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {Proxy} from './proxy.js';
import {until} from './run.js';

const MIB = 1024 * 1024;

interface Echo {
  readonly port: number;
  /** How many connections it has seen, and how many it has now. */
  seen: number;
  readonly sockets: Set<net.Socket>;
  close(): Promise<void>;
}

/** Sends back what comes, and ends when the other side does. */
async function startEcho(): Promise<Echo> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    echo.seen += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const echo: Echo = {
    port: (server.address() as net.AddressInfo).port,
    seen: 0,
    sockets,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return echo;
}

interface Client {
  readonly socket: net.Socket;
  received: Buffer;
  error: string | undefined;
  closed: boolean;
}

async function connect(port: number): Promise<Client> {
  const socket = net.connect(port, '127.0.0.1');
  const client: Client = {socket, received: Buffer.alloc(0), error: undefined, closed: false};
  socket.on('data', (bytes: Buffer) => {
    client.received = Buffer.concat([client.received, bytes]);
  });
  socket.on('error', (error: NodeJS.ErrnoException) => (client.error = error.code));
  socket.once('close', () => (client.closed = true));
  await until(() => !socket.connecting, 2000, 'connection');
  return client;
}

let echo: Echo;
let proxy: Proxy;

test.before.each(async () => {
  echo = await startEcho();
  proxy = await Proxy.create(echo.port);
});

test.after.each(async () => {
  await proxy.close();
  await echo.close();
});

async function returned(client: Client, bytes: number): Promise<void> {
  await until(() => client.received.length >= bytes, 5000, `echo of ${bytes} bytes`);
}

test('bytes come through both ways unchanged, and are counted', async () => {
  const client = await connect(proxy.port);
  const data = randomBytes(8 * MIB + 17);
  client.socket.end(data);
  await until(() => client.closed, 5000, 'orderly end');
  assert.is(client.error, undefined);
  assert.ok(client.received.equals(data));
  const {connections, there, back, lost} = proxy.statistics();
  assert.equal(
    {connections, there, back, lost},
    {connections: 1, there: data.length, back: data.length, lost: 0},
  );
  await until(() => proxy.statistics().open === 0, 2000, 'end of the connection');
});

test('a delay is there each way, and keeps the order', async () => {
  proxy.delayMs = 60;
  const client = await connect(proxy.port);
  const start = performance.now();
  for (let index = 0; index < 10; index += 1) client.socket.write(`${index}`);
  await returned(client, 10);
  assert.is(client.received.toString(), '0123456789');
  assert.ok(performance.now() - start >= 119, 'two ways of 60 ms');
  client.socket.destroy();
});

test('a rate is kept, by all connections together', async () => {
  proxy.bytesPerSecond = MIB;
  const clients = await Promise.all([connect(proxy.port), connect(proxy.port)]);
  const start = performance.now();
  for (const {socket} of clients) socket.write(randomBytes(MIB / 4));
  await Promise.all(clients.map((client) => returned(client, MIB / 4)));
  const seconds = (performance.now() - start) / 1000;
  assert.ok(seconds >= 0.48 && seconds < 3, `half a MiB took ${seconds} s`);
  for (const {socket} of clients) socket.destroy();
});

test('a long wire is never empty while there is something to send', async () => {
  const sink = net.createServer((socket) => socket.on('error', () => undefined).resume());
  await new Promise<void>((resolve) => sink.listen(0, '127.0.0.1', resolve));
  const wire = await Proxy.create((sink.address() as net.AddressInfo).port);
  try {
    wire.bytesPerSecond = 4 * MIB;
    wire.delayMs = 200;
    const client = await connect(wire.port);
    const total = 6 * MIB;
    client.socket.write(randomBytes(total));
    const passed = (): number => wire.statistics().there;
    await until(() => passed() >= wire.heldBytesMax / 2, 10_000, 'the wire to be full');
    while (passed() < total / 2) {
      const {held} = wire.statistics();
      assert.ok(held > wire.heldBytesMax / 3, `${held} bytes are on the wire after ${passed()}`);
      await new Promise((resolve) => setImmediate(resolve));
    }

    client.socket.destroy();
  } finally {
    await wire.close();
    await new Promise((resolve) => sink.close(resolve));
  }
});

test('a cut resets what is there and what comes; healed, new connections work', async () => {
  const client = await connect(proxy.port);
  client.socket.write('x');
  await returned(client, 1);
  proxy.set('cut');
  await until(() => client.closed, 2000, 'reset of the client');
  assert.is(client.error, 'ECONNRESET');
  await until(() => echo.sockets.size === 0, 2000, 'reset of the target');
  const second = await connect(proxy.port);
  await until(() => second.closed, 2000, 'reset of a new one');
  assert.is(echo.seen, 1);
  assert.is(proxy.statistics().lost, 1);
  proxy.set('open');
  const third = await connect(proxy.port);
  third.socket.write('y');
  await returned(third, 1);
  third.socket.destroy();
});

test('half-open: nothing comes through, nobody is told; healed, old connections are reset', async () => {
  const client = await connect(proxy.port);
  client.socket.write('x');
  await returned(client, 1);
  proxy.set('half-open');
  client.socket.write('swallowed');
  const second = await connect(proxy.port);
  second.socket.write('swallowed, too');
  await until(() => proxy.statistics().swallowed === 23, 2000, 'swallowed bytes');
  // The target's end is not told to the client either.
  for (const socket of echo.sockets) socket.destroy();
  await until(() => echo.sockets.size === 0, 2000, 'end of the target');
  assert.equal([client.closed, second.closed, client.received.length], [false, false, 1]);
  proxy.set('open');
  await until(() => client.closed && second.closed, 2000, 'resets');
  const third = await connect(proxy.port);
  third.socket.write('y');
  await returned(third, 1);
  third.socket.destroy();
});

for (const direction of ['there', 'back'] as const) {
  test(`one bit of one byte is flipped on its way ${direction}`, async () => {
    const client = await connect(proxy.port);
    const data = randomBytes(1000);
    client.socket.write(data.subarray(0, 100));
    await returned(client, 100);
    proxy.flip(direction, 123);
    client.socket.write(data.subarray(100, 200));
    await returned(client, 200);
    client.socket.write(data.subarray(200));
    await returned(client, 1000);
    const wrong = [...data.keys()].filter((index) => client.received[index] !== data[index]);
    assert.equal(wrong, [223]);
    assert.is(proxy.statistics().flipped, 1);
    client.socket.destroy();
  });
}

test('nobody listens at the target: the connection is reset', async () => {
  await echo.close();
  const client = await connect(proxy.port);
  await until(() => client.closed, 2000, 'reset');
  assert.is(client.received.length, 0);
});

test('a slow reader is waited for: the proxy holds little', async () => {
  const readers: net.Socket[] = [];
  const sink = net.createServer({pauseOnConnect: true}, (socket) => readers.push(socket));
  await new Promise<void>((resolve) => sink.listen(0, '127.0.0.1', resolve));
  const slow = await Proxy.create((sink.address() as net.AddressInfo).port);
  const client = await connect(slow.port);
  let taken = 0;
  const send = (): void => {
    client.socket.write(Buffer.alloc(MIB), (error) => {
      if (error) return;
      taken += 1;
      if (taken < 512) send();
    });
  };
  send();
  let last = -1;
  await until(
    async () => {
      const before = taken;
      const start = performance.now();
      await until(() => performance.now() - start > 300, 2000, 'some time');
      last = taken;
      return before === taken;
    },
    10_000,
    'end of what is taken',
  );
  assert.ok(last < 64, `${last} MiB were taken`);
  client.socket.destroy();
  await slow.close();
  for (const reader of readers) reader.destroy(); // Paused, it never hears of the reset.
  await new Promise((resolve) => sink.close(resolve));
});

test.run();
