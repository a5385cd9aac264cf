/**
 * Starts and finds holders. A holder belongs to nobody: it has its own session (or its own systemd
 * unit) and outlives the daemon; it is known by the lock that it holds and by the socket of its
 * disk process, never by a pid that was written down.
 */
import fs from 'node:fs';
import {spawn} from 'node:child_process';
import {setTimeout as sleep} from 'node:timers/promises';
import {isErrorCode} from '../core/codes.js';
import type {DiskStatus} from '../core/disk-status.js';
import {DiskError, storeError, type ErrorDetails} from '../core/errors.js';
import type {FuseDriverWish, ResourcePaths} from '../core/home.js';
import {isObject} from '../core/json-file.js';
import {MIB} from '../core/units.js';
import {diskStatus} from '../control/disk-client.js';
import {diskUnitInstalled} from '../control/units.js';
import type {DiskPrograms} from './context.js';
import {holdersOfFile} from './openers.js';
import {programWords, runProgram} from '../core/run-program.js';

/** Exit status of a holder that found the lock taken. */
export const HOLDER_LOCKED = 73;
const POLL_MS = 10;
const OUTPUT_BYTES_MAX = 4 * MIB;
const TAIL_BYTES = 16 * 1024;
const STATUS_TIMEOUT_MS = 1500;
const SYSTEMCTL_TIMEOUT_MS = 30_000;

export interface HolderStart {
  readonly home: string;
  readonly name: string;
  readonly mountPoint: string;
  readonly driver: FuseDriverWish;
  readonly mode: 'serve' | 'replay' | 'follow';
  readonly acceptImage: boolean;
  readonly paths: ResourcePaths;
  readonly programs: DiskPrograms;
}

export interface StartedHolder {
  /** Exit status, once it ended; null for a signal. */
  ended: number | null | undefined;
  /** Size of the output file before the start: what comes after is from this life. */
  readonly outputStart: number;
}

/** Starts a holder in a session of its own, or its systemd unit where that is installed. */
export async function startHolder(start: HolderStart): Promise<StartedHolder> {
  const {output} = start.paths;
  const outputFd = openOutput(output);
  try {
    const started: StartedHolder = {ended: undefined, outputStart: fs.fstatSync(outputFd).size};
    if (diskUnitInstalled(start.home)) await startUnit(start);
    else spawnHolder(start, outputFd, started);
    return started;
  } finally {
    fs.closeSync(outputFd);
  }
}

function openOutput(path: string): number {
  try {
    const size = fs.existsSync(path) ? fs.statSync(path).size : 0;
    if (size > OUTPUT_BYTES_MAX) fs.renameSync(path, `${path}.1`);
    return fs.openSync(path, 'a', 0o600);
  } catch (error) {
    throw storeError(error, `open ${path}`);
  }
}

function spawnHolder(start: HolderStart, outputFd: number, started: StartedHolder): void {
  const {programs, home, name, mountPoint, driver, mode} = start;
  spawnScript({
    words: [programs.holder, home, name, mountPoint, driver, mode],
    variables: {
      MARS_DISK_MAIN: programs.main,
      MARS_ACCEPT_IMAGE: start.acceptImage ? '1' : '',
    },
    outputFd,
    noteEnd: (status) => {
      started.ended = status;
    },
  });
}

export interface ScriptStart {
  /** Path of the script, and its arguments. */
  readonly words: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  readonly outputFd: number;
  /** Its exit status; null for a signal, and where it could not be started. */
  readonly noteEnd: (status: number | null) => void;
}

/** Starts a script that keeps a mount, in a session of its own: it outlives the daemon. */
export function spawnScript({words, variables, outputFd, noteEnd}: ScriptStart): void {
  const child = spawn('sh', words, {
    cwd: '/',
    detached: true,
    stdio: ['ignore', outputFd, outputFd],
    // What is loaded into the daemon has no place in what it starts.
    env: {...process.env, MARS_NODE: process.execPath, ...variables, NODE_OPTIONS: ''},
  });
  child.once('error', () => {
    noteEnd(null);
  });
  child.once('exit', noteEnd);
  child.unref();
}

/** The unit `mars-disk@NAME` reads its words from a file beside the socket. */
async function startUnit(start: HolderStart): Promise<void> {
  const words = [
    `MARS_DRIVER=${start.driver}`,
    `MARS_MODE=${start.mode}`,
    `MARS_MOUNT=${start.mountPoint}`,
    `MARS_ACCEPT_IMAGE=${start.acceptImage ? '1' : ''}`,
    '',
  ].join('\n');
  fs.writeFileSync(start.paths.socket.replace(/sock$/u, 'env'), words, {mode: 0o600});
  const unit = `mars-disk@${start.name}.service`;
  await runProgram('systemctl', ['reset-failed', unit], SYSTEMCTL_TIMEOUT_MS);
  const result = await runProgram('systemctl', ['start', unit], SYSTEMCTL_TIMEOUT_MS);
  if (result.status === 0) return;
  throw new DiskError('DISK_UNREACHABLE', `systemctl start ${unit}: ${programWords(result)}`);
}

/**
 * Waits until the disk process answers and `ready` says so.
 *
 * @throws DiskError RESOURCE_LOCKED, the fatal error that the disk process printed, or TIMEOUT
 */
