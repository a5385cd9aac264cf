/** A death at each step of a handover, of a takeover by force, of a return, of giving the role up. */
import {createHash} from 'node:crypto';
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import type {PrimaryRequest} from '../../../src/control/api.js';
import {becomeSecondary} from '../../../src/daemon/operations.js';
import {takePrimary} from '../../../src/daemon/replication/roles.js';
import {assertArea} from './areas.js';
import {CrashNode, meet, passedPoints, sweep} from './crash-rig.js';

const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const REQUEST: PrimaryRequest = {timeoutSeconds: 30, force: false, device: false};

/** Alpha is primary, beta has all that it wrote. */
async function pair(): Promise<[CrashNode, CrashNode]> {
  const [alpha, beta] = [new CrashNode('alpha'), new CrashNode('beta')];
  meet(alpha, beta);
  alpha.resource.save({designatedRole: 'primary'});
  alpha.begin(1, {position: 0, chain: {low: 0, high: 0}});
  alpha.write(1, 2, 3, 4);
  beta.receive(alpha);
  for (const node of [alpha, beta]) await node.replay(node.position);
  alpha.stopWriting();
  return [alpha, beta];
}

function both(nodes: readonly CrashNode[]): [CrashNode, CrashNode] {
  const [alpha, beta] = nodes;
  assert.ok(alpha && beta);
  return [alpha, beta];
}

/** `mars primary` on a node that follows. */
async function take(node: CrashNode, force = false): Promise<void> {
  const process = await node.following();
  try {
    await takePrimary(node.context, node.resource, {...REQUEST, force});
  } finally {
    await process.close();
  }
}

/** Whom its daemon would let serve. */
async function primaries(nodes: readonly CrashNode[]): Promise<CrashNode[]> {
  const found: CrashNode[] = [];
  for (const node of nodes) if (await node.mayServe()) found.push(node);
  return found;
}

/** Whether they hear of each other or not. */
const atMostOne = [false, true].map((isAway) => async (nodes: readonly CrashNode[]) => {
  for (const node of nodes) node.isAway = isAway;
  const found = await primaries(nodes);
  assert.ok(found.length <= 1, `primary are: ${found.map(({name}) => name).join(', ')}`);
});

/** Beta gets the role after all, and alpha follows it: with everything that was ever acknowledged. */
async function handedOver(nodes: readonly CrashNode[]): Promise<void> {
  const [alpha, beta] = both(nodes);
  const before = [alpha.position, beta.position];
  const [serving] = await primaries(nodes);
  if (serving === alpha) {
    alpha.goOn(7, 40, 41);
    alpha.stopWriting();
    await beta.follow(alpha);
  }

  if (serving !== beta) await take(beta);
  assert.ok(await beta.mayServe(), 'beta is primary');
  assert.not.ok(await alpha.mayServe(), 'alpha is not');
  beta.goOn(8, 50, 3);
  await alpha.follow(beta);
  assert.is(hash(alpha.image()), hash(beta.model));
  assert.ok(alpha.position > (before[0] ?? 0) && beta.position > (before[1] ?? 0));
}

test('a death while the role is handed over: never two primaries, and it is done or can be done again', async () => {
  const nodes = await pair();
  const moments = await sweep({
    nodes,
    work: async (both) => {
      const beta = both[1];
      assert.ok(beta);
      await take(beta);
      beta.activate();
    },
    checks: [...atMostOne, handedOver],
  });
  assert.ok(moments > 10, `${moments} moments`);
});

test('a death while the role is handed back: an old grant of the one who gets it does not stand in the way', async () => {
  const nodes = await pair();
  const [alpha, beta] = nodes;
  await take(beta);
  beta.goOn(2, 60, 61);
  beta.stopWriting();
  await alpha.follow(beta);
  await beta.replay(beta.position);
  const reversed = (all: readonly CrashNode[]): CrashNode[] => [...all].reverse();
  await sweep({
    nodes,
    work: async () => {
      await take(alpha);
      alpha.activate();
    },
    checks: [...atMostOne, (all) => handedOver(reversed(all))],
  });
});

test('a death while the role is taken by force: what is here stays, and the old primary gives way', async () => {
  const nodes = await pair();
  const moments = await sweep({
    nodes,
    work: async ([alpha, beta]) => {
      assert.ok(alpha && beta);
      alpha.isAway = true;
      await take(beta, true);
      beta.activate();
    },
    checks: [
      async (all) => {
        const [alpha, beta] = both(all);
        alpha.isAway = true;
        if (!(await beta.mayServe())) await take(beta, true);
        assert.ok(await beta.mayServe());
        beta.goOn(8, 50, 3);
        alpha.isAway = false;
        assert.not.ok(await alpha.mayServe(), 'it hears that beta has gone on');
        await alpha.follow(beta);
        assert.is(hash(alpha.image()), hash(beta.model));
      },
    ],
  });
  assert.ok(moments > 5, `${moments} moments`);
});

for (const ownRecords of [false, true]) {
  test(`a death while a primary ${ownRecords ? 'with' : 'without'} records of its own returns: it never serves again`, async () => {
    const nodes = await pair();
    const [alpha, beta] = nodes;
    if (ownRecords) {
      alpha.goOn(5, 30);
      alpha.stopWriting();
    }

    alpha.isAway = true;
    await take(beta, true);
    beta.goOn(8, 50, 3);
    beta.stopWriting();
    alpha.isAway = false;
    const moments = await sweep({
      nodes,
      work: async () => {
        assert.not.ok(await alpha.mayServe());
      },
      checks: [
        async (all) => {
          const [old, primary] = both(all);
          assert.not.ok(await old.mayServe());
          if (!ownRecords) assert.ok(await primary.mayServe());
          assert.is(old.resource.file.designatedRole, 'secondary');
          assert.is(old.isForkedFrom(primary), ownRecords);
        },
      ],
    });
    assert.ok(moments > 1, `${moments} moments`);
  });
}

test('a death while the role is given up: primary still, or secondary, and nothing is lost', async () => {
  const nodes = await pair();
  const giveUp = async (alpha: CrashNode | undefined): Promise<void> => {
    assert.ok(alpha);
    await becomeSecondary(alpha.context, alpha.resource, {timeoutSeconds: 30});
  };
  const moments = await sweep({
    nodes,
    work: ([alpha]) => giveUp(alpha),
    checks: [
      async (all) => {
        const [alpha] = both(all);
        await giveUp(alpha);
        assert.is(alpha.resource.file.designatedRole, 'secondary');
        await handedOver(all);
      },
      handedOver,
    ],
  });
  assert.ok(moments > 1, `${moments} moments`);
});

test('no crash point of roles is dead', () => {
  assertArea('roles', passedPoints);
});

test.run();
