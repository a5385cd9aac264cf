/**
 * Several nodes on one machine, each a TempHome with a daemon of its own. What one node sends to
 * another goes through a proxy of this ordered pair: a test cuts, slows and breaks each link by
 * itself. Every wait has a deadline, prints what it waited for, and how all nodes were at its end.
 */
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import type {ReplicaStatus, ResourceStatus} from '../../src/control/api.js';
import type {DiskStatus} from '../../src/core/disk-status.js';
import {hashOf, imageBehind} from './disk-io.js';
import {Proxy, type LinkState} from './proxy.js';
import {TempHome} from './temp-home.js';

const MIB = 1024 * 1024;

/** A question by the CLI costs a process: two nodes asked without pause would take both cores. */
const POLL_MS = 250;

export class Cluster {
  readonly #names: readonly string[];
  readonly #nodes: TempHome[] = [];
  readonly #proxies = new Map<string, Proxy>();

  /** Nothing runs yet: `start` and `dispose` belong together. */
  constructor(names: readonly string[]) {
    this.#names = names;
  }

  /**
   * Starts nodes with daemons and, unless told otherwise, makes one cluster of all of them.
   *
   * @param options.join false: every node is still a cluster of its own
   */
  async start(options: {join?: boolean} = {}): Promise<void> {
    try {
      await this.#start();
      if (options.join !== false) await this.join();
    } catch (error) {
      // uvu says nothing of what fails before the first test.
      process.stdout.write(`\nthe cluster does not start: ${String(error)}\n`);
      throw error;
    }
  }

