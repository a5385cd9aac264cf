/** What the server for peers does with those who are none, and with those who misbehave. */
import fs from 'node:fs';
import type {Duplex} from 'node:stream';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {ensureIdentity, type Identity} from '../../src/cluster/certificates.js';
import type {PeerRoutes} from '../../src/cluster/peer-routes.js';
import {DiskError} from '../../src/core/errors.js';
import {
  connectRaw,
  connectSecure,
  rejectsWith,
  removeNodes,
  startNode,
  startPair,
  strangerIdentity,
  talk,
  until,
  type PeerNode,
} from './peer-rig.js';

test.after.each(removeNodes);

const identityOf = (node: PeerNode): Identity => ensureIdentity(node.home);
const hello = (node: PeerNode): string =>
  `GET /peer/v1/hello HTTP/1.1\r\nHost: x\r\nmars-peer: 1\r\nmars-node: ${node.peers.selfId}\r\n\r\n`;

/** The server still serves: the other member gets an answer. */
async function stillServes(alpha: PeerNode, beta: PeerNode): Promise<void> {
  const answer = await beta.peers.caller.call<{name: string}>(beta.member('alpha'), 'GET', 'hello');
  assert.is(answer.name, alpha.name);
}

const echo: PeerRoutes = {
  call: (caller, method, words, body) => {
    if (words[0] === 'bug') throw new TypeError('secret of the machine');
    if (words[0] === 'refuse') {
      throw new DiskError('RESOURCE_UNKNOWN', 'no such resource', {words: words.length});
    }

    return Promise.resolve({caller: caller.name, method, words, body});
  },
  open: (caller, protocol, words) => {
    if (words[0] === 'refuse') throw new DiskError('RESOURCE_UNKNOWN', 'no such resource');
    return Promise.resolve((socket: Duplex) => {
      socket.write(`${caller.name} ${protocol} ${words.join('/')}|`);
      socket.pipe(socket);
    });
  },
};

test('bytes that are no TLS are cut, and the server goes on', async () => {
  const [alpha, beta] = await startPair();
  const garbage = [
    'GET / HTTP/1.1\r\n\r\n',
    Buffer.alloc(65_536, 0xff),
    Buffer.from('160301ffff', 'hex'),
    Buffer.from('16030100010000', 'hex'),
    Buffer.from([0]),
  ];
  for (const bytes of garbage.slice(0, 4)) {
    const socket = connectRaw(alpha);
    socket.end(bytes);
    await talk(socket);
  }

  const silent = connectRaw(alpha);
  await new Promise((resolve) => silent.once('connect', resolve));
  await stillServes(alpha, beta);
  silent.destroy();
});

test('without a certificate, with an unknown one, or by TLS 1.2: nothing is told', async () => {
  const [alpha, beta] = await startPair();
  // The handshake of TLS 1.3 is over for the client before the server has seen the certificate.
  for (const identity of [undefined, strangerIdentity()]) {
    const text = await connectSecure(alpha, identity).then(
      (socket) => talk(socket, hello(beta)),
      () => '',
    );
    assert.not.match(text, /nodeId/u);
  }

  alpha.skewMs = 120_000; // No invitation is open any more.
  for (const identity of [undefined, strangerIdentity()]) {
    const text = await connectSecure(alpha, identity).then(
      (socket) => talk(socket, hello(beta)),
      () => '',
    );
    assert.is(text, '');
  }

  const old = connectSecure(alpha, identityOf(beta), {
    maxVersion: 'TLSv1.2',
    minVersion: 'TLSv1.2',
  });
  assert.is(
    await old.then(
      () => 'connected',
      () => 'refused',
    ),
    'refused',
  );
  await stillServes(alpha, beta);
});

test('a stranger may only join, while an invitation is open, and once', async () => {
  const alpha = await startNode('alpha');
  const beta = await startNode('beta');
  alpha.peers.invite(60);
  const keys = strangerIdentity();
  const requests = [
    hello(beta),
    'POST /peer/v1/facts HTTP/1.1\r\nHost: x\r\nmars-peer: 1\r\nContent-Length: 2\r\n\r\n{}',
    'GET /peer/v1/resources/x HTTP/1.1\r\nHost: x\r\nmars-peer: 1\r\n\r\n',
  ];
  for (const request of requests) {
    const text = await talk(await connectSecure(alpha, keys), request, request);
    assert.match(text, /^HTTP\/1\.1 409 /u);
    assert.match(text, /PEER_UNKNOWN/u);
    assert.is(text.split('HTTP/1.1').length, 2, 'one answer');
  }

  const body = `{"secret": "${'s'.repeat(20_000)}"}`;
  const text = await talk(
    await connectSecure(alpha, keys),
    `POST /peer/v1/join HTTP/1.1\r\nHost: x\r\nmars-peer: 1\r\nContent-Length: ${body.length}\r\n\r\n`,
    body,
  );
  assert.match(text, /PEER_PROTOCOL/u);
});

