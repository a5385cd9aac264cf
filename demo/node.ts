/** The demonstration's nodes: they run `mars` and system programs, and show what they run. */
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import type {DaemonStatus, ResourceStatus, StatusDocument} from '../src/control/api.js';
import {isRunning} from '../test/helpers/temp-home.js';
import {findLeftovers, mountsBelow, removeLeftovers} from '../test/helpers/leftovers.js';
import {run, tryRun, until} from '../test/helpers/run.js';
import {command, good} from './screen.js';

const ROOT = path.join(import.meta.dirname, '..');
const PROGRAM = path.join(ROOT, 'bin', 'run.js');

/** Ignored by git; nothing outside it is written. */
export const DIRECTORY = path.join(ROOT, '.demo');
export const MOUNT_POINT = path.join(DIRECTORY, 'files');

const COMMAND_MS_MAX = 60_000;
/** For a copy or a comparison of files. */
export const COPY_MS_MAX = 300_000;

/** Runs a system program, after showing it. */
export function system(program: string, ...words: string[]): Promise<string> {
  command([program, ...words].map((word) => word.replace(`${ROOT}/`, '')).join(' '));
  return run(program, words, {timeoutMs: COMMAND_MS_MAX});
}

/** A node of the demonstration, with a home and a daemon of its own. */
export class DemoNode {
  readonly name: string;
  readonly home: string;
  #port: number | undefined;

  constructor(name: string) {
    this.name = name;
    this.home = path.join(DIRECTORY, name);
  }

  /** Runs `mars WORDS` here, after showing it; a longer wait wants `--timeout` in the words. */
  mars(...words: string[]): Promise<string> {
    command(`mars-${this.name} ${words.map((word) => shorten(word)).join(' ')}`);
    return this.quietMars(...words);
  }

  /** Makes the node; it listens on a port of this machine. */
  async init(): Promise<void> {
    await this.mars('init', '--name', this.name, '--listen', `127.0.0.1:${await this.port()}`);
  }

  async port(): Promise<number> {
    this.#port ??= await freePort();
    return this.#port;
  }

  /** Runs `mars WORDS`, which must be refused. @returns what it says */
  async refused(...words: string[]): Promise<string> {
    command(`mars-${this.name} ${words.join(' ')}`);
    const {status, stdout, stderr} = await this.#try(words);
    if (status === 0) throw new Error(`mars ${words.join(' ')} was not refused: ${stdout}`);
    return stderr;
  }

  async succeeds(...words: string[]): Promise<boolean> {
    return (await this.#try(words)).status === 0;
  }

  async resourceStatus(name: string): Promise<ResourceStatus> {
    const {stdout, stderr} = await this.#try(['status', name, '--json']);
    const [status] = (JSON.parse(stdout || '{"resources":[]}') as StatusDocument).resources;
    if (status === undefined) throw new Error(`mars status shows no ${name}: ${stderr}`);
    return status;
  }

  #try(words: readonly string[]) {
    const argv = [PROGRAM, ...words, '--home', this.home];
    return tryRun(process.execPath, argv, {timeoutMs: COMMAND_MS_MAX});
  }

  quietMars(...words: string[]): Promise<string> {
    const argv = [PROGRAM, ...words, '--home', this.home];
    return run(process.execPath, argv, {timeoutMs: COMMAND_MS_MAX});
  }

  device(resource: string): string {
    return path.join(this.home, 'dev', resource);
  }

  /** Starts the daemon in the background and waits until it answers. */
  async startDaemon(): Promise<void> {
    command(`mars-${this.name} daemon run &`);
    const file = path.join(DIRECTORY, `${this.name}.log`);
    const output = fs.openSync(file, 'a');
    const daemon = spawn(process.execPath, [PROGRAM, 'daemon', 'run', '--home', this.home], {
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

        return (await this.daemonStatus())?.pid === daemon.pid;
      },
      20_000,
      `answer of the daemon: see ${file}`,
    );
  }

  async daemonStatus(): Promise<DaemonStatus | undefined> {
    try {
      return JSON.parse(await this.quietMars('daemon', 'status', '--json')) as DaemonStatus;
    } catch {
      return undefined; // Exit status 4: it does not answer.
    }
  }
}

export const RESOURCE = 'demo';
export const ALPHA = new DemoNode('alpha');
export const BETA = new DemoNode('beta');
/** Of the disk on alpha. */
export const DEVICE = ALPHA.device(RESOURCE);

/** A token is one long word. */
function shorten(word: string): string {
  return word.length <= 50 ? word : `${word.slice(0, 12)}...`;
}

/** A port of this machine that nobody listens on. */
async function freePort(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const {port} = server.address() as net.AddressInfo;
  await new Promise<void>((resolve) => {
    server.close(() => {
      resolve();
    });
  });
  return port;
}

/** Ends everything in order: file system, device, disk processes, daemons. */
export async function stopAll(...nodes: DemoNode[]): Promise<void> {
  if (mountsBelow(MOUNT_POINT).length > 0) await system('umount', MOUNT_POINT);
  for (const node of nodes) await node.mars('daemon', 'stop', '--disks');
  await until(() => leftovers() === 0, 20_000, 'end of all processes, mounts and loop devices');
}

/** SIGKILL of the daemon, the holder and the disk process at one moment: the node is gone. */
export async function killEverything(node: DemoNode): Promise<void> {
  const status = await node.daemonStatus();
  const disks = status?.disks.flatMap(({holderPid, pid}) => [holderPid, pid]) ?? [];
  const pids = [status?.pid, ...disks].filter((pid) => pid != null);
  if (pids.length < 3) throw new Error(`daemon, holder and disk process of ${node.name} run not`);
  command(`kill -9 ${pids.join(' ')}   # daemon, holder and disk process of ${node.name}`);
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await until(() => pids.every((pid) => !isRunning(pid)), 20_000, 'death of these processes');
  good(`nothing of ${node.name} runs any more`);
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
