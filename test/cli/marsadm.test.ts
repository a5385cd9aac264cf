/** The names of MARS: each in docs/MARSADM.md exists, and the values print one word. */
import fs from 'node:fs';
import path from 'node:path';
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {REPLACED_COMMANDS} from '../../src/cli/old-names.js';
import {translateGlobal, translateView} from '../../src/cli/run-cli.js';
import {VIEW_VALUES, viewValue} from '../../src/cli/view-values.js';
import type {ResourceStatus} from '../../src/control/api.js';
import {DiskError} from '../../src/core/errors.js';
import {
  fakeFollow,
  fakeReplica,
  fakeStatus,
  fakeStatusDocument,
  fakeView,
} from '../helpers/fake-daemon.js';
import {startFakeNode, type FakeNode} from '../helpers/fake-node.js';

const ROOT = path.join(import.meta.dirname, '..', '..');
const WISHES = {connected: true, fetchPaused: false, syncPaused: false, replayPaused: false};
const page = fs.readFileSync(path.join(ROOT, 'docs', 'MARSADM.md'), 'utf8');

const test = suite<{node: FakeNode}>('marsadm');

test.before.each(async (context) => {
  context.node = await startFakeNode();
});
test.after.each(async ({node}) => {
  await node.dispose();
});

/** All ids and aliases of the committed manifest. */
function manifestNames(): Set<string> {
  const text = fs.readFileSync(path.join(ROOT, 'oclif.manifest.json'), 'utf8');
  const {commands} = JSON.parse(text) as {
    readonly commands: Readonly<Record<string, {readonly aliases: readonly string[]}>>;
  };
  return new Set(Object.entries(commands).flatMap(([id, {aliases}]) => [id, ...aliases]));
}

test('each old name that the page maps is in the manifest', () => {
  const [table = ''] = page.split('## Values for scripts');
  const rows = table.split('\n').filter((line) => line.startsWith('| `'));
  const names = rows.flatMap((row) => {
    const [, old = ''] = row.split('|');
    return [...old.matchAll(/`([^`]+)`/gu)].map(([, name = '']) => name);
  });
  const known = manifestNames();
  assert.ok(names.length > 40);
  assert.equal(
    names.filter((name) => !known.has(name)),
    [],
  );
});

test('each old name without a counterpart is on the page, and is no command', () => {
  const [, table = ''] = page.split('## Without a counterpart');
  const known = manifestNames();
  const inTable = REPLACED_COMMANDS.filter((name) => table.includes(`\`${name}\``));
  assert.ok(inTable.length >= 8, inTable.join());
  assert.equal(
    REPLACED_COMMANDS.filter((name) => known.has(name)),
    [],
  );
});

test('...-global is the switch with --everywhere', () => {
  assert.equal(translateGlobal(['pause-fetch-global', 'web', '--timeout', '9']), [
    ...['pause-fetch-global', '--everywhere', 'web', '--timeout', '9'],
  ]);
  for (const words of [['pause-fetch', 'web'], ['attach-global', 'web'], []]) {
    assert.equal(translateGlobal(words), words);
  }
});

test('--everywhere asks each node with a replica, and one that is not reached stops no other', async ({
  node,
}) => {
  const {answers} = node.daemon;
  const status = fakeStatus('web', {replicas: [fakeReplica('beta'), fakeReplica('gamma')]});
  const view = fakeView('web');
  answers.set('GET /v1/status?resource=web', fakeStatusDocument(status));
  answers.set('POST /v1/resources/web/disconnect', view);
  answers.set('POST /v1/hosts/beta/resources/web/disconnect', () => {
    throw new DiskError('PEER_UNREACHABLE', 'beta does not answer');
  });
  answers.set('POST /v1/hosts/gamma/resources/web/disconnect', view);
  const {document, exit} = await node.json('disconnect', 'web', '--everywhere');
  assert.is(exit, 4);
  const said = await node.run('disconnect', 'web', '--everywhere');
  assert.match(said.stderr, /beta:\nmars: beta does not answer/u);
  assert.is(said.stdout, 'alpha: web: disconnected\ngamma: web: disconnected\n');
  const {nodes, errors} = document as {nodes: {node: string}[]; errors: {node: string}[]};
  assert.equal(
    nodes.map((each) => each.node),
    ['alpha', 'gamma'],
  );
  assert.equal(
    errors.map((each) => each.node),
    ['beta'],
  );
  assert.is((await node.run('disconnect', 'web', '--everywhere', '--host', 'beta')).exit, 2);
});

