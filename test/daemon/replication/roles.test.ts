/** Hazards 7 and 8: whatever dies, and whoever asks, there is one primary, or a human has forced. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {ErrorCode} from '../../../src/core/codes.js';
import {isDiskError} from '../../../src/core/errors.js';
import {Death, RoleWorld, type RoleNode} from './role-world.js';

interface Pair {
  readonly world: RoleWorld;
  readonly alpha: RoleNode;
  readonly beta: RoleNode;
}

/** alpha is primary with three records, beta has them all. */
async function makePair(...more: string[]): Promise<Pair & {readonly others: RoleNode[]}> {
  const world = new RoleWorld('alpha', 'beta', ...more);
  const [alpha, beta, ...others] = world.nodes;
  assert.ok(alpha !== undefined && beta !== undefined);
  await alpha.primary();
  for (const word of ['one', 'two', 'three']) alpha.write(word);
  for (const node of [beta, ...others]) node.follow(alpha);
  return {world, alpha, beta, others};
}

async function refusedWith(code: ErrorCode, promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (isDiskError(error, code)) return error;
    throw error;
  }

  throw new Error(`it is refused with ${code}`);
}

/** Who died is forgiven; everything else is a failure of the test. */
async function orDeath(promise: Promise<unknown>): Promise<void> {
  await promise.catch((error: unknown) => {
    if (error instanceof Death || isDiskError(error)) return;
    throw error;
  });
}

test('a handover moves the role with every record, and what is waited for is told', async () => {
  const {alpha, beta} = await makePair();
  alpha.write('four');
  await beta.primary();
  assert.ok(beta.serving && !alpha.serving);
  assert.is(beta.durable.log.length, 4);
  assert.equal(
    beta.durable.lineage.map(({nodeName}) => nodeName),
    ['alpha', 'beta'],
  );
  assert.is(beta.durable.lineage[1]?.start, alpha.durable.grant?.position);
  assert.is(alpha.durable.wish, 'secondary');
  assert.ok(beta.waits.some((wait) => wait.includes('alpha to hand over web01')));
  assert.ok(beta.waits.some((wait) => wait.includes('where alpha ended')));
});

test('the role goes to and fro, also where nothing is written in between', async () => {
  const {alpha, beta} = await makePair();
  for (let round = 0; round < 4; round += 1) {
    const [from, to] = round % 2 === 0 ? [alpha, beta] : [beta, alpha];
    if (round > 1) from.write(`round ${round}`);
    await to.primary();
    assert.ok(to.serving && !from.serving, `round ${round}`);
    from.follow(to);
    assert.is(from.durable.log.length, to.durable.log.length);
  }
});

test('in use over there: refused with who, and alpha goes on', async () => {
  const {alpha, beta} = await makePair();
  alpha.user = 'mounted at /srv (pid 4711)';
  const error = await refusedWith('RESOURCE_BUSY', beta.primary());
  assert.match(error.message, 'pid 4711');
  assert.ok(alpha.serving);
  assert.is(alpha.durable.grant, undefined);
  alpha.write('goes on');
  alpha.user = undefined;
  await beta.primary();
  assert.ok(beta.serving);
});

/** How many places there are to die at: each step before and after. */
const ALPHA_DEATHS = 10;
const BETA_DEATHS = 10;

test('hazard 7: alpha dies at any step of the handover', async () => {
  const ends = new Set<string>();
  for (let death = 1; death <= ALPHA_DEATHS; death += 1) {
    const {world, alpha, beta} = await makePair();
    alpha.deathIn = death;
    await orDeath(beta.primary());
    const hasDied = alpha.isAway;
    assert.ok(world.primaries.length <= 1);
    assert.not(hasDied && beta.serving, 'beta does not begin without the grant in hand');
    const granted = alpha.durable.grant !== undefined;
    alpha.restart();
    assert.ok(world.primaries.length <= 1, `death ${death}`);
    if (hasDied) {
      assert.is(
        alpha.serving,
        !granted,
        `before the grant alpha goes on, after it never: ${death}`,
      );
      ends.add(granted ? 'granted' : 'goes on');
    }

    await beta.primary();
    assert.equal(world.primaries, [beta], `asked again beta gets the role: ${death}`);
    assert.equal(
      beta.durable.log.map((word) => word.split(':')[1]),
      ['one', 'two', 'three'],
    );
  }

  assert.is(ends.size, 2, 'both ends were met');
});

