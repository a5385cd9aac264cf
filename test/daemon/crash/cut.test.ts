/** A death at each step of a cut and of its undo: the log is damaged as before, or cut, never anything else. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {formatPosition} from '../../../src/core/position.js';
import {cutLog} from '../../../src/daemon/replication/cut-log.js';
import {undoCut} from '../../../src/daemon/replication/cut-undo.js';
import {listCuts} from '../../../src/daemon/replication/kept-cut.js';
import {diskOf} from '../replication/fork-world.js';
import {assertArea} from './areas.js';
import {CrashNode, passedPoints, sweep} from './crash-rig.js';

const YES = {dryRun: false, confirmed: true, force: true};

interface Damaged {
  readonly alpha: CrashNode;
  /** Disk before each write. */
  readonly disks: Buffer[];
  readonly positions: number[];
}

/** Six writes in three logfiles. */
function built(): Damaged {
  const alpha = new CrashNode('alpha');
  const disks: Buffer[] = [];
  const positions: number[] = [];
  alpha.begin(1, {position: 0, chain: {low: 0, high: 0}});
  for (const stamp of [1, 2, 3, 4, 5, 6]) {
    if (stamp === 3) alpha.rotate();
    if (stamp === 5) alpha.begin(2, alpha.common);
    disks.push(Buffer.from(alpha.model));
    positions.push(alpha.position);
    alpha.write(stamp);
  }

  alpha.stopWriting();
  return {alpha, disks, positions};
}

async function cut(node: CrashNode): Promise<boolean> {
  return (await cutLog(node.context, node.resource, YES)).damaged;
}

/** Whatever was done: it is asked for again where it has to be, then the disk is the one of record `index`. */
async function endsAt(node: CrashNode, {disks, positions}: Damaged, index: number): Promise<void> {
  const position = formatPosition(positions[index] ?? -1);
  await cut(node);
  assert.not(await cut(node), 'once is enough');
  node.activate();
  assert.is(node.lineage.at(-1)?.start, position);
  assert.ok((await diskOf(node)).equals(disks[index] ?? Buffer.alloc(0)));
}

function only(nodes: readonly CrashNode[]): CrashNode {
  const [node] = nodes;
  assert.ok(node);
  return node;
}

const CASES: readonly {
  readonly title: string;
  readonly index: number;
  readonly damage: (damaged: Damaged) => Promise<void>;
}[] = [
  {
    title: 'damage in the middle',
    index: 3,
    damage: ({alpha, positions}) => {
      alpha.damage(positions[3] ?? 0);
      return Promise.resolve();
    },
  },
  {
    title: 'damage in front of what replay needs, and behind it',
    index: 4,
    damage: async ({alpha, positions}) => {
      await alpha.replay(positions[3] ?? 0);
      alpha.damage(positions[2] ?? 0);
      alpha.damage(positions[4] ?? 0);
    },
  },
  {
    title: 'replay broke off in what is damaged',
    index: 3,
    damage: async ({alpha, positions}) => {
      await alpha.replay(positions[2] ?? 0);
      alpha.rested(positions[5] ?? 0, positions[2] ?? 0);
      alpha.damage(positions[3] ?? 0);
    },
  },
  {
    title: 'nothing good at what replay needs',
    index: 3,
    damage: async ({alpha, positions}) => {
      await alpha.replay(positions[3] ?? 0);
      alpha.damage(positions[2] ?? 0);
      alpha.damage(positions[3] ?? 0, 40);
    },
  },
];

for (const {title, index, damage} of CASES) {
  test(`${title}: a death at any step of the cut leaves what can be cut again, or is cut`, async () => {
    const damaged = built();
    await damage(damaged);
    const moments = await sweep({
      nodes: [damaged.alpha],
      work: async (nodes) => {
        assert.ok(await cut(only(nodes)));
      },
      checks: [
        async (nodes) => {
          await endsAt(only(nodes), damaged, index);
        },
        async (nodes) => {
          const node = only(nodes);
          await cut(node);
          assert.is(listCuts(node.paths).length, 1, 'what was cut is kept, once');
          await undoCut(node.context, node.resource, YES);
          assert.throws(() => {
            node.activate();
          }, /the log/u);
        },
      ],
    });
    assert.ok(moments > 3, `${moments} moments`);
  });

  test(`${title}: a death at any step of the undo leaves what can be undone, or cut, again`, async () => {
    const damaged = built();
    await damage(damaged);
    await cut(damaged.alpha);
    await sweep({
      nodes: [damaged.alpha],
      work: async (nodes) => {
        const node = only(nodes);
        await undoCut(node.context, node.resource, YES);
      },
      checks: [
        async (nodes) => {
          await endsAt(only(nodes), damaged, index);
        },
        async (nodes) => {
          const node = only(nodes);
          if (listCuts(node.paths).length > 0) await undoCut(node.context, node.resource, YES);
          assert.throws(() => {
            node.activate();
          }, /the log/u);
        },
      ],
    });
  });
}

test('every crash point of a cut is passed', () => {
  assertArea('cut', passedPoints);
});

test.run();
