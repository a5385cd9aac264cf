/**
 * Applications on the disk of a torture run. Each does numbered work in order, one piece after the
 * other, and tells the number when its fsync returned; so what is on the disk must be the pieces 1
 * to k, with k at least the last one that had to be there. All of it runs in child processes: this
 * process never touches a path below a mount.
 */
import {spawn, type ChildProcess} from 'node:child_process';
import path from 'node:path';
import {run, tryRun, until} from '../helpers/run.js';

const STOP_MS_MAX = 60_000;
const CHECK_MS_MAX = 60_000;
const FIO_BYTES = 4 * 1024 * 1024;
const SQLITE_PAUSE_MS = 15;
const APPEND_PROGRAM = path.join(import.meta.dirname, 'append-program.mjs');

/** Position of the log when a piece of work was known to be on stable storage. */
interface Sample {
  readonly number: number;
  readonly position: string;
}

/** One application. */
export abstract class Writer {
  abstract readonly name: string;
  /** The last piece whose fsync returned. */
  acked = 0;
  /** What it said when it failed; empty while all is well. */
  failure = '';
  #samples: Sample[] = [];
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  protected isStopping = false;

  /** The program that goes on behind piece `acked`, on a file system at `mount`. */
  protected abstract launch(mount: string): ChildProcess;
  /** Asks a running program to end. */
  protected abstract askToStop(child: ChildProcess): void;
  /** Reads a line of its output. */
  protected abstract take(line: string, child: ChildProcess): void;
  /** The last piece that is there, where all from 1 to it are whole. @throws Error else */
  abstract found(mount: string): Promise<number>;
  /** Once, on the new file system. */
  abstract prepare(mount: string): Promise<void>;

  protected get pid(): number | undefined {
    return this.#child?.pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  start(mount: string): void {
    this.isStopping = false;
    this.failure = '';
    const child = this.launch(mount);
    this.#child = child;
    let rest = '';
    let errors = '';
    child.stdin?.on('error', () => undefined); // Its end says why.
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors += text));
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.take(line.trim(), child);
    });
    this.#ended = new Promise((resolve) => {
      child.once('error', (error) => {
        this.failure ||= String(error);
        resolve();
      });
      child.once('close', (status, signal) => {
        if (status !== 0 || errors !== '') {
          this.failure ||= `${this.name} ended with ${signal ?? status}: ${errors.slice(0, 500)}`;
        }

        this.#child = undefined;
        resolve();
      });
    });
  }

  /** Ends it in order, and waits for that. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.isStopping = true;
    this.askToStop(child);
    await until(() => this.#child === undefined, STOP_MS_MAX, `end of ${this.name}`);
    await this.#ended;
  }

  /** For a disk that is gone: no outcome counts. */
  async kill(): Promise<void> {
    this.isStopping = true;
    this.#child?.kill('SIGKILL');
    await until(() => this.#child === undefined, STOP_MS_MAX, `death of ${this.name}`);
    this.failure = '';
  }

  /** The log of the primary was at `position` after piece `number` was acknowledged. */
  sample(number: number, position: string): void {
    this.#samples.push({number, position});
    if (this.#samples.length > 4000) this.#samples.splice(0, 2000);
  }

  /** The last piece that a log which ends at `position` must have. */
  securedAt(position: string): number {
    const within = this.#samples.filter((sample) => sample.position <= position);
    return within.at(-1)?.number ?? 0;
  }

  /** A forced failover went back to piece `number`. */
  rewind(number: number): void {
    this.acked = number;
    this.#samples = this.#samples.filter((sample) => sample.number <= number);
  }
}

/** Transfers between accounts in an SQLite database (WAL, synchronous=FULL), as pgbench does. */
export class SqliteWriter extends Writer {
  readonly name = 'sqlite';
  #next = 0;

  async prepare(mount: string): Promise<void> {
    const accounts = Array.from({length: 100}, (_, id) => `(${id},0)`).join();
    await run('sqlite3', [
      path.join(mount, 'bank.db'),
      'PRAGMA journal_mode=WAL; CREATE TABLE t(n INTEGER PRIMARY KEY, x INTEGER);' +
        `CREATE TABLE a(id INTEGER PRIMARY KEY, balance INTEGER); INSERT INTO a VALUES ${accounts};`,
    ]);
  }

  protected launch(mount: string): ChildProcess {
    const child = spawn('sqlite3', ['-batch', path.join(mount, 'bank.db')]);
    child.stdin.write('PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=200;\n');
    this.#next = this.acked + 1;
    this.#transfer(child);
    return child;
  }

  #transfer(child: ChildProcess): void {
    const number = this.#next;
    const [from, to, amount] = [number % 100, (number * 7 + 3) % 100, (number % 50) + 1];
    child.stdin?.write(
      `BEGIN IMMEDIATE; INSERT INTO t VALUES(${number},${amount});` +
        `UPDATE a SET balance=balance-${amount} WHERE id=${from};` +
        `UPDATE a SET balance=balance+${amount} WHERE id=${to}; COMMIT; SELECT 'ack', ${number};\n`,
    );
  }

  protected take(line: string, child: ChildProcess): void {
    const number = Number(/^ack\|(\d+)$/u.exec(line)?.[1] ?? NaN);
    if (Number.isNaN(number)) return;
    this.acked = number;
    this.#next = number + 1;
    if (this.isStopping) child.stdin?.end();
    else
      setTimeout(() => {
        this.#goOn(child);
      }, SQLITE_PAUSE_MS);
  }

  #goOn(child: ChildProcess): void {
    if (this.isStopping) child.stdin?.end();
    else this.#transfer(child);
  }

  protected askToStop(): void {
    // Behind the transfer that runs, or at the next look.
  }

  async found(mount: string): Promise<number> {
    const words = await run(
      'sqlite3',
      [
        path.join(mount, 'bank.db'),
        'PRAGMA integrity_check; SELECT sum(balance) FROM a; SELECT count(*) FROM t; SELECT coalesce(max(n),0) FROM t;',
      ],
      {timeoutMs: CHECK_MS_MAX},
    );
    const [integrity, sum, count, last] = words.trim().split('\n');
    if (integrity !== 'ok' || sum !== '0' || count !== last) {
      throw new Error(`sqlite: integrity ${integrity}, sum ${sum}, ${count} rows up to ${last}`);
    }

    return Number(last);
  }
}

