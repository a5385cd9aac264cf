/**
 * Faults for real processes: a test names a JSON plan in the environment variable MARS_FAULTS and
 * edits it while disk process and daemon run. Without the variable nothing is wrapped.
 *
 *   [{"path": "log-", "call": "syncData", "after": 3, "count": 1, "errno": "EIO"},
 *    {"path": "/image$", "call": "read", "delayMs": 200}]
 *
 * Each thread counts its own calls; a changed plan (inode, size or mtime) starts all counts again.
 * A plan that is missing or half written changes nothing: the plan before it stays in force.
 * This is a layer for tests. It does not lose or tear data: that is the simulator's part.
 */
import fs from 'node:fs';
import {createNodeFiles} from './files.js';
import type {Files} from './files.js';
import {isObject} from './json-file.js';
import type {RangeHelper} from './fallocate.js';

/** Environment variable with the path of the plan. */
export const FAULTS_VARIABLE = 'MARS_FAULTS';

const ERRNOS: Readonly<Record<string, number>> = {
  EIO: -5,
  ENOSPC: -28,
  EROFS: -30,
  EOPNOTSUPP: -95,
};

/** One rule of the plan; the first that matches a call decides. */
export interface FaultRule {
  /** Regular expression over the path of the file. */
  readonly path: RegExp;
  /** Name of the call in `Files`: write, read, syncData, punch, open, ... */
  readonly call: string;
  /** Matching calls that pass before the first that fails. */
  readonly after: number;
  /** Calls that fail, then all pass again. */
  readonly count: number;
  /** The error, if any. */
  readonly errno: string | undefined;
  /** The call is held up for so long first. */
  readonly delayMs: number;
}

/** The Files of this process: the real ones, or with the faults of the plan in MARS_FAULTS. */
export function createFilesFromEnvironment(
  children: readonly number[] = [],
  helper?: RangeHelper,
): Files {
  const files = createNodeFiles(children, helper);
  const planPath = process.env[FAULTS_VARIABLE];
  return planPath === undefined || planPath === '' ? files : createFaultFiles(files, planPath);
}

/**
 * Reads a plan.
 *
 * @throws Error that names the fault of the plan
 */
export function parseFaultPlan(text: string): FaultRule[] {
  const plan: unknown = JSON.parse(text);
  if (!Array.isArray(plan)) throw new Error('a fault plan is a list of rules');
  return plan.map((rule: unknown) => {
    if (!isObject(rule)) throw new Error('a fault rule is an object');
    const {path, call, after = 0, count = Infinity, errno, delayMs = 0} = rule;
    if (typeof path !== 'string') throw new Error('"path" is not a regular expression');
    if (typeof call !== 'string') throw new Error('"call" is not a name');
    if (typeof after !== 'number' || typeof count !== 'number' || typeof delayMs !== 'number') {
      throw new Error('"after", "count" and "delayMs" are numbers');
    }

    if (errno !== undefined && (typeof errno !== 'string' || !Object.hasOwn(ERRNOS, errno))) {
      throw new Error(`"errno" is one of ${Object.keys(ERRNOS).join(', ')}`);
    }

    return {path: new RegExp(path, 'u'), call, after, count, errno, delayMs};
  });
}

/** Wraps `inner` with the faults of the plan at `planPath`, which may come, change and go. */
export function createFaultFiles(inner: Files, planPath: string): Files {
  const paths = new Map<number, string>();
  const meet = createPlanReader(planPath);
  const at = (fd: number): string => paths.get(fd) ?? linkOf(fd);
  return {
    open: (path, mode) => {
      meet('open', path);
      const fd = inner.open(path, mode);
      paths.set(fd, path);
      return fd;
    },
    close: (fd) => {
      paths.delete(fd);
      inner.close(fd);
    },
    read: (fd, target, offset, length, position) => {
      meet('read', at(fd));
      return inner.read(fd, target, offset, length, position);
    },
    write: (fd, source, offset, length, position) => {
      meet('write', at(fd));
      inner.write(fd, source, offset, length, position);
    },
    syncData: (fd) => {
      meet('syncData', at(fd));
      inner.syncData(fd);
    },
    sync: (fd) => {
      meet('sync', at(fd));
      inner.sync(fd);
    },
    allocate: (fd, sizeBytes) => {
      meet('write', at(fd));
      inner.allocate(fd, sizeBytes);
    },
    truncate: (fd, sizeBytes) => {
      meet('truncate', at(fd));
      inner.truncate(fd, sizeBytes);
    },
    sizeOf: (fd) => inner.sizeOf(fd),
    identify: (fd) => inner.identify(fd),
    punch: (fd, ranges) => {
      meet('punch', at(fd));
      inner.punch(fd, ranges);
    },
    rename: (from, to) => {
      meet('rename', from);
      inner.rename(from, to);
    },
    unlink: (path) => {
      meet('unlink', path);
      inner.unlink(path);
    },
    list: (directory) => {
      meet('list', directory);
      return inner.list(directory);
    },
    exists: (path) => inner.exists(path),
    makeDirectory: (path) => {
      meet('makeDirectory', path);
      inner.makeDirectory(path);
    },
    syncDirectory: (path) => {
      meet('syncDirectory', path);
      inner.syncDirectory(path);
    },
    freeBytes: (path) => inner.freeBytes(path),
  };
}

/** The path of a descriptor that another thread opened; text only, the file is not touched. */
function linkOf(fd: number): string {
  return fs.readlinkSync(`/proc/self/fd/${fd}`);
}

type Meet = (call: string, path: string) => void;

function createPlanReader(planPath: string): Meet {
  let version = '';
  let rules: FaultRule[] = [];
  let seen: number[] = [];
  const refresh = (): void => {
    const found = versionOf(planPath);
    if (found === version) return;
    try {
      rules = found === 'none' ? [] : parseFaultPlan(fs.readFileSync(planPath, 'utf8'));
      seen = rules.map(() => 0);
      version = found;
    } catch {
      // Half written: looked at again in the next call.
    }
  };

  return (call, path) => {
    refresh();
    for (const [index, rule] of rules.entries()) {
      if (rule.call !== call || !rule.path.test(path)) continue;
      const number = seen[index] ?? 0;
      seen[index] = number + 1;
      if (number < rule.after || number >= rule.after + rule.count) continue;
      if (rule.delayMs > 0) sleep(rule.delayMs);
      if (rule.errno !== undefined) throw injected(rule.errno, call, path);
      return;
    }
  };
}

function versionOf(planPath: string): string {
  const stat = fs.statSync(planPath, {bigint: true, throwIfNoEntry: false});
  return stat === undefined ? 'none' : `${stat.ino}:${stat.size}:${stat.mtimeNs}`;
}

function injected(errno: string, call: string, path: string): Error {
  return Object.assign(new Error(`${errno}: injected fault, ${call} '${path}'`), {
    code: errno,
    errno: ERRNOS[errno],
    syscall: call,
    path,
  });
}

function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