test('hazard 7: beta dies at any step, and comes back', async () => {
  const ends = new Set<string>();
  for (let death = 1; death <= BETA_DEATHS; death += 1) {
    const {world, alpha, beta} = await makePair();
    beta.deathIn = death;
    await orDeath(beta.primary());
    const granted = alpha.durable.grant !== undefined;
    assert.is(alpha.serving, !granted);
    alpha.restart();
    beta.restart();
    assert.ok(world.primaries.length <= 1, `death ${death}`);
    ends.add(world.primaries[0]?.name ?? 'nobody');
    await beta.primary();
    assert.equal(world.primaries, [beta], `death ${death}`);
    alpha.restart();
    assert.equal(world.primaries, [beta]);
  }

  assert.equal([...ends].sort(), ['alpha', 'beta', 'nobody']);
});

test('hazard 7: both die, each at any step', async () => {
  for (let alphaDeath = 1; alphaDeath <= ALPHA_DEATHS; alphaDeath += 1) {
    for (let betaDeath = 1; betaDeath <= BETA_DEATHS; betaDeath += 1) {
      const {world, alpha, beta} = await makePair();
      alpha.deathIn = alphaDeath;
      beta.deathIn = betaDeath;
      await orDeath(beta.primary());
      for (const node of betaDeath % 2 === 0 ? [alpha, beta] : [beta, alpha]) {
        node.restart();
        assert.ok(world.primaries.length <= 1);
      }

      await (alphaDeath % 2 === 0 ? beta : alpha).primary().catch(() => undefined);
      assert.ok(world.primaries.length <= 1);
      await beta.primary();
      assert.equal(world.primaries, [beta], `deaths ${alphaDeath} and ${betaDeath}`);
    }
  }
});

test('a lost answer: alpha does not resume, and says the same when it is asked again', async () => {
  const {world, alpha, beta} = await makePair();
  world.losesAnswer = true;
  await refusedWith('TIMEOUT', beta.primary());
  assert.equal(world.primaries, []);
  alpha.restart();
  assert.not(alpha.serving);
  const grant = alpha.durable.grant;
  const error = await refusedWith('ROLE_GRANTED', alpha.primary());
  assert.match(error.message, 'mars primary web01 there');
  world.losesAnswer = false;
  await beta.primary();
  assert.ok(beta.serving);
  assert.is(alpha.durable.grant?.position, grant?.position);
});

test('who asked has gone away before the grant: alpha is primary again', async () => {
  const {world, alpha, beta} = await makePair();
  world.isAbandoned = true;
  await refusedWith('HANDOVER_FAILED', beta.primary());
  assert.equal(world.primaries, [alpha]);
  assert.is(alpha.durable.grant, undefined);
});

test('two ask at once: the one grant decides, the other is told who has it', async () => {
  const {world, beta, others} = await makePair('gamma');
  const [gamma] = others;
  assert.ok(gamma !== undefined);
  const results = await Promise.allSettled([beta.primary(), gamma.primary()]);
  assert.equal(
    results.map(({status}) => status),
    ['fulfilled', 'rejected'],
  );
  const [, lost] = results;
  assert.ok(lost.status === 'rejected' && isDiskError(lost.reason, 'ROLE_GRANTED'));
  assert.match(lost.reason.message, 'beta');
  assert.equal(world.primaries, [beta]);
  await gamma.primary();
  assert.equal(world.primaries, [gamma], 'asked again it is handed on by beta');
});

test('a granted role that nobody took is not granted to a third', async () => {
  const {world, beta, others} = await makePair('gamma');
  world.losesAnswer = true;
  await refusedWith('TIMEOUT', beta.primary());
  world.losesAnswer = false;
  await refusedWith('ROLE_GRANTED', others[0]?.primary() ?? Promise.resolve());
  assert.equal(world.primaries, []);
});

test('after secondary the last primary still grants, nobody else does', async () => {
  const {world, alpha, beta, others} = await makePair('gamma');
  alpha.secondary();
  assert.equal(world.primaries, []);
  beta.isUnheard = true;
  await others[0]?.primary();
  assert.is(world.primaries[0]?.name, 'gamma');
  assert.is(alpha.durable.grant?.toName, 'gamma');
});

test('after secondary the last primary itself needs nobody', async () => {
  const {world, alpha, beta} = await makePair();
  alpha.secondary();
  beta.isAway = true;
  beta.isUnheard = true;
  await alpha.primary();
  assert.equal(world.primaries, [alpha]);
});

test('the last primary is away: refused, with the way out', async () => {
  const {world, alpha, beta} = await makePair();
  alpha.serving = false;
  alpha.isAway = true;
  const error = await refusedWith('PRIMARY_AWAY', beta.primary());
  assert.match(error.message, 'mars primary web01 --force');
  alpha.isUnheard = true;
  await refusedWith('PRIMARY_AWAY', beta.primary());
  assert.equal(world.primaries, []);
});

