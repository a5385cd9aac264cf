import {MarsCommand} from './base-command.js';
import {connectDaemon} from './daemon.js';
import {optionalTargetArgument, parallelFlag, timeoutFlag} from './options.js';
import type {TargetsDocument} from './targets.js';
import {waitFor, type WaitDocument} from './wait-for.js';

/** A command of MARS that waits for one condition, of all resources where none is named. */
export abstract class OldWaitCommand extends MarsCommand {
  static override args = {name: optionalTargetArgument};
  static override flags = {parallel: parallelFlag, timeout: timeoutFlag(60)};
  static override hidden = true;

  /** What `mars wait NAME` calls it. */
  protected abstract readonly condition: string;

  async run(): Promise<WaitDocument | TargetsDocument<WaitDocument>> {
    const {args, flags} = await this.parse(OldWaitCommand);
    const {condition} = this;
    const daemon = connectDaemon(flags.home);
    const deadlineMs = performance.now() + flags.timeout * 1000;
    return this.forTargets(
      {daemon, target: args.name ?? 'all', parallel: flags.parallel},
      (name) =>
        waitFor({
          ...{daemon, name, condition, deadlineMs},
          ...{timeoutSeconds: flags.timeout, stream: process.stderr},
        }),
      ({name}) => {
        this.log(`${name}: ${condition}`);
      },
    );
  }
}
