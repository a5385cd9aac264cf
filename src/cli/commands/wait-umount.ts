import {MarsCommand} from '../base-command.js';
import {connectDaemon} from '../daemon.js';
import {optionalTargetArgument, timeoutFlag} from '../options.js';
import type {TargetsDocument} from '../targets.js';
import {waitFor, type WaitDocument} from '../wait-for.js';

/** As MARS admins know it. */
export default class WaitUmount extends MarsCommand {
  static override args = {name: optionalTargetArgument};
  static override flags = {timeout: timeoutFlag(60)};
  static override hidden = true;
  static override summary = 'old name of mars wait NAME closed';

  async run(): Promise<WaitDocument | TargetsDocument<WaitDocument>> {
    const {args, flags} = await this.parse(WaitUmount);
    const daemon = connectDaemon(flags.home);
    const deadlineMs = performance.now() + flags.timeout * 1000;
    return this.forTargets(
      daemon,
      args.name ?? 'all',
      (name) =>
        waitFor({
          ...{daemon, name, condition: 'closed', deadlineMs},
          ...{timeoutSeconds: flags.timeout, stream: process.stderr},
        }),
      ({name}) => {
        this.log(`${name}: closed`);
      },
    );
  }
}
