/** `--host NODE`: what a member may ask of another node, and who decides that. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {RemoteControl} from '../../src/core/remote-control.js';
import {kindOf, toRemote} from '../../src/daemon/remote.js';
import type {Request} from '../../src/daemon/routes.js';
import {rejectsWith, removeNodes, startPair, type PeerNode} from './peer-rig.js';

test.after.each(removeNodes);

const READS = [
  'GET daemon',
  'GET status',
  'GET events/page',
  'GET peers',
  'GET sync-limit',
  'GET resources',
  'GET resources/web',
  'GET resources/web/log',
  'GET resources/web/replay',
  'GET resources/web/fetch',
  'GET resources/web/sync',
  'GET resources/web/fork',
  'GET resources/web/history',
];
const ACTS = [
  'POST resources/web/connect',
  'POST resources/web/disconnect',
  ...['replay', 'fetch', 'sync'].flatMap((flow) =>
    ['pause', 'resume'].map((verb) => `POST resources/web/${flow}/${verb}`),
  ),
];
/** All of them change roles, or give something up, or are about the node itself. */
const NEVER = [
  'POST daemon/stop',
  'POST daemon/restart',
  'POST resources',
  'POST peers/invite',
  'POST peers/leave',
  'POST peers/join',
  'POST peers/beta/set',
  'DELETE peers/beta',
  'DELETE resources/web',
  'GET resources/web/fork/diff',
  'GET resources/web/log/../../x',
  'GET hosts/gamma/status',
  'GET metrics-listen',
  'GET events',
  'POST care',
  'POST sync-limit',
  ...['primary', 'secondary', 'attach', 'detach', 'set', 'resize', 'leave', 'join', 'renew'].map(
    (verb) => `POST resources/web/${verb}`,
  ),
  ...['invalidate', 'fork/resolve', 'fork/undo', 'fork/forget', 'fork/extract'].map(
    (verb) => `POST resources/web/${verb}`,
  ),
  ...['log/rotate', 'log/prune', 'log/export', 'log/import', 'replay/follow', 'move/primary'].map(
    (verb) => `POST resources/web/${verb}`,
  ),
];

function requestOf(line: string): Request {
  const [method = '', path = ''] = line.split(' ');
  return {method, words: path.split('/'), query: new URLSearchParams(), body: ''};
}

function askFor(from: PeerNode, line: string): Promise<unknown> {
  const {method, words} = requestOf(line);
  const body = {method, words, query: {}, body: ''};
  return from.peers.caller.call(from.member('beta'), 'POST', 'control', body);
}

test('questions are read, switches that can be taken back are turned, and nothing else is', () => {
  const kinds = (lines: readonly string[]): unknown[] => [
    ...new Set(lines.map((line) => kindOf(requestOf(line)))),
  ];
  assert.equal(kinds(READS), ['read']);
  assert.equal(kinds(ACTS), ['act']);
  assert.equal(kinds(NEVER), [undefined]);
  const words = ['resources', 'web/primary', 'connect'];
  assert.is(kindOf({method: 'POST', words}), undefined, 'a slash within a word');
  for (const line of NEVER) assert.throws(() => toRemote(requestOf(line)), /say it there/u);
});

test('the node that is asked decides, by its setting, and says who asked', async () => {
  const [alpha, beta] = await startPair();
  const seen: string[] = [];
  beta.peers.serveControl(({method, words, query}) => {
    seen.push(`${method} ${words.join('/')} ${query.toString()}`.trim());
    return Promise.resolve({schema: 1, node: 'beta'});
  });
  const expected: Record<RemoteControl, readonly [read: boolean, act: boolean]> = {
    off: [false, false],
    read: [true, false],
    act: [true, true],
  };
  for (const [remoteControl, [mayRead, mayAct]] of Object.entries(expected)) {
    const node = {...beta.context.node, remoteControl: remoteControl as RemoteControl};
    Object.assign(beta.context, {node});
    for (const [line, may] of [
      ['GET status', mayRead],
      ['POST resources/web/disconnect', mayAct],
    ] as const) {
      seen.splice(0);
      if (may) assert.equal(await askFor(alpha, line), {schema: 1, node: 'beta'});
      else await rejectsWith('REMOTE_REFUSED', askFor(alpha, line));
      assert.is(seen.length, may ? 1 : 0, `${remoteControl}: ${line}`);
    }

    await rejectsWith('REMOTE_REFUSED', askFor(alpha, 'POST resources/web/primary'));
  }

  assert.is(beta.told.filter((code) => code === 'REMOTE_ASKED').length, 1, 'only what changes');
});

test('what is no request is refused, and a removed member asks for nothing', async () => {
  const [alpha, beta] = await startPair();
  beta.peers.serveControl(() => Promise.resolve({}));
  const call = (body: unknown): Promise<unknown> =>
    alpha.peers.caller.call(alpha.member('beta'), 'POST', 'control', body);
  for (const body of [
    undefined,
    null,
    [],
    {method: 'GET', words: 'status', query: {}, body: ''},
    {method: 'GET', words: [], query: {}, body: ''},
    {method: 'GET', words: ['status'], query: {}, body: 'x'.repeat(2000)},
    {method: 'GET', words: ['status'], query: {}, body: '', more: 1},
  ]) {
    await rejectsWith('PEER_PROTOCOL', call(body));
  }

  const there = alpha.member('beta');
  await beta.peers.remove('alpha', true);
  const body = {method: 'GET', words: ['status'], query: {}, body: ''};
  await rejectsWith('PEER_REVOKED', alpha.peers.caller.call(there, 'POST', 'control', body));
});

test.run();
