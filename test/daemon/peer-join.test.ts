/** How nodes become members, and cease to be: two to three nodes in this process. */
import fs from 'node:fs';
import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {readCluster, writeCluster} from '../../src/cluster/members.js';
import {decodeToken, encodeToken} from '../../src/cluster/token.js';
import type {ResourceFacts} from '../../src/cluster/facts.js';
import {rejectsWith, removeNodes, startNode, startPair, until, type PeerNode} from './peer-rig.js';

test.after.each(removeNodes);

const names = (node: PeerNode): string[] => node.peers.members().map(({name}) => name);
const isUp = (node: PeerNode, name: string): boolean => node.peers.link(node.member(name).id).up;

test('a node joins with a token: one cluster, and each calls the other', async () => {
  const alpha = await startNode('alpha');
  const beta = await startNode('beta');
  const before = beta.peers.cluster?.id;
  const invited = alpha.peers.invite(60);
  const through = await beta.peers.join(` ${invited.text}\n`, 10_000);
  assert.is(through.name, 'alpha');
  assert.is.not(beta.peers.cluster?.id, before);
  assert.is(beta.peers.cluster?.id, alpha.peers.cluster?.id);
  assert.equal([names(alpha), names(beta)], [['beta'], ['alpha']]);
  await until(() => isUp(alpha, 'beta') && isUp(beta, 'alpha'), 'links');
  assert.ok(alpha.told.includes('PEER_INVITED') && alpha.told.includes('PEER_JOINED'));
  assert.ok(beta.told.includes('CLUSTER_JOINED'));
  for (const node of [alpha, beta]) {
    assert.equal(
      readCluster(node.home)
        ?.members.map(({name}) => name)
        .sort(),
      ['alpha', 'beta'],
    );
  }
});

test('facts go both ways, and through a third node; a restart loses no member', async () => {
  const [alpha, first] = await startPair();
  const gamma = await startNode('gamma');
  await gamma.peers.join(alpha.peers.invite(60).text, 10_000);
  await until(() => names(first).length === 2, 'gamma at beta');
  assert.equal(names(first), ['alpha', 'gamma']);
  const beta = await first.restart();
  let size = 1;
  const resource = (): ResourceFacts => ({...FACTS, sizeBytes: size});
  beta.peers.setOwnFacts(() => Promise.resolve([resource()]));
  const seen = (node: PeerNode): number | undefined =>
    node.peers.facts.get(beta.peers.selfId)?.resources[0]?.sizeBytes;
  await until(() => seen(alpha) === 1 && seen(gamma) === 1, 'the first facts');
  size = 2;
  beta.peers.touch();
  await until(() => seen(alpha) === 2 && seen(gamma) === 2, 'the second facts');
  assert.ok(alpha.peers.facts.ageMs(beta.peers.selfId, performance.now()) < 15_000);
});

test('a token serves one node; the same node may come again', async () => {
  const alpha = await startNode('alpha');
  const beta = await startNode('beta');
  const gamma = await startNode('gamma');
  const {text} = alpha.peers.invite(60);
  await beta.peers.join(text, 10_000);
  await beta.peers.join(text, 10_000);
  await rejectsWith('TOKEN_USED', gamma.peers.join(text, 10_000));
  assert.equal(names(alpha), ['beta']);
  assert.equal(names(gamma), []);
});

test('a join whose answer was lost goes on with the same token', async () => {
  const alpha = await startNode('alpha');
  const first = await startNode('beta');
  const {text} = alpha.peers.invite(60);
  const before = readCluster(first.home);
  await first.peers.join(text, 10_000);
  // As if the answer had not come: alpha has beta as a member, beta knows nothing of it.
  if (before === undefined) fs.rmSync(join(first.home, 'cluster.json'));
  else writeCluster(first.home, before);
  const beta = await (await first.restart()).restart();
  assert.equal(names(beta), []);
  await beta.peers.join(text, 10_000);
  assert.equal([names(alpha), names(beta)], [['beta'], ['alpha']]);
});

test('tokens that are old, foreign, damaged or made here are refused', async () => {
  const alpha = await startNode('alpha');
  const beta = await startNode('beta');
  const {text} = alpha.peers.invite(60);
  const other = alpha.peers.invite(600);
  const foreign = encodeToken({...decodeToken(other.text), secret: 'x'.repeat(22)});
  await rejectsWith('TOKEN_UNKNOWN', beta.peers.join(foreign, 10_000));
  await rejectsWith('TOKEN_DAMAGED', beta.peers.join(text.slice(1), 10_000));
  await rejectsWith('USAGE', alpha.peers.join(text, 10_000));
  await rejectsWith('USAGE', beta.peers.join('127.0.0.1:7777', 10_000));
  alpha.skewMs = 120_000;
  await rejectsWith('TOKEN_EXPIRED', beta.peers.join(text, 10_000));
  // The joining node's clock is nobody's business.
  beta.skewMs = 365 * 86_400_000;
  await beta.peers.join(other.text, 10_000);
});

