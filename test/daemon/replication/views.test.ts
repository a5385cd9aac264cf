import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {formatPosition} from '../../../src/core/position.js';
import {EpochClock, LagClock} from '../../../src/daemon/replication/lag.js';
import {
  followStatus,
  followerState,
  furthestEnd,
  type FollowerInput,
} from '../../../src/daemon/replication/replica-state.js';
import {replicaStatus} from '../../../src/daemon/replication/views.js';
import type {Candidate} from '../../../src/daemon/replication/choose-source.js';
import type {FollowState} from '../../../src/daemon/replication/follow.js';
import {candidate, disk, file, idOf} from './samples.js';

const SINCE = '2026-01-01T00:00:00.000Z';
const open: FollowState = {
  stage: 'open',
  flow: 'fetch',
  source: {nodeId: 'a'.repeat(32), name: 'alpha'},
  since: SINCE,
  waiting: null,
};

function input(change: Partial<FollowerInput> = {}): FollowerInput {
  return {
    file: file(),
    disk: disk(),
    follow: open,
    primaryEnd: formatPosition(1000),
    primaryEpoch: idOf('e'),
    linkUp: true,
    silentMs: 0,
    ...change,
  };
}

test('without a primary the furthest of the others says what is missing', () => {
  const at = (epoch: string, position: number | null): Candidate =>
    candidate('beta', {
      epoch: idOf(epoch),
      position: position === null ? null : formatPosition(position),
    });
  const others = [at('e', 1000), at('e', 1200), at('e', null), at('f', 9000)];
  const end = furthestEnd(others, idOf('e'));
  assert.is(end, formatPosition(1200));
  assert.is(followerState(input({primaryEnd: end, primaryEpoch: null})), 'OutDated[F]');
  assert.is(furthestEnd(others, null), null);
  assert.is(furthestEnd([], idOf('e')), null);
});

test('a replica without the epoch of its primary lags by the time that this lasts, whatever positions say', () => {
  const clock = new EpochClock();
  const epochs = (own: string | null): Map<string, string | null> => new Map([['a', own]]);
  clock.note(idOf('f'), epochs(idOf('e')), 1000);
  clock.note(idOf('f'), epochs(idOf('e')), 50_000);
  assert.is(clock.otherMs('a', 71_000), 70_000);
  const told = input({primaryEpoch: idOf('f'), otherEpochMs: 70_000});
  assert.is(followerState(told), 'OutDated[F]');
  assert.is(followStatus(told)?.lagSeconds, 70);
  clock.note(idOf('f'), epochs(idOf('f')), 72_000);
  assert.is(clock.otherMs('a', 73_000), 0);
  clock.note(null, epochs(idOf('e')), 74_000);
  clock.note(idOf('f'), epochs(null), 75_000);
  assert.is(clock.otherMs('a', 76_000), 0, 'what is not known is no other epoch');
});

test('states of a follower', () => {
  assert.is(followerState(input()), 'UpToDate');
  assert.is(followerState(input({primaryEnd: formatPosition(1001)})), 'OutDated[F]');
  const behind = disk({replayed: formatPosition(500)});
  assert.is(followerState(input({disk: behind})), 'OutDated[R]');
  assert.is(followerState(input({disk: behind, linkUp: false})), 'OutDated[FR]');
  const batch = disk({position: formatPosition(900), replayed: formatPosition(500)});
  assert.is(followerState(input({disk: batch})), 'InConsistent');
});

test('never green over another epoch, whose positions say nothing, nor before an answer', () => {
  const branched = input({primaryEpoch: idOf('f'), primaryEnd: formatPosition(900)});
  assert.is(followerState(branched), 'OutDated[F]');
  const asking = input({disk: disk({}, {answer: null})});
  assert.is(followerState(asking), 'OutDated[F]');
  const idle = input({disk: disk({}, {answer: null, connected: false}), primaryEpoch: null});
  assert.is(followerState(idle), 'UpToDate');
});

