/**
 * T2: a takeover by force and its repair, every combination, on real files. The judge is the
 * content: both images must be the disk as whoever wrote on the side that is kept has it.
 */
import {createHash} from 'node:crypto';
import fs from 'node:fs';
import {join} from 'node:path';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {undoFork} from '../../../src/daemon/replication/fork-undo.js';
import {BLOCK_BYTES} from '../../../src/core/limits.js';
import {ForkNode} from './fork-rig.js';

interface Combination {
  /** When the new one took over: had it all of the old one's log? */
  readonly link: 'up' | 'cut';
  readonly oldWrites: boolean;
  readonly winner: 'old' | 'new';
  /** Where new logfiles begin. */
  readonly rotations: 'none' | 'before' | 'behind' | 'both';
  /** The logs of the one that gives way, behind the fork. */
  readonly logs: 'intact' | 'damaged';
  /** Do they meet before or after the winner is primary once more? */
  readonly reconnect: 'before' | 'after';
}

function combinations(): Combination[] {
  const product = <A extends object, K extends string, V>(
    these: readonly A[],
    key: K,
    values: readonly V[],
  ): (A & Record<K, V>)[] =>
    these.flatMap((one) => values.map((value) => ({...one, [key]: value}) as A & Record<K, V>));
  const links = product([{}], 'link', ['up', 'cut'] as const);
  const writes = product(links, 'oldWrites', [false, true]);
  const winners = product(writes, 'winner', ['old', 'new'] as const);
  const rotated = product(winners, 'rotations', ['none', 'before', 'behind', 'both'] as const);
  const damaged = product(rotated, 'logs', ['intact', 'damaged'] as const);
  return product(damaged, 'reconnect', ['before', 'after'] as const);
}

const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

interface World {
  readonly winner: ForkNode;
  readonly loser: ForkNode;
  /** Where the two part. */
  readonly at: number;
}

/** Both were primary. */
function fork(it: Combination, alpha: ForkNode, beta: ForkNode): World {
  const rotatesBehind = it.rotations === 'behind' || it.rotations === 'both';
  alpha.begin(1, {position: 0, chain: {low: 0, high: 0}});
  alpha.write(1, 2, 3);
  if (it.rotations === 'before' || it.rotations === 'both') alpha.rotate();
  alpha.write(4, 5);
  beta.receive(alpha);
  const {common} = alpha;
  // What beta never received: alpha has it alone.
  if (it.link === 'cut') alpha.write(6, 7);
  beta.begin(2, common);
  beta.write(20, 2);
  if (rotatesBehind) beta.rotate();
  beta.write(21, 3, 22);
  if (it.oldWrites) {
    alpha.write(8, 3);
    if (rotatesBehind) alpha.rotate();
    alpha.write(9, 10);
  }

  const [winner, loser] = it.winner === 'old' ? [alpha, beta] : [beta, alpha];
  return {winner, loser, at: common.position};
}

/** The winner is primary again: an epoch more, and more is written. */
function goOn(winner: ForkNode): void {
  const {position, chain} = winner.common;
  winner.begin(3 + winner.lineage.length, {position, chain});
  winner.write(30, 31);
}

async function play(it: Combination, index: number): Promise<'forked' | 'followed'> {
  const alpha = new ForkNode('alpha');
  const beta = new ForkNode('beta');
  alpha.others = [beta];
  beta.others = [alpha];
  try {
    const {winner, loser, at} = fork(it, alpha, beta);
    const lost = hash(loser.model);
    // How far its image is: in each half of all combinations, and in each of both for every value.
    const isBelow = (index ^ (index >> 2)) % 2 === 0;
    const hasOwn = loser.position > at;
    await loser.replay(isBelow || !hasOwn ? at : loser.position);
    // A batch from below the fork broke off when all its blocks were written.
    if (!isBelow && hasOwn && index % 5 === 0) loser.rested(loser.position, 0);
    if (it.reconnect === 'after') goOn(winner);
    // Without records of its own the old one has nothing that anybody could lose.
    if (!winner.isForkedFrom(loser) && it.winner === 'old') goOn(winner);
    const isForked = loser.isForkedFrom(winner);
    assert.is(isForked, hasOwn, 'a fork is where both have records of their own');
    const isDamaged = it.logs === 'damaged' && hasOwn;
    const keepsImage = index % 16 === 0 && !isDamaged;
    if (isForked) {
      if (isDamaged) loser.damage(at);
      await loser.giveWayTo(winner, keepsImage);
    }

    await winner.replay(winner.position);
    assert.is(hash(winner.image()), hash(winner.model), 'the winner itself');
    await loser.follow(winner);
    assert.is(hash(loser.image()), hash(winner.model), 'as the winner');
    if (isForked && !isBelow && !isDamaged) {
      // Hazard 13: what its own records have written, and nothing else.
      const own = loser.ownBlocks.size * BLOCK_BYTES;
      assert.is(loser.copiedBytes, own);
    } else if (isForked && isBelow) assert.is(loser.copiedBytes, undefined, 'nothing is copied');
    if (it.reconnect === 'before') {
      goOn(winner);
      await loser.follow(winner);
      assert.is(hash(loser.image()), hash(winner.model), 'as the winner, when it goes on');
    }

    if (!isForked) return 'followed';
    const forks = fs.readdirSync(join(loser.paths.directory, 'forks'));
    assert.is(forks.length, 1, 'the branch is kept');
    if (keepsImage) {
      const request = {dryRun: false, confirmed: true, timeoutSeconds: 30};
      await undoFork(loser.context, loser.resource, request);
      assert.is(hash(loser.image()), lost, 'brought back');
      assert.ok(loser.isForkedFrom(winner), 'forked as before');
      await loser.giveWayTo(winner, false);
      await winner.replay(winner.position);
      await loser.follow(winner);
      assert.is(hash(loser.image()), hash(winner.model), 'as the winner again');
    }

    return 'forked';
  } finally {
    alpha.dispose();
    beta.dispose();
  }
}

test('T2, F1, F15, P2: forced takeover and repair, every combination: both images are those of the winner', async () => {
  const counts = {forked: 0, followed: 0};
  let index = 0;
  for (const it of combinations()) {
    try {
      counts[await play(it, index)] += 1;
    } catch (error) {
      const why = error instanceof Error ? (error.stack ?? error.message) : String(error);
      throw new Error(`combination ${index}: ${JSON.stringify(it)}: ${why}`, {cause: error});
    }

    index += 1;
  }

  assert.is(index, 128);
  assert.ok(counts.forked > 80 && counts.followed >= 8, JSON.stringify(counts));
});

test.run();
