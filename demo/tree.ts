/** The real input of the demonstration: a file tree, copied and compared file by file. */
import {createHash} from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type {ProgressBar} from './screen.js';

/** Fits, with its file system's own tables, into a disk of 1 GiB with room to spare. */
const TREE_BYTES_MAX = 400 * 1024 * 1024;
/** Looking at each three times is to take seconds. */
const TREE_ENTRIES_MAX = 12_000;
const PART_FILE_BYTES_MIN = 32 * 1024;
const BLOCK_BYTES = 4096;
const COPIES_AT_ONCE = 4;
/** Larger files are fsynced, so that the copy really waits for the disk. */
const SYNCED_BYTES_MIN = 256 * 1024;

export interface Entry {
  /** Path below the tree. */
  readonly name: string;
  readonly kind: 'directory' | 'file' | 'link';
  readonly bytes: number;
}

export interface Tree {
  readonly source: string;
  /** Directories before what is in them. */
  readonly entries: readonly Entry[];
  readonly bytes: number;
}

/** Lists a tree, or as much of it as fits the demonstration's disk. */
export function listTree(source: string): Tree {
  const entries: Entry[] = [];
  let roundedBytes = 0;
  let bytes = 0;
  const walk = (directory: string): void => {
    for (const found of fs.readdirSync(path.join(source, directory), {withFileTypes: true})) {
      const name = path.join(directory, found.name);
      if (entries.length >= TREE_ENTRIES_MAX) return;
      if (found.isDirectory()) {
        entries.push({name, kind: 'directory', bytes: 0});
        roundedBytes += BLOCK_BYTES;
        walk(name);
      } else if (found.isSymbolicLink()) {
        entries.push({name, kind: 'link', bytes: 0});
      } else if (found.isFile()) {
        const size = fs.statSync(path.join(source, name)).size;
        const rounded = Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
        if (roundedBytes + rounded > TREE_BYTES_MAX) continue;
        roundedBytes += rounded;
        bytes += size;
        entries.push({name, kind: 'file', bytes: size});
      }
    }
  };
  walk('');
  return {source, entries, bytes};
}

/** Some larger files of a tree, with the directories that they need: at most so many bytes. */
export function someOf({source, entries}: Tree, bytesMax: number): Tree {
  const files: Entry[] = [];
  let bytes = 0;
  for (const entry of entries) {
    const fits = entry.bytes >= PART_FILE_BYTES_MIN && bytes + entry.bytes <= bytesMax;
    if (entry.kind !== 'file' || !fits) continue;
    bytes += entry.bytes;
    files.push(entry);
  }

  const above = new Set(files.flatMap(({name}) => directoriesAbove(name)));
  const directories = entries.filter(({kind, name}) => kind === 'directory' && above.has(name));
  return {source, entries: [...directories, ...files], bytes};
}

function directoriesAbove(name: string): string[] {
  const words = path.dirname(name).split('/');
  return words.map((_, index) => words.slice(0, index + 1).join('/'));
}

/** Copies a tree; `onProgress` is called after each file. */
export async function copyTree(tree: Tree, target: string, bar: ProgressBar): Promise<void> {
  for (const {name} of tree.entries.filter(({kind}) => kind === 'directory')) {
    await fs.promises.mkdir(path.join(target, name), {recursive: true});
  }

  await forEachAtOnce(tree.entries, async (entry) => {
    const from = path.join(tree.source, entry.name);
    const to = path.join(target, entry.name);
    if (entry.kind === 'link') {
      await fs.promises.symlink(await fs.promises.readlink(from), to);
    } else if (entry.kind === 'file') {
      await fs.promises.copyFile(from, to);
      if (entry.bytes >= SYNCED_BYTES_MIN) await syncFile(to);
      bar.add(entry.bytes);
    }
  });
}

/** @returns what differs: empty where every file has its checksum and every link its target */
export async function compareTree(tree: Tree, target: string, bar: ProgressBar): Promise<string[]> {
  const differences: string[] = [];
  await forEachAtOnce(tree.entries, async (entry) => {
    const from = path.join(tree.source, entry.name);
    const to = path.join(target, entry.name);
    try {
      const equal = await compareEntry(entry, from, to);
      if (!equal) differences.push(`${entry.name} differs`);
    } catch (error) {
      differences.push(`${entry.name}: ${error instanceof Error ? error.message : String(error)}`);
    }

    bar.add(entry.bytes);
  });
  return differences;
}

async function compareEntry(entry: Entry, from: string, to: string): Promise<boolean> {
  if (entry.kind === 'directory') return (await fs.promises.stat(to)).isDirectory();
  if (entry.kind === 'link') {
    return (await fs.promises.readlink(from)) === (await fs.promises.readlink(to));
  }

  return (await checksum(from)) === (await checksum(to));
}

async function checksum(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of fs.createReadStream(file, {highWaterMark: 1024 * 1024})) {
    hash.update(chunk as Buffer);
  }

  return hash.digest('hex');
}

async function syncFile(file: string): Promise<void> {
  const handle = await fs.promises.open(file, 'r+');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function forEachAtOnce(
  entries: readonly Entry[],
  work: (entry: Entry) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let entry = entries[next++]; entry !== undefined; entry = entries[next++]) {
      await work(entry);
    }
  };
  await Promise.all(Array.from({length: COPIES_AT_ONCE}, worker));
}