  async #start(): Promise<void> {
    for (const name of this.#names) {
      const port = await freePort();
      this.#nodes.push(await TempHome.create({name, listen: `127.0.0.1:${port}`}));
      for (const from of this.#names.filter((other) => other !== name)) {
        this.#proxies.set(`${from}>${name}`, await Proxy.create(port));
      }
    }
  }

  get nodes(): readonly TempHome[] {
    return this.#nodes;
  }

  node(name: string): TempHome {
    const found = this.nodes.find((node) => node.name === name);
    if (found === undefined) throw new Error(`no node ${name}`);
    return found;
  }

  /** What carries the connections that `from` opens to `to`. */
  link(from: string, to: string): Proxy {
    const proxy = this.#proxies.get(`${from}>${to}`);
    if (proxy === undefined) throw new Error(`no link from ${from} to ${to}`);
    return proxy;
  }

  /** Both ways between two nodes. */
  links(one: string, other: string): readonly [Proxy, Proxy] {
    return [this.link(one, other), this.link(other, one)];
  }

  setLink(one: string, other: string, state: LinkState): void {
    for (const proxy of this.links(one, other)) proxy.set(state);
  }

  /** Every node after the first joins with a token of the first; then all calls take the proxies. */
  async join(): Promise<void> {
    const [first, ...others] = this.nodes;
    if (first === undefined) throw new Error('a cluster needs a node');
    for (const node of others) {
      const {token} = await first.json<{token: string}>('peer', 'invite');
      await node.mars('peer', 'join', token);
    }

    for (const node of this.nodes) {
      for (const peer of this.nodes.filter((other) => other !== node)) {
        await this.wait(`${node.name} to know ${peer.name}`, 15_000, async () => {
          const {address} = this.link(node.name, peer.name);
          const set = await node.tryMars('peer', 'set', peer.name, `address=${address}`);
          return set.status === 0;
        });
      }
    }
  }

  /**
   * Creates a resource with small logfiles on a node, which is its primary.
   *
   * @returns its loop device
   */
  async createResource(on: string, name: string, size: string): Promise<string> {
    return this.node(on).disk(name, size, '--set', 'segment-bytes=4M');
  }

  /** Joins a resource, and waits for the end of the first copy. */
  async joinResource(on: string, name: string): Promise<void> {
    await this.wait(`${on} to hear of ${name}`, 20_000, async () => {
      const joined = await this.node(on).tryMars('resource', 'join', name);
      return joined.status === 0;
    });
    await this.node(on).mars('wait', name, 'synced', '--timeout', '60');
  }

  status(on: string, name: string): Promise<ResourceStatus> {
    return this.node(on).status(name);
  }

  /** What one node says of the replica on another; undefined where it says nothing. */
  async replica(on: string, of: string, name: string): Promise<ReplicaStatus | undefined> {
    const {replicas} = await this.status(on, name);
    return replicas.find(({node}) => node === of);
  }

  /** Waits until a node has durably what another had written at the time of the call. */
  async caughtUp(name: string, from: string, to: string, deadlineMs: number): Promise<void> {
    const target = (await this.node(from).diskStatus(name))?.position;
    if (target === undefined) throw new Error(`no disk process of ${name} on ${from}`);
    await this.wait(`${to} to reach ${target} of ${from}`, deadlineMs, async () => {
      const status = await this.node(to).diskStatus(name);
      return status !== undefined && status.durable >= target;
    });
  }

  /**
   * Waits until all nodes stand at one position, and everything is in their images; then compares
   * the images themselves, and what applications of a primary see. Nobody may write meanwhile.
   *
   * @returns the position
   * @throws Error where they differ, or do not get there
   */
  async equalImages(name: string, deadlineMs = 60_000): Promise<string> {
    let position = '';
    await this.wait(`equal positions of ${name}, all replayed`, deadlineMs, async () => {
      const all = await Promise.all(this.nodes.map((node) => node.diskStatus(name)));
      position = all[0]?.position ?? '';
      return all.every((status) => status !== undefined && isReplayed(status, position));
    });

    const hashes = new Map<string, string>();
    for (const node of this.nodes) {
      const file = imageBehind(node, name);
      const {size} = fs.statSync(file);
      hashes.set(`image on ${node.name}`, await hashOf(file, Math.ceil(size / MIB)));
      if ((await node.diskStatus(name))?.mode === 'serve') {
        hashes.set(`disk on ${node.name}`, await hashOf(node.imageFile(name), size / MIB));
      }
    }

    if (new Set(hashes.values()).size === 1) return position;
    throw new Error(`${name} differs at ${position}: ${JSON.stringify([...hashes], null, 2)}`);
  }

  /**
   * Asks again and again until `condition` holds, and prints how long that took.
   *
   * @param what what is waited for, as the end of a sentence
   * @throws Error when the deadline has passed; the state of all nodes is printed
   */
  async wait(what: string, deadlineMs: number, condition: () => Promise<boolean>): Promise<number> {
    const start = performance.now();
    for (;;) {
      const done = await condition();
      const tookMs = performance.now() - start;
      if (done) {
        process.stdout.write(`\n  waited ${(tookMs / 1000).toFixed(1)} s for ${what}`);
        return tookMs;
      }

      if (tookMs > deadlineMs) {
        throw new Error(
          `after ${deadlineMs} ms still waiting for ${what}\n${await this.describe()}`,
        );
      }

      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** How all nodes are, for who looks for the cause of a failure. */
  async describe(): Promise<string> {
    const words: string[] = [];
    for (const node of this.nodes) {
      const status = await node.tryMars('status', '--json').catch(String);
      words.push(`-- ${node.name}`, typeof status === 'string' ? status : status.stdout.trim());
      for (const name of resourcesOf(node)) {
        words.push(`disk ${name}: ${JSON.stringify(await node.diskStatus(name))}`);
      }

      words.push(`daemon: ${node.daemonOutput().slice(-2500)}`);
    }

    for (const [pair, proxy] of this.#proxies) {
      words.push(`link ${pair}: ${proxy.state} ${JSON.stringify(proxy.statistics())}`);
    }

    return words.join('\n');
  }

  /** Ends everything, whatever a test left: never throws. */
  async dispose(): Promise<void> {
    for (const node of this.nodes) {
      // Without its daemon nobody would end the disks in order.
      if (!node.hasDaemon) await node.startDaemon().catch(() => undefined);
      await node.dispose();
    }

    for (const proxy of this.#proxies.values()) await proxy.close();
  }
}

function isReplayed(status: DiskStatus, position: string): boolean {
  // One that is repaired beside stands where its old branch ended.
  if ((status.follow?.next ?? null) !== null) return false;
  return status.position === position && status.replayed === position;
}

function resourcesOf(node: TempHome): string[] {
  const directory = path.join(node.home, 'resources');
  return fs.existsSync(directory) ? fs.readdirSync(directory) : [];
}

/** A port of 127.0.0.1 where nobody listens now. */
export async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
