/** A cluster under torture: its nodes, who is primary, its file system and the writers on it. */
import fs from 'node:fs';
import type {DiskStatus} from '../../src/core/disk-status.js';
import {Cluster} from '../helpers/cluster.js';
import {run} from '../helpers/run.js';
import type {Proxy} from '../helpers/proxy.js';
import type {TempHome} from '../helpers/temp-home.js';
import {AppendWriter, FioWriter, SqliteWriter, type Writer} from './writers.js';

export const NAME = 'web01';
const SIZE = '128M';
const NODE_NAMES = ['alpha', 'beta', 'gamma'] as const;
const SAMPLE_MS = 100;

export class World {
  readonly cluster: Cluster;
  readonly writers: readonly Writer[] = [new SqliteWriter(), new AppendWriter(), new FioWriter()];
  /** The one that has the file system mounted. */
  primary = 0;
  /** Nodes whose daemon is down, or on its way: nobody else starts or ends it meanwhile. */
  readonly withoutDaemon = new Set<number>();
  /** What goes on beside the steps, and brings back what it took away. */
  readonly pending = new Set<Promise<void>>();
  readonly #log: (text: string) => void;
  readonly #faults: Error[] = [];
  #mount: string | undefined;
  #sampler: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor(nodes: number, log: (text: string) => void) {
    this.cluster = new Cluster(NODE_NAMES.slice(0, nodes));
    this.#log = log;
  }

  async start(): Promise<void> {
    await this.cluster.start();
    const device = await this.cluster.createResource('alpha', NAME, SIZE);
    await run('mkfs.ext4', ['-q', '-E', 'lazy_itable_init=0,lazy_journal_init=0', device]);
    for (const {name} of this.nodes.slice(1)) await this.cluster.joinResource(name, NAME);
    await this.mount();
    for (const writer of this.writers) await writer.prepare(this.mounted);
    this.resume();
    this.#sample();
  }

  get nodes(): readonly TempHome[] {
    return this.cluster.nodes;
  }

  node(index: number): TempHome {
    const node = this.nodes[index];
    if (node === undefined) throw new Error(`no node ${index}`);
    return node;
  }

  get primaryNode(): TempHome {
    return this.node(this.primary);
  }

  /** Where the file system is mounted now. */
  get mounted(): string {
    if (this.#mount === undefined) throw new Error('nothing is mounted');
    return this.#mount;
  }

  get isMounted(): boolean {
    return this.#mount !== undefined;
  }

  log(text: string): void {
    this.#log(text);
  }

  /** Both ways of a pair of nodes. */
  links(pair: number): readonly Proxy[] {
    const pairs = this.nodes.flatMap((one, at) =>
      this.nodes.slice(at + 1).map((other) => [one.name, other.name] as const),
    );
    const [one, other] = pairs[pair] ?? [];
    if (one === undefined || other === undefined) throw new Error(`no pair ${pair}`);
    return this.cluster.links(one, other);
  }

  /** Every link is as it was in the beginning. */
  healLinks(): void {
    const pairs = (this.nodes.length * (this.nodes.length - 1)) / 2;
    for (let pair = 0; pair < pairs; pair += 1) {
      for (const proxy of this.links(pair)) {
        proxy.bytesPerSecond = 0;
        proxy.delayMs = 0;
        proxy.set('open');
      }
    }
  }

  /** Work that goes on beside the steps; what it throws fails the run at the next `settle`. */
  beside(work: () => Promise<void>): void {
    const job = work().catch((error: unknown) => {
      this.#faults.push(error instanceof Error ? error : new Error(String(error)));
    });
    this.pending.add(job);
    void job.then(() => this.pending.delete(job));
  }

  /** Waits until everything that was taken away is back. */
  async settle(): Promise<void> {
    while (this.pending.size > 0) await Promise.all(this.pending);
    this.healLinks();
    this.check();
  }

  /** @throws Error where something beside the steps, or a writer, has failed */
  check(): void {
    const [fault] = this.#faults;
    if (fault !== undefined) throw fault;
    const failed = this.writers.find(({failure}) => failure !== '');
    if (failed !== undefined) throw new Error(`no error was allowed: ${failed.failure}`);
  }

  async mount(): Promise<void> {
    const node = this.primaryNode;
    this.#mount = await node.mount(node.device(NAME), 'fs');
  }

  async unmount(): Promise<void> {
    await run('umount', [this.mounted], {timeoutMs: 60_000});
    this.#mount = undefined;
  }

  /** The disk below is gone: the file system is taken away all the same. */
  async dropMount(): Promise<void> {
    await run('umount', ['-l', this.mounted], {timeoutMs: 60_000});
    this.#mount = undefined;
  }

  resume(): void {
    for (const writer of this.writers) writer.start(this.mounted);
  }

  /** Ends the writers in order. @throws Error where one of them had an error */
  async pause(): Promise<void> {
    for (const writer of this.writers) await writer.stop();
    this.check();
  }

  /** Looks what the applications find, on the file system that is mounted. */
  async checkWriters(): Promise<void> {
    for (const writer of this.writers) {
      const found = await writer.found(this.mounted);
      if (found < writer.acked) {
        throw new Error(`${writer.name}: ${writer.acked} was acknowledged, ${found} is there`);
      }

      // Done, but the word of it was lost with whoever should have heard it.
      writer.acked = found;
    }
  }

  status(index: number): Promise<DiskStatus | undefined> {
    return this.node(index).diskStatus(NAME);
  }

  /** Ends everything; never throws. */
  async dispose(): Promise<void> {
    this.#isOver = true;
    clearTimeout(this.#sampler);
    for (const writer of this.writers) await writer.kill().catch(() => undefined);
    this.healLinks();
    await Promise.all(this.pending);
    await this.cluster.dispose();
  }

  /** Again and again: where the log is after what was acknowledged. */
  #sample(): void {
    const look = async (): Promise<void> => {
      const {primary} = this;
      // What was acknowledged by another primary says nothing of where this one's log is.
      const running = this.writers.filter((writer) => writer.isRunning);
      const acked = running.map((writer) => writer.acked);
      const status = await this.status(primary);
      if (status?.mode === 'serve' && status.phase === 'serving' && primary === this.primary) {
        for (const [at, writer] of running.entries()) {
          if (writer.isRunning) writer.sample(acked[at] ?? 0, status.position);
        }
      }

      // It may have waited for an answer while all was taken away.
      if (!this.#isOver) this.#sampler = setTimeout(() => void look(), SAMPLE_MS);
    };
    void look();
  }
}

/** Descriptors and memory of a process; undefined where it is gone. */
export function costOf(pid: number): {descriptors: number; rssBytes: number} | undefined {
  try {
    const rss = /^VmRSS:\s+(\d+) kB$/mu.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return {
      descriptors: fs.readdirSync(`/proc/${pid}/fd`).length,
      rssBytes: Number(rss ?? 0) * 1024,
    };
  } catch {
    return undefined;
  }
}
