/**
 * A node of its own for a test: home, daemon, resources, file systems on them. All of it lies
 * below one directory, which is taken away at the end, in order where that works, else by force.
 */
import {spawn} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {connectDaemon, getStatusOf} from '../../src/cli/daemon.js';
import type {DaemonStatus, ResourceStatus} from '../../src/control/api.js';
import {diskStatus} from '../../src/control/disk-client.js';
import type {DiskStatus} from '../../src/core/disk-status.js';
import {resourcePaths} from '../../src/core/home.js';
import {findLeftovers, mountsBelow, removeLeftovers} from './leftovers.js';
import {run, tryRun, until, type RunResult} from './run.js';

const ROOT = path.join(import.meta.dirname, '..', '..');
const PROGRAM = path.join(ROOT, 'bin', 'run.js');

export interface DiskProcesses {
  readonly holderPid: number;
  readonly pid: number;
  readonly restarts: number;
}

export class TempHome {
  /** Everything of this test lies below it. */
  readonly directory: string;
  readonly home: string;
  readonly name: string;
  #daemonPid: number | undefined;
  #disposed = false;

  private constructor(directory: string, name: string) {
    this.directory = directory;
    this.name = name;
    this.home = path.join(directory, 'home');
    process.on('exit', this.#disposeByForce);
  }

  /**
   * An initialised node with a running daemon.
   *
   * @param options.daemon false: without the daemon
   * @param options.name of the node; alpha where it is not given
   * @param options.listen where peers reach it, `127.0.0.1:4711`
   */
  static async create(
    options: {daemon?: boolean; name?: string; listen?: string} = {},
  ): Promise<TempHome> {
    const base = process.env['MARS_TEST_DIR'] ?? '/var/tmp';
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      if (process.listenerCount(signal) === 0) process.once(signal, () => process.exit(130));
    }

    const name = options.name ?? 'alpha';
    const home = new TempHome(fs.mkdtempSync(path.join(base, 'mars-test-')), name);
    // Programs of other users (PostgreSQL) work on file systems that are mounted below.
    for (const directory of [base, home.directory]) {
      if (directory !== '/var/tmp') fs.chmodSync(directory, 0o711);
    }

    try {
      const listen = options.listen === undefined ? [] : ['--listen', options.listen];
      await home.mars('init', '--name', name, ...listen);
      if (options.daemon !== false) await home.startDaemon();
    } catch (error) {
      home.#disposeByForce();
      throw error;
    }

    return home;
  }

  /** Runs a command that must succeed; returns its stdout. */
  mars(...args: string[]): Promise<string> {
    return run(process.execPath, [PROGRAM, ...args, '--home', this.home], {timeoutMs: 60_000});
  }

  /** Runs a command whatever its exit status. */
  tryMars(...args: string[]): Promise<RunResult> {
    return tryRun(process.execPath, [PROGRAM, ...args, '--home', this.home], {timeoutMs: 60_000});
  }

  /** Runs a command with --json, whatever its exit status, and parses what it prints. */
  async json<T>(...args: string[]): Promise<T> {
    const result = await this.tryMars(...args, '--json');
    try {
      return JSON.parse(result.stdout) as T;
    } catch (error) {
      throw new Error(`mars ${args.join(' ')} --json printed no JSON: ${result.stderr}`, {
        cause: error,
      });
    }
  }

  /** @param options of `mars daemon run` */
  async startDaemon(...options: string[]): Promise<void> {
    const output = fs.openSync(path.join(this.directory, 'daemon.log'), 'a');
    const words = ['daemon', 'run', '--home', this.home, ...options];
    const daemon = spawn(process.execPath, [PROGRAM, ...words], {
      detached: true,
      stdio: ['ignore', output, output],
    });
    fs.closeSync(output);
    daemon.unref();
    this.#daemonPid = daemon.pid;
    await until(
      async () => {
        if (daemon.exitCode !== null) {
          throw new Error(`the daemon ended at once:\n${this.daemonOutput()}`);
        }

        const status = await connectDaemon(this.home)
          .get<DaemonStatus>('/v1/daemon')
          .catch(() => undefined);
        return status?.pid === daemon.pid;
      },
      20_000,
      `daemon: ${this.daemonOutput()}`,
    );
  }

  daemonStatus(): Promise<DaemonStatus> {
    return this.json<DaemonStatus>('daemon', 'status');
  }

  daemonOutput(): string {
    return fs.readFileSync(path.join(this.directory, 'daemon.log'), 'utf8').slice(-4000);
  }

  /** Whether this test started a daemon that it did not kill. */
  get hasDaemon(): boolean {
    return this.#daemonPid !== undefined;
  }

