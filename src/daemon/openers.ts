/**
 * Who uses a device or an image: asked of the kernel by /proc and sysfs, never counted by us.
 * Only links below /proc are read: readlink of a descriptor does not touch what it points to.
 */
import fs from 'node:fs';
import {basename} from 'node:path';
import {parseMountInfo, type Mount} from '../core/mounts.js';

export interface Opener {
  readonly kind: 'process' | 'mount' | 'swap' | 'holder';
  /** Words for people: `pid 412 (postgres)`, `mounted at /srv (seen by pid 1)`. */
  readonly text: string;
  readonly pid: number | null;
}

/** Where to look; a test passes a directory of its own. */
export interface OpenerRoots {
  readonly proc: string;
  readonly block: string;
}

const ROOTS: OpenerRoots = {proc: '/proc', block: '/sys/block'};

/** What one look at /proc found: it serves for all paths that `wants` took. */
interface Look {
  /** Processes by what they have open. */
  readonly pids: ReadonlyMap<string, readonly number[]>;
  /** Of all mount namespaces: a container may hold a mount of ours. */
  readonly mounts: readonly Mount[];
}

/**
 * Everything that has one of `paths` open, mounted, as swap or below a device mapper.
 *
 * @param paths canonical: block devices and files
 * @param exceptPids processes that do not count
 */
export function findOpeners(
  paths: readonly string[],
  exceptPids: readonly number[] = [],
  roots: OpenerRoots = ROOTS,
): Opener[] {
  return openersIn(
    lookAround(roots.proc, (path) => paths.includes(path)),
    paths,
    exceptPids,
    roots,
  );
}

/** One look for all disks together, as long as it is new enough for who asks: for what is only shown. */
export class OpenersCache {
  readonly #wants: (path: string) => boolean;
  readonly #roots: OpenerRoots;
  #look: Look | undefined;
  #atMs = -Infinity;

  /** @param wants of which files and devices it is to know who has them open */
  constructor(wants: (path: string) => boolean, roots: OpenerRoots = ROOTS) {
    this.#wants = wants;
    this.#roots = roots;
  }

  /** As findOpeners, not older than `sinceMs` by the clock of `nowMs`. */
  find(
    paths: readonly string[],
    exceptPids: readonly number[],
    sinceMs: number,
    nowMs: number,
  ): Opener[] {
    let look = this.#look;
    if (look === undefined || this.#atMs < sinceMs) {
      look = lookAround(this.#roots.proc, this.#wants);
      this.#look = look;
      this.#atMs = nowMs;
    }

    return openersIn(look, paths, exceptPids, this.#roots);
  }
}

function lookAround(proc: string, wants: (path: string) => boolean): Look {
  const pids = new Map<string, number[]>();
  const mounts: Mount[] = [];
  const namespaces = new Set<string>();
  for (const name of fs.readdirSync(proc)) {
    const pid = Number(name);
    if (!Number.isSafeInteger(pid)) continue;
    mounts.push(...mountsSeenBy(proc, pid, namespaces));
    for (const path of new Set(openFilesOf(proc, pid, wants))) {
      const known = pids.get(path);
      if (known === undefined) pids.set(path, [pid]);
      else known.push(pid);
    }
  }

  return {pids, mounts};
}

function openersIn(
  look: Look,
  paths: readonly string[],
  exceptPids: readonly number[],
  {proc, block}: OpenerRoots,
): Opener[] {
  const numbers = deviceNumbers(block, paths);
  const mounts = look.mounts
    .filter(({source, device}) => paths.includes(source) || numbers.includes(device))
    .map(({source, mountPoint}): Opener => {
      return {kind: 'mount', pid: null, text: `${source} is mounted at ${mountPoint}`};
    });
  const pids = new Set(paths.flatMap((path) => look.pids.get(path) ?? []));
  const processes = [...pids]
    .filter((pid) => !exceptPids.includes(pid))
    .sort((left, right) => left - right)
    .map((pid): Opener => ({kind: 'process', pid, text: `pid ${pid} (${commandOf(proc, pid)})`}));
  return [...mounts, ...processes, ...swapsOn(proc, paths), ...holdersOf(block, paths)];
}

/** Mounts are looked at once for each mount namespace. */
function mountsSeenBy(proc: string, pid: number, namespaces: Set<string>): Mount[] {
  try {
    const namespace = fs.readlinkSync(`${proc}/${pid}/ns/mnt`);
    if (namespaces.has(namespace)) return [];
    namespaces.add(namespace);
    return parseMountInfo(fs.readFileSync(`${proc}/${pid}/mountinfo`, 'utf8'));
  } catch {
    return []; // the process ended in the meantime, or is a kernel thread
  }
}

/** `7:3` of each block device among `paths`: a mount by a link has another source. */
function deviceNumbers(block: string, paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    try {
      return [fs.readFileSync(`${block}/${basename(path)}/dev`, 'utf8').trim()];
    } catch {
      return [];
    }
  });
}

function openFilesOf(proc: string, pid: number, wants: (path: string) => boolean): string[] {
  try {
    return fs.readdirSync(`${proc}/${pid}/fd`).flatMap((fd) => {
      try {
        const path = fs.readlinkSync(`${proc}/${pid}/fd/${fd}`);
        return wants(path) ? [path] : [];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}

function commandOf(proc: string, pid: number): string {
  try {
    return fs.readFileSync(`${proc}/${pid}/comm`, 'utf8').trim();
  } catch {
    return 'ended';
  }
}

function swapsOn(proc: string, paths: readonly string[]): Opener[] {
  try {
    return fs
      .readFileSync(`${proc}/swaps`, 'utf8')
      .split('\n')
      .slice(1)
      .map((line) => line.split(/\s/u)[0] ?? '')
      .filter((path) => paths.includes(path))
      .map((path) => ({kind: 'swap', pid: null, text: `${path} is used as swap`}));
  } catch {
    return [];
  }
}

function holdersOf(block: string, paths: readonly string[]): Opener[] {
  return paths.flatMap((path) => {
    try {
      return fs.readdirSync(`${block}/${basename(path)}/holders`).map((holder) => ({
        kind: 'holder' as const,
        pid: null,
        text: `${path} is used by /dev/${holder}`,
      }));
    } catch {
      return [];
    }
  });
}

/** The processes that have `file` open, such as a lock that is inherited; the lowest pid first. */
export function holdersOfFile(file: string, roots: OpenerRoots = ROOTS): Opener[] {
  return findOpeners([file], [], roots)
    .filter((opener) => opener.kind === 'process')
    .sort((left, right) => (left.pid ?? 0) - (right.pid ?? 0));
}
