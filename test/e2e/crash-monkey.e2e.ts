/** A fixed sample of short workloads on ext4 and xfs, at crash states of a real disk; all: npm run crashmonkey. */
import {test} from 'uvu';
import * as assert from 'uvu/assert';
import {runMonkey, type FileSystemType} from '../crashmonkey/monkey.js';
import {
  enumerateWorkloads,
  judge,
  initialTree,
  treesOf,
  type Workload,
} from '../crashmonkey/workloads.js';
import {TempHome} from '../helpers/temp-home.js';
import {createRandom, pick} from '../sim/random.js';

const WORKLOADS = 24;
const STATES_MAX: Readonly<Record<FileSystemType, number>> = {ext4: 16, xfs: 8};
const SEED = 3;

let node: TempHome;

test.before(async () => {
  node = await TempHome.create();
});

test.after(() => node.dispose());

test('the judge takes every later state, and no file that is lost or has other bytes', () => {
  for (const workload of enumerateWorkloads(2)) {
    const trees = treesOf(workload, 5);
    for (const tree of trees.slice(workload.persistAfter)) {
      const found = (name: string): Buffer | null | undefined => {
        const entry = tree.get(name);
        return entry?.isDirectory === true ? null : entry?.content;
      };
      assert.is(judge(workload, 5, found), undefined);
    }
  }

  const [workload] = enumerateWorkloads(1).filter(
    ({operations, persist}) => operations[0]?.kind === 'append' && persist === 'fsync',
  );
  assert.ok(workload);
  const before = initialTree(5).get('A')?.content;
  assert.match(judge(workload, 5, () => undefined) ?? '', /A is not there/u);
  assert.match(judge(workload, 5, () => before) ?? '', /not those of the 11000/u);
  const whole = treesOf(workload, 5)[1]?.get('A')?.content ?? Buffer.alloc(0);
  const rotten = Buffer.from(whole).fill('x', 9000, 9001);
  assert.match(judge(workload, 5, () => rotten) ?? '', /not those of the 11000/u);
});

/** The same for every run: drawn from all. */
function drawn(count: number): Workload[] {
  const all = enumerateWorkloads(3);
  const random = createRandom(SEED);
  return Array.from({length: count}, () => pick(random, all));
}

for (const type of ['ext4', 'xfs'] as const) {
  test(`what was synced on ${type} is there in every crash state, and the file system is clean`, async () => {
    const total = await runMonkey({
      ...{node, type, roundSize: WORKLOADS, subsets: 2, seed: SEED, statesMax: STATES_MAX[type]},
      workloads: drawn(WORKLOADS),
    });
    assert.equal(total.faults, []);
    assert.is(total.states, STATES_MAX[type]);
    assert.ok(total.judged > WORKLOADS, String(total.judged));
  });
}

test('a disk that loses what it has flushed is found', async () => {
  const total = await runMonkey({
    ...{node, type: 'ext4', roundSize: 8, subsets: 0, seed: SEED, statesMax: 3, losesFlushed: true},
    workloads: drawn(8),
  });
  assert.ok(total.faults.length > 0, JSON.stringify(total));
});

test.run();
