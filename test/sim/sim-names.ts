/**
 * The directories of the simulated disk: names as programs see them, names as the device holds
 * them, and the operations between that no fsync of their directory covers yet.
 *
 * After power loss any subset of the pending operations may have happened, as POSIX allows, but
 * each one wholly or not at all, and none without the earlier ones on the same name or file:
 * that is what the journals of ext4, xfs and btrfs promise.
 */
import {dirname} from 'node:path';
import {SimInode} from './sim-inode.js';
import type {CrashPolicy} from './sim-inode.js';
import {chance} from './random.js';
import type {Random} from './random.js';

interface NameChange {
  readonly sequence: number;
  readonly directory: string;
  /** Name that goes, if any. */
  readonly from: string | undefined;
  /** Name that comes, if any. */
  readonly to: string | undefined;
  readonly inode: SimInode;
}

export class SimNames {
  #cached = new Map<string, SimInode>();
  #stable = new Map<string, SimInode>();
  #pending: NameChange[] = [];
  #inodes = 1;

  constructor() {
    const root = new SimInode(this.#inodes, true);
    this.#cached.set('/', root);
    this.#stable.set('/', root);
  }

  get pendingCount(): number {
    return this.#pending.length;
  }

  get(path: string): SimInode | undefined {
    return this.#cached.get(path);
  }

  /** Every file and directory that has a name now. */
  all(): Set<SimInode> {
    return new Set(this.#cached.values());
  }

  list(directory: string): string[] {
    const prefix = directory === '/' ? '/' : `${directory}/`;
    const names: string[] = [];
    for (const path of this.#cached.keys()) {
      if (path !== '/' && path.startsWith(prefix) && !path.slice(prefix.length).includes('/')) {
        names.push(path.slice(prefix.length));
      }
    }

    return names.sort();
  }

  create(sequence: number, path: string, directory: boolean): SimInode {
    this.#inodes += 1;
    const inode = new SimInode(this.#inodes, directory);
    this.#change({sequence, directory: dirname(path), from: undefined, to: path, inode});
    return inode;
  }

  rename(sequence: number, from: string, to: string, inode: SimInode): void {
    this.#change({sequence, directory: dirname(to), from, to, inode});
  }

  unlink(sequence: number, path: string, inode: SimInode): void {
    this.#change({sequence, directory: dirname(path), from: path, to: undefined, inode});
  }

  sync(directory: string): void {
    const rest: NameChange[] = [];
    for (const change of this.#pending) {
      if (change.directory === directory) apply(this.#stable, change);
      else rest.push(change);
    }

    this.#pending = rest;
  }

  /** Power loss; @returns the files that are left */
  crash(random: Random, policy: CrashPolicy): Set<SimInode> {
    const lost = new Set<string | SimInode>();
    for (const change of this.#pending) {
      const touched = [change.from, change.to, change.inode].filter((key) => key !== undefined);
      if (survives(change, random, policy) && !touched.some((key) => lost.has(key))) {
        apply(this.#stable, change);
      } else {
        for (const key of touched) lost.add(key);
      }
    }

    this.#pending = [];
    // Shorter paths first: what lay in a directory that is gone is gone.
    for (const path of [...this.#stable.keys()].sort((a, b) => a.length - b.length)) {
      if (!this.#stable.has(dirname(path))) this.#stable.delete(path);
    }

    this.#cached = new Map(this.#stable);
    return this.all();
  }

  #change(change: NameChange): void {
    this.#pending.push(change);
    apply(this.#cached, change);
  }
}

function apply(names: Map<string, SimInode>, change: NameChange): void {
  if (change.from !== undefined) names.delete(change.from);
  if (change.to !== undefined) names.set(change.to, change.inode);
}

function survives(change: NameChange, random: Random, policy: CrashPolicy): boolean {
  if (policy.mode === 'all') return true;
  if (policy.mode === 'none') return false;
  if (policy.mode === 'ordered') return change.sequence < policy.cut;
  return chance(random, policy.keepProbability);
}
