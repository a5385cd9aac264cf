/** F8, F24, F35: who is no member gets nothing from the port for peers, and disturbs nobody. */
import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {PeerList} from '../../src/control/peer-api.js';
import {Cluster} from '../helpers/cluster.js';
import {run, until} from '../helpers/run.js';

const FLOOD = 300;
/** A connection that says nothing useful is gone after so long. */
const GONE_MS_MAX = 15_000;

const cluster = new Cluster(['alpha', 'beta']);

test.before(async () => {
  await cluster.start();
  await cluster.createResource('alpha', 'web01', '32M');
});

test.after(() => cluster.dispose());

function peerPort(on: string): number {
  const file = path.join(cluster.node(on).home, 'node.json');
  const {listen} = JSON.parse(fs.readFileSync(file, 'utf8')) as {listen: string};
  return Number(listen.split(':').at(-1));
}

interface Talk {
  readonly socket: net.Socket;
  received: Buffer;
  closed: boolean;
}

function listenTo(socket: net.Socket): Talk {
  const talk: Talk = {socket, received: Buffer.alloc(0), closed: false};
  socket.on('data', (bytes: Buffer) => (talk.received = Buffer.concat([talk.received, bytes])));
  socket.on('error', () => undefined);
  socket.once('close', () => (talk.closed = true));
  return talk;
}

/** Says something, and waits until it is hung up on. */
async function say(socket: net.Socket, words: Buffer | string): Promise<Buffer> {
  const talk = listenTo(socket);
  try {
    socket.write(words);
    await until(() => talk.closed, GONE_MS_MAX, 'end of the connection');
  } finally {
    socket.destroy();
  }

  return talk.received;
}

/** The members still reach each other, and the daemon is the same. */
async function allIsWell(daemonPid: number | null): Promise<void> {
  assert.is((await cluster.node('alpha').daemonStatus()).pid, daemonPid);
  assert.is((await cluster.status('alpha', 'web01')).state, 'UpToDate');
  const list = await cluster.node('beta').json<PeerList>('peer', 'list');
  assert.is(list.members.find(({name}) => name === 'alpha')?.link, 'up');
}

async function alphaPid(): Promise<number | null> {
  return (await cluster.node('alpha').daemonStatus()).pid;
}

/** The answer to a request over TLS, with a certificate or none; '' where nothing was said. */
async function ask(on: string, request: string, options: tls.ConnectionOptions): Promise<string> {
  const socket = tls.connect({
    port: peerPort(on),
    host: '127.0.0.1',
    rejectUnauthorized: false,
    ...options,
  });
  const talk = listenTo(socket);
  try {
    socket.write(request);
    await until(() => talk.closed || talk.received.length > 0, GONE_MS_MAX, 'answer or end');
    await until(() => talk.closed, GONE_MS_MAX, 'end of the connection');
  } finally {
    socket.destroy();
  }

  return talk.received.toString();
}

async function stranger(): Promise<{key: Buffer; cert: Buffer}> {
  const {directory} = cluster.node('alpha');
  const [key, cert] = [path.join(directory, 'key.pem'), path.join(directory, 'cert.pem')];
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const out = ['-keyout', key, '-out', cert, '-days', '30', '-subj', '/CN=alpha'];
  await run('openssl', ['req', '-x509', ...curve, ...out]);
  return {key: fs.readFileSync(key), cert: fs.readFileSync(cert)};
}

const REQUESTS = ['GET /peer/v1/hello', 'GET /peer/v1/facts', 'POST /peer/v1/facts'].map(
  (words) => `${words} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
);

test('garbage, plain HTTP and silence end without a word about the node', async () => {
  const pid = await alphaPid();
  const port = peerPort('alpha');
  const hello = Buffer.from(`16030100${'ff'.repeat(64)}`, 'hex');
  const words = [randomBytes(64 * 1024), REQUESTS[0] ?? '', hello, Buffer.alloc(5, 0x16)];
  for (const each of words) {
    const answer = await say(net.connect(port, '127.0.0.1'), each);
    // TLS says no with an alert, and nothing else is said.
    assert.ok(answer.length <= 64, `${answer.length} bytes: ${answer.toString('latin1')}`);
    assert.not.match(answer.toString('latin1'), /alpha|web01|mars/u);
  }

  await allIsWell(pid);
});

test('without a certificate there is no answer', async () => {
  const pid = await alphaPid();
  for (const request of REQUESTS) {
    assert.not.match(
      await ask('alpha', request, {minVersion: 'TLSv1.3'}),
      /web01|"cluster"|"facts"/u,
    );
  }

  await allIsWell(pid);
});

test('the certificate of a stranger is not enough, even with the name of a member', async () => {
  const pid = await alphaPid();
  const identity = await stranger();
  for (const request of REQUESTS) {
    assert.is(await ask('beta', request, identity), '', request);
  }

  // While a node is invited strangers may speak, but only to join, and with the secret.
  for (const request of REQUESTS) {
    assert.not.match(await ask('alpha', request, identity), / 200 |web01|"facts"|"members"/u);
  }

  const body = JSON.stringify({secret: randomBytes(16).toString('base64url')});
  const join = `POST /peer/v1/join HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
  const answer = await ask('alpha', join, identity);
  assert.match(answer, /^HTTP\/1.1 4/u);
  assert.not.match(answer, 'web01');
  await allIsWell(pid);
});

test('TLS 1.2 is refused', async () => {
  const socket = tls.connect({
    ...{port: peerPort('alpha'), host: '127.0.0.1', rejectUnauthorized: false},
    maxVersion: 'TLSv1.2',
  });
  let secure = false;
  socket.once('secureConnect', () => (secure = true));
  const talk = listenTo(socket);
  await until(() => talk.closed || secure, GONE_MS_MAX, 'refusal');
  socket.destroy();
  assert.not(secure);
});

test('F24: a flood of silent connections disturbs no member, and is gone after a while', async () => {
  const pid = await alphaPid();
  const talks: Talk[] = [];
  try {
    for (let index = 0; index < FLOOD; index += 1) {
      talks.push(listenTo(net.connect(peerPort('alpha'), '127.0.0.1')));
    }

    await until(() => talks.every(({socket}) => !socket.connecting), 10_000, 'connections');
    await cluster.node('alpha').mars('status');
    await cluster.joinResource('beta', 'web01');
    await cluster.equalImages('web01');
    await until(() => talks.every(({closed}) => closed), 60_000, 'end of the silent ones');
  } finally {
    for (const {socket} of talks) socket.destroy();
  }

  await allIsWell(pid);
});

test('F8: a member of one cluster does not join another', async () => {
  const other = new Cluster(['gamma', 'delta']);
  try {
    await other.start({join: false});
    const {token} = await other.node('gamma').json<{token: string}>('peer', 'invite');
    const refused = await cluster.node('beta').tryMars('peer', 'join', token);
    assert.is(refused.status, 3, refused.stderr);
    assert.match(await cluster.node('beta').mars('peer', 'list'), 'alpha');
    const {token: late} = await other.node('delta').json<{token: string}>('peer', 'invite');
    await other.node('delta').killDaemon();
    const unreachable = await other.node('gamma').tryMars('peer', 'join', late);
    assert.is(unreachable.status, 4, unreachable.stderr);
  } finally {
    await other.dispose();
  }
});

test.run();
