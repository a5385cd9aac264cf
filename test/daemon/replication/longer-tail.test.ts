/** Hazard 8: what a primary that comes back takes from its replicas before it begins a new epoch. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {ResourceFacts} from '../../../src/cluster/facts.js';
import {DiskError, isDiskError} from '../../../src/core/errors.js';
import {formatPosition} from '../../../src/core/position.js';
import type {Candidate} from '../../../src/daemon/replication/choose-source.js';
import {takeTail, type TailSteps} from '../../../src/daemon/replication/longer-tail.js';
import {findLongerTail} from '../../../src/daemon/replication/right.js';
import type {LineageEntry} from '../../../src/log/lineage.js';
import {idOf} from './role-world.js';

const ALPHA = idOf('alpha');

function entry(epoch: number, node: string, start: number): LineageEntry {
  return {
    epoch: epoch.toString(16).padStart(32, '0'),
    node: idOf(node),
    nodeName: node,
    start: formatPosition(start),
    chain: '0'.repeat(16),
  };
}

const E1 = entry(1, 'beta', 0);
const E2 = entry(2, 'alpha', 1000);

function peer(
  name: string,
  position: number | null,
  lineage: LineageEntry[],
  linkUp = true,
): Candidate {
  const facts = {lineage, position: position === null ? null : formatPosition(position)};
  return {nodeId: idOf(name), name, linkUp, facts: facts as unknown as ResourceFacts};
}

function longest(others: readonly Candidate[], lineage = [E1, E2]): string | undefined {
  const own = {nodeId: ALPHA, lineage, position: formatPosition(5000)};
  return findLongerTail(own, others)?.name;
}

test('the peer with the most of our own last epoch is chosen, among those that answer', () => {
  const others = [
    peer('beta', 6000, [E1, E2]),
    peer('gamma', 8000, [E1, E2]),
    peer('delta', 9000, [E1, E2], false),
  ];
  assert.is(longest(others), 'gamma');
  assert.is(longest(others.slice(0, 1)), 'beta');
});

test('nobody is asked who has no more, or is not on our epoch', () => {
  assert.is(longest([]), undefined);
  assert.is(longest([peer('beta', 5000, [E1, E2])]), undefined);
  assert.is(longest([peer('beta', null, [E1, E2])]), undefined);
  assert.is(longest([peer('beta', 6000, [E1])]), undefined, 'it lacks the epoch');
  const gone = [E1, E2, entry(3, 'beta', 5500)];
  assert.is(longest([peer('beta', 6000, gone)]), undefined, 'it has gone on');
  const other = [E1, {...E2, chain: 'f'.repeat(16)}];
  assert.is(longest([peer('beta', 6000, other)]), undefined, 'its epoch is another one');
  assert.is(longest([peer('beta', 6000, [E1])], [E1]), undefined, 'the epoch is not our own');
});

interface Fake {
  readonly steps: TailSteps;
  readonly done: string[];
}

/** Each look finds the next position; the stream ends when `isOver`. */
function fake(positions: (number | undefined)[], more: Partial<TailSteps> = {}): Fake {
  const done: string[] = [];
  let last: number | undefined;
  const steps: TailSteps = {
    startFollow: () => {
      done.push('start');
      return Promise.resolve();
    },
    here: () => {
      if (positions.length > 0) last = positions.shift();
      return Promise.resolve(last);
    },
    follow: async ({name}, signal) => {
      done.push(`follow ${name}`);
      await new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => {
          resolve();
        });
      });
      done.push('end of stream');
    },
    stopFollowing: () => {
      done.push('stop');
      return Promise.resolve();
    },
    startMs: 60_000,
    quietMs: 60_000,
    takeMs: 60_000,
    ...more,
  };
  return {steps, done};
}

const GAMMA = {nodeId: idOf('gamma'), name: 'gamma', position: 8000};

test('the tail is followed until all of it is here, then the process ends', async () => {
  const {steps, done} = fake([undefined, 5000, 6500, 8000]);
  assert.is(await takeTail(steps, GAMMA), 8000);
  assert.equal(done, ['start', 'follow gamma', 'end of stream', 'stop']);
});

test('what came before the time is over, or the stream ends, is kept', async () => {
  for (const bound of ['quietMs', 'takeMs'] as const) {
    const late = fake([5000, 6500], {[bound]: 200});
    assert.is(await takeTail(late.steps, GAMMA), 6500, bound);
    assert.is(late.done.at(-1), 'stop');
  }

  const ended = fake([5000, 6000], {follow: () => Promise.resolve()});
  assert.is(await takeTail(ended.steps, GAMMA), 6000);
  assert.is(ended.done.at(-1), 'stop');
});

test('a log that is not read in time is followed by nobody', async () => {
  const {steps, done} = fake([undefined], {startMs: 50});
  assert.is(await takeTail(steps, GAMMA), undefined);
  assert.equal(done, ['start', 'stop']);
});

test('a step that fails ends the process all the same', async () => {
  const failure = new DiskError('PEER_UNREACHABLE', 'no');
  for (const step of ['startFollow', 'here', 'follow'] as const) {
    const {steps, done} = fake([5000], {[step]: () => Promise.reject(failure)});
    let thrown: unknown;
    await takeTail(steps, GAMMA).catch((error: unknown) => {
      thrown = error;
    });
    assert.ok(isDiskError(thrown, 'PEER_UNREACHABLE'), step);
    assert.is(done.at(-1), 'stop', step);
  }
});

test.run();
