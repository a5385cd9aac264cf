/** Faults of links and processes; each takes back what it did, beside the steps that follow. */
import {setTimeout as sleep} from 'node:timers/promises';
import {isRunning, killAndWait} from '../helpers/temp-home.js';
import type {Step, Victim} from './schedule.js';
import {NAME, type World} from './world.js';

const SLOW_BYTES_PER_SECOND = 150_000;
const SLOW_DELAY_MS = 80;

type Fault = Extract<
  Step,
  {kind: 'link' | 'flap' | 'flip' | 'kill' | 'stop' | 'restart' | 'rotate'}
>;

/** Begins a fault. */
export function beginFault(world: World, step: Fault): void {
  world.beside(async () => {
    switch (step.kind) {
      case 'link':
        return breakLink(world, step);
      case 'flap':
        return flap(world, step);
      case 'flip':
        world.links(step.pair)[0]?.flip('back', step.afterBytes);
        return;
      case 'kill':
        return kill(world, step);
      case 'stop':
        return stop(world, step);
      case 'restart':
        return restart(world, step.node);
      case 'rotate':
        await world.primaryNode.tryMars('log', 'rotate', NAME);
    }
  });
}

async function breakLink(
  world: World,
  {how, pair, forMs}: Extract<Fault, {kind: 'link'}>,
): Promise<void> {
  for (const proxy of world.links(pair)) {
    if (how === 'slow') {
      proxy.bytesPerSecond = SLOW_BYTES_PER_SECOND;
      proxy.delayMs = SLOW_DELAY_MS;
    } else {
      proxy.set(how);
    }
  }

  await sleep(forMs);
  for (const proxy of world.links(pair)) {
    if (how === 'slow') {
      proxy.bytesPerSecond = 0;
      proxy.delayMs = 0;
    } else {
      proxy.set('open');
    }
  }
}

async function flap(world: World, {pair, times}: Extract<Fault, {kind: 'flap'}>): Promise<void> {
  for (let count = 0; count < times; count += 1) {
    for (const proxy of world.links(pair)) proxy.set('cut');
    await sleep(50 + 60 * count);
    for (const proxy of world.links(pair)) proxy.set('open');
    await sleep(100 + 150 * count);
  }
}

/** The pid of a process of a node, where it is there. */
async function pidOf(world: World, node: number, victim: Victim): Promise<number | undefined> {
  if (victim === 'daemon') return world.node(node).daemonPid;
  const status = await world.status(node);
  return (victim === 'disk' ? status?.pid : status?.holderPid) ?? undefined;
}

async function kill(world: World, step: Extract<Fault, {kind: 'kill'}>): Promise<void> {
  const {node, victim, forMs} = step;
  const pid = await pidOf(world, node, victim);
  if (pid === undefined) return;
  if (victim !== 'daemon') {
    await killAndWait(pid);
    return;
  }

  await alone(world, node, async () => {
    await world.node(node).killDaemon();
    await sleep(forMs);
    await world.node(node).startDaemon();
  });
}

async function stop(world: World, step: Extract<Fault, {kind: 'stop'}>): Promise<void> {
  const {node, victim, forMs} = step;
  const pid = await pidOf(world, node, victim);
  if (pid === undefined || !signal(pid, 'SIGSTOP')) return;
  await sleep(forMs);
  signal(pid, 'SIGCONT');
}

async function restart(world: World, node: number): Promise<void> {
  await alone(world, node, async () => {
    await world.node(node).mars('daemon', 'stop');
    await world.node(node).startDaemon();
  });
}

/** Ends and starts a daemon, unless something else is at it. */
async function alone(world: World, node: number, work: () => Promise<void>): Promise<void> {
  if (world.withoutDaemon.has(node)) return;
  world.withoutDaemon.add(node);
  await work();
  world.withoutDaemon.delete(node);
}

function signal(pid: number, name: NodeJS.Signals): boolean {
  if (!isRunning(pid)) return false;
  process.kill(pid, name);
  return true;
}