test('a node that shows one key and names another does not join', async () => {
  const alpha = await startNode('alpha');
  const beta = await startNode('beta');
  const {secret} = alpha.peers.invite(60);
  const body = JSON.stringify({
    secret,
    id: 'e'.repeat(32),
    name: 'evil',
    fingerprint: identityOf(beta).fingerprint,
    listen: '',
    host: 'evil',
  });
  const head = `POST /peer/v1/join HTTP/1.1\r\nHost: x\r\nmars-peer: 1\r\nContent-Length: ${body.length}\r\n\r\n`;
  const text = await talk(await connectSecure(alpha, strangerIdentity()), head + body);
  assert.match(text, /PEER_PROTOCOL/u);
  assert.equal(alpha.peers.members(), []);
});

test('what a member sends may be anything: it is refused or cut', async () => {
  const [alpha, beta] = await startPair();
  alpha.peers.serve(echo);
  const keys = identityOf(beta);
  const head = 'Host: x\r\nmars-peer: 1\r\n';
  const requests = [
    'garbage\r\n\r\n',
    Buffer.alloc(100_000, 0x41),
    Buffer.from([0, 1, 2, 255, 254, 13, 10, 13, 10]),
    `GET /peer/v1/hello HTTP/1.1\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`,
    `GET /peer/v1/hello HTTP/1.1\r\n${'X: y\r\n'.repeat(5000)}\r\n`,
    `GET /../../etc/passwd HTTP/1.1\r\n${head}Connection: close\r\n\r\n`,
    `GET /peer/v1/%zz HTTP/1.1\r\n${head}\r\n`,
    `GET http://[::bad/ HTTP/1.1\r\n${head}\r\n`,
    `POST /peer/v1/facts HTTP/1.1\r\n${head}Content-Length: 1\r\n\r\n{`,
    `POST /peer/v1/facts HTTP/1.1\r\n${head}Content-Length: 4\r\n\r\nnull`,
    `POST /peer/v1/members HTTP/1.1\r\n${head}Content-Length: 2\r\n\r\n[]`,
    `POST /peer/v1/facts HTTP/1.1\r\n${head}Content-Length: -1\r\n\r\n`,
    `POST /peer/v1/facts HTTP/1.1\r\n${head}Content-Length: 99999999\r\n\r\n${'x'.repeat(9_000_000)}`,
    `POST /peer/v1/facts HTTP/1.1\r\n${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
    `CONNECT x:1 HTTP/1.1\r\n${head}\r\n`,
    `GET /peer/v1/hello HTTP/1.1\r\n${head}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    `GET /peer/v1/hello HTTP/1.1\r\n${head}Connection: Upgrade\r\nUpgrade: mars-log/1\r\n\r\n`,
  ];
  for (const request of requests) {
    const text = await talk(await connectSecure(alpha, keys), request);
    assert.not.match(text, /HTTP\/1\.1 (?:2|101)/u, String(request).slice(0, 80));
  }

  await stillServes(alpha, beta);
});

test('random bytes after the handshake end only their connection', async () => {
  const [alpha, beta] = await startPair();
  const keys = identityOf(beta);
  let seed = 12_345;
  const random = (): number => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31);
  for (let round = 0; round < 20; round += 1) {
    const good = Buffer.from(hello(beta));
    const bytes = Buffer.concat([good, good]);
    for (let flips = random() % 20; flips >= 0; flips -= 1) {
      bytes[random() % bytes.length] = random() % 256;
    }

    const socket = await connectSecure(alpha, keys);
    const end = talk(socket);
    socket.end(bytes);
    await end;
  }

  await stillServes(alpha, beta);
});

