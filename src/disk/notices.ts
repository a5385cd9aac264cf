/** What the disk has to say: bounded, one message a code, each with its age. */
import type {Clock} from '../core/clock.js';
import type {ErrorCode} from '../core/codes.js';
import type {Message, Severity, Waiting} from '../core/disk-status.js';
import {isNoRoom} from '../core/errors.js';
import type {EventInput} from '../core/events.js';
import type {Slowed} from '../core/space.js';
import {formatBytes} from '../core/units.js';
import type {ThreadMessage} from './messages.js';

type Report = (input: Omit<EventInput, 'node' | 'resource'>) => void;

/** Parked writes are no news while the next segment is on its way. */
const PARKED_GRACE_MS = 1000;

/** Messages and the waiting state of one disk, for its status. */
export class Notices {
  readonly #clock: Clock;
  readonly #messages = new Map<ErrorCode, Message>();
  #revision = 0;
  #parkedSince: number | undefined;
  #confirmWaiting: Waiting | undefined;
  #logErrno: string | undefined;
  #spareCode: ErrorCode | undefined;
  #slowed: Slowed | undefined;
  #parkedBySlowing = false;
  #isBypassed = false;
  /** The log was given up: from here on that is what is said of it. */
  #defective = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Grows with each change of what is said. */
  get revision(): number {
    return this.#revision;
  }

  put(code: ErrorCode, severity: Severity, text: string): void {
    const before = this.#messages.get(code);
    const since = before?.since ?? this.#now();
    if (before?.text !== text || before.severity !== severity) this.#revision += 1;
    this.#messages.set(code, {code, severity, text, since});
  }

  drop(code: ErrorCode): void {
    if (this.#messages.delete(code)) this.#revision += 1;
  }

  parked(): void {
    this.#parkedSince ??= this.#clock.wallMs();
    this.#parkedBySlowing = this.#slowed !== undefined;
  }

  /** @returns true where somebody was told of the waiting, and it was for room */
  unparked(): boolean {
    const told = this.#parkedWaiting() !== null && !this.#parkedBySlowing;
    this.#parkedSince = undefined;
    return told;
  }

  /** The keeper cannot make a segment (errno), or can again (undefined). */
  logTrouble(errno: string | undefined): void {
    this.#logErrno = errno;
    if (this.#defective || this.#isBypassed) return;
    if (errno === undefined) {
      this.drop('LOG_SPACE');
      this.drop('LOG_IO');
    } else if (isNoRoom(errno)) {
      const text = 'no room for the next logfile: writes will wait when this one is full';
      this.put('LOG_SPACE', 'critical', text);
    } else {
      this.put('LOG_IO', 'critical', `the next logfile cannot be made: ${errno}`);
    }
  }

  /** A log that is received cannot have its next file made ready (errno), or can again (undefined). */
  spareTrouble(errno: string | undefined): void {
    const code = errno === undefined ? undefined : isNoRoom(errno) ? 'LOG_SPACE' : 'LOG_IO';
    // A message of the same code with another cause is not this one's to take away.
    if (this.#spareCode !== undefined && this.#spareCode !== code) this.drop(this.#spareCode);
    this.#spareCode = code;
    if (code === undefined) return;
    this.put(code, 'warning', `the next logfile cannot be made ready: ${errno}`);
  }

  /** Writes are slowed, or not any more. @returns what is to be told, where that is new */
  slowed(slowed: Slowed | undefined): string | undefined {
    const isNew = (slowed === undefined) !== (this.#slowed === undefined);
    this.#slowed = slowed;
    if (slowed === undefined) {
      this.drop('WRITES_SLOWED');
      return isNew ? 'writes are not slowed any more' : undefined;
    }

    const text = `writes are slowed to ${formatBytes(slowed.bytesPerSecond)}/s: ${slowed.reason}`;
    this.put('WRITES_SLOWED', 'warning', text);
    return isNew ? text : undefined;
  }

  /** Writes go past the log: nobody waits for its room any more. */
  bypassed(text: string): void {
    this.#isBypassed = true;
    this.drop('LOG_SPACE');
    this.put('BYPASS', 'critical', text);
  }

  /** Flushes wait for replicas, or do not any more. */
  confirmWaiting(waiting: Waiting | undefined): void {
    this.#confirmWaiting = waiting;
  }

  waiting(): Waiting | null {
    return this.#parkedWaiting() ?? this.#confirmWaiting ?? null;
  }

  #parkedWaiting(): Waiting | null {
    const since = this.#parkedSince;
    if (since === undefined || this.#clock.wallMs() - since < PARKED_GRACE_MS) return null;
    const whatFor =
      this.#slowed === undefined
        ? 'writes wait for replay to free a logfile'
        : `writes are slowed (when-full=throttle): ${this.#slowed.reason}`;
    const reason =
      this.#logErrno === undefined
        ? whatFor
        : `writes wait for log space (${this.#logErrno}); reads go on, nothing is lost`;
    return {reason, since: new Date(since).toISOString(), until: null};
  }

  list(): readonly Message[] {
    return [...this.#messages.values()];
  }

  /** Messages of the threads that only change what is said. */
  take(message: ThreadMessage, report: Report): void {
    switch (message.kind) {
      case 'replay-error': {
        this.#replayError(message.code, message.text, report);
        break;
      }

      case 'log-error': {
        const text = `the log answered ${message.errno}: what is not durable moves to another file`;
        report({code: 'LOG_IO', severity: 'critical', text});
        break;
      }

      case 'log-moved': {
        const text = `a logfile failed; its tail was moved to file ${message.number}, nothing is lost`;
        this.put('LOG_IO', 'warning', text);
        report({code: 'LOG_IO', severity: 'warning', text});
        break;
      }

      case 'log-defective': {
        this.#defective = true;
        const text = `the log cannot be written (${message.errno}): writes and flushes are refused`;
        this.put('LOG_IO', 'critical', text);
        report({code: 'LOG_IO', severity: 'critical', text});
        break;
      }

      default: {
        break;
      }
    }
  }

  #replayError(code: ErrorCode | undefined, text: string, report: Report): void {
    for (const old of ['STORE_FULL', 'IMAGE_IO', 'LOG_CORRUPT', 'REPLICA_GAP'] as const) {
      if (old !== code) this.drop(old);
    }

    if (code === undefined) return;
    if (!this.#messages.has(code)) report({code, severity: 'critical', text});
    this.put(code, 'critical', text);
  }

  #now(): string {
    return new Date(this.#clock.wallMs()).toISOString();
  }
}