/** Lines at the end of a file, each with fdatasync. */
export class AppendWriter extends Writer {
  readonly name = 'append';

  async prepare(mount: string): Promise<void> {
    await run('touch', [path.join(mount, 'lines')]);
  }

  protected launch(mount: string): ChildProcess {
    const argv = [APPEND_PROGRAM, path.join(mount, 'lines'), String(this.acked + 1)];
    return spawn(process.execPath, argv);
  }

  protected take(line: string): void {
    this.acked = Number(line);
  }

  protected askToStop(child: ChildProcess): void {
    child.stdin?.end();
  }

  async found(mount: string): Promise<number> {
    const program = `
      my $n = 0;
      while (<>) { last unless /^(\\d{12}) \\.{50}\\n\\z/; die "line $1 behind $n\\n" if $1 != ++$n; }
      die "a line behind $n that is none: $_\\n" if defined $_ && !eof;
      print "$n\\n";
    `;
    const file = path.join(mount, 'lines');
    const {stdout, stderr, status} = await tryRun('perl', ['-e', program, file], {
      timeoutMs: CHECK_MS_MAX,
    });
    if (status !== 0) throw new Error(`append: ${stderr}`);
    const whole = Number(stdout);
    // A line that power loss cut in its middle was not acknowledged: the next run begins behind it.
    await run('truncate', ['-s', String(whole * 64), file]);
    return whole;
  }
}

/** fio: writes a file at random places, then reads all of it and compares; again and again. */
export class FioWriter extends Writer {
  readonly name = 'fio';

  async prepare(): Promise<void> {
    // It makes its file itself.
  }

  protected launch(mount: string): ChildProcess {
    const words = [
      '--name=verify',
      `--filename=${path.join(mount, 'fio.dat')}`,
      `--size=${FIO_BYTES}`,
      '--rw=randwrite',
      '--bsrange=4k-32k',
      '--direct=1',
      '--ioengine=libaio',
      '--iodepth=8',
      '--fsync=32',
      '--rate=2m',
      '--verify=crc32c',
      '--verify_fatal=1',
      '--verify_state_save=0',
      '--output-format=terse',
      // A job in a process of its own leaves the process group, and would outlive it.
      '--thread',
    ];
    const loop = 'trap exit TERM; while fio "$@" >/dev/null; do echo "$((n += 1))"; done; exit 1';
    return spawn('sh', ['-c', `n=${this.acked}; ${loop}`, 'sh', ...words], {detached: true});
  }

  protected take(line: string): void {
    this.acked = Number(line);
  }

  /** Between two rounds: sh runs a trap when its child has ended. */
  protected askToStop(child: ChildProcess): void {
    child.kill('SIGTERM');
  }

  override async kill(): Promise<void> {
    const pid = this.pid;
    if (pid !== undefined) {
      try {
        process.kill(-pid, 'SIGKILL');
      } catch {
        // It has ended.
      }
    }

    await super.kill();
  }

  found(): Promise<number> {
    return Promise.resolve(this.acked); // It compares by itself.
  }
}