test('another version is refused with PEER_VERSION, and what is no peer with PEER_PROTOCOL', async () => {
  const [alpha, beta] = await startPair();
  const keys = identityOf(beta);
  const ask = async (version: string): Promise<string> =>
    talk(
      await connectSecure(alpha, keys),
      `GET /peer/v1/hello HTTP/1.1\r\nHost: x\r\n${version}Connection: close\r\n\r\n`,
    );
  assert.match(await ask('mars-peer: 2\r\n'), /"PEER_VERSION"/u);
  assert.match(await ask('mars-peer: 0\r\n'), /"PEER_VERSION"/u);
  assert.match(await ask('mars-peer: x\r\n'), /"PEER_PROTOCOL"/u);
  assert.match(await ask(''), /"PEER_PROTOCOL"/u);
  assert.match(await ask('mars-peer: 1\r\n'), /"nodeId"/u);
});

test('calls reach the routes with caller, words and body; errors keep their codes', async () => {
  const [alpha, beta] = await startPair();
  const at = beta.member('alpha');
  const {caller} = beta.peers;
  await rejectsWith('PEER_PROTOCOL', caller.call(at, 'GET', 'resources/x'));
  alpha.peers.serve(echo);
  assert.equal(await caller.call(at, 'POST', 'resources/a/b%20c', {x: 1}), {
    caller: 'beta',
    method: 'POST',
    words: ['a', 'b c'],
    body: {x: 1},
  });
  await rejectsWith('RESOURCE_UNKNOWN', caller.call(at, 'POST', 'resources/refuse'));
  const bug = await caller.call(at, 'GET', 'resources/bug').catch((error: unknown) => error);
  assert.is((bug as DiskError).code, 'PEER_REFUSED');
  assert.not.match((bug as DiskError).message, /secret/u);
  await rejectsWith('PEER_PROTOCOL', caller.call(at, 'GET', 'nothing'));
});

test('a stream is opened, carries both ways, or is refused with a code', async () => {
  const [alpha, beta] = await startPair();
  alpha.peers.serve(echo);
  const at = beta.member('alpha');
  const {caller} = beta.peers;
  const stream = await caller.open(at, 'resources/id/log', 'mars-log/1');
  const big = Buffer.alloc(3_000_000, 7);
  let text = Buffer.alloc(0);
  stream.on('error', () => undefined);
  stream.on('data', (chunk: Buffer) => (text = Buffer.concat([text, chunk])));
  stream.write(big);
  const head = 'beta mars-log/1 id/log|';
  await until(() => text.length === head.length + big.length, 'the echo');
  assert.is(text.subarray(0, head.length).toString(), head);
  assert.ok(text.subarray(head.length).equals(big));
  stream.destroy();
  await rejectsWith('RESOURCE_UNKNOWN', caller.open(at, 'resources/refuse', 'mars-sync/1'));
});

test('the streams of a node end when it is removed', async () => {
  const [alpha, beta] = await startPair();
  alpha.peers.serve(echo);
  const stream = await beta.peers.caller.open(beta.member('alpha'), 'resources/a', 'mars-log/1');
  stream.on('error', () => undefined).resume();
  const closed = new Promise((resolve) => stream.once('close', resolve));
  await alpha.peers.remove('beta', true);
  await closed;
  await rejectsWith(
    'PEER_REVOKED',
    beta.peers.caller.open(addressOf(alpha), 'resources/a', 'mars-log/1'),
  );
});

test('strangers are few: connections over a limit are cut, and nothing stays of it', async () => {
  const [alpha, beta] = await startPair();
  const sockets = Array.from({length: 40}, () => connectRaw(alpha));
  let closed = 0;
  for (const socket of sockets) socket.once('close', () => (closed += 1)).resume();
  await until(() => closed >= 24, 'the end of those over the limit');
  for (const socket of sockets) socket.destroy();
  const serves = (): Promise<boolean> =>
    stillServes(alpha, beta).then(
      () => true,
      () => false,
    );
  await until(serves, 'service');
});

test('a member at a wrong address is not taken for another', async () => {
  const [alpha, beta] = await startPair();
  const gamma = await startNode('gamma');
  await gamma.peers.join(alpha.peers.invite(60).text, 10_000);
  const wrong = {...beta.member('alpha'), address: gamma.context.node.listen ?? ''};
  await rejectsWith('PEER_FINGERPRINT', beta.peers.caller.call(wrong, 'GET', 'hello'));
  const nobody = {...wrong, address: '127.0.0.1:1'};
  await rejectsWith('PEER_UNREACHABLE', beta.peers.caller.call(nobody, 'GET', 'hello'));
  await rejectsWith('PEER_UNREACHABLE', beta.peers.caller.open(nobody, 'x', 'mars-log/1'));
  await rejectsWith(
    'PEER_UNREACHABLE',
    beta.peers.caller.call({...wrong, address: ''}, 'GET', 'hello'),
  );
});

