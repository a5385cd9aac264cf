/** A node in a temporary home with a daemon in this process, and disks that are stand-ins. */
import fs from 'node:fs';
import {spawnSync} from 'node:child_process';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {pino} from 'pino';
import {callSocket} from '../../src/control/client.js';
import {systemClock} from '../../src/core/clock.js';
import {isDiskError} from '../../src/core/errors.js';
import type {EventLine} from '../../src/core/disk-status.js';
import {homePaths} from '../../src/core/home.js';
import {startDaemon, type Daemon} from '../../src/daemon/daemon.js';

const programs = {
  holder: fileURLToPath(new URL('fake/holder.sh', import.meta.url)),
  main: fileURLToPath(new URL('fake/disk.mjs', import.meta.url)),
};

export interface FakeNode {
  readonly home: string;
  readonly daemon: Daemon;
  call<T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<T>;
  /** Writes a file that steers the stand-ins; undefined removes it. */
  steer(file: string, text: string | undefined): void;
  events(): EventLine[];
  /** Stops the daemon and starts another one on the same home. */
  restart(): Promise<FakeNode>;
  close(): Promise<void>;
}

/** Makes a home as `mars init` does. */
export function makeHome(prefix = 'mars-daemon-'): string {
  const home = fs.mkdtempSync(`/var/tmp/${prefix}`);
  writeNode(home, {});
  for (const name of ['resources', 'run/disks', 'fake']) {
    fs.mkdirSync(join(home, name), {recursive: true, mode: 0o700});
  }

  return home;
}

export function writeNode(home: string, change: Readonly<Record<string, unknown>>): void {
  const node = {
    schema: 1,
    name: 'alpha',
    id: 'a1'.repeat(16),
    mounts: join(home, 'mnt'),
    devices: join(home, 'dev'),
    createdAt: '2026-11-22T10:00:00.000Z',
    ...change,
  };
  fs.writeFileSync(homePaths(home).nodeFile, JSON.stringify(node));
}

export async function startFakeNode(home = makeHome()): Promise<FakeNode> {
  const log = pino({level: 'silent'});
  const daemon = await startDaemon({home, version: '0.0.0', programs, clock: systemClock, log});
  const paths = homePaths(home);
  const node: FakeNode = {
    home,
    daemon,
    call: <T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown) =>
      callSocket<T>({
        socket: paths.daemonSocket,
        method,
        path: `/v1/${path}`,
        ...(body === undefined ? {} : {body}),
        timeoutMs: 20_000,
        unreachable: 'DAEMON_UNREACHABLE',
      }).catch((error: unknown) => {
        throw printable(error);
      }),
    steer: (file, text) => {
      const path = join(home, 'fake', file);
      if (text === undefined) fs.rmSync(path, {force: true});
      else fs.writeFileSync(path, text);
    },
    events: () =>
      fs
        .readFileSync(paths.eventsFile, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as EventLine),
    restart: async () => {
      daemon.stop();
      await daemon.ended;
      return startFakeNode(home);
    },
    close: async () => {
      daemon.stop();
      await daemon.ended;
      removeHome(home);
    },
  };
  return node;
}

/** Ends the stand-ins of a home by taking their mounts away, then removes the home. */
export function removeHome(home: string): void {
  for (const line of fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n').reverse()) {
    const mountPoint = line.split(' ')[4] ?? '';
    if (mountPoint.startsWith(`${home}/`)) spawnSync('umount', ['-l', mountPoint]);
  }

  fs.rmSync(join(home, 'fake', 'backlog'), {force: true});
  fs.rmSync(home, {recursive: true, force: true});
}

/** Waits for a condition. @throws Error naming `what` after the deadline */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  deadlineMs = 15_000,
): Promise<void> {
  const end = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** uvu prints the `details` of an error as text, and ends without a word where they are an object. */
function printable(error: unknown): unknown {
  return isDiskError(error)
    ? Object.assign(error, {details: JSON.stringify(error.details)})
    : error;
}

/** @throws Error unless `promise` fails with this code; returns the error otherwise */
export async function rejectsWith(code: string, promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (isDiskError(error) && error.code === code) return error;
    throw new Error(`expected ${code}, got ${String(error)}`, {cause: error});
  }

  throw new Error(`expected ${code}, got no error`);
}
