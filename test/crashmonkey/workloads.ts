/**
 * Short workloads of file operations, after the model of CrashMonkey (Mohan et al., OSDI 2018): each has one
 * to three operations on a few names and one call in between that makes something durable. The model
 * knows what the file must be then, in whatever state a power loss leaves the disk.
 *
 * What the calls promise is what ext4 and xfs keep: an fsync makes the file durable under its name, an
 * fdatasync its content under one of the names that it has or had, an fsync of the directory its names,
 * syncfs all of that. What comes later may be there or not, in part where it is data.
 */
import assert from 'node:assert';

export type Operation =
  | {
      readonly kind: 'create' | 'append' | 'overwrite' | 'truncate' | 'unlink';
      readonly name: string;
    }
  | {readonly kind: 'rename' | 'link'; readonly name: string; readonly to: string}
  | {readonly kind: 'mkdir'; readonly name: string};

export type PersistKind = 'fsync' | 'fdatasync' | 'directory' | 'sync';

export interface Workload {
  readonly operations: readonly Operation[];
  /** How many operations come before the call that makes durable. */
  readonly persistAfter: number;
  readonly persist: PersistKind;
  /** The file of fsync and fdatasync. */
  readonly target: string;
}

export const INITIAL_BYTES = 6000;
export const APPEND_BYTES = 5000;
export const OVERWRITE_BYTES = 4096;
export const TRUNCATED_BYTES = 1000;
/** All names that a workload may have, directories first. */
export const NAMES = ['D', 'A', 'B', 'D/A'] as const;

const OPERATIONS: readonly Operation[] = [
  {kind: 'create', name: 'B'},
  {kind: 'append', name: 'A'},
  {kind: 'append', name: 'B'},
  {kind: 'overwrite', name: 'A'},
  {kind: 'truncate', name: 'A'},
  {kind: 'rename', name: 'A', to: 'B'},
  {kind: 'rename', name: 'B', to: 'A'},
  {kind: 'rename', name: 'A', to: 'D/A'},
  {kind: 'link', name: 'A', to: 'B'},
  {kind: 'unlink', name: 'A'},
  {kind: 'unlink', name: 'B'},
  {kind: 'mkdir', name: 'D'},
];

/** Content of a file that nobody else has: by workload and a number. */
export function contentOf(workload: number, stamp: number, bytes: number): Buffer {
  const text = `w${workload} s${stamp} `;
  return Buffer.from(text.repeat(Math.ceil(bytes / text.length)).slice(0, bytes));
}

/** `rename A B; fsync B; unlink B` */
export function describe({operations, persistAfter, persist, target}: Workload): string {
  const words = operations.map((operation) =>
    'to' in operation
      ? `${operation.kind} ${operation.name} ${operation.to}`
      : `${operation.kind} ${operation.name}`,
  );
  const call = persist === 'fsync' || persist === 'fdatasync' ? `${persist} ${target}` : persist;
  words.splice(persistAfter, 0, call);
  return words.join('; ');
}

/** One file or directory of the model; a file that is changed is a new one with the same id. */
interface Entry {
  readonly id: number;
  readonly isDirectory: boolean;
  readonly content: Buffer;
}

/** What the names are, at one moment. */
export type Tree = ReadonlyMap<string, Entry>;

/** All valid workloads of 1 to `operationsMax` operations, in a fixed order. */
export function enumerateWorkloads(operationsMax: number): Workload[] {
  const found: Workload[] = [];
  const extend = (operations: readonly Operation[], tree: Tree): void => {
    if (operations.length > 0) found.push(...variantsOf(operations));
    if (operations.length === operationsMax) return;
    for (const operation of OPERATIONS) {
      const next = apply(tree, operation, 0, operations.length);
      if (next !== undefined) extend([...operations, operation], next);
    }
  };
  extend([], initialTree(0));
  return found;
}

function variantsOf(operations: readonly Operation[]): Workload[] {
  const variants: Workload[] = [];
  const trees = treesOf({operations}, 0);
  for (let after = 1; after <= operations.length; after += 1) {
    const last = operations[after - 1];
    assert.ok(last);
    const target = 'to' in last ? last.to : last.name;
    const base = {operations, persistAfter: after, target};
    variants.push({...base, persist: 'directory'}, {...base, persist: 'sync'});
    const entry = trees[after]?.get(target);
    if (entry === undefined || entry.isDirectory) continue;
    variants.push({...base, persist: 'fsync'}, {...base, persist: 'fdatasync'});
  }

  return variants;
}

/** Before the first operation, durable: A with some content. */
export function initialTree(workload: number): Tree {
  const content = contentOf(workload, 0, INITIAL_BYTES);
  return new Map([['A', {id: 0, isDirectory: false, content}]]);
}

/** The tree before the first operation and behind each. */
export function treesOf({operations}: Pick<Workload, 'operations'>, workload: number): Tree[] {
  const trees: Tree[] = [initialTree(workload)];
  for (const [index, operation] of operations.entries()) {
    const tree = apply(trees[index] ?? new Map(), operation, workload, index);
    assert.ok(tree, 'a workload is valid');
    trees.push(tree);
  }

  return trees;
}

