/**
 * Files that a crash left half made, and what is left of resources that are gone. Whoever makes such
 * a file is done with it within seconds: only what is older than an hour counts.
 */
import fs from 'node:fs';
import {join} from 'node:path';
import {homePaths} from '../core/home.js';

const LEFT_AFTER_MS = 3_600_000;

export interface RemovedFile {
  readonly path: string;
  readonly bytes: number;
}

/**
 * Removes leftovers below a home; a path that cannot be looked at or removed stays.
 *
 * @param nowMs the wall clock, to compare with times of files
 * @returns what was removed, or would be
 */
export function removeLeftoverFiles(home: string, nowMs: number, dryRun: boolean): RemovedFile[] {
  const removed: RemovedFile[] = [];
  for (const path of [...halfMade(home), ...orphans(home)]) {
    try {
      const stat = fs.lstatSync(path);
      if (nowMs - stat.mtimeMs < LEFT_AFTER_MS) continue;
      if (!dryRun) fs.rmSync(path, {recursive: true});
      removed.push({path, bytes: stat.size});
    } catch {
      // Gone meanwhile, or not to be had: the next time will see.
    }
  }

  return removed;
}

function halfMade(home: string): string[] {
  const {resourcesDirectory} = homePaths(home);
  const directories = [home, join(home, 'peers'), join(home, 'tls')];
  for (const name of namesIn(resourcesDirectory)) {
    const directory = join(resourcesDirectory, name);
    directories.push(directory, join(directory, 'log'), join(directory, 'forks'));
  }

  return directories.flatMap((directory) =>
    namesIn(directory)
      .filter((name) => name.endsWith('.tmp') || name === 'replay.new')
      .map((name) => join(directory, name)),
  );
}

/** What disk processes wrote beside their sockets, of resources that are not here any more. */
function orphans(home: string): string[] {
  const {resourcesDirectory, disksDirectory} = homePaths(home);
  const known = new Set(namesIn(resourcesDirectory).map((name) => name.replace(/^\./u, '')));
  return namesIn(disksDirectory)
    .filter((file) => {
      const name = /^(.+)\.(?:sock|log|log\.1|last|env|fuse|fifo)$/u.exec(file)?.[1];
      // `web.log` is the name of a resource as well: in doubt it stays.
      return name !== undefined && !known.has(name) && !known.has(name.replace(/\.log$/u, ''));
    })
    .map((file) => join(disksDirectory, file));
}

function namesIn(directory: string): string[] {
  try {
    return fs.readdirSync(directory);
  } catch {
    return [];
  }
}