test('a peer that does not answer is a TIMEOUT, and the next call works', async () => {
  const [alpha, beta] = await startPair();
  const never: PeerRoutes = {...echo, call: () => new Promise(() => undefined)};
  alpha.peers.serve(never);
  const at = beta.member('alpha');
  await rejectsWith('TIMEOUT', beta.peers.caller.call(at, 'GET', 'resources/x', undefined, 300));
  alpha.peers.serve(echo);
  await beta.peers.caller.call(at, 'GET', 'resources/x', undefined, 5000);
});

test('ssh brings a peer to the control socket: join without a token, then calls', async () => {
  const [alpha] = await startPair();
  const gamma = await startNode('gamma', null);
  const pipe = await startPipe(alpha);
  try {
    const through = await gamma.peers.join('ssh://root@alpha', 10_000);
    assert.is(through.name, 'alpha');
    assert.is(gamma.member('alpha').address, 'ssh://root@alpha');
    alpha.peers.serve(echo);
    const answer = await gamma.peers.caller.call<{caller: string}>(
      gamma.member('alpha'),
      'GET',
      'resources/x',
    );
    assert.is(answer.caller, 'gamma');
    const stream = await gamma.peers.caller.open(
      gamma.member('alpha'),
      'resources/y',
      'mars-log/1',
    );
    let text = '';
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
    stream.write('hello');
    await until(() => text === 'gamma mars-log/1 y|hello', 'the echo');
    stream.destroy();
  } finally {
    await pipe.close();
  }

  // The kept connection breaks first; then ssh is started anew.
  const code = (): Promise<string> =>
    gamma.peers.caller.call(gamma.member('alpha'), 'GET', 'hello').then(
      () => 'none',
      (error: unknown) => (error as DiskError).code,
    );
  await until(async () => (await code()) === 'PEER_SSH_FAILED', 'the failure of ssh');
});

test('a login over ssh that prints, or never comes to mars, is told as that', async () => {
  const gamma = await startNode('gamma', null);
  const program = `${gamma.home}/login`;
  const login = (lines: string): Promise<string> => {
    fs.writeFileSync(program, `#!/bin/sh\n${lines}\n`, {mode: 0o755});
    process.env['MARS_SSH'] = program;
    return gamma.peers.join('ssh://root@alpha', 500).then(
      () => 'joined',
      (error: unknown) => `${(error as DiskError).code} ${(error as DiskError).message}`,
    );
  };
  assert.match(await login('echo Welcome to alpha; cat >/dev/null'), /^PEER_SSH_FAILED .*nothing/u);
  assert.match(await login('exec cat >/dev/null'), /^TIMEOUT .*within 1 s: .*the login/u);
});

/** Where a node listens, for one that does not have it as a member any more. */
function addressOf(node: PeerNode): Parameters<PeerNode['peers']['caller']['call']>[0] {
  const {fingerprint} = identityOf(node);
  const {name, listen = ''} = node.context.node;
  return {id: node.peers.selfId, name, address: listen, fingerprint, addedAt: ''};
}

/** A stand-in for ssh and the control socket: a program that connects to a node's `adopt`. */
async function startPipe(node: PeerNode): Promise<{close: () => Promise<void>}> {
  const net = await import('node:net');
  const path = `${node.home}/ssh.sock`;
  const server = net.createServer((socket) => {
    node.peers.adopt(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const program = `${node.home}/ssh.cjs`;
  fs.writeFileSync(
    program,
    `#!${process.execPath}
const socket = require('net').connect(${JSON.stringify(path)});
socket.on('error', (error) => {
  console.error(error.message);
  process.exit(255);
});
process.stdin.pipe(socket).pipe(process.stdout);
socket.on('close', () => process.exit(0));
`,
    {mode: 0o755},
  );
  process.env['MARS_SSH'] = program;
  return {
    close: async () => {
      fs.rmSync(path, {force: true});
      await node.peers.close();
      server.close();
    },
  };
}

test.run();