test('view-NAME prints a macro of the user for each resource, and names the line of what is wrong in one', async ({
  node,
}) => {
  const macros = path.join(node.home, 'macros');
  fs.mkdirSync(macros);
  const text =
    '%{res}@%{host}: %if{%{is-primary}}{up, %{health} 100%%}{%state{}}\\\n\\n%and{1}{%not{-}}';
  fs.writeFileSync(path.join(macros, 'mine.tpl'), `${text}\n`);
  const document = fakeStatusDocument(primary, {...secondary, name: 'db'});
  node.daemon.answers.set('GET /v1/status', document);
  const {stdout} = await node.run('view-value', 'mine', 'all');
  assert.is(stdout, 'web@alpha: up, ok 100%\n1\ndb@alpha: UpToDate\n1\n');
  for (const [wrong, words] of [
    ['a\n%{nothing}', /line 2 of the macro: '%\{nothing\}' names 'nothing'/u],
    ['%if{1}{x', /line 1 .* is not closed/u],
    ['50 % of', /is %%/u],
    ['%not{'.repeat(40) + '}'.repeat(40), /nested deeper/u],
  ] as const) {
    fs.writeFileSync(path.join(macros, 'mine.tpl'), wrong);
    const refused = await node.run('view-value', 'mine', 'all');
    assert.is(refused.exit, 2, wrong);
    assert.match(refused.stderr.replace(/\s+/gu, ' '), words);
  }

  const none = await node.run('view-value', 'nowhere');
  assert.match(none.stderr.replace(/\s+/gu, ' '), 'HOME/macros/nowhere.tpl');
});

test('sync fake wants --yes, and names whose image it would be taken for', async ({node}) => {
  const done = {schema: 1, name: 'web', dryRun: true, needed: true, source: 'beta', position: 'p'};
  node.daemon.answers.set('POST /v1/resources/web/sync/fake', {...done, sizeBytes: 4096});
  const {stdout} = await node.run('sync fake', 'web', '--dry-run');
  assert.match(stdout, /would be taken for that of beta at p\nnext: mars sync fake web --yes/u);
  await node.json('sync fake', 'web', '--yes');
  assert.equal(
    node.daemon.requests.map(({body}) => body),
    [
      {dryRun: true, confirmed: false},
      {dryRun: false, confirmed: true},
    ],
  );
});

test('each view-VALUE that the page names exists', () => {
  const [, values = ''] = page.split('## Values for scripts');
  const named = [...values.matchAll(/`view-([a-z-]+)`/gu)].map(([, name = '']) => name);
  assert.ok(named.length > 15);
  assert.equal(
    named.filter((name) => name !== 'value' && VIEW_VALUES[name] === undefined),
    [],
  );
});

test('view-VALUE is view-value VALUE, but for what is a command of its own', () => {
  const known = ['view-role', 'view-value'];
  assert.equal(translateView(['view-is-primary', 'web'], known), [
    ...['view-value', 'is-primary', 'web'],
  ]);
  for (const words of [['view-role', 'web'], ['view-value', 'role', 'web'], ['view', 'web'], []]) {
    assert.equal(translateView(words, known), words);
  }
});

const valueOf = (name: string, one: ResourceStatus): string =>
  viewValue(name, one, fakeStatusDocument(one));