test('where no invitation is open, a stranger gets no answer at all', async () => {
  const alpha = await startNode('alpha');
  const beta = await startNode('beta');
  const {text} = alpha.peers.invite(60);
  alpha.skewMs = 120_000;
  await rejectsWith('PEER_UNREACHABLE', beta.peers.join(text, 10_000));
});

test('a token outlives a restart of the node that made it', async () => {
  const first = await startNode('alpha');
  const beta = await startNode('beta');
  const {text} = first.peers.invite(60);
  const alpha = await first.restart();
  await beta.peers.join(text, 10_000);
  assert.equal(names(alpha), ['beta']);
});

test('the right one of several addresses is found, and another key is not trusted', async () => {
  const alpha = await startNode('alpha');
  const beta = await startNode('beta');
  const impostor = await startNode('gamma');
  const token = decodeToken(alpha.peers.invite(60).text);
  const wrong = impostor.context.node.listen ?? '';
  await rejectsWith(
    'PEER_FINGERPRINT',
    beta.peers.join(encodeToken({...token, addresses: [wrong]}), 10_000),
  );
  const addresses = ['127.0.0.1:1', wrong, ...token.addresses];
  await beta.peers.join(encodeToken({...token, addresses}), 10_000);
  assert.is(beta.member('alpha').address, alpha.context.node.listen);
});

test('who has resources or peers of another cluster does not join', async () => {
  const [alpha, beta] = await startPair();
  const gamma = await startNode('gamma');
  gamma.resources.push('web');
  await rejectsWith('PEER_HAS_RESOURCES', gamma.peers.join(alpha.peers.invite(60).text, 10_000));
  gamma.resources.length = 0;
  const {text} = gamma.peers.invite(60);
  await rejectsWith('PEER_OTHER_CLUSTER', beta.peers.join(text, 10_000));
  // In the same cluster resources are no hindrance: it only comes again.
  beta.resources.push('web');
  await beta.peers.join(alpha.peers.invite(60).text, 10_000);
});

test('two nodes of one name are not in a cluster, and the token stays good', async () => {
  const [alpha, beta] = await startPair();
  const twin = await startNode('beta', null);
  Object.assign(twin.context.node, {id: 'e'.repeat(32)});
  const {text} = alpha.peers.invite(60);
  await rejectsWith('PEER_NAME_TAKEN', twin.peers.join(text, 10_000));
  Object.assign(twin.context.node, {name: 'delta'});
  await twin.peers.join(text, 10_000);
  assert.equal(names(alpha), ['beta', 'delta']);
  await until(() => names(beta).length === 2, 'delta at beta');
});

test('a node that does not listen invites nobody, but joins and is heard of', async () => {
  const alpha = await startNode('alpha');
  const beta = await startNode('beta', null);
  assert.throws(() => beta.peers.invite(60), /no "listen"/u);
  await beta.peers.join(alpha.peers.invite(60).text, 10_000);
  assert.is(alpha.member('beta').address, '');
  await until(() => isUp(alpha, 'beta') && isUp(beta, 'alpha'), 'links');
});

test('IPv6 works as IPv4 does', async () => {
  const alpha = await startNode('alpha', '::1');
  const beta = await startNode('beta', '::1');
  await beta.peers.join(alpha.peers.invite(60).text, 10_000);
  assert.match(alpha.member('beta').address, /^\[::1\]:\d+$/u);
  await until(() => isUp(alpha, 'beta') && isUp(beta, 'alpha'), 'links');
});

test('a removed node is told so, is refused, and joins again with a new token', async () => {
  const [alpha, beta] = await startPair();
  const gamma = await startNode('gamma');
  await gamma.peers.join(alpha.peers.invite(60).text, 10_000);
  await until(() => names(beta).length === 2, 'gamma at beta');
  const atAlpha = beta.member('alpha');
  assert.equal((await alpha.peers.remove('beta', false)).untold, []);
  assert.equal([names(alpha), names(gamma)], [['gamma'], ['alpha']]);
  assert.ok(beta.peers.isRevoked());
  assert.ok(beta.told.includes('PEER_REVOKED'));
  await rejectsWith('PEER_REVOKED', beta.peers.caller.call(atAlpha, 'GET', 'hello'));
  await rejectsWith(
    'PEER_REVOKED',
    Promise.resolve().then(() => beta.peers.invite(60)),
  );
  await beta.peers.join(alpha.peers.invite(60).text, 10_000);
  assert.not(beta.peers.isRevoked());
  await until(() => names(gamma).length === 2, 'beta at gamma');
  await until(() => isUp(alpha, 'beta') && isUp(beta, 'alpha'), 'links');
});

