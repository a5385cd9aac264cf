/** The demonstration's node: runs `mars` and system programs, and shows what it runs. */
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type {DaemonStatus} from '../src/control/api.js';
import {findLeftovers, mountsBelow, removeLeftovers} from '../test/helpers/leftovers.js';
import {run, until} from '../test/helpers/run.js';
import {command} from './screen.js';

const ROOT = path.join(import.meta.dirname, '..');
const PROGRAM = path.join(ROOT, 'bin', 'run.js');

/** Ignored by git; nothing outside it is written. */
export const DIRECTORY = path.join(ROOT, '.demo');
export const HOME = path.join(DIRECTORY, 'home');
export const MOUNT_POINT = path.join(DIRECTORY, 'files');

const COMMAND_MS_MAX = 60_000;

/** Runs `mars WORDS`, after showing it. */
export function mars(...words: string[]): Promise<string> {
  command(`mars ${words.join(' ')}`);
  return quietMars(...words);
}

export function quietMars(...words: string[]): Promise<string> {
  return run(process.execPath, [PROGRAM, ...words, '--home', HOME], {timeoutMs: COMMAND_MS_MAX});
}

/** Runs a system program, after showing it. */
export function system(program: string, ...words: string[]): Promise<string> {
  command([program, ...words].map((word) => word.replace(`${ROOT}/`, '')).join(' '));
  return run(program, words, {timeoutMs: COMMAND_MS_MAX});
}

/** Starts the daemon in the background and waits until it answers. */
export async function startDaemon(): Promise<void> {
  command('mars daemon run &');
  const file = path.join(DIRECTORY, 'daemon.log');
  const output = fs.openSync(file, 'a');
  const daemon = spawn(process.execPath, [PROGRAM, 'daemon', 'run', '--home', HOME], {
    detached: true,
    stdio: ['ignore', output, output],
  });
  fs.closeSync(output);
  daemon.unref();
  await until(
    async () => {
      if (daemon.exitCode !== null) {
        throw new Error(`the daemon ended:\n${fs.readFileSync(file, 'utf8').slice(-2000)}`);
      }

      return (await daemonStatus())?.pid === daemon.pid;
    },
    20_000,
    `answer of the daemon: see ${file}`,
  );
}

export async function daemonStatus(): Promise<DaemonStatus | undefined> {
  try {
    return JSON.parse(await quietMars('daemon', 'status', '--json')) as DaemonStatus;
  } catch {
    return undefined; // Exit status 4: it does not answer.
  }
}

/** Ends everything in order: file system, device, disk process, daemon. */
export async function stopAll(): Promise<void> {
  if (mountsBelow(MOUNT_POINT).length > 0) await system('umount', MOUNT_POINT);
  await mars('daemon', 'stop', '--disks');
  await until(() => leftovers() === 0, 20_000, 'end of all processes, mounts and loop devices');
}

/** Processes, mounts and loop devices of the demonstration that exist now. */
export function leftovers(): number {
  const left = findLeftovers(DIRECTORY, undefined);
  return left.processes.length + left.mounts.length + left.loops.length;
}

/** Takes everything away, by force where need be: also after a crash of an earlier run. */
export function removeAll(): void {
  removeLeftovers(DIRECTORY, undefined);
}