const primary = fakeStatus('web', {wishes: WISHES, replicas: [fakeReplica('beta')]});
const secondary = fakeStatus('web', {
  ...{role: 'secondary', designatedPrimary: 'beta', image: null, device: null, wishes: WISHES},
  follow: fakeFollow({lagBytes: 77}),
  replicas: [fakeReplica('beta', {role: 'primary'})],
});
const syncing = fakeStatus('web', {
  ...{role: 'secondary', designatedPrimary: 'beta', image: null, state: 'Syncing'},
  wishes: {...WISHES, replayPaused: true},
  follow: fakeFollow({
    ...{connected: false, replication: 'syncing'},
    sync: {percent: 25, doneBytes: 100, totalBytes: 400},
  }),
  replicas: [fakeReplica('beta', {role: 'primary', link: 'down'})],
});

for (const [name, ...expected] of [
  ['flags', 'DCASFR', '-CASFR', '-cAsf-'],
  ['is-primary', '1', '0', '0'],
  ['todo-primary', '1', '0', '0'],
  ['get-primary', 'alpha', 'beta', 'beta'],
  ['is-device', '1', '0', '0'],
  ['device-opened', '1', '1', '1'],
  ['is-fetch', '0', '1', '0'],
  ['fetch-rest', '0', '77', '4096'],
  ['sync-rest', '0', '0', '300'],
  ['sync-percent', '100', '100', '25'],
  ['replay-rest', '4096', '4096', '4096'],
  ['todo-replay', '1', '1', '0'],
  ['is-consistent', '1', '1', '0'],
  ['replica-lag', '0.2', '0.2', '0.2'],
  ['resource-members', 'alpha\nbeta', 'alpha\nbeta', 'alpha\nbeta'],
  ['rest-space', '500000', '500000', '500000'],
] as const) {
  test(`view-${name} of a primary, a secondary, and one that is copied`, () => {
    assert.equal(
      [primary, secondary, syncing].map((one) => valueOf(name, one)),
      expected,
    );
  });
}

test('what is not wished, or not known, is a dash', () => {
  const elsewhere = fakeStatus('web', {
    ...{role: 'none', state: 'NotJoined', designatedPrimary: 'beta', image: null},
    ...{position: null, openCount: null},
  });
  assert.is(valueOf('flags', elsewhere), '------');
  assert.is(valueOf('replay-rest', elsewhere), '-');
  assert.is(valueOf('device-opened', elsewhere), '-');
  assert.is(valueOf('todo-fetch', elsewhere), '-');
  const becoming = fakeStatus('web', {role: 'notYetPrimary', image: null, wishes: WISHES});
  assert.is(valueOf('flags', becoming), 'dCASFR');
});

test('one value is one word; for all each line has the name; others are refused', async ({
  node,
}) => {
  node.daemon.answers.set('GET /v1/status', fakeStatusDocument(primary, fakeStatus('db')));
  node.daemon.answers.set('GET /v1/status?resource=web', fakeStatusDocument(primary));
  assert.is((await node.run('view-value', 'is-primary', 'web')).stdout, '1\n');
  assert.is((await node.run('view-value', 'role', 'all')).stdout, 'web primary\ndb primary\n');
  const {document} = await node.json('view-value', 'role', 'web');
  assert.equal(document, {schema: 1, value: 'role', resources: [{name: 'web', value: 'primary'}]});
  const {exit, stderr} = await node.run('view-value', 'is-primry', 'web');
  assert.is(exit, 2);
  assert.match(stderr, /did you mean is-primary/u);
});

test('set-emergency-limit takes a size, and says so where it gets per cent', async ({node}) => {
  node.daemon.answers.set('POST /v1/resources/web/set', fakeView('web'));
  for (const word of ['80', '80%', 'much']) {
    const {exit, stderr} = await node.run('set-emergency-limit', 'web', word);
    assert.is(exit, 2, word);
    assert.match(stderr, 'log-cap=20G');
  }

  assert.equal(node.daemon.requests, []);
  assert.is((await node.run('set-emergency-limit', 'web', '20G')).exit, 0);
  assert.equal(
    node.daemon.requests.map(({body}) => body),
    [{settings: {'log-cap': '20G'}}],
  );
});