/** @returns undefined where the operation would fail */
function apply(
  tree: Tree,
  operation: Operation,
  workload: number,
  index: number,
): Tree | undefined {
  const next = new Map(tree);
  const entry = tree.get(operation.name);
  const stamp = index + 1;
  switch (operation.kind) {
    case 'create':
    case 'mkdir': {
      if (entry !== undefined) return undefined;
      const isDirectory = operation.kind === 'mkdir';
      next.set(operation.name, {id: stamp, isDirectory, content: Buffer.alloc(0)});
      return next;
    }

    case 'append':
    case 'overwrite':
    case 'truncate': {
      if (entry === undefined) return undefined;
      const content = changed(entry.content, operation.kind, workload, stamp);
      // All names of the file.
      for (const [name, {id}] of tree) {
        if (id === entry.id) next.set(name, {...entry, content});
      }

      return next;
    }

    case 'unlink': {
      return next.delete(operation.name) ? next : undefined;
    }

    case 'rename':
    case 'link': {
      const {to} = operation;
      const target = tree.get(to);
      if (entry === undefined) return undefined;
      if (to.startsWith('D/') && tree.get('D') === undefined) return undefined;
      // Over another name of the same file a rename does nothing.
      if (target !== undefined && (operation.kind === 'link' || target.id === entry.id))
        return undefined;
      next.set(to, entry);
      if (operation.kind === 'rename') next.delete(operation.name);
      return next;
    }
  }
}

function changed(
  content: Buffer,
  kind: 'append' | 'overwrite' | 'truncate',
  workload: number,
  stamp: number,
): Buffer {
  if (kind === 'append') return Buffer.concat([content, contentOf(workload, stamp, APPEND_BYTES)]);
  if (kind === 'truncate') {
    const bytes = Buffer.alloc(TRUNCATED_BYTES);
    content.copy(bytes);
    return bytes;
  }

  const written = contentOf(workload, stamp, OVERWRITE_BYTES);
  return Buffer.concat([written, content.subarray(OVERWRITE_BYTES)]);
}

/** What a crash state has: undefined for a name that is not there, null for a directory. */
export type Found = (name: string) => Buffer | null | undefined;

/**
 * Judges a state of the disk after a crash that came behind the answer of the call.
 *
 * @returns what is wrong, or undefined
 */
export function judge(workload: Workload, number: number, found: Found): string | undefined {
  const trees = treesOf(workload, number);
  const persisted = trees[workload.persistAfter];
  assert.ok(persisted);
  const later = trees.slice(workload.persistAfter);
  const {persist, target} = workload;
  if (persist === 'fdatasync') {
    const entry = persisted.get(target);
    if (entry === undefined) return undefined;
    const names = NAMES.filter((name) => trees.some((tree) => tree.get(name)?.id === entry.id));
    const mayBeGone = later.some((tree) => ![...tree.values()].some(({id}) => id === entry.id));
    if (mayBeGone || names.some((name) => isEntry(entry, found(name), later))) return undefined;
    return `its content is under none of the names ${names.join(', ')}`;
  }

  for (const [name, entry] of persisted) {
    if (persist === 'fsync' && name !== target) continue;
    if (persist === 'directory' && name.includes('/')) continue;
    const withContent = persist !== 'directory';
    const fault = faultOf(name, entry, found(name), later, withContent);
    if (fault !== undefined) return fault;
  }

  return undefined;
}

function faultOf(
  name: string,
  entry: Entry,
  value: Buffer | null | undefined,
  later: readonly Tree[],
  withContent: boolean,
): string | undefined {
  if (value === undefined) {
    return later.some((tree) => !tree.has(name)) ? undefined : `${name} is not there`;
  }

  if (entry.isDirectory !== (value === null)) return `${name} is of another kind`;
  // Another file may have come to the name later: its content was never promised.
  const mayBeOther = later.some((tree) => (tree.get(name)?.id ?? entry.id) !== entry.id);
  if (!withContent || mayBeOther || isEntry(entry, value, later)) return undefined;
  const bytes = value?.length ?? 0;
  return `${name} has ${bytes} bytes, not those of the ${entry.content.length} that were durable`;
}

/** Whether bytes may be those of `entry`, as it was made durable and as it was changed afterwards. */
function isEntry(
  {id, content}: Entry,
  value: Buffer | null | undefined,
  later: readonly Tree[],
): boolean {
  if (value === null) return content.length === 0;
  if (value === undefined) return false;
  // Bytes that every later version has in common with the durable one cannot be anything else.
  let least = content.length;
  let same = Buffer.alloc(content.length, 1);
  for (const tree of later) {
    for (const other of [...tree.values()].filter((entry) => entry.id === id)) {
      least = Math.min(least, other.content.length);
      same = Buffer.from(same.map((flag, at) => (other.content[at] === content[at] ? flag : 0)));
    }
  }

  if (value.length < least) return false;
  for (let at = 0; at < least; at += 1) {
    if (same[at] === 1 && value[at] !== content[at]) return false;
  }

  return true;
}
