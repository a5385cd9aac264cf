/**
 * What the main thread has the front do: COMMAND in shared memory, one at a time. The front takes a command
 * between two requests and answers it when it is done. Whoever waits too long gives up: a command that was not taken is never done
 * then; one that was taken may still be under way, and nothing else is handed out before it is answered.
 */
import type {Clock} from '../core/clock.js';
import {DiskError} from '../core/errors.js';
import {COMMAND, WORD, type Shared} from './shared.js';

const ANSWER_MS = 20_000;
const LOOK_MS = 5;

export interface CommandsOptions {
  readonly shared: Shared;
  readonly clock: Clock;
  /** Lets the front look. */
  readonly wake: () => void;
}

/** One per disk process. */
export class Commands {
  readonly #options: CommandsOptions;
  #queue: Promise<unknown> = Promise.resolve();
  /** Given up while the front carries it out: what commandDone was before it. */
  #owed: number | undefined;

  constructor(options: CommandsOptions) {
    this.#options = options;
  }

  /** The front may still be doing what somebody has given up to wait for. */
  get isOwed(): boolean {
    const {shared} = this.#options;
    if (this.#owed !== shared.get(WORD.commandDone)) this.#owed = undefined;
    return this.#owed !== undefined;
  }

  /**
   * @param argument of the command; `label` goes with a mark
   * @returns whether the front could do it
   * @throws DiskError TIMEOUT: not done, unless `isOwed`
   */
  run(command: number, argument = 0, label = ''): Promise<boolean> {
    const run = this.#queue.then(() => this.#run(command, argument, label));
    this.#queue = run.catch(() => undefined);
    return run;
  }

  /**
   * Waits until the front uses nothing of the memory that goes with commands.
   *
   * @throws DiskError TIMEOUT
   */
  async settle(): Promise<void> {
    const {clock} = this.#options;
    const deadline = clock.monotonicMs() + ANSWER_MS;
    while (this.isOwed) {
      if (clock.monotonicMs() > deadline) throw timeout('answer a command that it has taken');
      await look();
    }
  }

  async #run(command: number, argument: number, label: string): Promise<boolean> {
    const {shared, clock, wake} = this.#options;
    await this.settle();
    shared.commandArgument.set(argument);
    shared.label = label;
    const before = shared.get(WORD.commandDone);
    shared.set(WORD.command, command);
    const deadline = clock.monotonicMs() + ANSWER_MS;
    while (shared.get(WORD.commandDone) === before) {
      if (clock.monotonicMs() > deadline) {
        const found = Atomics.compareExchange(shared.words, WORD.command, command, COMMAND.none);
        if (found !== command) this.#owed = before;
        throw timeout(found === command ? 'take the command' : 'do what it was told');
      }

      wake();
      await look();
    }

    return shared.get(WORD.commandResult) === 1;
  }
}

/** What the front takes, so that nobody else can take it back. @returns COMMAND.none where there is nothing */
export function takeCommand({words}: Shared): number {
  return Atomics.exchange(words, WORD.command, COMMAND.none);
}

/** The front has done what it took, or could not. */
export function answerCommand(shared: Shared, isDone: boolean): void {
  shared.set(WORD.commandResult, isDone ? 1 : 0);
  shared.signal(WORD.commandDone);
}

function look(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, LOOK_MS));
}

function timeout(what: string): DiskError {
  return new DiskError('TIMEOUT', `the disk did not ${what} in time`, {waitedMs: ANSWER_MS});
}
