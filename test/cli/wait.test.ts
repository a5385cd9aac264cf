/** `mars wait`: conditions over what the status says, and what a timeout tells. */
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import {parseCondition} from '../../src/cli/wait-condition.js';
import type {ResourceStatus} from '../../src/control/api.js';
import {DiskError, isDiskError} from '../../src/core/errors.js';
import {
  fakeFollow,
  fakeReplica,
  fakeStatus,
  fakeStatusDocument,
  fakeView,
} from '../helpers/fake-daemon.js';
import {startFakeNode, type FakeNode} from '../helpers/fake-node.js';

const test = suite<{node: FakeNode}>('wait');

const LINE = 'GET /v1/status?resource=web';
const COPY = {percent: 42.7, doneBytes: 427, totalBytes: 1000};

test.before.each(async (context) => {
  context.node = await startFakeNode();
});

test.after.each(async ({node}) => {
  await node.dispose();
});

function primary(changes: Partial<ResourceStatus> = {}): ResourceStatus {
  return fakeStatus('web', {replicas: [fakeReplica('beta')], follow: null, ...changes});
}

function secondary(changes: Partial<ResourceStatus> = {}): ResourceStatus {
  const replicas = [fakeReplica('beta', {role: 'primary'})];
  const own = {role: 'secondary', device: null, image: null, openCount: 0} as const;
  return fakeStatus('web', {...own, replicas, follow: fakeFollow(), ...changes});
}

/** As on a node without a replica of it. */
function notJoined(): ResourceStatus {
  const none = {role: 'none', state: 'NotJoined', position: null, replayed: null} as const;
  return secondary({...none, openCount: null, follow: null});
}

const downBeta = fakeReplica('beta', {link: 'down'});

const TABLE: readonly (readonly [string, ResourceStatus, string | true])[] = [
  ['primary', primary(), true],
  ['primary', primary({role: 'forcedPrimary'}), true],
  ['primary', primary({role: 'notYetPrimary'}), 'its role is notYetPrimary'],
  ['is-primary', secondary(), 'its role is secondary'],
  ['secondary', secondary(), true],
  ['primary-off', primary({role: 'remainsPrimary'}), 'its role is remainsPrimary'],
  ['attached', primary(), true],
  ['is-attach', primary({state: 'Detached'}), 'it is detached'],
  ['attach-off', primary({state: 'Detached'}), true],
  ['detached', primary(), 'it is attached'],
  ['device', primary(), true],
  ['device', secondary(), 'it has no device'],
  ['device-off', secondary(), true],
  ['no-device', primary(), 'it has its device /dev/mars/web'],
  ['attached', notJoined(), 'this node has no replica of it: mars resource join web'],
  ['replayed', notJoined(), 'this node has no replica of it: mars resource join web'],
  ['lag<5', notJoined(), 'this node has no replica of it'],
  ['position>=0000000000000001', notJoined(), 'this node has no replica of it'],
  ['no-device', notJoined(), true],
  ['closed', notJoined(), true],
  ['closed', primary({openCount: 0}), true],
  ['closed', primary({openCount: 2}), 'open: 2 times'],
  ['closed', primary({openCount: null}), 'nobody knows who has it open'],
  ['connected', primary({replicas: []}), true],
  ['connected', primary(), true],
  ['connected', primary({replicas: [downBeta]}), 'beta is not heard of since 2026'],
  ['synced', primary(), true],
  ['synced', primary({replicas: []}), 'no other replica is known'],
  ['synced', primary({replicas: [downBeta]}), 'beta is not heard of'],
  [
    'synced',
    primary({replicas: [fakeReplica('beta', {state: 'Syncing', sync: COPY})]}),
    'beta has copied 42 %',
  ],
  [
    'synced',
    primary({replicas: [fakeReplica('beta', {state: 'InConsistent'})]}),
    'beta is InConsistent',
  ],
  ['synced', secondary(), true],
  ['synced', secondary({state: 'OutDated[FR]'}), true],
  ['synced', secondary({state: 'InConsistent'}), 'it is InConsistent'],
  ['synced', secondary({follow: fakeFollow({sync: COPY})}), 'this node has copied 42 %'],
  ['uptodate', primary({replicas: []}), true],
  ['uptodate', primary({state: 'Recovery'}), 'it is Recovery'],
  ['uptodate', primary({replicas: [downBeta]}), 'beta is not heard of'],
  [
    'uptodate',
    primary({replicas: [fakeReplica('beta', {state: 'OutDated[R]'})]}),
    'beta is OutDated[R]',
  ],
  ['uptodate', secondary(), true],
  ['fetched', primary(), true],
  ['fetched', primary({replicas: []}), 'no other replica is known'],
  [
    'fetched',
    primary({replicas: [fakeReplica('beta', {received: '00000001a2f3c408'})]}),
    'beta has fetched up to 00000001a2f3c408, wanted 00000001a2f3c410',
  ],
  ['fetched', secondary(), true],
  [
    'fetched',
    secondary({follow: fakeFollow({received: '00000001a2f3c408'})}),
    'this node has fetched up to 00000001a2f3c408',
  ],
  ['fetched', secondary({replicas: [downBeta]}), 'no node is known to be primary'],
  [
    'fetched',
    secondary({replicas: [{...downBeta, role: 'primary'}]}),
    'beta is not heard of since 2026',
  ],
  ['replayed', primary(), 'beta has replayed up to 00000001a2f3b410'],
  ['replayed', primary({replicas: [fakeReplica('b', {replayed: '00000001a2f3c410'})]}), true],
  ['replayed', secondary(), 'this node has replayed up to 00000001a2f3b410'],
  ['replayed', secondary({replayed: '00000001a2f3c410'}), true],
  ['lag<1', primary(), true],
  ['lag<0.1', primary(), 'beta is 0.2 s behind (4 KiB), wanted less than 0.1 s'],
  ['lag<1', primary({replicas: [downBeta]}), 'beta is not heard of'],
  ['lag<1', primary({replicas: [fakeReplica('b', {lagSeconds: null})]}), 'b has an unknown lag'],
  ['lag<1', secondary(), true],
  ['lag<1', secondary({follow: fakeFollow({connected: false})}), 'this node is not connected'],
  ['lag<1', secondary({follow: null}), 'it follows no primary'],
  ['position>=1a2f3c410', primary(), true],
  ['position>=00000001a2f3c411', primary(), 'it is at 00000001a2f3c410'],
  ['position>=0', primary({position: null}), 'it is at an unknown position'],
];

