/**
 * The end of a disk process whose next generation is to run another version of the program.
 *
 *   commit        so that the next one has little to make durable
 *   front rests   between two requests: it reads no more, nothing is parked
 *   flushes       those that wait are answered by the commit thread
 *   end           with EXIT_RENEW; the holder starts the next one at once
 *
 * Unlike after a death nothing has to be sent again by the kernel, so this is safe on any kernel. Where
 * a step does not come to its end in time the front goes on, and nothing has happened.
 */
import {setTimeout as sleep} from 'node:timers/promises';
import {DiskError} from '../core/errors.js';
import type {DiskProcess} from './process.js';
import {COMMAND, WORD} from './shared.js';

/** Exit status that holder.sh knows: no death. */
export const EXIT_RENEW = 75;
const LOOK_MS = 2;

/** Whether the process is to end for its next generation. */
export class Renewal {
  readonly #disk: DiskProcess;
  #isAsked = false;
  #rests = false;
  #isPrepared = false;

  constructor(disk: DiskProcess) {
    this.#disk = disk;
  }

  /** Nothing is unanswered and nothing is read: `end` is to be called. */
  get isPrepared(): boolean {
    return this.#isPrepared;
  }

  /** The front rests; where nobody waits for that any more it goes on at once. */
  noteRest(): void {
    this.#rests = this.#isAsked;
    if (!this.#rests) this.#wakeFront();
  }

  /**
   * Comes to rest; the caller answers and then calls `end`.
   *
   * @throws DiskError RENEW_REFUSED with what it waited for; the disk goes on as it was
   */
  async prepare(timeoutMs: number): Promise<object> {
    const {options, phase, shared} = this.#disk;
    const {name} = options;
    if (options.mode !== 'serve' || options.driver !== 'kernel') {
      throw refused(name, 'only a primary with the kernel driver keeps its mount meanwhile');
    }

    if (phase !== 'serving') throw refused(name, `it is ${phase}`);
    if (this.#isAsked) throw refused(name, 'it is being renewed already');
    this.#isAsked = true;
    const deadlineMs = performance.now() + timeoutMs;
    try {
      await this.#disk.commit();
      await this.#disk.command(COMMAND.rest, 1);
      await this.#until(() => this.#rests, deadlineMs, 'writes wait for room in the log');
      shared.signal(WORD.commitSignal);
      await this.#until(() => shared.waitingCount === 0, deadlineMs, 'flushes are not answered');
      this.#isPrepared = true;
      return {};
    } catch (error) {
      await this.#goOn();
      throw error;
    }
  }

  /** Ends the process. */
  end(): never {
    process.exit(EXIT_RENEW);
  }

  async #until(isDone: () => boolean, deadlineMs: number, obstacle: string): Promise<void> {
    while (!isDone()) {
      if (performance.now() > deadlineMs) throw refused(this.#disk.options.name, obstacle);
      await sleep(LOOK_MS);
    }
  }

  async #goOn(): Promise<void> {
    this.#isAsked = false;
    if (this.#rests) this.#wakeFront();
    // Where it does not take this either, noteRest wakes it when it comes to rest.
    else await this.#disk.command(COMMAND.rest, 0).catch(() => undefined);
    this.#rests = false;
  }

  #wakeFront(): void {
    const {shared} = this.#disk;
    shared.set(WORD.resting, 0);
    Atomics.notify(shared.words, WORD.resting);
  }
}

function refused(name: string, reason: string): DiskError {
  const text = `the disk process of ${name} cannot be renewed now, and goes on: ${reason}`;
  return new DiskError('RENEW_REFUSED', text, {resource: name});
}
