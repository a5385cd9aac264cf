import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {healthWithReplicas, replicaHealth} from '../../src/control/health.js';
import {fakeReplica, fakeStatus} from '../helpers/fake-daemon.js';

const since = '2026-11-28T10:00:00.000Z';

test('a replica of which its node says that something is critical is not well here either', () => {
  const full = {code: 'STORE_FULL', text: 'no room for the image', since};
  const beta = fakeReplica('beta', {messages: [{...full, severity: 'critical'}]});
  assert.is(replicaHealth(fakeReplica('beta')), 'ok');
  assert.is(replicaHealth(beta), 'warning');
  assert.is(healthWithReplicas(fakeStatus('web', {replicas: [beta]})), 'warning');
  const mended = fakeReplica('beta', {messages: [{...full, severity: 'warning'}]});
  assert.is(replicaHealth(mended), 'ok');
});

test.run();