for (const [word, status, expected] of TABLE) {
  const title = `${word} at a ${status.role} of ${status.replicas.length} others: ${expected}`;
  test(`${title}, ${status.state}`, () => {
    const look = parseCondition(word)(status);
    assert.is(look.met, expected === true);
    if (expected === true) assert.is(look.missing, '');
    else assert.ok(look.missing.startsWith(expected), look.missing);
  });
}

test('fetched means what the primary had at the first look: it may go on writing', () => {
  const at = (received: string): ResourceStatus['replicas'] => [fakeReplica('beta', {received})];
  const fetched = parseCondition('fetched');
  const start = '0000000000002000';
  assert.not.ok(fetched(primary({position: start, replicas: at('0000000000001000')})).met);
  const later = primary({position: '0000000000009000', replicas: at(start)});
  assert.ok(fetched(later).met);
});

test('a word that is no condition is refused before anything is asked', async ({node}) => {
  for (const word of [
    '',
    'prim',
    'lag<',
    'lag<-1',
    'lag<x',
    'position>=',
    'position>=xyz',
    'is-',
  ]) {
    assert.throws(
      () => parseCondition(word),
      (error: unknown) => isDiskError(error, 'USAGE'),
    );
  }

  for (const word of ['constructor', 'toString', '__proto__']) {
    assert.throws(() => parseCondition(word), /expected a condition of primary/u);
  }

  const {exit, code} = await node.run('wait', 'web', 'sinced');
  assert.is(exit, 2);
  assert.is(code, 'USAGE');
  assert.equal(node.daemon.lines, []);
});

test('it looks until the condition is met', async ({node}) => {
  let looks = 0;
  node.daemon.answers.set(LINE, () => {
    looks += 1;
    const replica = looks < 3 ? fakeReplica('beta', {state: 'Syncing', sync: COPY}) : undefined;
    return fakeStatusDocument(primary(replica === undefined ? {} : {replicas: [replica]}));
  });
  const {document, exit} = await node.json('wait', 'web', 'synced');
  assert.is(exit, 0);
  assert.is(looks, 3);
  const {waitedSeconds, ...rest} = document;
  assert.type(waitedSeconds, 'number');
  assert.equal(rest, {
    ...{schema: 1, name: 'web', condition: 'synced', role: 'primary', state: 'UpToDate'},
  });
});

test('time up is exit status 5, and says what is missing', async ({node}) => {
  node.daemon.answers.set(LINE, fakeStatusDocument(primary({replicas: [downBeta]})));
  const {document, exit} = await node.json('wait-resource', 'web', 'uptodate', '--timeout', '1');
  assert.is(exit, 5);
  const error = document['error'] as {code: string; message: string; details: object};
  assert.is(error.code, 'TIMEOUT');
  assert.match(error.message, /^waited 1 s for web to be uptodate, but beta is not heard of/u);
  assert.equal(error.details, {name: 'web', condition: 'uptodate', timeoutSeconds: 1});
});

test('a daemon that restarts meanwhile is waited for; one that is not there is told', async ({
  node,
}) => {
  let looks = 0;
  node.daemon.answers.set(LINE, () => {
    looks += 1;
    if (looks === 2) throw new DiskError('DAEMON_UNREACHABLE', 'it restarts');
    return fakeStatusDocument(looks === 1 ? secondary() : primary());
  });
  assert.is((await node.run('wait', 'web', 'primary')).exit, 0);
  await node.daemon.stop();
  assert.is((await node.run('wait', 'web', 'primary')).exit, 4);
});

test('an unknown resource is refused at once', async ({node}) => {
  assert.is((await node.run('wait', 'nobody', 'primary')).code, 'RESOURCE_UNKNOWN');
  node.daemon.answers.set(LINE, fakeStatusDocument());
  assert.is((await node.run('wait', 'web', 'primary')).code, 'RESOURCE_UNKNOWN');
});

test('the old names wait for all resources', async ({node}) => {
  node.daemon.answers.set('GET /v1/resources', {schema: 1, resources: [fakeView('web')]});
  node.daemon.answers.set(LINE, fakeStatusDocument(primary({openCount: 0})));
  assert.is((await node.run('wait-cluster')).stdout, 'web: connected\n');
  assert.is((await node.run('wait-connect', 'web')).stdout, 'web: connected\n');
  assert.is((await node.run('wait-umount', 'web')).stdout, 'web: closed\n');
});

test.run();
