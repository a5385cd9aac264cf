/** T11: at most N copies at once, in order. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {SyncTurns} from '../../../src/daemon/replication/sync-turns.js';

function makeTurns(limit: number): {
  turns: SyncTurns;
  freed: () => number;
  setLimit: (to: number) => void;
} {
  let count = 0;
  let most = limit;
  const turns = new SyncTurns(
    () => most,
    () => `2026-11-22T10:00:0${count}.000Z`,
    () => {
      count += 1;
    },
  );
  return {
    turns,
    freed: () => count,
    setLimit: (to) => {
      most = to;
    },
  };
}

const names = (turns: SyncTurns['running']): string[] => turns.map(({name}) => name);

test('T11: N run, the others wait in order, and each is told who is before it', () => {
  const {turns} = makeTurns(2);
  assert.is(turns.take('a'), undefined);
  assert.is(turns.take('b'), undefined);
  assert.equal(turns.take('c'), {limit: 2, ahead: ['a', 'b']});
  assert.equal(turns.take('d'), {limit: 2, ahead: ['a', 'b', 'c']});
  turns.leave('a', true);
  // Whoever asks first: it is the turn of who came first.
  assert.equal(turns.take('d'), {limit: 2, ahead: ['b', 'c']});
  assert.is(turns.take('c'), undefined);
  assert.equal(names(turns.running), ['b', 'c']);
  assert.equal(names(turns.waiting), ['d']);
});

test('T11: never more than N run, whoever comes, breaks off, pauses and comes again', () => {
  const {turns} = makeTurns(3);
  const all = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
  let seed = 7;
  const done = new Set<string>();
  for (let step = 0; step < 4000 && done.size < all.length; step += 1) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    const name = all[(seed >>> 8) % all.length] ?? 'a';
    if (done.has(name)) continue;
    const isRunning = names(turns.running).includes(name);
    if (isRunning && (seed >>> 20) % 4 === 0) done.add(name);
    if (isRunning || (seed >>> 20) % 5 === 0) turns.leave(name, done.has(name));
    else turns.take(name);
    assert.ok(turns.running.length <= 3, `${turns.running.length} run`);
  }

  assert.is(done.size, all.length, 'everybody gets its turn');
  assert.equal(turns.running, []);
});

test('a copy that breaks off keeps its place but not its turn', () => {
  const {turns, freed} = makeTurns(1);
  turns.take('a');
  turns.take('b');
  turns.take('c');
  turns.leave('a', false);
  assert.is(freed(), 1);
  assert.is(turns.take('b'), undefined);
  assert.equal(turns.take('a'), {limit: 1, ahead: ['b']});
  assert.equal(turns.take('c'), {limit: 1, ahead: ['b', 'a']});
  turns.leave('b', true);
  assert.is(turns.take('a'), undefined, 'a is before c, though c has waited longer');
});

test('a smaller limit takes no turn back, and 0 is no limit', () => {
  const {turns, setLimit} = makeTurns(0);
  for (const name of ['a', 'b', 'c']) assert.is(turns.take(name), undefined);
  setLimit(1);
  assert.is(turns.take('b'), undefined, 'it runs already');
  assert.equal(turns.take('d'), {limit: 1, ahead: ['a', 'b', 'c']});
  turns.leave('a', true);
  turns.leave('b', true);
  assert.ok(turns.take('d'), 'one still runs');
  turns.leave('c', true);
  assert.is(turns.take('d'), undefined);
});

test.run();
