import type {ForkView} from '../../../control/api.js';
import {MarsCommand} from '../../base-command.js';
import {connectDaemon, resourcePath} from '../../daemon.js';
import {hostFlag, parallelFlag, targetArgument} from '../../options.js';
import {renderFork} from '../../render-fork.js';
import type {TargetsDocument} from '../../targets.js';

export default class ForkShow extends MarsCommand {
  static override args = {name: targetArgument};
  static override description =
    'After a split brain: up to where all nodes have the same, and what each has of its own behind ' +
    'that. Changes nothing.';
  static override examples = ['<%= config.bin %> <%= command.id %> web01'];
  static override flags = {host: hostFlag, parallel: parallelFlag};
  static override summary = 'show where the histories of a resource part';

  async run(): Promise<ForkView | TargetsDocument<ForkView>> {
    const {args, flags} = await this.parse(ForkShow);
    const daemon = connectDaemon(flags.home, flags.host);
    return this.forTargets(
      {daemon, target: args.name, parallel: flags.parallel},
      (name) => daemon.get<ForkView>(resourcePath(name, '/fork')),
      (view) => {
        this.log(renderFork(view));
      },
    );
  }
}
