/**
 * Names in directories, as programs see them and as the device holds them, like sim-names.ts but with
 * directories that can be renamed: a name belongs to the inode of its directory, not to a path.
 *
 * After a power loss any subset of the changes that no fsync covers may have happened, each one wholly or
 * not at all, and none without the earlier ones on the same name or file.
 */
import type {Random} from '../sim/random.js';
import {chance} from '../sim/random.js';
import type {CrashPolicy} from '../sim/sim-inode.js';

interface NameChange {
  readonly sequence: number;
  /** Key of the name that goes, if any. */
  readonly from: string | undefined;
  /** Key of the name that comes, if any. */
  readonly to: string | undefined;
  readonly inode: number;
}

const key = (directory: number, name: string): string => `${directory}/${name}`;

export class VolatileNames {
  #cached = new Map<string, number>();
  #stable = new Map<string, number>();
  #pending: NameChange[] = [];

  get(directory: number, name: string): number | undefined {
    return this.#cached.get(key(directory, name));
  }

  list(directory: number): string[] {
    const prefix = key(directory, '');
    const keys = [...this.#cached.keys()].filter((each) => each.startsWith(prefix));
    return keys.map((each) => each.slice(prefix.length)).sort();
  }

  create(sequence: number, directory: number, name: string, inode: number): void {
    this.#change({sequence, from: undefined, to: key(directory, name), inode});
  }

  unlink(sequence: number, directory: number, name: string, inode: number): void {
    this.#change({sequence, from: key(directory, name), to: undefined, inode});
  }

  rename(
    sequence: number,
    [directory, name]: readonly [number, string],
    [newDirectory, newName]: readonly [number, string],
    inode: number,
  ): void {
    const [from, to] = [key(directory, name), key(newDirectory, newName)];
    this.#change({sequence, from, to, inode});
  }

  /** fsync of a directory: its changes, and the earlier ones that these build on. */
  sync(directory: number): void {
    const prefix = key(directory, '');
    const needed = new Set<string | number>();
    const chosen = new Set<NameChange>();
    for (const change of this.#pending.toReversed()) {
      const touched = keysOf(change);
      const isHere = touched.some((each) => typeof each === 'string' && each.startsWith(prefix));
      if (!isHere && !touched.some((each) => needed.has(each))) continue;
      chosen.add(change);
      for (const each of touched) needed.add(each);
    }

    for (const change of this.#pending) if (chosen.has(change)) apply(this.#stable, change);
    this.#pending = this.#pending.filter((change) => !chosen.has(change));
  }

  crash(random: Random, policy: CrashPolicy): void {
    const lost = new Set<string | number>();
    for (const change of this.#pending) {
      const touched = keysOf(change);
      const follows = touched.some((each) => lost.has(each));
      if (!follows && survives(change, random, policy)) apply(this.#stable, change);
      else for (const each of touched) lost.add(each);
    }

    this.#pending = [];
    this.#cached = new Map(this.#stable);
  }

  #change(change: NameChange): void {
    this.#pending.push(change);
    apply(this.#cached, change);
  }
}

function keysOf({from, to, inode}: NameChange): (string | number)[] {
  return [from, to, inode].filter((each) => each !== undefined);
}

function apply(names: Map<string, number>, {from, to, inode}: NameChange): void {
  if (from !== undefined) names.delete(from);
  if (to !== undefined) names.set(to, inode);
}

function survives({sequence}: NameChange, random: Random, policy: CrashPolicy): boolean {
  if (policy.mode === 'all') return true;
  if (policy.mode === 'none') return false;
  if (policy.mode === 'ordered') return sequence < policy.cut;
  return chance(random, policy.keepProbability);
}
