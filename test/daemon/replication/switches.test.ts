/** What the flows say of themselves. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {ResourceFile} from '../../../src/core/home.js';
import type {Replica} from '../../../src/daemon/replication/replica.js';
import {flowView} from '../../../src/daemon/replication/switches.js';
import type {Resource} from '../../../src/daemon/resource.js';
import {file} from './samples.js';

const WAITING = 'paused by wish: mars fetch resume web';

function waitingOf(change: Partial<ResourceFile>, reason: string): string | undefined {
  const waiting = {reason, since: '2026-01-01T00:00:00.000Z', until: null};
  const state = {stage: 'waiting', flow: 'fetch', source: undefined, waiting};
  const resource = {file: file({name: 'web', designatedRole: 'secondary', ...change})};
  const replica = {follow: {state}, followStatus: null};
  const view = flowView(resource as unknown as Resource, replica as unknown as Replica, 'fetch');
  return view.waiting?.reason;
}

test('who takes a wish back is not told that it waits for that', () => {
  assert.is(waitingOf({fetchPaused: true}, WAITING), WAITING);
  assert.is(waitingOf({fetchPaused: false}, WAITING), undefined);
  const disconnected = 'disconnected by wish: mars connect web';
  assert.is(waitingOf({connected: false}, disconnected), disconnected);
  assert.is(waitingOf({connected: true}, disconnected), undefined);
  assert.is(waitingOf({}, 'beta does not answer'), 'beta does not answer');
});

test.run();
