/** `mars verify`: begins comparisons, shows how far they are, and waits for their end. */
import {setTimeout as pause} from 'node:timers/promises';
import {
  isUnderWay,
  type VerifyDocument,
  type VerifyReport,
  type VerifyRequest,
} from '../control/verify-api.js';
import {EXIT, isErrorCode} from '../core/codes.js';
import {DiskError, isDiskError} from '../core/errors.js';
import {resourcePath, type Daemon} from './daemon.js';
import {exitOf} from './failure.js';
import {startProgress, type Progress} from './progress.js';

const POLL_MS = 400;
const START_SECONDS = 30;
/** A node that does not say for so long how its comparison is, is not waited for. */
const SILENCE_MS = 90_000;

export interface VerifyOptions {
  readonly daemon: Daemon;
  readonly name: string;
  readonly request: VerifyRequest;
  /** false: what is begun goes on, and is not waited for. */
  readonly waits: boolean;
  readonly timeoutSeconds: number;
  /** On the monotonic clock; the same for all of `all`. */
  readonly deadlineMs: number;
  readonly stream: NodeJS.WriteStream;
  /** Ends the comparisons. */
  readonly signal: AbortSignal;
}

/** @throws DiskError TIMEOUT, where they go on; and as POST /v1/resources/NAME/verify */
export async function runVerify(options: VerifyOptions): Promise<VerifyDocument> {
  const {daemon, name, request, signal} = options;
  const path = resourcePath(name, '/verify');
  let document = await daemon.post<VerifyDocument>(path, request, START_SECONDS);
  if (!options.waits) return document;
  const heardMs = new Map(document.replicas.map(({id}) => [id, performance.now()]));
  const shower = new Shower(name, options.stream);
  let isStopping = false;
  try {
    while (document.replicas.some(({state}) => isUnderWay(state))) {
      if (performance.now() > options.deadlineMs) throw timeout(options, document);
      await shower.show(document.replicas);
      await pause(POLL_MS, undefined, {signal}).catch(() => undefined);
      if (signal.aborted && isStopping) await pause(POLL_MS);
      try {
        const now =
          signal.aborted && !isStopping
            ? await stopVerify(daemon, name)
            : await daemon.get<VerifyDocument>(path, START_SECONDS);
        isStopping = signal.aborted;
        document = withNews(document, now, heardMs);
      } catch (error) {
        // It is being upgraded: what it compared is over when it is back, what others do is not.
        if (!isDiskError(error, 'DAEMON_UNREACHABLE')) throw error;
      }
    }

    return document;
  } finally {
    shower.end();
  }
}

/** Ends all comparisons of a resource. */
export function stopVerify(daemon: Daemon, name: string): Promise<VerifyDocument> {
  return daemon.post<VerifyDocument>(resourcePath(name, '/verify/stop'), {}, START_SECONDS);
}

/** The document with what is said now of the same runs. */
function withNews(
  before: VerifyDocument,
  now: VerifyDocument,
  heardMs: Map<string, number>,
): VerifyDocument {
  const nowMs = performance.now();
  const replicas = before.replicas.map((old): VerifyReport => {
    if (!isUnderWay(old.state)) return old;
    const found = now.replicas.find(({node}) => node === old.node);
    if (found?.id === old.id) {
      heardMs.set(old.id, nowMs);
      return found;
    }

    if (found !== undefined) return ended(old, 'VERIFY_STOPPED', 'it gave way to another one');
    if (nowMs - (heardMs.get(old.id) ?? nowMs) < SILENCE_MS) return old;
    return ended(old, 'PEER_UNREACHABLE', `${old.node} does not say how its comparison is`);
  });
  return {...before, replicas};
}

function ended(
  report: VerifyReport,
  code: 'VERIFY_STOPPED' | 'PEER_UNREACHABLE',
  message: string,
): VerifyReport {
  const state = code === 'VERIFY_STOPPED' ? 'stopped' : 'failed';
  return {...report, state, error: {code, message, details: {}}};
}

function timeout({name, timeoutSeconds}: VerifyOptions, {replicas}: VerifyDocument): DiskError {
  const nodes = replicas.filter(({state}) => isUnderWay(state)).map(({node}) => node);
  const text =
    `waited ${timeoutSeconds} s for the comparison of ${name} on ${nodes.join(', ')}: it goes on, ` +
    `mars resource show ${name} there says how far it is`;
  return new DiskError('TIMEOUT', text, {name, timeoutSeconds});
}

/** Differences first: they are what was asked about. 0 where all are equal, or go on by wish. */
export function verifyExit(replicas: readonly VerifyReport[]): number {
  if (replicas.some(({differentBytes}) => differentBytes > 0)) return EXIT.damage;
  const failed = replicas.find(({error}) => error !== null)?.error?.code;
  if (failed === undefined) return EXIT.done;
  return isErrorCode(failed) ? exitOf(failed) : EXIT.refused;
}

/** One bar, or lines, for all replicas together. */
class Shower {
  readonly #name: string;
  readonly #stream: NodeJS.WriteStream;
  #progress: Progress | undefined;
  #isRepairing = false;

  constructor(name: string, stream: NodeJS.WriteStream) {
    this.#name = name;
    this.#stream = stream;
  }

  async show(replicas: readonly VerifyReport[]): Promise<void> {
    const running = replicas.filter(({state}) => state === 'running');
    if (running.length === 0) {
      this.end();
      if (!this.#isRepairing) {
        this.#isRepairing = true;
        this.#stream.write(`${this.#name}: what differs is copied, and compared again\n`);
      }

      return;
    }

    const doneBytes = replicas.reduce((sum, one) => sum + one.doneBytes, 0);
    const totalBytes = replicas.reduce((sum, one) => sum + one.totalBytes, 0);
    const label = `compare ${this.#name}`;
    this.#progress ??= await startProgress({label, totalBytes, stream: this.#stream});
    this.#progress.update(doneBytes);
  }

  end(): void {
    this.#progress?.end();
    this.#progress = undefined;
  }
}