  /** The daemon that this test started last and did not kill. */
  get daemonPid(): number | undefined {
    return this.#daemonPid;
  }

  /** SIGKILL, and waits until it is gone. */
  async killDaemon(): Promise<void> {
    const pid = this.#daemonPid;
    if (pid === undefined) throw new Error('no daemon runs');
    await killAndWait(pid);
    this.#daemonPid = undefined;
  }

  /** Creates a resource, which makes it primary; returns its loop device as a real path. */
  async disk(name: string, size: string, ...options: string[]): Promise<string> {
    await this.mars('resource', 'create', name, '--size', size, ...options);
    return this.device(name);
  }

  /** The loop device behind the link of a resource: /dev/loop3. */
  device(name: string): string {
    return fs.realpathSync(path.join(this.home, 'dev', name));
  }

  imageFile(name: string): string {
    return path.join(this.home, 'mnt', name, 'disk.img');
  }

  /** Asks the disk process itself: works without a daemon. Undefined while none listens. */
  async diskStatus(name: string): Promise<DiskStatus | undefined> {
    const {socket} = resourcePaths(this.home, name);
    return diskStatus(socket).catch(() => undefined);
  }

  /** Waits for the pids: a disk process that starts has none to tell yet. */
  async diskProcesses(name: string): Promise<DiskProcesses> {
    let found: DiskStatus | undefined;
    await until(
      async () => {
        found = await this.diskStatus(name);
        return found !== undefined && found.holderPid !== null;
      },
      20_000,
      `disk process of ${name} with a holder`,
    );
    return {
      holderPid: found?.holderPid ?? 0,
      pid: found?.pid ?? 0,
      restarts: found?.restarts ?? 0,
    };
  }

  /**
   * What `mars status --json` prints of a resource. Asks the daemon itself: waits look again and again,
   * and a process for each look would take the machine from what is looked at.
   */
  status(name: string): Promise<ResourceStatus> {
    return getStatusOf(connectDaemon(this.home), name);
  }

  /** Everything that was acknowledged is in the image. */
  async replayed(name: string, deadlineMs: number): Promise<void> {
    await until(
      async () => {
        const status = await this.diskStatus(name);
        return status !== undefined && status.position === status.replayed;
      },
      deadlineMs,
      `end of the replay of ${name}`,
    );
  }

  /** Mounts a file system of a device below the test's directory. */
  async mount(device: string, point: string, ...options: string[]): Promise<string> {
    const target = path.join(this.directory, point);
    fs.mkdirSync(target, {recursive: true});
    await run('mount', [...options, device, target]);
    return target;
  }

  async unmount(target: string): Promise<void> {
    await run('umount', [target], {timeoutMs: 60_000});
  }

  /**
   * Ends everything, in order. What does not end in order is removed by force, and fails the run:
   * a test that passes has left a machine as it found it. Does not throw: uvu would then forget
   * what the tests themselves said.
   */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    const problems: string[] = [];
    const attempt = async (what: () => Promise<unknown>): Promise<void> => {
      await what().catch((error: unknown) => problems.push(String(error)));
    };
    const mounts = mountsBelow(this.directory).filter(({type}) => !type.startsWith('fuse'));
    for (const mount of mounts.reverse()) await attempt(() => run('umount', [mount.point]));
    if (this.#daemonPid !== undefined) {
      await attempt(() => this.mars('daemon', 'stop', '--disks'));
    }

    await attempt(() =>
      until(
        () => {
          const left = findLeftovers(this.directory, undefined);
          return left.processes.length + left.mounts.length + left.loops.length === 0;
        },
        10_000,
        `end of ${JSON.stringify(findLeftovers(this.directory, undefined))}`,
      ),
    );
    const output = problems.length > 0 && this.#daemonPid !== undefined ? this.daemonOutput() : '';
    this.#disposeByForce();
    if (problems.length > 0) {
      process.stdout.write(`\nthe node did not end in order: ${problems.join('\n')}\n${output}\n`);
      process.once('exit', () => (process.exitCode = 1));
    }
  }

  readonly #disposeByForce = (): void => {
    if (this.#disposed) return;
    this.#disposed = true;
    process.off('exit', this.#disposeByForce);
    removeLeftovers(this.directory, undefined);
  };
}

/** SIGKILL, and waits until the process is gone, or only its parent has still to notice. */
export async function killAndWait(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    return; // It had gone already.
  }

  await until(() => !isRunning(pid), 20_000, `death of process ${pid}`);
}

/** False for a zombie, too. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/mu.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
