/** A death at each step of giving way after a fork, of the repair, of the undo, of dropping a branch. */
import fs from 'node:fs';
import {createHash} from 'node:crypto';
import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {DiskError} from '../../../src/core/errors.js';
import {formatPosition} from '../../../src/core/position.js';
import {listBranches} from '../../../src/daemon/replication/branches.js';
import {resolveFork} from '../../../src/daemon/replication/fork.js';
import {forgetFork, undoFork} from '../../../src/daemon/replication/fork-undo.js';
import {assertArea} from './areas.js';
import {CrashNode, meet, passedPoints, sweep} from './crash-rig.js';

const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const YES = {dryRun: false, confirmed: true, timeoutSeconds: 30};

interface Fork {
  readonly nodes: readonly [winner: CrashNode, loser: CrashNode];
  /** Where they part. */
  readonly at: number;
  /** The disk of the loser. */
  readonly lost: string;
  readonly won: string;
}

/** Both were primary; the winner has replayed all. */
async function forked(imageTo: 'fork' | 'end'): Promise<Fork> {
  const [winner, loser] = [new CrashNode('alpha'), new CrashNode('beta')];
  meet(winner, loser);
  winner.begin(1, {position: 0, chain: {low: 0, high: 0}});
  winner.write(1, 2, 3);
  winner.rotate();
  winner.write(4, 5);
  loser.receive(winner);
  const at = winner.common.position;
  loser.begin(2, winner.common);
  loser.write(20, 2);
  loser.rotate();
  loser.write(21, 3, 22);
  winner.write(6, 3, 7);
  await loser.replay(imageTo === 'fork' ? at : loser.position);
  await winner.replay(winner.position);
  const [lost, won] = [hash(loser.model), hash(winner.model)];
  loser.stopWriting();
  winner.stopWriting();
  return {nodes: [winner, loser], at, lost, won};
}

function ends(nodes: readonly CrashNode[]): [CrashNode, CrashNode] {
  const [winner, loser] = nodes;
  assert.ok(winner && loser);
  return [winner, loser];
}

async function giveWay(loser: CrashNode, winner: CrashNode): Promise<void> {
  await resolveFork(loser.context, loser.replica(), {...YES, keep: winner.name, image: true});
}

/** Whatever was done: the loser gives way where it has not, and follows. */
async function repaired(nodes: readonly CrashNode[], {won, lost}: Fork): Promise<void> {
  const [winner, loser] = ends(nodes);
  // What is put in place just now is whole: nothing is to be decided any more.
  if (!loser.isSwitching && loser.isForkedFrom(winner)) await giveWay(loser, winner);
  await loser.follow(winner);
  assert.is(hash(loser.image()), won, 'as the winner');
  assert.is(hash(winner.image()), won, 'the winner is as before');
  const again = await resolveFork(loser.context, loser.replica(), {
    ...YES,
    keep: winner.name,
    image: true,
  });
  assert.is(again.lostBytes, 0, 'said again it finds nothing to do');
  const branches = listBranches(loser.paths);
  assert.is(branches.length, 1, 'the branch is kept, once');
  const kept = fs.readFileSync(join(branches[0]?.directory ?? '', 'image'));
  assert.is(hash(kept), lost, 'nothing of the branch was lost');
}

for (const imageTo of ['fork', 'end'] as const) {
  test(`a death while a fork is resolved, image up to the ${imageTo}: it is done, or can be done again`, async () => {
    const fork = await forked(imageTo);
    const moments = await sweep({
      nodes: fork.nodes,
      work: async (nodes) => {
        const [winner, loser] = ends(nodes);
        await giveWay(loser, winner);
        await loser.follow(winner);
      },
      checks: [(nodes) => repaired(nodes, fork)],
    });
    assert.ok(moments > 10, `${moments} moments`);
  });
}

test('a death while a branch is brought back: the undo can be asked for again, or the winner followed', async () => {
  const fork = await forked('end');
  const [winner, loser] = fork.nodes;
  await giveWay(loser, winner);
  await loser.follow(winner);
  const moments = await sweep({
    nodes: fork.nodes,
    work: async (nodes) => {
      const [, again] = ends(nodes);
      await undoFork(again.context, again.resource, YES);
    },
    checks: [
      async (nodes) => {
        const [kept, again] = ends(nodes);
        const isDone = !again.isCopied && again.isForkedFrom(kept);
        if (!isDone) await undoFork(again.context, again.resource, YES);
        assert.is(hash(again.image()), fork.lost, 'brought back');
        assert.ok(again.isForkedFrom(kept));
        await repaired(nodes, fork);
      },
      (nodes) => repaired(nodes, fork),
    ],
  });
  assert.ok(moments > 10, `${moments} moments`);
});

test('a death while a branch is dropped: it is whole, or none', async () => {
  const fork = await forked('end');
  const [winner, loser] = fork.nodes;
  await giveWay(loser, winner);
  await loser.follow(winner);
  const moments = await sweep({
    nodes: fork.nodes,
    work: async (nodes) => {
      const [, again] = ends(nodes);
      await forgetFork(again.context, again.resource, YES);
    },
    checks: [
      async (nodes) => {
        const [kept, again] = ends(nodes);
        for (const {id} of listBranches(again.paths)) {
          await forgetFork(again.context, again.resource, {...YES, branch: id});
        }

        assert.equal(listBranches(again.paths), []);
        await again.follow(kept);
        assert.is(hash(again.image()), fork.won);
      },
    ],
  });
  assert.ok(moments > 0);
});

test('a death while a tail that its origin lost is kept and the image copied again', async () => {
  const [origin, replica] = [new CrashNode('alpha'), new CrashNode('beta')];
  meet(origin, replica);
  origin.begin(1, {position: 0, chain: {low: 0, high: 0}});
  origin.write(1, 2, 3);
  const {common} = origin;
  const whole = new CrashNode('gamma');
  whole.receive(origin);
  origin.write(4, 5);
  replica.receive(origin);
  await replica.replay(replica.position);
  // The origin went back to what it had synced, and on from there.
  fs.rmSync(origin.paths.logDirectory, {recursive: true});
  fs.mkdirSync(origin.paths.logDirectory);
  origin.stopWriting();
  origin.receive(whole);
  whole.dispose();
  origin.begin(2, common);
  origin.write(9, 1);
  await origin.replay(origin.position);
  origin.stopWriting();
  const won = hash(origin.model);
  const lostAt = {position: formatPosition(common.position)};
  const reason = new DiskError('ORIGIN_LOST_DATA', 'the origin has lost its tail', lostAt);
  const moments = await sweep({
    nodes: [origin, replica],
    work: async (nodes) => {
      const [, follower] = ends(nodes);
      const process = await follower.following();
      await follower.replica().copyAgain(reason);
      await process.close();
    },
    checks: [
      async (nodes) => {
        const [source, follower] = ends(nodes);
        await follower.replica().copyAgain(reason);
        await follower.follow(source);
        assert.is(hash(follower.image()), won);
        const forks = join(follower.paths.directory, 'forks');
        const kept = fs.readdirSync(forks);
        assert.is(kept.length, 1, 'the tail is kept, once');
        const names = fs.readdirSync(join(forks, kept[0] ?? ''));
        assert.ok(names.includes('lineage.json'));
        assert.ok(
          names.some((name) => name.startsWith('log-')),
          'with its logfiles',
        );
      },
    ],
  });
  assert.ok(moments > 4, `${moments} moments`);
});

test('no crash point of forks is dead', () => {
  assertArea('fork', passedPoints);
});

test.run();
