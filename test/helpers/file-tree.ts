import fs from 'node:fs';
import path from 'node:path';
import {run, tryRun} from './run.js';

/** A real tree that every checkout has: some hundred files, 23 MB, from bytes to megabytes. */
export const SOURCE_TREE = path.join(import.meta.dirname, '..', '..', 'node_modules', 'typescript');

/** Copies the tree below `target`. */
export async function copyTree(target: string): Promise<void> {
  await run('cp', ['-a', SOURCE_TREE, target], {timeoutMs: 60_000});
}

/** @returns what `diff -r` says: nothing where the trees are equal */
export async function compareTrees(copy: string): Promise<string> {
  const result = await tryRun('diff', ['-r', SOURCE_TREE, copy], {timeoutMs: 60_000});
  return result.stdout + result.stderr;
}

/** Writes files one after the other, each fsynced, until an error or `until` says so. */
export async function writeSyncedFiles(
  directory: string,
  ended: () => boolean,
): Promise<readonly string[]> {
  const acknowledged: string[] = [];
  for (let number = 0; !ended(); number += 1) {
    const name = `file-${number}`;
    try {
      const handle = await fs.promises.open(path.join(directory, name), 'wx');
      try {
        await handle.writeFile(syncedContent(name));
        await handle.sync();
      } finally {
        await handle.close();
      }

      // ext4 and xfs make the name durable with the file's own fsync.
      acknowledged.push(name);
    } catch {
      return acknowledged;
    }
  }

  return acknowledged;
}

/** What writeSyncedFiles() wrote: from one line to 64 KiB, as the name decides. */
export function syncedContent(name: string): string {
  const lines = 1 + ((Number(name.slice(5)) * 7919) % 4096);
  return `${name}-0123456789\n`.repeat(lines).slice(0, 65_536);
}
