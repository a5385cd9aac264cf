/**
 * A file system in memory that forgets: the files of the simulator (sim-inode.ts), names (volatile-names.ts), and
 * what a FUSE file system needs besides. After a power loss each 512-byte sector has one of the versions
 * since the last fsync of its file. An fsync of a file says nothing of its name, nor that of a directory
 * of its own name: that is less than ext4 gives, and all that POSIX does.
 *
 * Not modelled: hard links, room.
 */
import type {Random} from '../sim/random.js';
import {below, pick} from '../sim/random.js';
import {SimInode, type CrashPolicy} from '../sim/sim-inode.js';
import {VolatileNames} from './volatile-names.js';

/** A file or directory; the kernel knows it by the number of its inode. */
export interface TreeNode {
  readonly inode: SimInode;
  /** Type and permissions. */
  mode: number;
  uid: number;
  gid: number;
  readonly madeMs: number;
  /** Of a symbolic link. */
  readonly link: string;
}

const ROOT_MODE = 0o040700;
const TYPE_MASK = 0o170000;
const DIRECTORY_TYPE = 0o040000;

/** Names and nodes; `next` numbers the changes of the whole tree. */
export class VolatileTree {
  readonly #names = new VolatileNames();
  readonly #nodes = new Map<number, TreeNode>();
  #sequence = 0;

  constructor() {
    // FUSE knows the root by 1, which is its number here.
    this.#add(ROOT_MODE, '');
  }

  node(id: number): TreeNode | undefined {
    return this.#nodes.get(id);
  }

  lookup(parent: TreeNode, name: string): TreeNode | undefined {
    const id = this.#names.get(parent.inode.id, name);
    return id === undefined ? undefined : this.#nodes.get(id);
  }

  list(directory: TreeNode): string[] {
    return this.#names.list(directory.inode.id);
  }

  create(parent: TreeNode, name: string, mode: number, link = ''): TreeNode {
    const node = this.#add(mode, link);
    this.#names.create(this.next(), parent.inode.id, name, node.inode.id);
    return node;
  }

  rename(parent: TreeNode, name: string, newParent: TreeNode, newName: string): void {
    const id = this.#names.get(parent.inode.id, name);
    if (id === undefined) throw new Error('what is renamed is there');
    const [from, to] = [[parent.inode.id, name] as const, [newParent.inode.id, newName] as const];
    this.#names.rename(this.next(), from, to, id);
  }

  unlink(parent: TreeNode, name: string): void {
    const id = this.#names.get(parent.inode.id, name);
    if (id === undefined) throw new Error('what is removed is there');
    this.#names.unlink(this.next(), parent.inode.id, name, id);
  }

  syncDirectory(directory: TreeNode): void {
    this.#names.sync(directory.inode.id);
  }

  next(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  /** Of what no sync covered, anything legal is left. */
  crash(random: Random): CrashPolicy {
    const policy: CrashPolicy = {
      mode: pick(random, ['all', 'none', 'ordered', 'random', 'random', 'random'] as const),
      cut: this.#sequence - below(random, Math.min(this.#sequence, 64) + 1),
      keepProbability: pick(random, [0.1, 0.5, 0.9]),
      tearProbability: pick(random, [0, 0.1, 0.4]),
    };
    this.#names.crash(random, policy);
    for (const {inode} of this.#nodes.values()) inode.crash(random, policy);
    return policy;
  }

  #add(mode: number, link: string): TreeNode {
    const id = this.#nodes.size + 1;
    const inode = new SimInode(id, (mode & TYPE_MASK) === DIRECTORY_TYPE);
    const node = {inode, mode, uid: 0, gid: 0, madeMs: Date.now(), link};
    this.#nodes.set(id, node);
    return node;
  }
}
