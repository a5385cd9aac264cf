import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {FactStore} from '../../../src/cluster/facts.js';
import {KeptFacts} from '../../../src/daemon/replication/kept-facts.js';
import type {Replica} from '../../../src/daemon/replication/replica.js';
import {SimClock} from '../../sim/sim-clock.js';
import {disk} from './samples.js';

function makeBench() {
  const clock = new SimClock();
  const store = new FactStore('a1'.repeat(16));
  const status = disk({mode: 'serve'});
  const resource = {
    disk: status,
    lastDisk: status,
    operation: '' as string | undefined,
    revision: 1,
  };
  resource.operation = undefined;
  let gathered = 0;
  const replica = {
    resource,
    verify: {told: undefined},
    facts: () => {
      gathered += 1;
      return undefined;
    },
  };
  const kept = new KeptFacts(clock, store);
  /** How often facts are gathered in three looks. */
  const looks = (): number => {
    const before = gathered;
    for (let count = 0; count < 3; count += 1) kept.of(replica as unknown as Replica);
    return gathered - before;
  };
  return {clock, store, resource, looks};
}

test('facts of a disk that serves are gathered once, and again when something has changed', () => {
  const {clock, resource, looks} = makeBench();
  assert.is(looks(), 1);
  assert.is(looks(), 0);
  resource.revision += 1;
  assert.is(looks(), 1);
  resource.lastDisk = disk({mode: 'serve'});
  assert.is(looks(), 1);
  clock.advance(5000);
  assert.is(looks(), 1, 'files may have changed');
});

test('during an operation, and of a replica that follows, they are gathered each time', () => {
  const {resource, looks} = makeBench();
  resource.operation = 'secondary';
  assert.is(looks(), 3);
  resource.operation = undefined;
  resource.disk = disk({mode: 'follow'});
  assert.is(looks(), 3);
});

test.run();
