/** A load on a disk by fio, which says how long the slowest request took, and what failed. */
import {spawn} from 'node:child_process';
import {until} from './run.js';

export interface FioReport {
  /** errno of the first request that failed; 0: none did. */
  readonly error: number;
  readonly writtenBytes: number;
  /** The slowest write or flush. */
  readonly latencyMsMax: number;
}

export interface FioOptions {
  readonly bytesPerSecond?: number;
  /** It ends by itself after so long; else by stop(). */
  readonly seconds?: number;
  /** Size of the requests; a range such as `4k-64k`. */
  readonly blockSize?: string;
  /** Words for fio besides. */
  readonly more?: readonly string[];
}

interface FioJob {
  readonly error: number;
  readonly write: {readonly io_bytes: number; readonly lat_ns: {readonly max: number}};
  readonly sync: {readonly lat_ns: {readonly max: number}};
}

const SECONDS_MAX = 600;

export class Fio {
  readonly #ended: Promise<void>;
  readonly #pid: number;
  #stdout = '';
  #stderr = '';
  #running = true;

  /** Begins to write random data at random places, with a flush now and then. */
  constructor(target: string, options: FioOptions = {}) {
    const child = spawn(
      'fio',
      [
        '--name=load',
        `--filename=${target}`,
        '--rw=randwrite',
        `--bsrange=${options.blockSize ?? '4k-64k'}`,
        '--direct=1',
        '--ioengine=psync',
        '--fsync=16',
        '--refill_buffers=1',
        '--randrepeat=0',
        '--allow_mounted_write=0',
        '--time_based=1',
        `--runtime=${options.seconds ?? SECONDS_MAX}`,
        ...(options.bytesPerSecond === undefined ? [] : [`--rate=${options.bytesPerSecond}`]),
        '--output-format=json',
        ...(options.more ?? []),
      ],
      {stdio: ['ignore', 'pipe', 'pipe']},
    );
    this.#pid = child.pid ?? 0;
    child.stdout.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    this.#ended = new Promise((resolve) => {
      child.once('error', (error) => (this.#stderr += String(error)));
      child.once('close', () => {
        this.#running = false;
        resolve();
      });
    });
  }

  get running(): boolean {
    return this.#running;
  }

  /** Waits for its own end. @param deadlineMs from now */
  async report(deadlineMs: number): Promise<FioReport> {
    await until(() => !this.#running, deadlineMs, 'end of fio');
    await this.#ended;
    // A word about the signal may stand before the document.
    const start = this.#stdout.indexOf('{');
    if (start < 0) throw new Error(`fio printed no report: ${this.#stdout}${this.#stderr}`);
    const {jobs} = JSON.parse(this.#stdout.slice(start)) as {readonly jobs: readonly FioJob[]};
    const [job] = jobs;
    if (job === undefined) throw new Error('fio reports no job');
    return {
      error: job.error,
      writtenBytes: job.write.io_bytes,
      latencyMsMax: Math.max(job.write.lat_ns.max, job.sync.lat_ns.max) / 1e6,
    };
  }

  /** Ends it in order. */
  async stop(): Promise<FioReport> {
    if (this.#running) process.kill(this.#pid, 'SIGINT');
    return this.report(20_000);
  }

  /** For the end of a test that failed: it must not outlive its disk. */
  kill(): void {
    if (this.#running) process.kill(this.#pid, 'SIGKILL');
  }
}