test('what is no state of the disk becomes primary neither so nor by force', async () => {
  const {alpha, beta} = await makePair();
  beta.mixture = 'its copy is not complete';
  await refusedWith('REPLICA_INCONSISTENT', beta.primary());
  await refusedWith('REPLICA_INCONSISTENT', beta.force());
  assert.ok(alpha.serving);
});

test('a log that cannot be read: force saves no wish', async () => {
  const {alpha, beta} = await makePair();
  alpha.serving = false;
  alpha.isAway = true;
  beta.damage = 'the log is damaged';
  await refusedWith('LOG_CORRUPT', beta.force());
  assert.is(beta.durable.wish, 'secondary');
  assert.is(beta.durable.forcedAt, undefined);
  beta.damage = undefined;
  await beta.force();
  assert.ok(beta.serving);
});

test('a fetch that is stopped is said before the primary is asked to end its role', async () => {
  const {alpha, beta} = await makePair();
  beta.fetchStopped = 'the fetch of web01 is paused';
  alpha.steps = [];
  await refusedWith('FETCH_STOPPED', beta.primary());
  assert.ok(alpha.serving);
  assert.equal(alpha.steps, []);
});

test('hazard 8: by force beta keeps all that it has, and alpha with nothing of its own follows', async () => {
  const {world, alpha, beta} = await makePair();
  alpha.serving = false;
  alpha.isAway = true;
  await beta.force();
  assert.ok(beta.serving && beta.durable.forcedAt !== undefined);
  assert.is(beta.durable.log.length, 3);
  beta.write('four');
  alpha.restart();
  assert.equal(world.primaries, [beta], 'superseded');
  assert.is(alpha.durable.wish, 'secondary');
  alpha.follow(beta);
  assert.is(alpha.durable.log.length, 4);
  await alpha.primary();
  assert.equal(world.primaries, [alpha], 'and takes the role back in order');
  assert.is(beta.durable.forcedAt, undefined);
});

test('by force with records of its own at alpha: nothing is served there, both are kept', async () => {
  const {world, alpha, beta} = await makePair();
  alpha.write('only here');
  alpha.serving = false;
  alpha.isAway = true;
  await beta.force();
  beta.write('only there');
  alpha.restart();
  assert.equal(world.primaries, [beta]);
  assert.is(alpha.durable.log.length, 4);
  assert.match(alpha.durable.log[3] ?? '', 'only here');
  alpha.restart();
  assert.equal(world.primaries, [beta], 'also at the next start');
});

test('no peer answers: who was primary goes on as primary', async () => {
  const {world, alpha, beta} = await makePair();
  beta.isUnheard = true;
  alpha.restart();
  assert.equal(world.primaries, [alpha]);
});

test('a grant that no peer confirms: who was primary does not go on', async () => {
  const {world, alpha, beta} = await makePair();
  world.losesAnswer = true;
  await refusedWith('TIMEOUT', beta.primary());
  alpha.durable.wish = 'primary';
  beta.isUnheard = true;
  alpha.restart();
  assert.equal(world.primaries, []);
  assert.is(alpha.durable.wish, 'secondary');
});

test('a human forces the one that has granted: its grant does not count, also after a death', async () => {
  for (let death = 1; death <= 6; death += 1) {
    const {world, alpha, beta} = await makePair();
    world.losesAnswer = true;
    await refusedWith('TIMEOUT', beta.primary());
    world.losesAnswer = false;
    alpha.deathIn = death;
    await orDeath(alpha.force());
    alpha.restart();
    const isDecided = alpha.durable.wish === 'primary';
    assert.is(alpha.serving, isDecided);
    if (!isDecided) continue;
    alpha.write('by force');
    assert.is(alpha.grantInForce(), undefined);
    alpha.restart();
    assert.equal(world.primaries, [alpha]);
    await beta.primary();
    assert.equal(world.primaries, [beta], 'and hands over in order afterwards');
  }
});

test('logs that differ at the end of the grant: nothing is begun', async () => {
  const {alpha, beta} = await makePair();
  beta.durable.log[2] = 'rotten';
  await refusedWith('SPLIT_BRAIN', beta.primary());
  assert.not(beta.serving);
  assert.is(beta.durable.wish, 'secondary');
  assert.is(alpha.durable.grant?.toName, 'beta');
});

test('the log does not come in time: the grant waits and is taken later', async () => {
  const {world, alpha, beta} = await makePair();
  alpha.write('four');
  beta.isDeaf = true;
  const error = await refusedWith('TIMEOUT', beta.primary());
  assert.match(error.message, 'where alpha ended');
  assert.equal(world.primaries, []);
  beta.isDeaf = false;
  await beta.primary();
  assert.equal(world.primaries, [beta]);
});

test.run();
