/** Steps that move the primary role; each ends with one primary, its file system checked. */
import {killAll} from '../helpers/chaos.js';
import {until} from '../helpers/run.js';
import {setTimeout as sleep} from 'node:timers/promises';
import type {Step} from './schedule.js';
import {NAME, type World} from './world.js';

const ROLE_MS_MAX = 90_000;
const RETURN_MS_MAX = 120_000;
const LOOK_MS = 400;

/** A planned handover, also while links and processes fail: refused is fine, lost or doubled is not. */
export async function handOver(
  world: World,
  {to, calm}: Extract<Step, {kind: 'handover'}>,
): Promise<void> {
  if (to === world.primary) return;
  if (calm) await world.settle();
  const from = world.primary;
  await world.pause();
  await world.unmount();
  const start = performance.now();
  const first = await world.node(to).tryMars('primary', NAME, '--timeout', '20');
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  if (first.status === 0) {
    world.log(`  handover took ${seconds} s`);
    world.primary = to;
  } else {
    world.log(`  handover refused after ${seconds} s: ${codeOf(first.stderr)}`);
    await world.settle();
    world.primary = await anyPrimary(world, [to, from]);
  }

  await goOn(world);
}

/** All nodes ask at one moment: one gets it, whichever. */
export async function race(world: World): Promise<void> {
  await world.settle();
  await world.pause();
  await world.unmount();
  const all = world.nodes.map(async (node) => {
    const {status, stderr} = await node.tryMars('primary', NAME, '--timeout', '20');
    return `${node.name} ${status === 0 ? 'has it' : codeOf(stderr)}`;
  });
  world.log(`  race: ${(await Promise.all(all)).join(', ')}`);
  world.primary = await anyPrimary(world, [world.primary]);
  await goOn(world);
}

/** The primary is lost with what it had not sent; another one is forced; the old one comes back. */
export async function force(world: World, step: Extract<Step, {kind: 'force'}>): Promise<void> {
  await world.settle();
  const old = world.primary;
  const to = step.to === old ? (old + 1) % world.nodes.length : step.to;
  await bringUpToDate(world);
  for (const pair of pairsOf(world)) for (const proxy of world.links(pair)) proxy.set('cut');
  await sleep(step.cutMs);
  await killAll(world.node(old), NAME);
  // They hit a wall, and that is no fault of the disk.
  for (const writer of world.writers) await writer.kill();
  await world.dropMount();
  await world.node(to).mars('primary', NAME, '--force');
  world.primary = to;
  const position = (await world.status(to))?.position ?? '';
  world.log(`  forced ${world.primaryNode.name} at ${position}`);
  await world.mount();
  for (const writer of world.writers) {
    const found = await writer.found(world.mounted);
    const secured = writer.securedAt(position);
    world.log(`  ${writer.name}: acknowledged ${writer.acked}, here ${found}, due ${secured}`);
    if (writer.name !== 'fio' && found < secured) {
      throw new Error(`${writer.name}: ${secured} was in the log here, found is ${found}`);
    }

    writer.rewind(found);
  }

  world.resume();
  world.healLinks();
  await world.node(old).startDaemon();
  await comeBack(world);
}

/** The others follow again; a fork is resolved for the one that was forced. */
async function comeBack(world: World): Promise<void> {
  const keep = world.primaryNode.name;
  const target = (await world.status(world.primary))?.position ?? '';
  for (const [index, node] of world.nodes.entries()) {
    if (index === world.primary) continue;
    await until(
      async () => {
        await sleep(LOOK_MS);
        const {state, role} = await node.status(NAME);
        if (state === 'Forked') {
          const {stderr, status} = await node.tryMars(
            'fork',
            'resolve',
            NAME,
            '--keep',
            keep,
            '-y',
          );
          const outcome = status === 0 ? 'resolved' : codeOf(stderr);
          world.log(`  fork on ${node.name}: ${outcome}`);
        }

        const disk = await world.status(index);
        const answer = disk?.follow?.answer?.kind;
        const follows =
          disk?.follow?.connected === true && (answer === 'follow' || answer === 'cut');
        return role === 'secondary' && follows && disk.durable >= target;
      },
      RETURN_MS_MAX,
      `${node.name} that follows ${keep}`,
    );
  }
}

/** Whoever is to be lost has told its replicas all up to a moment ago. */
async function bringUpToDate(world: World): Promise<void> {
  const {primaryNode, cluster} = world;
  for (const node of world.nodes) {
    if (node !== primaryNode) await cluster.caughtUp(NAME, primaryNode.name, node.name, 60_000);
  }
}

/** Waits for one primary, asking the given nodes for it again and again. */
async function anyPrimary(world: World, wanted: readonly number[]): Promise<number> {
  let found = -1;
  await until(
    async () => {
      found = await onlyPrimary(world);
      if (found >= 0) return true;
      for (const index of wanted) {
        const {status} = await world.node(index).tryMars('primary', NAME, '--timeout', '20');
        if (status === 0) break;
      }

      found = await onlyPrimary(world);
      return found >= 0;
    },
    ROLE_MS_MAX,
    'node that is primary',
  );
  return found;
}

/** @returns -1 where none serves @throws Error where two do */
async function onlyPrimary(world: World): Promise<number> {
  const all = await Promise.all(world.nodes.map((_, index) => world.status(index)));
  const serving = all.flatMap((status, index) => (status?.mode === 'serve' ? [index] : []));
  if (serving.length > 1) throw new Error(`${serving.length} nodes serve at once`);
  return serving[0] ?? -1;
}

async function goOn(world: World): Promise<void> {
  if ((await onlyPrimary(world)) !== world.primary) {
    world.primary = await anyPrimary(world, [world.primary]);
  }

  await world.mount();
  await world.checkWriters();
  world.resume();
}

function pairsOf({nodes}: World): readonly number[] {
  return Array.from({length: (nodes.length * (nodes.length - 1)) / 2}, (_, pair) => pair);
}

function codeOf(stderr: string): string {
  return /^code: (\w+)/mu.exec(stderr)?.[1] ?? stderr.slice(0, 200);
}
