/**
 * Who uses a device or an image: asked of the kernel by /proc and sysfs, never counted by us.
 * Only links below /proc are read: readlink of a descriptor does not touch what it points to.
 */
import fs from 'node:fs';
import {basename} from 'node:path';
import {parseMountInfo} from './mounts.js';

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
  const openers: Opener[] = [];
  const namespaces = new Set<string>();
  const wanted = {paths, numbers: deviceNumbers(roots.block, paths)};
  for (const name of fs.readdirSync(roots.proc)) {
    const pid = Number(name);
    if (!Number.isSafeInteger(pid)) continue;
    openers.push(...mountsSeenBy(roots.proc, pid, wanted, namespaces));
    if (!exceptPids.includes(pid) && holdsOpen(roots.proc, pid, paths)) {
      openers.push({kind: 'process', pid, text: `pid ${pid} (${commandOf(roots.proc, pid)})`});
    }
  }

  openers.push(...swapsOn(roots.proc, paths), ...holdersOf(roots.block, paths));
  return openers;
}

/** Mounts are looked at once for each mount namespace: a container may hold a mount of ours. */
function mountsSeenBy(
  proc: string,
  pid: number,
  wanted: {readonly paths: readonly string[]; readonly numbers: readonly string[]},
  namespaces: Set<string>,
): Opener[] {
  try {
    const namespace = fs.readlinkSync(`${proc}/${pid}/ns/mnt`);
    if (namespaces.has(namespace)) return [];
    namespaces.add(namespace);
    return parseMountInfo(fs.readFileSync(`${proc}/${pid}/mountinfo`, 'utf8'))
      .filter(
        (mount) => wanted.paths.includes(mount.source) || wanted.numbers.includes(mount.device),
      )
      .map((mount) => ({
        kind: 'mount',
        pid: null,
        text: `${mount.source} is mounted at ${mount.mountPoint}`,
      }));
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

function holdsOpen(proc: string, pid: number, paths: readonly string[]): boolean {
  try {
    return fs.readdirSync(`${proc}/${pid}/fd`).some((fd) => {
      try {
        return paths.includes(fs.readlinkSync(`${proc}/${pid}/fd/${fd}`));
      } catch {
        return false;
      }
    });
  } catch {
    return false;
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
