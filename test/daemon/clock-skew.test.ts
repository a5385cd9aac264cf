/** A node whose clock is wrong is named, with how much, and forgotten when it is right again. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {clockOffset, isSkewed, skewMessage, skewText} from '../../src/daemon/clock-skew.js';
import {removeNodes, startNode, startPair, until} from './peer-rig.js';

test.after.each(removeNodes);

const HOUR_MS = 3_600_000;
const at = (ms: number): string => new Date(ms).toISOString();

test('the offset is to the middle of the call, and the call is its error', () => {
  const sent = {wallMs: 1_000_000, monotonicMs: 50};
  const answered = {wallMs: 1_004_000, monotonicMs: 4050};
  const offset = clockOffset(sent, answered, at(1_009_000));
  assert.equal(offset, {offsetMs: 7000, errorMs: 2000});
  assert.not(isSkewed({offsetMs: 6999, errorMs: 2000}, false), 'it may have been the link');
  assert.ok(isSkewed({offsetMs: -7001, errorMs: 2000}, false));
  assert.ok(isSkewed({offsetMs: 3000, errorMs: 0}, true), 'told, it stays until clearly right');
  assert.not(isSkewed({offsetMs: 2000, errorMs: 0}, true));
});

test('nothing is concluded from an answer without a time, or while the clock here is set', () => {
  const sent = {wallMs: 1_000_000, monotonicMs: 50};
  const answered = {wallMs: 1_000_100, monotonicMs: 150};
  for (const theirs of [undefined, null, 5, 'noon', {}]) {
    assert.is(clockOffset(sent, answered, theirs), undefined);
  }

  const jumped = {...answered, wallMs: answered.wallMs + HOUR_MS};
  assert.is(clockOffset(sent, jumped, at(1_000_050)), undefined);
});

test('it says which clock is the odd one, where that can be told', () => {
  assert.is(skewText('beta', 2 * HOUR_MS), 'the clock of beta is 2 h ahead of the one here');
  assert.is(skewText('beta', -90_000), 'the clock of beta is 90 s behind the one here');
  const beta = {name: 'beta', offsetMs: -48 * HOUR_MS};
  const gamma = {name: 'gamma', offsetMs: -48 * HOUR_MS + 300};
  assert.is(skewMessage([], 2), undefined);
  assert.match(skewMessage([beta], 1) ?? '', /^the clock of beta is 2 days behind the one here$/u);
  assert.is(
    skewMessage([beta, gamma], 0),
    'the clock of this node is 2 days ahead of those of beta, gamma',
  );
  assert.match(skewMessage([beta, {...gamma, offsetMs: 60_000}], 0) ?? '', /beta.*; .*gamma/u);
});

test('two nodes tell it of each other while it is so, and that it is over', async () => {
  const [alpha, beta] = await startPair();
  const offsetAt = (node: typeof alpha, name: string): number | undefined =>
    node.peers.clockSkewMs(node.member(name).id);
  const linkOf = (): number | null => alpha.peers.link(beta.peers.selfId).clockOffsetSeconds;
  await until(() => linkOf() !== null, 'the time of beta');
  assert.is(offsetAt(alpha, 'beta'), undefined);
  beta.skewMs = HOUR_MS;
  alpha.peers.touch();
  const isSeen = (): boolean => {
    alpha.peers.touch();
    beta.peers.touch();
    return offsetAt(alpha, 'beta') !== undefined && offsetAt(beta, 'alpha') !== undefined;
  };
  await until(isSeen, 'both see it');
  assert.ok(Math.abs((offsetAt(alpha, 'beta') ?? 0) - HOUR_MS) < 60_000);
  assert.ok(Math.abs((offsetAt(beta, 'alpha') ?? 0) + HOUR_MS) < 60_000);
  assert.is(alpha.told.filter((code) => code === 'CLOCK_SKEW').length, 1, 'once');
  beta.skewMs = 0;
  await until(() => offsetAt(alpha, 'beta') === undefined, 'it is right again');
  assert.ok(alpha.told.includes('CLOCK_RIGHT'));
});

test('a member that was never called has no offset', async () => {
  const alpha = await startNode('alpha');
  assert.is(alpha.peers.clockSkewMs('0'.repeat(32)), undefined);
});

test.run();
