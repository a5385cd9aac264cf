import type {ResourceView} from '../../control/api.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon} from '../daemon.js';
import {parallelFlag, targetArgument, timeoutFlag} from '../options.js';
import {renderOutcome} from '../render-resource.js';
import {turnSwitches} from '../switches.js';
import type {TargetsDocument} from '../targets.js';
import {remarkWhile} from '../waiting.js';

export default class Down extends MarsCommand {
  static override args = {name: targetArgument};
  static override description =
    'All switches of a resource off at once. Refused while it is primary. The wishes are kept over restarts.';
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {parallel: parallelFlag, timeout: timeoutFlag(60)};
  static override summary = 'detach, disconnect, and pause sync, fetch and replay';

  async run(): Promise<ResourceView | TargetsDocument<ResourceView>> {
    const {args, flags} = await this.parse(Down);
    const daemon = connectDaemon(flags.home);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) =>
        remarkWhile(turnSwitches(daemon, name, 'down', flags.timeout), {
          ...{daemon, name, goal: 'be down', timeoutSeconds: flags.timeout},
          remark: this.remark.bind(this),
        }),
      (view) => {
        this.log(renderOutcome(view));
      },
    );
  }
}
