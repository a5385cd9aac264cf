/** `mars wait`: asks for the status again and again until a condition is met, or time is up. */
import {setTimeout as pause} from 'node:timers/promises';
import type {ResourceStatus} from '../control/api.js';
import {DiskError, isDiskError} from '../core/errors.js';
import {getStatusOf, type Daemon} from './daemon.js';
import {startProgress, type Progress} from './progress.js';
import {formatSeconds} from './times.js';
import {parseCondition, type Look} from './wait-condition.js';

const POLL_MS = 200;
const REMARK_INTERVAL_MS = 3_000;

export interface WaitDocument {
  readonly schema: 1;
  readonly name: string;
  readonly condition: string;
  readonly waitedSeconds: number;
  readonly role: ResourceStatus['role'];
  readonly state: ResourceStatus['state'];
}

export interface WaitForOptions {
  readonly daemon: Daemon;
  readonly name: string;
  readonly condition: string;
  readonly timeoutSeconds: number;
  /** On the monotonic clock; the same for all of `all`. */
  readonly deadlineMs: number;
  readonly stream: NodeJS.WriteStream;
}

/**
 * Waits. A daemon that goes away meanwhile (an upgrade) is waited for as well; one that is not
 * there at the first look is an error.
 *
 * @throws DiskError TIMEOUT with what is missing, USAGE for an unknown condition, or what the
 *   first look throws
 */
export async function waitFor(options: WaitForOptions): Promise<WaitDocument> {
  const {daemon, name, condition, deadlineMs} = options;
  const startedMs = performance.now();
  const look = parseCondition(condition);
  const shower = new WaitShower(options, startedMs);
  try {
    for (let first = true; ; first = false) {
      let seen: Look;
      try {
        const status = await getStatusOf(daemon, name);
        seen = look(status);
        const waitedSeconds = (performance.now() - startedMs) / 1000;
        const {role, state} = status;
        if (seen.met) return {schema: 1, name, condition, waitedSeconds, role, state};
      } catch (error) {
        const isAway =
          isDiskError(error, 'DAEMON_UNREACHABLE') || isDiskError(error, 'PEER_UNREACHABLE');
        if (first || !isAway) throw error;
        seen = {met: false, missing: 'the daemon does not answer'};
      }

      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) throw timeoutError(options, seen);
      await shower.show(seen);
      await pause(Math.min(POLL_MS, leftMs));
    }
  } finally {
    shower.end();
  }
}

function timeoutError({name, condition, timeoutSeconds}: WaitForOptions, seen: Look): DiskError {
  return new DiskError(
    'TIMEOUT',
    `waited ${timeoutSeconds} s for ${name} to be ${condition}, but ${seen.missing}`,
    {name, condition, timeoutSeconds},
  );
}

/** A bar or lines while an image is copied, else now and then a line that says what is missing. */
class WaitShower {
  readonly #options: WaitForOptions;
  readonly #startedMs: number;
  #remarkedMs: number;
  #progress: Progress | undefined;

  constructor(options: WaitForOptions, startedMs: number) {
    this.#options = options;
    this.#startedMs = startedMs;
    this.#remarkedMs = startedMs;
  }

  async show({missing, copy}: Look): Promise<void> {
    const {name, condition, timeoutSeconds, stream} = this.#options;
    if (copy !== undefined) {
      const {doneBytes, totalBytes} = copy;
      const label = `copy ${name}`;
      this.#progress ??= await startProgress({label, totalBytes, startBytes: doneBytes, stream});
      this.#progress.update(doneBytes);
      return;
    }

    this.end();
    const nowMs = performance.now();
    if (nowMs - this.#remarkedMs < REMARK_INTERVAL_MS) return;
    this.#remarkedMs = nowMs;
    const waited = formatSeconds((nowMs - this.#startedMs) / 1000);
    const limit = `${waited} of at most ${timeoutSeconds} s`;
    stream.write(`${name}: waits to be ${condition}, ${limit}: ${missing}\n`);
  }

  end(): void {
    this.#progress?.end();
    this.#progress = undefined;
  }
}