test('leave-cluster asks the daemon, with what was confirmed, and names who does not know yet', async ({
  node,
}) => {
  const answer = {schema: 1, name: 'alpha', untold: ['gamma']};
  node.daemon.answers.set('POST /v1/peers/leave', answer);
  const {exit, stdout, stderr} = await node.run('peer leave', '--yes');
  assert.is(exit, 0, stderr);
  assert.match(stdout, 'alpha is no member any more');
  assert.match(stdout, /not reached, hears of it later: gamma/u);
  await node.run('peer leave', '--force');
  assert.equal(
    node.daemon.requests.map(({body}) => body),
    [
      {force: false, confirmed: true},
      {force: true, confirmed: false},
    ],
  );
});

test('peer remove --dry-run says what would be cut off', async ({node}) => {
  const replicas = [
    {name: 'web', role: 'primary', state: 'UpToDate', others: ['alpha', 'gamma']},
    {name: 'db', role: 'secondary', state: 'UpToDate', others: []},
  ];
  const answer = {
    schema: 1,
    name: 'beta',
    dryRun: true,
    told: ['gamma'],
    untold: ['beta'],
    replicas,
  };
  node.daemon.answers.set('DELETE /v1/peers/beta', answer);
  const {exit, stdout} = await node.run('peer remove', 'beta', '--force', '--dry-run');
  assert.is(exit, 0);
  assert.match(stdout, /beta would be no member any more[\s\S]*at once: gamma[\s\S]*later: beta/u);
  assert.match(
    stdout,
    /web: its replica there \(primary, UpToDate\) would be cut off; left: alpha, gamma/u,
  );
  assert.match(stdout, /nobody would get what is written to it[\s\S]*db: .*; nobody else has it/u);
  assert.equal(node.daemon.requests[0]?.body, {force: true, dryRun: true});
});

test('--host asks the other node through the daemon here', async ({node}) => {
  node.daemon.answers.set('GET /v1/hosts/beta/status', fakeStatusDocument(fakeStatus('web')));
  const status = await node.json('status', '--host', 'beta');
  assert.is(status.exit, 0);
  node.daemon.answers.set('GET /v1/hosts/beta/resources/web', fakeView('web'));
  assert.is((await node.json('resource show', 'web', '--host', 'beta')).document['name'], 'web');
  node.daemon.answers.set('POST /v1/hosts/beta/resources/web/disconnect', fakeView('web'));
  assert.is((await node.run('disconnect', 'web', '--host', 'beta')).exit, 0);
  assert.is((await node.run('status', '--host', '../x')).code, 'NAME_INVALID');
  assert.is((await node.run('primary', 'web', '--host', 'beta')).exit, 2, 'not from afar');
});

test('--parallel acts for several at a time; the document keeps the order of the names', async ({
  node,
}) => {
  const names = ['a', 'b', 'c'];
  node.daemon.answers.set('GET /v1/resources', {
    schema: 1,
    resources: names.map((name) => fakeView(name)),
  });
  // The first is answered when the last has asked.
  let askedLast: () => void = () => undefined;
  const lastAsked = new Promise<void>((resolve) => (askedLast = resolve));
  for (const name of names) {
    node.daemon.answers.set(`POST /v1/resources/${name}/detach`, async () => {
      if (name === 'c') askedLast();
      else await lastAsked;
      if (name === 'b') throw new DiskError('RESOURCE_PRIMARY', 'b is primary');
      return fakeView(name, {attached: false});
    });
  }

  const {document, exit} = await node.json('detach', 'all', '--parallel');
  assert.is(exit, 3);
  const {resources, errors} = document as {resources: {name: string}[]; errors: {name: string}[]};
  assert.equal(
    [resources, errors].map((list) => list.map(({name}) => name)),
    [['a', 'c'], ['b']],
  );
});

test.run();
