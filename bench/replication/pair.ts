/** Two nodes with daemons of their own, and what the replication bench does with them. */
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {parsePosition} from '../../src/core/position.js';
import {Cluster} from '../../test/helpers/cluster.js';
import type {TempHome} from '../../test/helpers/temp-home.js';
import type {WriterReport} from './writer.js';

export const MIB = 1024 * 1024;
const WRITER = path.join(import.meta.dirname, 'writer.ts');
const POLL_MS = 20;

export interface Pair {
  readonly cluster: Cluster;
  readonly alpha: TempHome;
  readonly beta: TempHome;
}

export interface Settings {
  /** Small amounts and short runs: to try the bench, not to quote. */
  readonly quick: boolean;
  /** Directory for what fio writes besides. */
  readonly scratch: string;
}

/** Starts alpha and beta, which reach each other through proxies. */
export async function startPair(): Promise<Pair> {
  const cluster = new Cluster(['alpha', 'beta']);
  try {
    await cluster.start();
  } catch (error) {
    await cluster.dispose();
    throw error;
  }

  return {cluster, alpha: cluster.node('alpha'), beta: cluster.node('beta')};
}

/** Lets beta call alpha with the proxy between, or without: a proxy costs a core. */
export async function route(pair: Pair, way: 'proxy' | 'direct'): Promise<void> {
  const file = path.join(pair.alpha.home, 'node.json');
  const {listen} = JSON.parse(fs.readFileSync(file, 'utf8')) as {readonly listen: string};
  const address = way === 'direct' ? listen : pair.cluster.link('beta', 'alpha').address;
  await pair.beta.mars('peer', 'set', 'alpha', `address=${address}`);
  // A stream that is open goes its old way.
  pair.cluster.link('beta', 'alpha').reset();
}

/** Creates a resource on alpha. @returns its device */
export function createResource(pair: Pair, name: string, sizeMib: number): Promise<string> {
  return pair.alpha.disk(name, `${sizeMib}M`);
}

/** Ends the resource on both nodes, and gives its space back. */
export async function removeResource(pair: Pair, name: string): Promise<void> {
  await pair.beta.tryMars('resource', 'leave', name, '--yes');
  await pair.alpha.tryMars('secondary', name);
  await pair.alpha.tryMars('resource', 'delete', name, '--yes');
}

/** Positions of a node's replica as numbers; undefined while its disk process does not answer. */
export async function positions(
  node: TempHome,
  name: string,
): Promise<{appended: number; durable: number; replayed: number} | undefined> {
  const status = await node.diskStatus(name);
  if (status === undefined) return undefined;
  const numberOf = (text: string): number => parsePosition(text) ?? NaN;
  return {
    appended: numberOf(status.position),
    durable: numberOf(status.durable),
    replayed: numberOf(status.replayed),
  };
}

/** Waits for a condition, asking often. @returns seconds */
export async function timeUntil(
  what: string,
  secondsMax: number,
  condition: () => Promise<boolean>,
): Promise<number> {
  const start = performance.now();
  for (;;) {
    if (await condition()) return (performance.now() - start) / 1000;
    if (performance.now() - start > secondsMax * 1000) {
      throw new Error(`${what} took longer than ${secondsMax} s`);
    }

    await pause(POLL_MS);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits until beta has durably, and in its image, all that alpha has now. @returns seconds */
export async function caughtUp(pair: Pair, name: string, secondsMax: number): Promise<number> {
  const target = (await positions(pair.alpha, name))?.appended ?? NaN;
  return timeUntil(`${name}: beta catching up`, secondsMax, async () => {
    const on = await positions(pair.beta, name);
    return on !== undefined && on.durable >= target && on.replayed >= target;
  });
}

/** Waits until nothing is under way on either side, so that each measurement finds the same. */
export async function settle(pair: Pair, name: string, secondsMax = 120): Promise<void> {
  await pair.alpha.replayed(name, secondsMax * 1000);
  await caughtUp(pair, name, secondsMax);
}

/** Writes 4 KiB with fdatasync for some seconds, in a process of its own. */
export function write(device: string, seconds: number): Promise<WriterReport> {
  return new Promise((resolve, reject) => {
    const words = ['--import', 'tsx', WRITER, device, String(seconds)];
    const child = spawn(process.execPath, words, {stdio: ['ignore', 'pipe', 'inherit']});
    // A disk that stands still must not keep the bench for ever.
    const timer = setTimeout(() => child.kill('SIGKILL'), (seconds + 60) * 1000);
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      if (code === 0) resolve(JSON.parse(text) as WriterReport);
      else reject(new Error(`the writer on ${device} ended with ${code ?? 'a signal'}`));
    });
  });
}
