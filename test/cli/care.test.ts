/** `mars log prune` and `mars cron`: what they ask, print and end with. */
import {suite} from 'uvu';
import * as assert from 'uvu/assert';
import type {CareResult, PrunedFile, PruneResult} from '../../src/control/care-api.js';
import {DiskError} from '../../src/core/errors.js';
import {startFakeNode, type FakeNode} from '../helpers/fake-node.js';
import {fakeView} from '../helpers/fake-daemon.js';

const test = suite<{node: FakeNode}>('care');
const SEGMENT_BYTES = 67_108_864;

test.before.each(async (context) => {
  context.node = await startFakeNode();
});
test.after.each(async ({node}) => {
  await node.dispose();
});

function fakeFile(file: string, changes: Partial<PrunedFile>): PrunedFile {
  return {
    ...{file, kind: 'segment', bytes: SEGMENT_BYTES, start: '00', end: '10'},
    ...{action: 'keep', reason: 'the log goes on here', neededBy: []},
    ...changes,
  };
}

function fakePrune(name: string, changes: Partial<PruneResult> = {}): PruneResult {
  const files = [
    fakeFile('log-000000001-alpha', {action: 'spare', reason: 'nobody needs it'}),
    fakeFile('log-000000002-alpha', {reason: 'beta has replayed up to 15'}),
    fakeFile('spare-1', {kind: 'spare', start: null, end: null, action: 'delete', reason: 'many'}),
  ];
  return {
    ...{schema: 1, name, dryRun: false, neededFrom: '10', files},
    ...{deletedBytes: SEGMENT_BYTES, freeBytes: SEGMENT_BYTES},
    ...changes,
  };
}

test('log prune tells what goes, what stays and why, by its old names too', async ({node}) => {
  const {answers, requests} = node.daemon;
  answers.set('POST /v1/resources/web/log/prune', fakePrune('web', {dryRun: true}));
  const {stdout} = await node.run('log prune', 'web', '--dry-run');
  assert.match(stdout, /^reuse {3}log-000000001-alpha {2}64 MiB\n {8}nobody needs it\n/u);
  assert.match(
    stdout,
    /^keep {4}log-000000002-alpha {2}64 MiB\n {8}beta has replayed up to 15\n/mu,
  );
  assert.match(stdout, /^web: 64 MiB would be given back to .*, 64 MiB needed$/mu);
  assert.equal(requests.at(-1)?.body, {dryRun: true, purge: false, confirmed: false});
  answers.set('GET /v1/resources', {schema: 1, resources: [fakeView('web')]});
  for (const old of ['log-delete-all', 'log-delete', 'log-purge-all']) {
    const {document, exit} = await node.json(old, 'all');
    assert.is(exit, 0, old);
    assert.is((document['resources'] as PruneResult[])[0]?.name, 'web');
  }
});

test('without a daemon the files themselves are looked at', async ({node}) => {
  await node.daemon.stop();
  const {document, exit} = await node.json('log prune', 'all');
  assert.is(exit, 0);
  assert.equal(document, {schema: 1, resources: [], errors: []});
  assert.is((await node.run('log prune', 'web')).code, 'RESOURCE_UNKNOWN');
  const care = await node.json('cron');
  assert.is(care.exit, 0);
  assert.is(care.document['by'], 'cron');
});

test('cron says what it did, nothing where that is nothing, and ends with what failed', async ({
  node,
}) => {
  const done: CareResult = {
    ...{schema: 1, dryRun: false, by: 'daemon', removed: []},
    resources: [
      {name: 'web', rotatedTo: null, prune: fakePrune('web', {deletedBytes: 0}), error: null},
    ],
  };
  node.daemon.answers.set('POST /v1/care', done);
  assert.is((await node.run('cron')).stdout, '');
  const {code, message, details} = new DiskError('STATE_UNREADABLE', 'slots.json is not valid');
  const failed = {name: 'db', rotatedTo: null, prune: null, error: {code, message, details}};
  node.daemon.answers.set('POST /v1/care', {
    ...done,
    removed: [{path: '/h/node.json.tmp', bytes: 10}],
    resources: [{name: 'web', rotatedTo: 'log-2', prune: fakePrune('web'), error: null}, failed],
  } satisfies CareResult);
  const {stdout, stderr, exit} = await node.run('cron');
  assert.is(
    stdout,
    'web: the log goes on in log-2\n' +
      'web: 64 MiB given back to the file system, 64 MiB free for the log, 64 MiB needed\n' +
      'removed /h/node.json.tmp (10 B)\n',
  );
  assert.match(stderr, /slots\.json is not valid \(STATE_UNREADABLE\)/u);
  assert.is(exit, 6);
});

test.run();