export async function waitForDisk(
  start: HolderStart,
  holder: StartedHolder,
  deadlineMs: number,
  ready: (status: DiskStatus) => boolean,
): Promise<DiskStatus> {
  let last: DiskStatus | undefined;
  for (;;) {
    last = (await diskStatus(start.paths.socket, STATUS_TIMEOUT_MS).catch(() => undefined)) ?? last;
    if (last !== undefined && ready(last)) return last;
    if (holder.ended !== undefined) throw holderError(start, holder);
    const fatal = fatalIn(tailOf(start.paths.output, holder.outputStart));
    if (fatal !== undefined) throw fatal;
    if (performance.now() > deadlineMs) {
      throw notReady(start.name, last?.phase);
    }

    await sleep(POLL_MS);
  }
}

/** A TIMEOUT of who waits for a disk process. @param phase what it said last; undefined: nothing */
export function notReady(name: string, phase: DiskStatus['phase'] | undefined): DiskError {
  const text = `the disk process of ${name} is not ready in time (${phase ?? 'no answer'})`;
  return new DiskError('TIMEOUT', text, {resource: name, phase: phase ?? 'none'});
}

function holderError(start: HolderStart, holder: StartedHolder): DiskError {
  if (holder.ended === HOLDER_LOCKED) return lockedError(start.name, start.paths);
  const tail = tailOf(start.paths.output, holder.outputStart);
  const fatal = fatalIn(tail);
  if (fatal !== undefined) return fatal;
  const words = tail.trim().split('\n').slice(-3).join('; ') || 'it printed nothing';
  return new DiskError(
    'DISK_UNREACHABLE',
    `the holder of ${start.name} ended with ${holder.ended ?? 'a signal'}: ${words}`,
    {resource: start.name},
  );
}

/** A RESOURCE_LOCKED that names who has the lock. */
export function lockedError(name: string, paths: ResourcePaths): DiskError {
  const who = holdersOfFile(paths.lock)[0];
  return new DiskError(
    'RESOURCE_LOCKED',
    `another process holds the lock of ${name}: ${who?.text ?? 'it cannot be seen from here'}`,
    {resource: name, ...(who?.pid == null ? {} : {pid: who.pid})},
  );
}

function tailOf(path: string, start: number): string {
  try {
    const fd = fs.openSync(path, 'r');
    try {
      const size = fs.fstatSync(fd).size;
      const from = Math.max(start, size - TAIL_BYTES);
      const bytes = Buffer.alloc(Math.max(0, size - from));
      fs.readSync(fd, bytes, 0, bytes.length, from);
      return bytes.toString('utf8');
    } finally {
      fs.closeSync(fd);
    }
  } catch {
    return '';
  }
}

/** The last `{"fatal": {code, message, details}}` line of an output. */
export function fatalIn(text: string): DiskError | undefined {
  for (const line of text.split('\n').reverse()) {
    if (!line.startsWith('{')) continue;
    try {
      const value: unknown = JSON.parse(line);
      const fatal = isObject(value) ? value['fatal'] : undefined;
      const code = isObject(fatal) ? fatal['code'] : undefined;
      if (!isObject(fatal) || typeof code !== 'string' || !isErrorCode(code)) continue;
      const details = isObject(fatal['details']) ? (fatal['details'] as ErrorDetails) : {};
      return new DiskError(code, String(fatal['message']), details);
    } catch {
      // Not a line of ours: the holder's shell prints words as well.
    }
  }

  return undefined;
}

/** The last fatal error in an output file. */
export function fatalInFile(path: string): DiskError | undefined {
  return fatalIn(tailOf(path, 0));
}

/** The last fatal error in the output behind `start` bytes, for a disk that was found dead. */
export function lastFatal(paths: ResourcePaths, start = 0): DiskError | undefined {
  return fatalIn(tailOf(paths.output, start));
}

/** Bytes of output so far. */
export function outputSize(paths: ResourcePaths): number {
  return fs.statSync(paths.output, {throwIfNoEntry: false})?.size ?? 0;
}

/**
 * true while a holder or disk process of the resource lives. Asks the kernel for the lock, and so
 * has it for a moment: only in the queue of the resource, where no holder starts meanwhile.
 */
export async function isLocked(paths: ResourcePaths): Promise<boolean> {
  let fd: number;
  try {
    fd = fs.openSync(paths.lock, 'r');
  } catch {
    return false; // no holder ever ran
  }

  try {
    const status = await new Promise<number | null>((resolve, reject) => {
      const args = ['-n', '-s', '-E', String(HOLDER_LOCKED), '3'];
      spawn('flock', args, {stdio: ['ignore', 'ignore', 'ignore', fd], cwd: '/'})
        .once('error', reject)
        .once('exit', resolve);
    });
    return status === HOLDER_LOCKED;
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * true while some process has the lock file open: the same for everybody else, at any time. Only a
 * socket that is there but not served is worth the look through /proc.
 */
export function seemsAlive(paths: ResourcePaths): boolean {
  return fs.existsSync(paths.socket) && holdersOfFile(paths.lock).length > 0;
}

/** Waits until nobody holds the lock. @returns false where the deadline came first */
export async function waitUnlocked(paths: ResourcePaths, deadlineMs: number): Promise<boolean> {
  let pauseMs = POLL_MS;
  while (await isLocked(paths)) {
    if (performance.now() > deadlineMs) return false;
    await sleep(pauseMs);
    pauseMs = Math.min(pauseMs * 2, 200);
  }

  return true;
}
