import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {isDiskError} from '../../src/core/errors.js';
import {
  checkFacts,
  FactStore,
  type NodeFacts,
  type ResourceFacts,
} from '../../src/cluster/facts.js';

const SELF = 'a1'.repeat(16);
const BETA = 'b1'.repeat(16);
const GAMMA = 'c1'.repeat(16);

function facts(nodeId: string, version: number, change: Partial<NodeFacts> = {}): NodeFacts {
  const name = `node-${nodeId.slice(0, 2)}`;
  const at = '2026-11-22T10:00:00.000Z';
  return {nodeId, name, version, at, address: `${name}:7777`, resources: [], ...change};
}

const resource: ResourceFacts = {
  id: 'd1'.repeat(16),
  name: 'web',
  sizeBytes: 1 << 30,
  createdAt: '2026-11-22T10:00:00.000Z',
  segmentBytes: 1 << 26,
  alignmentBytes: 8,
  mode: 'async',
  role: 'primary',
  designatedRole: 'primary',
  attached: true,
  state: 'UpToDate',
  epoch: 'e1'.repeat(16),
  position: '0000000000001000',
  chain: '0123456789abcdef',
  durable: '0000000000001000',
  replayed: null,
  replayTo: null,
  lineage: [
    {
      epoch: 'e1'.repeat(16),
      node: SELF,
      nodeName: 'alpha',
      start: '0000000000000000',
      chain: '0000000000000000',
    },
  ],
  openCount: null,
  granted: null,
  forked: null,
  sync: null,
  fetchPaused: false,
  replayPaused: false,
  messages: [],
  logBytes: 0,
};

test('the newest word of the owner counts, whoever brings it', () => {
  const store = new FactStore(SELF);
  assert.equal(store.merge([facts(BETA, 2)], 100), [BETA]);
  assert.equal(store.merge([facts(BETA, 1)], 200), []);
  assert.is(store.get(BETA)?.version, 2);
  assert.is(store.ageMs(BETA, 250), 150);
  assert.equal(store.merge([facts(BETA, 3)], 300), [BETA]);
  assert.is(store.ageMs(BETA, 300), 0);
  assert.is(store.ageMs(GAMMA, 300), Infinity);
});

test('nobody tells this node what it is itself', () => {
  const store = new FactStore(SELF);
  store.own(facts(SELF, 5), 0);
  assert.equal(store.merge([facts(SELF, 9, {address: 'lie:1'})], 0), []);
  assert.is(store.get(SELF)?.version, 5);
});

test('after a restart with an old clock its versions still grow', () => {
  const store = new FactStore(SELF);
  store.own(facts(SELF, store.nextVersion(1000)), 0);
  store.merge([facts(SELF, 5_000_000)], 0);
  const next = store.nextVersion(2000);
  assert.is(next, 5_000_001);
  store.own(facts(SELF, next), 0);
  assert.is(store.get(SELF)?.version, 5_000_001);
  assert.is(store.nextVersion(9_000_000), 9_000_000);
});

test('who is no member is not heard, and who was removed is forgotten', () => {
  const store = new FactStore(SELF);
  store.own(facts(SELF, 1), 0);
  assert.equal(
    store.merge([facts(BETA, 1), facts(GAMMA, 1)], 0, (id) => id !== GAMMA),
    [BETA],
  );
  assert.equal(
    store.all().map(({nodeId}) => nodeId),
    [SELF, BETA],
  );
  store.keep(() => false);
  assert.equal(
    store.all().map(({nodeId}) => nodeId),
    [SELF],
  );
});

test('who knows the content gets a beat, who does not the facts, who knows both nothing', () => {
  const here = new FactStore(SELF);
  const there = new FactStore(BETA);
  here.own(facts(SELF, 5, {content: 5}), 0);
  assert.equal(here.news(), {facts: [facts(SELF, 5, {content: 5})], beats: []});
  there.merge(here.news(there.versions()).facts, 10);
  assert.equal(here.news(there.versions()), {facts: [], beats: []});
  here.own(facts(SELF, 9, {content: 5, at: 'later'}), 20);
  const {facts: sent, beats} = here.news(there.versions());
  assert.equal(sent, []);
  assert.equal(beats, [{nodeId: SELF, content: 5, version: 9, at: 'later'}]);
  there.mergeBeats(beats, 30);
  assert.equal(there.get(SELF), here.get(SELF));
  assert.is(there.ageMs(SELF, 40), 10);
  assert.equal(here.news(there.versions()), {facts: [], beats: []});
});

test('a beat about other content than is known here changes nothing, and versions show it', () => {
  const store = new FactStore(SELF);
  const beat = {nodeId: BETA, content: 6, version: 9, at: ''};
  store.mergeBeats([beat], 0);
  assert.is(store.get(BETA), undefined);
  store.merge([facts(BETA, 5, {content: 5})], 0);
  store.mergeBeats([beat, {...beat, nodeId: SELF}], 0);
  assert.equal(store.versions(), {[BETA]: 5});
  // One of a version without the key counts as new with each version.
  store.merge([facts(BETA, 7)], 0);
  store.mergeBeats([{...beat, content: 7, version: 8}], 0);
  assert.equal(store.versions(), {[BETA]: 8});
});

test('facts come through a check as they are, with keys of later versions', () => {
  const list = [facts(BETA, 1, {resources: [{...resource, later: 1}]})];
  assert.equal(checkFacts(JSON.parse(JSON.stringify({facts: list}))), list);
});

test('facts that cannot be are refused with the place of the fault', () => {
  const change = (part: Partial<Record<keyof ResourceFacts, unknown>>): unknown => ({
    facts: [facts(BETA, 1, {resources: [{...resource, ...part}]})],
  });
  const bad = [
    undefined,
    null,
    [],
    {},
    {facts: 1},
    {facts: [{}]},
    {facts: [facts('x', 1)]},
    {facts: [facts(BETA, -1)]},
    {facts: [facts(BETA, 1, {name: '../../etc'})]},
    change({id: '../x'}),
    change({position: '10'}),
    change({lineage: new Array(17).fill(resource.lineage[0])}),
    change({role: 'boss'}),
    change({state: 'x'.repeat(5000)}),
    change({sizeBytes: 1.5}),
  ];
  for (const body of bad) {
    assert.throws(
      () => checkFacts(body),
      (error: unknown) => isDiskError(error, 'PEER_PROTOCOL'),
      JSON.stringify({body}).slice(0, 100),
    );
  }
});

test('the revision grows with what others tell anew, not with a word that nothing has changed', () => {
  const store = new FactStore(SELF);
  const revisions = [store.revision];
  const note = (): number => revisions.push(store.revision);
  store.merge([facts(BETA, 2)], 100);
  note();
  store.own(facts(SELF, 3), 100);
  store.merge([facts(BETA, 3, {content: 2})], 200);
  note();
  store.merge([facts(BETA, 4)], 300);
  note();
  store.keep((id) => id !== BETA);
  note();
  assert.equal(revisions, [0, 1, 1, 2, 3]);
});

test.run();
