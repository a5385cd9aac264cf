import type {ResourceView} from '../../control/api.js';
import {MarsCommand} from '../base-command.js';
import {connectDaemon} from '../daemon.js';
import {parallelFlag, targetArgument, timeoutFlag} from '../options.js';
import {renderOutcome} from '../render-resource.js';
import {turnSwitches} from '../switches.js';
import type {TargetsDocument} from '../targets.js';
import {remarkWhile} from '../waiting.js';

export default class Up extends MarsCommand {
  static override args = {name: targetArgument};
  static override description =
    'All switches of a resource on at once. The wishes are kept over restarts.';
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {parallel: parallelFlag, timeout: timeoutFlag(60)};
  static override summary = 'attach, connect, and resume sync, fetch and replay';

  async run(): Promise<ResourceView | TargetsDocument<ResourceView>> {
    const {args, flags} = await this.parse(Up);
    const daemon = connectDaemon(flags.home);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) =>
        remarkWhile(turnSwitches(daemon, name, 'up', flags.timeout), {
          ...{daemon, name, goal: 'be up', timeoutSeconds: flags.timeout},
          remark: this.remark.bind(this),
        }),
      (view) => {
        this.log(renderOutcome(view));
      },
    );
  }
}
