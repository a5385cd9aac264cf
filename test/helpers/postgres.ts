import fs from 'node:fs';
import path from 'node:path';
import {findLeftovers} from './leftovers.js';
import {run, tryRun} from './run.js';
import {killAndWait} from './temp-home.js';

const TIMEOUT_MS = 120_000;

/** A PostgreSQL server of its own, as Debian's user postgres, reached by a Unix socket only. */
export class Postgres {
  readonly #programs: string;
  readonly #cluster: string;
  readonly #socketDirectory: string;
  #killed = false;

  private constructor(programs: string, cluster: string, socketDirectory: string) {
    this.#programs = programs;
    this.#cluster = cluster;
    this.#socketDirectory = socketDirectory;
  }

  /** False where Debian's packages are missing. */
  static isInstalled(): boolean {
    return programDirectory() !== undefined;
  }

  /**
   * Makes a cluster and starts a server on it.
   *
   * @param cluster directory to make, on the disk under test
   * @param scratch directory outside of it, for socket and server log
   */
  static async create(cluster: string, scratch: string): Promise<Postgres> {
    const programs = programDirectory();
    if (programs === undefined) throw new Error('PostgreSQL is not installed');
    const socketDirectory = fs.mkdtempSync(path.join(scratch, 'pg-'));
    fs.chmodSync(scratch, 0o711);
    fs.chmodSync(socketDirectory, 0o777);
    fs.mkdirSync(cluster, {mode: 0o700});
    await run('chown', ['postgres', cluster]);
    const server = new Postgres(programs, cluster, socketDirectory);
    await server.#run('initdb', ['-D', cluster, '-A', 'trust', '--no-locale']);
    await server.start();
    return server;
  }

  async start(): Promise<void> {
    if (this.#killed) {
      // In a container without an init, killed servers stay as zombies, which PostgreSQL takes for
      // running ones: we know better.
      const locks = [
        path.join(this.#cluster, 'postmaster.pid'),
        path.join(this.#socketDirectory, '.s.PGSQL.5432.lock'),
      ];
      for (const lock of locks) fs.rmSync(lock, {force: true});
      this.#killed = false;
    }

    const options = `-k ${this.#socketDirectory} -c listen_addresses= -c shared_buffers=64MB`;
    const log = path.join(this.#socketDirectory, 'server.log');
    const words = ['start', '-w', '-t', '60', '-D', this.#cluster, '-l', log, '-o', options];
    try {
      await this.#run('pg_ctl', words);
    } catch (error) {
      throw new Error(`${String(error)}\n${fs.readFileSync(log, 'utf8').slice(-2000)}`, {
        cause: error,
      });
    }
  }

  /** `immediate` is PostgreSQL's crash: it recovers at the next start. */
  async stop(mode: 'fast' | 'immediate'): Promise<void> {
    await this.#run('pg_ctl', ['stop', '-w', '-t', '60', '-m', mode, '-D', this.#cluster]);
  }

  pgbench(...args: string[]): Promise<string> {
    return this.#run('pgbench', ['-h', this.#socketDirectory, ...args, 'postgres']);
  }

  /** Like pgbench(), whatever the status: for servers that are killed meanwhile. */
  tryPgbench(...args: string[]): ReturnType<typeof tryRun> {
    return tryRun(
      'runuser',
      this.#words('pgbench', ['-h', this.#socketDirectory, ...args, 'postgres']),
      {cwd: '/', timeoutMs: TIMEOUT_MS},
    );
  }

  /** Command of a client that reads statements from its stdin and prints bare rows. */
  client(): [string, string[]] {
    const options = ['-h', this.#socketDirectory, '-X', '-q', '-A', '-t', 'postgres'];
    return ['runuser', this.#words('psql', options)];
  }

  /** SIGKILL of the server and all its processes, where it still runs. */
  async kill(): Promise<void> {
    const {processes} = findLeftovers(this.#cluster, undefined);
    for (const {pid} of processes) await killAndWait(pid);
    this.#killed = true;
  }

  /** Unaligned rows without headings. */
  sql(statement: string): Promise<string> {
    return this.#run('psql', [
      '-h',
      this.#socketDirectory,
      '-X',
      '-q',
      '-A',
      '-t',
      '-v',
      'ON_ERROR_STOP=1',
      '-c',
      statement,
      'postgres',
    ]);
  }

  /** Checks every heap and index; throws on damage. */
  async amcheck(): Promise<void> {
    await this.#run('pg_amcheck', [
      '-h',
      this.#socketDirectory,
      '--install-missing',
      '--heapallindexed',
      'postgres',
    ]);
  }

  #run(program: string, args: readonly string[]): Promise<string> {
    return run('runuser', this.#words(program, args), {cwd: '/', timeoutMs: TIMEOUT_MS});
  }

  #words(program: string, args: readonly string[]): string[] {
    return ['-u', 'postgres', '--', path.join(this.#programs, program), ...args];
  }
}

function programDirectory(): string | undefined {
  const base = '/usr/lib/postgresql';
  if (!fs.existsSync(base)) return undefined;
  return fs
    .readdirSync(base)
    .map((version) => path.join(base, version, 'bin'))
    .filter((directory) => fs.existsSync(path.join(directory, 'pg_amcheck')))
    .at(-1);
}
