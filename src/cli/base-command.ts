/**
 * What every command has: --home, --json, and one way to fail. A command parses, calls, prints,
 * and returns its document; it does not decide anything about disks.
 */
import {isAbsolute, resolve} from 'node:path';
import {Command, Errors, Flags} from '@oclif/core';
import {DiskError} from '../core/errors.js';
import {HOME_DEFAULT} from '../core/home.js';
import type {Daemon} from './daemon.js';
import {CommandFailure, failureDocument, renderFailure, toDiskError} from './failure.js';
import {listNames, runTargets, type TargetsDocument} from './targets.js';

const NO_RESOURCES = 'no resources on this node: nothing to do';

/** What a command that takes `all` is for. */
export interface Targets {
  readonly daemon: Daemon;
  /** NAME of a resource, or `all`. */
  readonly target: string;
  readonly parallel: boolean;
  /** What is said of `all` where there is none to act on; absent: that there are no resources. */
  readonly nothing?: string;
}

/** Base of all commands. */
export abstract class MarsCommand extends Command {
  static override baseFlags = {
    home: Flags.string({
      description: 'home of the node',
      env: 'MARS_HOME',
      default: HOME_DEFAULT,
      helpGroup: 'GLOBAL',
      helpValue: 'DIR',
      parse: (input) => Promise.resolve(parseHome(input)),
    }),
  };
  static override enableJsonFlag = true;

  /** Shows the failure once, then ends the command with the exit status of its code. */
  protected override catch(error: Error): Promise<never> {
    if (error instanceof Errors.ExitError || error instanceof CommandFailure) throw error;
    throw this.showFailure(error);
  }

  /**
   * Runs `act` for the resource `target`, or for each where it is `all`, several at the same time
   * where it is to be parallel; then a failure of one stops no other, and the first failure's exit
   * status is that of the command.
   *
   * @param list names of all resources; by default those that the daemon has
   */
  protected async forTargets<T>(
    {daemon, target, parallel, nothing = NO_RESOURCES}: Targets,
    act: (name: string) => Promise<T>,
    show: (answer: T) => void,
    list = () => listNames(daemon),
  ): Promise<T | TargetsDocument<T>> {
    if (target !== 'all') {
      const answer = await act(target);
      show(answer);
      return answer;
    }

    let failure: CommandFailure | undefined;
    const names = await list();
    const document = await runTargets({names, parallel}, act, show, (name, error) => {
      const shown = toDiskError(error);
      this.logToStderr(`${name}:\n${renderFailure(shown)}`);
      failure ??= new CommandFailure(shown);
    });
    if (names.length === 0) this.logToStderr(nothing);
    if (failure !== undefined) this.finish(document, failure.oclif.exit ?? 1);
    return document;
  }

  /** Ends with a status of its own after a document that is no failure. */
  protected finish(document: unknown, exit: number): never {
    if (this.jsonEnabled()) this.logJson(document);
    this.exit(exit);
  }

  /** Progress and remarks: never on stdout, also shown under --json. */
  protected remark(text: string): void {
    process.stderr.write(`${text}\n`);
  }

  protected showFailure(error: unknown): CommandFailure {
    const failure = toDiskError(error);
    const command = this.id?.replaceAll(':', ' ');
    if (this.jsonEnabled()) this.logJson(failureDocument(failure, command));
    else this.logToStderr(renderFailure(failure, command));
    return new CommandFailure(failure);
  }
}

/** @throws DiskError USAGE for an empty path, which would be the working directory */
function parseHome(input: string): string {
  if (input.trim() === '') {
    throw new DiskError('USAGE', `expected a directory after --home or in MARS_HOME, got nothing`);
  }

  return isAbsolute(input) ? resolve(input) : resolve(process.cwd(), input);
}
