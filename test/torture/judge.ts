/** What counts: the same bytes everywhere, whole file systems, nothing acknowledged that is gone. */
import {run, until} from '../helpers/run.js';
import type {Step} from './schedule.js';
import {costOf, NAME, type World} from './world.js';

const EQUAL_MS_MAX = 120_000;
/** What a daemon may have more than at the first judgement. */
const MORE_DESCRIPTORS_MAX = 12;
const MORE_RSS_BYTES_MAX = 80 * 1024 * 1024;

export interface Costs {
  /** Of each daemon, by its pid: it is another process after a restart. */
  readonly first: Map<number, {descriptors: number; rssBytes: number}>;
}

/** Heals everything and compares; the writers go on afterwards. */
export async function judge(world: World, costs: Costs): Promise<void> {
  await world.settle();
  await world.pause();
  await world.checkWriters();
  await world.unmount();
  const device = world.primaryNode.device(NAME);
  const position = await world.cluster.equalImages(NAME, EQUAL_MS_MAX);
  await run('e2fsck', ['-fn', device], {timeoutMs: 60_000});
  const words = world.writers.map(({name, acked}) => `${name} ${acked}`).join(', ');
  world.log(`  equal images and a clean file system at ${position}; ${words}`);
  judgeCosts(world, costs);
  await world.mount();
  world.resume();
}

function judgeCosts(world: World, {first}: Costs): void {
  for (const node of world.nodes) {
    const pid = node.daemonPid;
    const cost = pid === undefined ? undefined : costOf(pid);
    if (pid === undefined || cost === undefined) throw new Error(`${node.name} has no daemon`);
    const before = first.get(pid);
    if (before === undefined) first.set(pid, cost);
    const {descriptors, rssBytes} = before ?? cost;
    const mebibytes = (cost.rssBytes / 1024 / 1024).toFixed(0);
    world.log(`  daemon of ${node.name}: ${cost.descriptors} descriptors, ${mebibytes} MiB`);
    if (cost.descriptors > descriptors + MORE_DESCRIPTORS_MAX) {
      throw new Error(`the daemon of ${node.name} had ${descriptors} descriptors before`);
    }

    if (cost.rssBytes > rssBytes + MORE_RSS_BYTES_MAX) {
      throw new Error(`the daemon of ${node.name} has grown from ${rssBytes} bytes`);
    }
  }
}

/** A replica leaves, and joins again, while the others go on. */
export async function leaveAndJoin(
  world: World,
  {node: index}: Extract<Step, {kind: 'leave'}>,
): Promise<void> {
  await world.settle();
  if (index === world.primary) return;
  const node = world.node(index);
  await node.mars('resource', 'leave', NAME, '--yes');
  await until(
    async () => (await node.tryMars('resource', 'join', NAME)).status === 0,
    60_000,
    `second join of ${node.name}`,
  );
  await node.mars('wait', NAME, 'synced', '--timeout', '60');
}
