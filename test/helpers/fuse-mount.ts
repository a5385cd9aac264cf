/**
 * A FUSE mount of its own for a test: this process holds the descriptor, as the holder does, and a
 * server process (fuse-server.ts) serves it. Paths below the mount are for spawned programs only.
 */
import type {ChildProcess} from 'node:child_process';
import {spawn, spawnSync} from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {
  connectionDirectory,
  findMount,
  mountArguments,
  parseMountInfo,
} from '../../src/fuse/mount.js';
import type {ServerOptions} from './fuse-server.js';
import {run, until} from './run.js';

const SERVER = path.join(import.meta.dirname, 'fuse-server.ts');

export interface MountOptions extends Partial<ServerOptions> {
  readonly sizeBytes: number;
  /** Start a new server when one dies by a signal, as the holder does. */
  readonly restart?: boolean;
}

export class FuseMount {
  readonly directory: string;
  readonly mountPoint: string;
  /** disk.img below the mount: for spawned programs only. */
  readonly image: string;
  /** The contents, behind the server. */
  readonly file: string;
  readonly initFile: string;
  /** All that the servers printed. */
  output = '';
  starts = 0;
  readonly #options: MountOptions;
  #device: number | undefined;
  #server: ChildProcess | undefined;
  #closed = false;

  private constructor(options: MountOptions) {
    this.#options = options;
    this.directory = fs.mkdtempSync(path.join(process.env['MARS_TEST_DIR'] ?? '/var/tmp', 'fuse-'));
    this.mountPoint = path.join(this.directory, 'mnt');
    this.image = path.join(this.mountPoint, 'disk.img');
    this.file = path.join(this.directory, 'contents');
    this.initFile = path.join(this.directory, 'init');
    process.on('exit', this.#closeByForce);
  }

  static async open(options: MountOptions): Promise<FuseMount> {
    const mount = new FuseMount(options);
    try {
      fs.mkdirSync(mount.mountPoint);
      fs.writeFileSync(mount.file, '');
      fs.truncateSync(mount.file, options.sizeBytes);
      if (options.driver !== 'fuse-native') {
        mount.#device = fs.openSync('/dev/fuse', 'r+');
        const result = spawnSync('mount', mountArguments(mount.mountPoint), {
          stdio: ['ignore', 'ignore', 'pipe', mount.#device],
        });
        if (result.status !== 0) throw new Error(`mount: ${String(result.stderr)}`);
      }

      mount.#start(false);
      await until(() => /^init /m.test(mount.output), 15_000, 'served mount');
      return mount;
    } catch (error) {
      mount.#closeByForce();
      throw error;
    }
  }

  get pid(): number {
    return this.#server?.pid ?? 0;
  }

  /** Kills the server process. */
  kill(): void {
    this.#server?.kill('SIGKILL');
  }

  /** What the server counted, as status.json tells. */
  async counts(): Promise<Record<string, number>> {
    const text = await run('cat', [path.join(this.mountPoint, 'status.json')]);
    return JSON.parse(text) as Record<string, number>;
  }

  /** Unmounts in order and waits for the end of the server. */
  async close(): Promise<void> {
    if (this.#closed) return;
    try {
      await run('umount', [this.mountPoint]);
      await until(() => this.#server?.exitCode !== null, 10_000, 'end of the server');
    } finally {
      this.#closeByForce();
    }
  }

  #start(resend: boolean): void {
    const options: ServerOptions = {
      driver: 'kernel',
      ...this.#options,
      file: this.file,
      initFile: this.initFile,
      resend,
      mountPoint: this.mountPoint,
    };
    this.starts += 1;
    const args = ['--import', 'tsx', SERVER, JSON.stringify(options)];
    const server = spawn(process.execPath, args, {
      stdio: ['ignore', 'pipe', 'pipe', this.#device ?? 'ignore'],
    });
    this.#server = server;
    for (const stream of [server.stdout, server.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }

    server.on('exit', (_, signal) => {
      const restart = signal !== null && this.#options.restart === true && !this.#closed;
      if (restart) this.#start(true);
    });
  }

  /** Frees whoever waits, whatever the state; synchronous, as it also runs while a process exits. */
  #closeByForce = (): void => {
    if (this.#closed) return;
    this.#closed = true;
    process.off('exit', this.#closeByForce);
    this.kill();
    const mounts = parseMountInfo(fs.readFileSync('/proc/self/mountinfo', 'utf8'));
    const mounted = findMount(mounts, this.mountPoint);
    if (mounted !== undefined) {
      try {
        fs.writeFileSync(path.join(connectionDirectory(mounted), 'abort'), '1');
      } catch {
        // fusectl is not mounted: the lazy umount has to do.
      }

      spawnSync('umount', ['-l', this.mountPoint], {timeout: 5000});
    }

    if (this.#device !== undefined) fs.closeSync(this.#device);
    fs.rmSync(this.directory, {recursive: true, force: true});
  };
}

/** Mounts, uses, unmounts in order; whatever happens nothing is left. */
export async function withMount(
  options: MountOptions,
  use: (mount: FuseMount) => Promise<void>,
): Promise<void> {
  const mount = await FuseMount.open(options);
  try {
    await use(mount);
    await mount.close();
    if (!/^end unmounted$/m.test(mount.output)) throw new Error(mount.output);
  } catch (error) {
    await mount.close().catch(() => undefined);
    throw error;
  }
}

/** fio that writes and verifies, with direct I/O; throws where a block is not what was written. */
export function fioVerify(device: string, ...args: string[]): Promise<string> {
  return run(
    'fio',
    [
      '--name=verify',
      `--filename=${device}`,
      '--ioengine=libaio',
      '--direct=1',
      '--verify=crc32c',
      '--verify_fatal=1',
      '--verify_state_save=0',
      ...args,
    ],
    {timeoutMs: 120_000},
  );
}