test('a copy is Syncing while it runs, InConsistent while it waits, or its log is missing', () => {
  const sync = {doneBytes: 1, totalBytes: 4, begin: formatPosition(0), end: formatPosition(2000)};
  const copying = disk({}, {phase: 'syncing', sync});
  assert.is(followerState(input({disk: copying, follow: {...open, flow: 'sync'}})), 'Syncing');
  const waiting = {...open, stage: 'waiting', flow: 'sync'} as const;
  assert.is(followerState(input({disk: copying, follow: waiting})), 'InConsistent');
  assert.is(followStatus(input({disk: copying}))?.sync?.percent, 25);
  assert.is(followerState(input({disk: disk({}, {sync})})), 'InConsistent');
});

test('what the source said is a state', () => {
  const forked = disk({}, {answer: {kind: 'forked'}});
  assert.is(followerState(input({disk: forked})), 'Forked');
  const gone = disk({}, {answer: {kind: 'gone'}});
  assert.is(followerState(input({disk: gone})), 'Orphan');
});

test('never green from silence: the lag of a follower grows', () => {
  const silent = input({linkUp: false, silentMs: 60_000});
  assert.is(followerState(silent), 'OutDated[F]');
  assert.is(followStatus(silent)?.lagSeconds, 60);
  assert.is(followStatus(input())?.lagSeconds, 0);
});

function replica(name: string, linkUp: boolean, ageMs: number, change = {}) {
  return replicaStatus({
    candidate: candidate(name, change, linkUp),
    ageMs,
    nowMs: Date.parse(SINCE) + ageMs,
    ack: undefined,
    primaryEnd: formatPosition(1500),
    lagMs: (position) => (position < 1500 ? 3000 : 0),
  });
}

test('a replica elsewhere: lag in bytes and seconds', () => {
  const status = replica('beta', true, 1000, {replication: 'continuous'});
  assert.is(status.link, 'up');
  assert.is(status.lagBytes, 500);
  assert.is(status.lagSeconds, 3);
  assert.is(status.replication, 'continuous');
});

test('a replica that is not heard of is down, outdated, stopped, and its lag grows', () => {
  const status = replica('beta', false, 40_000);
  assert.is(status.link, 'down');
  assert.is(status.state, 'OutDated[F]');
  assert.is(status.replication, 'stopped');
  assert.is(status.lagSeconds, 40);
  assert.is(status.since, SINCE);
  assert.match(status.waitingFor?.reason ?? '', 'nothing is heard');
});

test('messages of another node are as old as it says, and go a day after it fell silent', () => {
  const messages = [{code: 'LOG_SPACE', severity: 'warning', text: 'full', since: SINCE}];
  const day = 24 * 3_600_000;
  assert.equal(replica('beta', true, 0, {messages}).messages, messages);
  assert.equal(replica('beta', false, day, {messages}).messages, messages);
  assert.equal(replica('beta', false, day + 1, {messages}).messages, []);
});

test('what a replica acknowledged is newer than its facts', () => {
  const position = formatPosition(1500);
  const status = replicaStatus({
    candidate: candidate('beta'),
    ageMs: 0,
    nowMs: 0,
    ack: {received: position, durable: position, replayed: formatPosition(1)},
    primaryEnd: position,
    lagMs: () => 0,
  });
  assert.is(status.durable, position);
  assert.is(status.lagBytes, 0);
  assert.is(status.replayed, formatPosition(1000));
});

test('words of a node with a later version are not believed blindly', () => {
  const status = replica('beta', true, 0, {state: 'Sleeping', roleName: 'queen', waiting: 7});
  assert.is(status.state, 'Recovery');
  assert.is(status.role, 'secondary');
  assert.is(status.waitingFor, null);
});

test('a lag clock tells for how long the log has been beyond a position', () => {
  const lag = new LagClock();
  for (let second = 0; second < 10; second += 1) lag.note(second * 100, second * 1000);
  assert.is(lag.lagMs(900, 9500), 0);
  assert.is(lag.lagMs(899, 9500), 500);
  assert.is(lag.lagMs(400, 9500), 4500);
  lag.note(50, 10_000);
  assert.is(lag.lagMs(40, 11_000), 1000);
});

test('a lag clock keeps a bounded number of samples', () => {
  const lag = new LagClock();
  for (let second = 0; second < 20_000; second += 1) lag.note(second * 100, second * 1000);
  assert.ok(Math.abs(lag.lagMs(19_990 * 100, 20_000_000) - 10_000) <= 2000);
  assert.ok(lag.lagMs(0, 20_000_000) > 19_000_000);
});

test.run();