test('a removal reaches who was away, from those who know of it', async () => {
  const [alpha, first] = await startPair();
  const gamma = await startNode('gamma');
  await gamma.peers.join(alpha.peers.invite(60).text, 10_000);
  await until(() => names(first).length === 2, 'gamma at beta');
  await gamma.peers.close();
  assert.equal((await alpha.peers.remove('beta', false)).untold, ['gamma']);
  const late = await gamma.restart();
  await until(() => names(late).join() === 'alpha', 'the removal at gamma');
});

test('a node with replicas is removed with --force only, and nobody removes itself', async () => {
  const [alpha, beta] = await startPair();
  beta.peers.setOwnFacts(() => Promise.resolve([FACTS]));
  await until(() => alpha.peers.facts.get(beta.peers.selfId)?.resources.length === 1, 'facts');
  await rejectsWith('PEER_HAS_RESOURCES', alpha.peers.remove('beta', false));
  await rejectsWith('USAGE', alpha.peers.remove('alpha', true));
  await rejectsWith('PEER_UNKNOWN', alpha.peers.remove('delta', true));
  await rejectsWith('PEER_HAS_RESOURCES', alpha.peers.remove('beta', false, true));
  const {name, role, state} = FACTS;
  const replicas = [{name, role, state, others: []}];
  const would = await alpha.peers.remove('beta', true, true);
  assert.equal(would, {told: ['beta'], untold: [], replicas});
  assert.equal(names(alpha), ['beta'], 'nothing was done');
  assert.equal(await alpha.peers.remove('beta', true), would);
  assert.equal(names(alpha), []);
});

test('a node leaves: the others know it, and it joins again or elsewhere with a new token', async () => {
  const [alpha, beta] = await startPair();
  beta.resources.push('web01');
  await rejectsWith('PEER_HAS_RESOURCES', beta.peers.leave(false));
  beta.resources.pop();
  await until(() => isUp(beta, 'alpha'), 'the link');
  assert.equal(await beta.peers.leave(false, true), {told: ['alpha'], untold: [], replicas: []});
  assert.not(beta.peers.isRevoked(), 'nothing was done');
  assert.equal((await beta.peers.leave(false)).untold, []);
  assert.ok(beta.peers.isRevoked());
  assert.equal(alpha.peers.members(), []);
  assert.ok(alpha.peers.isRemoved(beta.peers.selfId));
  assert.ok(alpha.told.includes('PEER_REMOVED'));
  const gamma = await startNode('gamma');
  await beta.peers.join(gamma.peers.invite(60).text, 10_000);
  assert.equal(
    gamma.peers.members().map(({name}) => name),
    ['beta'],
  );
  assert.not(beta.peers.isRevoked());
});

test('a node that reaches nobody leaves by force only, and is as before where it is refused', async () => {
  const [alpha, beta] = await startPair();
  await alpha.peers.close();
  await rejectsWith('PEER_UNREACHABLE', beta.peers.leave(false));
  assert.not(beta.peers.isRevoked());
  assert.equal((await beta.peers.leave(true)).untold, ['alpha']);
  assert.ok(beta.peers.isRevoked());
});

test('a node that was removed while it was away may leave: all who answer know it', async () => {
  const [alpha, first] = await startPair();
  await first.peers.close();
  await alpha.peers.remove('beta', true);
  const beta = await first.restart();
  assert.not(beta.peers.isRevoked(), 'nobody has told it');
  assert.equal((await beta.peers.leave(false)).untold, []);
  assert.ok(beta.peers.isRevoked());
});

test('settings of a member are kept', async () => {
  const [alpha] = await startPair();
  const {address} = alpha.member('beta');
  alpha.peers.set('beta', {address: '192.0.2.1:1', bandwidthLimit: 1000});
  alpha.peers.set('beta', {address});
  const again = await alpha.restart();
  assert.is(again.member('beta').bandwidthLimit, 1000);
  assert.is(again.member('beta').address, address);
});

test('keys that are gone cost the peers, not the node', async () => {
  const first = await startNode('alpha');
  fs.rmSync(join(first.home, 'tls/key.pem'));
  const alpha = await first.restart();
  assert.is(alpha.peers.fault?.code, 'STATE_UNREADABLE');
  assert.throws(() => alpha.peers.invite(60), /key\.pem/u);
  assert.equal(alpha.peers.members(), []);
});

const FACTS: ResourceFacts = {
  id: 'd1'.repeat(16),
  name: 'web',
  sizeBytes: 4096,
  createdAt: '2026-11-22T10:00:00.000Z',
  segmentBytes: 4096,
  alignmentBytes: 8,
  mode: 'async',
  role: 'primary',
  designatedRole: 'primary',
  attached: true,
  state: 'UpToDate',
  epoch: null,
  position: null,
  chain: null,
  durable: null,
  replayed: null,
  replayTo: null,
  lineage: [],
  openCount: null,
  granted: null,
  forked: null,
  sync: null,
  fetchPaused: false,
  replayPaused: false,
  messages: [],
  logBytes: 0,
};

test.run();
